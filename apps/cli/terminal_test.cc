// uzswap on a terminal: Ctrl-C arrives once, Ctrl-Z stops and continues. The test is the terminal
// emulator, and a forked helper is the shell. A wait that reaches its deadline fails the test.
#include <fcntl.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "base/check.h"
#include "os/probe.h"
#include "testing/deadline.h"

namespace uzswap::cli {
namespace {

constexpr char kControlC[] = "\x03";
constexpr char kControlD[] = "\x04";
constexpr char kControlZ[] = "\x1a";

// What a shell does: it runs the job in a process group of its own and in the foreground. When the
// job stops, it continues it and prints a line. It ends with the status of the job, or with 200 and
// the signal that killed it.
[[noreturn]] void PlayShell(char* const* job) {
  signal(SIGTTOU, SIG_IGN);
  const pid_t pid = fork();
  if (pid == 0) {
    setpgid(0, 0);
    tcsetpgrp(STDIN_FILENO, getpid());
    signal(SIGTTOU, SIG_DFL);
    execv(job[0], job);
    _exit(99);
  }
  setpgid(pid, pid);
  int status = 0;
  while (waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status)) {
    kill(-pid, SIGCONT);
    dprintf(STDOUT_FILENO, "stopped by %d\n", WSTOPSIG(status));
  }
  _exit(WIFSIGNALED(status) ? 200 + WTERMSIG(status) : WEXITSTATUS(status));
}

class Terminal {
 public:
  explicit Terminal(const std::vector<std::string>& command) {
    std::vector<char*> words;
    for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    // Runs of other tests may be on the screen of top too.
    winsize size = {};
    size.ws_row = 200;
    size.ws_col = 100;
    shell_ = forkpty(&master_, nullptr, nullptr, &size);
    UZ_CHECK(shell_ >= 0);
    if (shell_ == 0) PlayShell(words.data());
  }
  Terminal(const Terminal&) = delete;
  ~Terminal() {
    close(master_);  // hangs up
    if (shell_ > 0) Await();
  }
  void Type(const char* keys) const { UZ_CHECK(write(master_, keys, strlen(keys)) > 0); }
  // Reads on until `text` has come. Fails when the programs end before, or at the deadline.
  // Forgets what it read.
  ::testing::AssertionResult Expect(const std::string& text) {
    const testing::Deadline deadline;
    while (true) {
      const size_t found = seen_.find(text);
      if (found != std::string::npos) {
        seen_.erase(0, found + text.size());
        return ::testing::AssertionSuccess();
      }
      if (!deadline.AwaitReadable(master_)) return Missing(text) << " before the deadline";
      char chunk[512];
      const ssize_t count = read(master_, chunk, sizeof(chunk));
      if (count <= 0) return Missing(text) << " before the end";
      seen_.append(chunk, static_cast<size_t>(count));
    }
  }
  [[nodiscard]] pid_t Foreground() const {
    pid_t group = -1;
    ioctl(master_, TIOCGPGRP, &group);
    return group;
  }
  [[nodiscard]] const std::string& seen() const { return seen_; }
  int Await() {
    int status = 0;
    if (!testing::Deadline().AwaitEnd(shell_, &status)) {
      ADD_FAILURE() << "the shell did not end before the deadline; it wrote '" << seen_ << "'";
      kill(shell_, SIGKILL);
      waitpid(shell_, &status, 0);
    }
    shell_ = -1;
    return WEXITSTATUS(status);
  }

 private:
  [[nodiscard]] ::testing::AssertionResult Missing(const std::string& text) const {
    return ::testing::AssertionFailure() << "no '" << text << "' in '" << seen_ << "'";
  }

  int master_ = -1;
  pid_t shell_ = -1;
  std::string seen_;
};

std::vector<std::string> RunChild(const char* mode) {
  const char* uzswap = getenv("UZSWAP_BINARY");
  const char* child = getenv("UZSWAP_CHILD");
  UZ_CHECK(uzswap != nullptr && child != nullptr);
  return {uzswap, "run", "--limit", "64M", "--", child, mode};
}

class TerminalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!os::ProbeUserfaultfd().sufficient()) GTEST_SKIP() << "no userfaultfd with MOVE here";
  }
};

TEST_F(TerminalTest, ControlCArrivesOnce) {
  Terminal terminal(RunChild("list-signals"));
  ASSERT_TRUE(terminal.Expect("ready"));
  terminal.Type(kControlC);
  ASSERT_TRUE(terminal.Expect("signal 2\r\n"));
  // Signals are relayed in the order of their numbers: a second SIGINT would come before this one.
  kill(terminal.Foreground(), SIGUSR1);
  ASSERT_TRUE(terminal.Expect("signal 10\r\n"));
  EXPECT_EQ(terminal.seen().find("signal 2"), std::string::npos);
  EXPECT_EQ(terminal.Await(), 0);
}

TEST_F(TerminalTest, ControlCEndsBothByTheSignal) {
  Terminal terminal(RunChild("wait-input"));
  ASSERT_TRUE(terminal.Expect("ready"));
  terminal.Type(kControlC);
  EXPECT_EQ(terminal.Await(), 200 + SIGINT);
}

TEST_F(TerminalTest, ControlZStopsTheRunnerTooAndBack) {
  Terminal terminal(RunChild("wait-input"));
  ASSERT_TRUE(terminal.Expect("ready"));
  terminal.Type(kControlZ);
  ASSERT_TRUE(terminal.Expect("stopped by 20"));
  terminal.Type(kControlD);
  EXPECT_EQ(terminal.Await(), 0);
}

// The screen of `uzswap top` comes, keys work, and the terminal is as before at the end.
TEST_F(TerminalTest, TopShowsTheRunAndEnds) {
  setenv("TERM", "xterm", 1);
  Terminal run(RunChild("wait-input"));
  ASSERT_TRUE(run.Expect("ready"));
  Terminal top({getenv("UZSWAP_BINARY"), "top", "--interval", "0.1"});
  ASSERT_TRUE(top.Expect("uzswap top: "));
  ASSERT_TRUE(top.Expect("cli_child"));
  top.Type("h");
  ASSERT_TRUE(top.Expect("any key: back"));
  top.Type(" S");
  ASSERT_TRUE(top.Expect("stall"));
  top.Type("q");
  ASSERT_TRUE(top.Expect("\033[?1049l")) << "the former screen comes back";
  EXPECT_EQ(top.Await(), 0);
  run.Type(kControlD);
  EXPECT_EQ(run.Await(), 0);
}

TEST_F(TerminalTest, TopRestoresTheTerminalWhenItIsAskedToEnd) {
  setenv("TERM", "xterm", 1);
  Terminal top({getenv("UZSWAP_BINARY"), "top"});
  ASSERT_TRUE(top.Expect("uzswap top: "));
  top.Type(" ");  // also while it is paused
  ASSERT_TRUE(top.Expect("paused"));
  top.Type(kControlC);
  ASSERT_TRUE(top.Expect("\033[?1049l"));
  EXPECT_EQ(top.Await(), 128 + SIGINT);
}

TEST_F(TerminalTest, TopNeedsATerminalThatIsKnown) {
  setenv("TERM", "no-such-terminal", 1);
  Terminal top({getenv("UZSWAP_BINARY"), "top"});
  ASSERT_TRUE(top.Expect("the terminal 'no-such-terminal' is not known"));
  ASSERT_TRUE(top.Expect("fix:"));
  EXPECT_EQ(top.Await(), 125);
}

}  // namespace
}  // namespace uzswap::cli
