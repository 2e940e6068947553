// A sibling process, and when it finds its program gone. Each test has a program of its own: a
// forked process that starts a sibling. Not under sanitizers: they know only threads of the C
// library.
#include "os/program_watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <gtest/gtest.h>
#include <string>
#include <thread>

#include "base/check.h"
#include "base/testing/slowness.h"
#include "base/units.h"
#include "os/program.h"
#include "os/program_tether.h"
#include "os/thread.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UZ_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UZ_SANITIZED 1
#endif
#endif

#ifndef UZ_SANITIZED

namespace uzswap::os {
namespace {

const int kDeadlineMs = Slower(60'000);
constexpr uint64_t kSecond = 1'000'000'000;

// Shared by the test, the program and its sibling.
struct Shared {
  std::atomic<uint32_t> pid{0};      // of the sibling
  std::atomic<uint32_t> looks{0};    // how often it has looked
  std::atomic<uint32_t> outside{0};  // 1: it found itself outside of the program
};
Shared* g_shared = nullptr;
std::atomic<uint32_t> g_word{0};

void Watch(void* /*unused*/) {
  ProgramWatch watch;
  watch.Open();
  g_shared->outside.store(OutsideProgram() ? 1 : 0);
  g_shared->pid.store(static_cast<uint32_t>(syscall(SYS_getpid)));
  while (true) {
    watch.Wait(g_word, 0, 10 * kSecond);
    g_shared->looks.fetch_add(1);
    if (watch.Gone()) EndProcess();
  }
}

bool AwaitValue(const std::atomic<uint32_t>& value) {
  for (int waited = 0; value.load() == 0 && waited < kDeadlineMs; ++waited) poll(nullptr, 0, 1);
  return value.load() != 0;
}

// The program: status 100 if no sibling can be started.
[[noreturn]] void BecomeProgram(int (*body)()) {
  NoteProgram();
  const Result<uint32_t> made =
      StartServiceThread(Watch, nullptr, ServiceHome::kSibling, "sibling");
  if (!made.ok() || made.value() == 0) _exit(100);
  if (!AwaitValue(g_shared->pid) || g_shared->pid.load() != made.value()) _exit(101);
  _exit(body());
}

class ProgramWatchTest : public testing::Test {
 protected:
  void SetUp() override {
    void* made =
        mmap(nullptr, kPageSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(made, MAP_FAILED);
    g_shared = new (made) Shared;
    // Orphans become children of the test, which sees their end.
    ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  }
  void TearDown() override {
    EXPECT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
    munmap(g_shared, kPageSize);
  }

  static pid_t Start(int (*body)()) {
    const pid_t program = fork();
    if (program == 0) BecomeProgram(body);
    return program;
  }
  static int StatusOf(pid_t program) {
    int status = -1;
    EXPECT_EQ(waitpid(program, &status, 0), program);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  // True if the sibling has ended by itself, with status 0, before the deadline.
  static bool SiblingEnds() {
    const auto sibling = static_cast<pid_t>(g_shared->pid.load());
    for (int waited = 0; waited < kDeadlineMs; ++waited) {
      int status = -1;
      if (waitpid(sibling, &status, WNOHANG) == sibling) return status == 0;
      poll(nullptr, 0, 1);
    }
    return false;
  }
};

int CountOwnThreads() {
  int count = 0;
  DIR* folder = opendir("/proc/self/task");
  while (const dirent* entry = readdir(folder)) count += entry->d_name[0] != '.' ? 1 : 0;
  closedir(folder);
  return count;
}

TEST_F(ProgramWatchTest, TheProgramSeesNothingOfItsSibling) {
  const pid_t program = Start([]() -> int {
    if (CountOwnThreads() != 1) return 1;
    if (waitpid(-1, nullptr, WNOHANG) != -1 || errno != ECHILD) return 2;
    if (g_shared->outside.load() != 1) return 3;
    // The kernel schedules sessions as groups: the sibling stays in that of the program.
    const auto sibling = static_cast<pid_t>(g_shared->pid.load());
    if (getsid(sibling) != getsid(0)) return 4;
    return getpgid(sibling) == sibling ? 0 : 5;
  });
  EXPECT_EQ(StatusOf(program), 0);
  EXPECT_TRUE(SiblingEnds());
}

TEST_F(ProgramWatchTest, ItEndsWhenTheProgramIsKilled) {
  const pid_t program = Start([]() -> int {
    raise(SIGKILL);
    return 1;
  });
  EXPECT_EQ(StatusOf(program), 1000 + SIGKILL);
  EXPECT_TRUE(SiblingEnds());
}

TEST_F(ProgramWatchTest, ItEndsWhenTheProgramExecs) {
  const pid_t program = Start([]() -> int {
    // Runs until the test has seen the end of the sibling.
    execl("/bin/cat", "cat", static_cast<char*>(nullptr));
    return 1;
  });
  EXPECT_TRUE(AwaitValue(g_shared->pid));
  EXPECT_TRUE(SiblingEnds());
  kill(program, SIGKILL);
  StatusOf(program);
}

TEST_F(ProgramWatchTest, ItEndsWhenAnotherThreadExecs) {
  const pid_t program = Start([]() -> int {
    std::thread other([] { execl("/bin/sleep", "sleep", "60", static_cast<char*>(nullptr)); });
    other.join();
    return 1;
  });
  EXPECT_TRUE(AwaitValue(g_shared->pid));
  EXPECT_TRUE(SiblingEnds());
  kill(program, SIGKILL);
  StatusOf(program);
}

TEST_F(ProgramWatchTest, ItStaysWhenOnlyTheFirstThreadHasEnded) {
  const pid_t program = Start([]() -> int {
    std::thread([] {
      // The first thread is a zombie, or about to be one; the sibling looks a hundred times.
      const uint32_t before = g_shared->looks.load();
      for (int i = 0; g_shared->looks.load() < before + 100 && i < kDeadlineMs; ++i) {
        poll(nullptr, 0, 1);
      }
      const bool lives = kill(static_cast<pid_t>(g_shared->pid.load()), 0) == 0;
      _exit(lives && g_shared->looks.load() >= before + 100 ? 7 : 8);
    }).detach();
    syscall(SYS_exit, 0);
    return 1;
  });
  EXPECT_EQ(StatusOf(program), 7);
  EXPECT_TRUE(SiblingEnds());
}

TEST_F(ProgramWatchTest, AnExecOfAForkedChildIsNotItsProgramsEnd) {
  const pid_t program = Start([]() -> int {
    for (int i = 0; i < 20; ++i) {
      const pid_t child = fork();
      if (child == 0) {
        execl("/bin/true", "true", static_cast<char*>(nullptr));
        _exit(1);
      }
      int status = -1;
      if (waitpid(child, &status, 0) != child || status != 0) return 1;
    }
    return kill(static_cast<pid_t>(g_shared->pid.load()), 0) == 0 ? 0 : 2;
  });
  EXPECT_EQ(StatusOf(program), 0);
  EXPECT_TRUE(SiblingEnds());
}

// A subreaper gets the children of processes that end: its sibling stays hidden all the same.
TEST_F(ProgramWatchTest, ASubreaperDoesNotSeeItEither) {
  const pid_t program = fork();
  if (program == 0) {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    BecomeProgram(
        []() -> int { return waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD ? 0 : 1; });
  }
  EXPECT_EQ(StatusOf(program), 0);
  EXPECT_TRUE(SiblingEnds());
}

TEST_F(ProgramWatchTest, AMemoryErrorInTheSiblingEndsTheProgram) {
  const pid_t program = fork();
  if (program == 0) {
    NoteProgram();
    SetPanicHook([](const char*, uint64_t) { KillProgram(); });
    const auto fault = [](void*) { *reinterpret_cast<volatile int*>(8) = 1; };
    if (!StartServiceThread(fault, nullptr, ServiceHome::kSibling, "sibling").ok()) _exit(100);
    poll(nullptr, 0, kDeadlineMs);
    _exit(1);
  }
  EXPECT_EQ(StatusOf(program), 1000 + SIGKILL);
}

ProgramTether g_tether;

// The program waits to be killed. `body` runs in the sibling.
void StartTied(void (*body)(void*)) {
  NoteProgram();
  if (!StartServiceThread(body, nullptr, ServiceHome::kSibling, "sibling").ok()) _exit(100);
  poll(nullptr, 0, kDeadlineMs);
  _exit(1);
}

TEST_F(ProgramWatchTest, AProgramEndsWithASiblingThatIsKilled) {
  const pid_t program = fork();
  if (program == 0) {
    StartTied([](void*) {
      if (!g_tether.Tie().ok()) syscall(SYS_exit_group, 3);
      syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    });
  }
  EXPECT_EQ(StatusOf(program), 1000 + SIGKILL);
}

TEST_F(ProgramWatchTest, AProgramOutlivesASiblingThatIsNotTiedAnyMore) {
  const pid_t program = fork();
  if (program == 0) {
    NoteProgram();
    const auto body = [](void*) {
      const bool tied = g_tether.Tie().ok();
      g_tether.Untie();
      g_shared->pid.store(tied ? 1 : 2);
      syscall(SYS_exit_group, 0);
    };
    const Result<uint32_t> made =
        StartServiceThread(body, nullptr, ServiceHome::kSibling, "sibling");
    if (!made.ok() || !AwaitValue(g_shared->pid)) _exit(100);
    // Until the kernel has closed everything: the test reaps it.
    for (int i = 0; kill(static_cast<pid_t>(made.value()), 0) == 0 && i < kDeadlineMs; ++i) {
      g_shared->looks.store(made.value());
      poll(nullptr, 0, 1);
    }
    _exit(g_shared->pid.load() == 1 ? 0 : 2);
  }
  ASSERT_TRUE(AwaitValue(g_shared->looks));
  EXPECT_EQ(waitpid(static_cast<pid_t>(g_shared->looks.load()), nullptr, 0),
            static_cast<pid_t>(g_shared->looks.load()));
  EXPECT_EQ(StatusOf(program), 0);
}

TEST(ProgramPathTest, WithoutASiblingItIsTheCallingProcess) {
  EXPECT_FALSE(OutsideProgram());
  EXPECT_EQ(ProgramPid(), static_cast<uint32_t>(getpid()));
  EXPECT_EQ(ProgramPath("task").view(), "/proc/self/task");
}

}  // namespace
}  // namespace uzswap::os

#endif  // UZ_SANITIZED
