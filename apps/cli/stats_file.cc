#include "stats_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "replace_file.h"

namespace uzswap::cli {
namespace {

constexpr mode_t kMode = 0666;  // less the umask

Refusal Unwritable(const std::string& path, const std::string& option, int failure) {
  return {kCannotDo, option + ": '" + path + "' cannot be written: " + strerror(failure),
          "name a file in a folder you may write to, as in " + option + " /tmp/uzswap.json"};
}

}  // namespace

StatsFile::StatsFile(StatsFile&& other) noexcept
    : path_(std::move(other.path_)),
      beside_(std::exchange(other.beside_, "")),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

StatsFile::~StatsFile() {
  if (descriptor_ >= 0) close(descriptor_);
  if (!beside_.empty()) unlink(beside_.c_str());
}

OrRefusal<StatsFile> StatsFile::Open(const std::string& path, const std::string& option) {
  StatsFile file;
  file.path_ = WithoutLinks(path);
  struct stat status = {};
  const bool exists = stat(path.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) return Unwritable(path, option, EISDIR);
  if (exists && !S_ISREG(status.st_mode)) {
    file.descriptor_ = open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (file.descriptor_ < 0) return Unwritable(path, option, errno);
    return file;
  }
  // Renaming would replace a read-only file too. Its owner does not want that.
  if (exists && access(path.c_str(), W_OK) != 0) return Unwritable(path, option, errno);
  const std::string beside = file.path_ + ".uzswap-" + std::to_string(getpid());
  const int fd = open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kMode);
  if (fd < 0) return Unwritable(path, option, errno);
  close(fd);
  file.beside_ = beside;
  return file;
}

int StatsFile::Write(const std::string& text) const {
  if (descriptor_ >= 0) return WriteAll(descriptor_, text);
  const int fd = open(beside_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kMode);
  if (fd < 0) return errno;
  int failure = WriteAll(fd, text);
  if (close(fd) != 0 && failure == 0) failure = errno;
  if (failure == 0 && rename(beside_.c_str(), path_.c_str()) != 0) failure = errno;
  return failure;
}

}  // namespace uzswap::cli
