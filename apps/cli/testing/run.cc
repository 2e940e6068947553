#include "testing/run.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "testing/deadline.h"

namespace uzswap::cli::testing {
namespace {

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// False at the end of the stream.
bool ReadSome(int fd, std::string& into) {
  char chunk[4096];
  const ssize_t count = read(fd, chunk, sizeof(chunk));
  if (count > 0) into.append(chunk, static_cast<size_t>(count));
  return count > 0 || (count < 0 && errno == EINTR);
}

}  // namespace

Running::Running(const std::vector<std::string>& command,
                 const std::vector<std::string>& environment) {
  int in[2];
  int out[2];
  int err[2];
  UZ_CHECK_EQ(pipe2(in, O_CLOEXEC), 0);
  UZ_CHECK_EQ(pipe2(out, O_CLOEXEC), 0);
  UZ_CHECK_EQ(pipe2(err, O_CLOEXEC), 0);
  std::vector<char*> arguments = Pointers(command);
  pid_ = fork();
  UZ_CHECK(pid_ >= 0);
  if (pid_ == 0) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    dup2(err[1], STDERR_FILENO);
    for (const std::string& entry : environment) putenv(const_cast<char*>(entry.c_str()));
    execvp(arguments[0], arguments.data());
    _exit(99);
  }
  close(in[0]);
  close(out[1]);
  close(err[1]);
  input_ = in[1];
  output_ = out[0];
  errors_ = err[0];
}

Running::~Running() {
  CloseInput();
  close(output_);
  close(errors_);
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
}

std::string Running::ReadLine() {
  const Deadline deadline;
  std::string line;
  char c = 0;
  while (true) {
    if (!deadline.AwaitReadable(output_)) {
      ADD_FAILURE() << "no end of the line '" << line << "' before the deadline";
      return line;
    }
    if (read(output_, &c, 1) != 1 || c == '\n') return line;
    line += c;
  }
}

void Running::CloseInput() {
  if (input_ >= 0) close(input_);
  input_ = -1;
}

std::string Running::ReadToEnd() {
  const Deadline deadline;
  std::string text;
  do {
    if (!deadline.AwaitReadable(output_)) {
      ADD_FAILURE() << "standard output was still open at the deadline, after '" << text << "'";
      return text;
    }
  } while (ReadSome(output_, text));
  return text;
}

Ended Running::Await() {
  const Deadline deadline;
  Ended ended;
  bool output_open = true;
  bool errors_open = true;
  while (output_open || errors_open) {
    pollfd ready[] = {{output_open ? output_ : -1, POLLIN, 0},
                      {errors_open ? errors_ : -1, POLLIN, 0}};
    const int count = poll(ready, 2, deadline.left_ms());
    if (count == 0) return GiveUp(std::move(ended));
    if (count < 0) continue;
    if (ready[0].revents != 0) output_open = ReadSome(output_, ended.output);
    if (ready[1].revents != 0) errors_open = ReadSome(errors_, ended.errors);
  }
  int status = 0;
  if (!deadline.AwaitEnd(pid_, &status)) return GiveUp(std::move(ended));
  pid_ = -1;
  if (WIFEXITED(status)) ended.status = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) ended.signal = WTERMSIG(status);
  return ended;
}

Ended Running::GiveUp(Ended so_far) {
  ADD_FAILURE() << "the program did not end before the deadline; output '" << so_far.output
                << "', errors '" << so_far.errors << "'";
  return so_far;
}

Folder::Folder() : path_("/tmp/uzswap-cli-XXXXXX") {
  UZ_CHECK(mkdtemp(path_.data()) != nullptr);
  UZ_CHECK_EQ(chmod(path_.c_str(), 0755), 0);
}

Folder::~Folder() { std::filesystem::remove_all(path_); }

std::string Folder::File(const std::string& name, const std::string& text, mode_t mode) const {
  const std::string path = path_ + "/" + name;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << text;
  UZ_CHECK_EQ(chmod(path.c_str(), mode), 0);
  return path;
}

std::string Folder::Copy(const std::string& from, const std::string& name, mode_t mode) const {
  return File(name, ReadFile(from), mode);
}

std::string ReadFile(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

}  // namespace uzswap::cli::testing
