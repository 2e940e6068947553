#include "os/process_identity.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <gtest/gtest.h>
#include <string>

namespace uzswap::os {
namespace {

std::string StatText(const std::string& name, char state, int threads, const std::string& start) {
  std::string text = "42 (" + name + ") " + state;
  for (int field = 4; field < 20; ++field) text += " 1";
  return text + " " + std::to_string(threads) + " 0 " + start + " 4096 5\n";
}

TEST(ParseProcessStatTest, FindsItsFieldsBehindAnyName) {
  for (const char* name : {"bash", "a b", "x) S 1 (y", ")", ""}) {
    const auto stat = ParseProcessStat(StatText(name, 'R', 3, "123456"));
    ASSERT_TRUE(stat.has_value()) << name;
    EXPECT_EQ(stat->state, 'R');
    EXPECT_EQ(stat->parent, 1u);
    EXPECT_EQ(stat->threads, 3u);
    EXPECT_EQ(stat->start_time, 123456u);
  }
}

TEST(ParseProcessStatTest, RefusesWhatIsNotOfThatForm) {
  for (const char* text : {"", "1", "1 (x", "1 (x)", "1 (x) ", "1 (x) S 1 2 3"}) {
    EXPECT_FALSE(ParseProcessStat(text).has_value()) << text;
  }
  EXPECT_FALSE(ParseProcessStat(StatText("x", 'S', 1, "-1")).has_value());
  EXPECT_FALSE(ParseProcessStat(StatText("x", 'S', 1, "many")).has_value());
}

TEST(ParentOfTest, IsTheParent) {
  EXPECT_EQ(ParentOf(static_cast<uint32_t>(getpid())), static_cast<uint32_t>(getppid()));
  EXPECT_EQ(ParentOf(0), std::nullopt);
}

// A child that stands still until killed.
class StandingChild {
 public:
  StandingChild() : pid_(fork()) {
    if (pid_ == 0) {
      while (true) pause();
    }
  }
  ~StandingChild() {
    if (pid_ <= 0) return;
    Kill();
    waitpid(pid_, nullptr, 0);
  }
  void Kill() const { kill(pid_, SIGKILL); }
  // Waits until it is a zombie, without reaping it.
  void AwaitZombie() const {
    siginfo_t info = {};
    ASSERT_EQ(waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT), 0);
  }
  void Reap() {
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  [[nodiscard]] uint32_t pid() const { return static_cast<uint32_t>(pid_); }

 private:
  pid_t pid_;
};

TEST(ProcessIdentityTest, KnowsItself) {
  const ProcessIdentity self = OwnIdentity();
  EXPECT_EQ(self.pid, static_cast<uint32_t>(getpid()));
  EXPECT_GT(self.start_time, 0u);
  EXPECT_GT(self.pid_namespace, 0u);
  EXPECT_EQ(self, OwnIdentity());
  EXPECT_EQ(Probe(self, self.pid_namespace), Liveness::kAlive);
}

TEST(ProcessorNsOfTest, IsTheClockOfThatProcess) {
  clockid_t clock = 0;
  ASSERT_EQ(clock_getcpuclockid(getppid(), &clock), 0);
  timespec before{};
  timespec after{};
  ASSERT_EQ(clock_gettime(clock, &before), 0);
  const std::optional<uint64_t> used = ProcessorNsOf(static_cast<uint32_t>(getppid()));
  ASSERT_EQ(clock_gettime(clock, &after), 0);
  ASSERT_TRUE(used.has_value());
  EXPECT_GE(*used, static_cast<uint64_t>(before.tv_sec * 1'000'000'000 + before.tv_nsec));
  EXPECT_LE(*used, static_cast<uint64_t>(after.tv_sec * 1'000'000'000 + after.tv_nsec));
}

TEST(ProcessorNsOfTest, NobodyHasNone) {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_FALSE(ProcessorNsOf(static_cast<uint32_t>(child)).has_value());
}

TEST(ProcessIdentityTest, TellsReuseOfAPidApart) {
  ProcessIdentity former = OwnIdentity();
  --former.start_time;
  EXPECT_EQ(Probe(former, former.pid_namespace), Liveness::kDead);
  former.start_time = 0;
  EXPECT_EQ(Probe(former, former.pid_namespace), Liveness::kAlive);
  EXPECT_EQ(Probe(former, former.pid_namespace + 1), Liveness::kUnknown);
}

TEST(ProcessIdentityTest, AZombieAndAReapedProcessAreDead) {
  const ProcessIdentity self = OwnIdentity();
  StandingChild child;
  const ProcessIdentity identity{child.pid(), 0, self.pid_namespace};
  EXPECT_EQ(Probe(identity, self.pid_namespace), Liveness::kAlive);
  child.Kill();
  child.AwaitZombie();
  const ProcessIdentity other_start{child.pid(), self.start_time, self.pid_namespace};
  EXPECT_EQ(Probe(other_start, self.pid_namespace), Liveness::kDead);
  child.Reap();
  EXPECT_EQ(Probe(identity, self.pid_namespace), Liveness::kDead);
}

}  // namespace
}  // namespace uzswap::os
