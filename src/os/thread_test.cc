// Service threads. They live until the process ends, as they are meant to.
#include "os/thread.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <gtest/gtest.h>
#include <thread>
#include <vector>

#include "base/testing/slowness.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UZ_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UZ_SANITIZED 1
#endif
#endif

namespace uzswap::os {
namespace {

// Sanitizers know only threads of the C library: these tests are in the other builds.
#ifndef UZ_SANITIZED

// What a service thread saw of itself; written by it, read once `done` is 1.
struct Report {
  std::atomic<uint32_t> done{0};
  int probe = -1;  // a descriptor of the program's
  int error_of_probe = 0;
  bool streams_are_open = false;
  uint64_t blocked = 0;
  uint32_t number = 0;
  char name[16] = {};
  uint64_t thread_local_before = 0;
  uint64_t robust_list = 1;
};

thread_local uint64_t t_mine = 0;

void Finish(Report& report) {
  report.done.store(1, std::memory_order_release);
  FutexWake(&report.done, 1);
  while (true) FutexWait(&report.done, 1, 1'000'000'000);
}

void Look(void* raw) {
  auto& report = *static_cast<Report*>(raw);
  report.error_of_probe = syscall(SYS_fcntl, report.probe, F_GETFD, 0) == -1 ? errno : 0;
  report.streams_are_open = syscall(SYS_fcntl, 0, F_GETFD, 0) >= 0 &&
                            syscall(SYS_fcntl, 1, F_GETFD, 0) >= 0 &&
                            syscall(SYS_fcntl, 2, F_GETFD, 0) >= 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, nullptr, &report.blocked, sizeof(report.blocked));
  syscall(SYS_prctl, PR_GET_NAME, report.name, 0, 0, 0);
  report.number = ThreadNumber();
  report.thread_local_before = t_mine;
  t_mine = 55;
  size_t length = 0;
  syscall(SYS_get_robust_list, 0, &report.robust_list, &length);
  Finish(report);
}

// False after half a minute.
[[nodiscard]] bool Await(const Report& report) {
  const uint64_t deadline = MonotonicNanoseconds() + Slower(UINT64_C(30) * 1'000'000'000);
  while (report.done.load(std::memory_order_acquire) == 0) {
    if (MonotonicNanoseconds() > deadline) return false;
    FutexWait(&report.done, 0, 100'000'000);
  }
  return true;
}

// Which of the program's first descriptors are open.
std::vector<bool> OpenDescriptors() {
  std::vector<bool> open;
  for (int i = 0; i < 256; ++i) open.push_back(fcntl(i, F_GETFD) != -1);
  return open;
}

TEST(ServiceThreadTest, StandsApartFromTheProgram) {
  static Report report;
  report.probe = open("/dev/null", O_RDONLY);
  t_mine = 7;
  ASSERT_TRUE(StartServiceThread(Look, &report, ServiceHome::kProgram, "uzswap-test").ok());
  ASSERT_TRUE(Await(report)) << "the service thread has not reported";
  EXPECT_EQ(report.error_of_probe, EBADF);
  EXPECT_TRUE(report.streams_are_open);
  EXPECT_STREQ(report.name, "uzswap-test");
  EXPECT_NE(report.number, ThreadNumber());
  // All but the two that nobody can block.
  const uint64_t unblockable = (uint64_t{1} << (SIGKILL - 1)) | (uint64_t{1} << (SIGSTOP - 1));
  EXPECT_EQ(report.blocked | unblockable, ~uint64_t{0});
  EXPECT_EQ(report.thread_local_before, 0u);  // its own
  EXPECT_EQ(t_mine, 7u);
  EXPECT_EQ(report.robust_list, 0u);  // no descriptor of the C library's
  close(report.probe);
}

// The program's C library must still believe that it is alone.
TEST(ServiceThreadTest, IsNotCountedByTheCLibrary) {
  static Report report;
  ASSERT_TRUE(__libc_single_threaded);
  ASSERT_TRUE(StartServiceThread(Look, &report, ServiceHome::kProgram, "uzswap-test").ok());
  ASSERT_TRUE(Await(report)) << "the service thread has not reported";
  EXPECT_TRUE(__libc_single_threaded);
}

struct Pair {
  Report outer;
  Report inner;
};

void StartAnother(void* raw) {
  auto& pair = *static_cast<Pair*>(raw);
  pair.inner.probe = static_cast<int>(syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY, 0));
  const bool started =
      StartServiceThread(Look, &pair.inner, ServiceHome::kCaller, "uzswap-two").ok();
  pair.outer.error_of_probe = started ? 0 : 1;
  Finish(pair.outer);
}

TEST(ServiceThreadTest, TwoShareATableIfAsked) {
  static Pair pair;
  const std::vector<bool> before = OpenDescriptors();
  ASSERT_TRUE(StartServiceThread(StartAnother, &pair, ServiceHome::kProgram, "uzswap-one").ok());
  ASSERT_TRUE(Await(pair.outer)) << "the first thread has not reported";
  ASSERT_EQ(pair.outer.error_of_probe, 0);
  ASSERT_TRUE(Await(pair.inner)) << "the second thread has not reported";
  EXPECT_EQ(pair.inner.error_of_probe, 0);
  // And the program does not see what they opened.
  EXPECT_EQ(OpenDescriptors(), before);
}

struct Kept {
  Report report;
  char letters[kKeptMax] = {};
  bool more = false;  // other descriptors are open
};

void ReadKept(void* raw) {
  auto& kept = *static_cast<Kept*>(raw);
  for (size_t i = 0; i < kKeptMax; ++i) {
    const auto descriptor = static_cast<long>(kKeptDescriptor + i);
    const long got = syscall(SYS_pread64, descriptor, &kept.letters[i], size_t{1}, 0L);
    if (got != 1) kept.letters[i] = '-';
  }
  for (long i = kKeptDescriptor + static_cast<long>(kKeptMax); i < 64; ++i) {
    kept.more |= syscall(SYS_fcntl, i, F_GETFD, 0) >= 0;
  }
  Finish(kept.report);
}

// Whatever numbers they have in the program, also those that another one gets.
TEST(ServiceThreadTest, KeepsTheDescriptorsInTheirOrder) {
  static_assert(kKeptMax == 4);
  struct Case {
    KeptDescriptors numbers;
    const char* letters;
  };
  const Case cases[] = {
      {{-1, -1, -1, -1}, "----"}, {{40, -1, -1, -1}, "a---"}, {{-1, 40, -1, 41}, "-b-d"},
      {{40, 41, 42, 43}, "abcd"}, {{3, 4, 5, 6}, "abcd"},     {{6, 5, 4, 3}, "abcd"},
      {{4, 5, 6, 3}, "abcd"},     {{6, 3, 4, 5}, "abcd"},     {{4, 3, -1, -1}, "ab--"},
      {{-1, 3, -1, 4}, "-b-d"},   {{5, -1, 3, 40}, "a-cd"},   {{0, 1, 2, 3}, "abcd"},
      {{2, 0, 4, -1}, "abc-"},
  };
  for (const Case& c : cases) {
    const pid_t child = fork();
    if (child == 0) {
      // In a process of its own: the numbers may be in use here.
      for (int i = 3; i < 64; ++i) close(i);
      for (size_t i = 0; i < kKeptMax; ++i) {
        if (c.numbers[i] < 0) continue;
        const int file = open("/tmp", O_TMPFILE | O_RDWR, 0600);
        const char letter = static_cast<char>('a' + i);
        if (file < 0 || pwrite(file, &letter, 1, 0) != 1) _exit(1);
        // Above all of them, so that none is in the place of another one.
        if (dup2(file, 50 + static_cast<int>(i)) < 0) _exit(2);
        close(file);
      }
      for (size_t i = 0; i < kKeptMax; ++i) {
        if (c.numbers[i] >= 0) dup2(50 + static_cast<int>(i), c.numbers[i]);
      }
      for (int i = 50; i < 54; ++i) close(i);
      // A full table.
      const rlimit few = {60, 60};
      setrlimit(RLIMIT_NOFILE, &few);
      while (open("/dev/null", O_RDONLY) >= 0) {
      }
      static Kept kept;
      if (!StartServiceThread(ReadKept, &kept, ServiceHome::kProgram, "keeps", c.numbers).ok()) {
        _exit(3);
      }
      if (!Await(kept.report)) _exit(4);
      if (kept.more) _exit(5);
      _exit(memcmp(kept.letters, c.letters, kKeptMax) == 0 ? 0 : 6);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << c.letters << " from " << c.numbers[0] << " " << c.numbers[1] << " "
                         << c.numbers[2] << " " << c.numbers[3];
  }
}

TEST(ServiceThreadTest, TheProgramsSignalMaskIsAsBefore) {
  static Report report;
  sigset_t before;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  ASSERT_TRUE(StartServiceThread(Look, &report, ServiceHome::kProgram, "uzswap-test").ok());
  sigset_t after;
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (int signal = 1; signal < 32; ++signal) {
    EXPECT_EQ(sigismember(&before, signal), sigismember(&after, signal)) << signal;
  }
  ASSERT_TRUE(Await(report)) << "the service thread has not reported";
}

#endif  // UZ_SANITIZED

TEST(FutexTest, DoesNotSleepWhenTheWordIsAnother) {
  const uint32_t word = 5;
  const uint64_t start = MonotonicNanoseconds();
  FutexWait(&word, 4, Slower(UINT64_C(60) * 1'000'000'000));
  EXPECT_LT(MonotonicNanoseconds() - start, Slower(UINT64_C(30) * 1'000'000'000));
}

TEST(FutexTest, ASleepEndsByItself) {
  const uint32_t word = 5;
  const uint64_t deadline = MonotonicNanoseconds() + Slower(UINT64_C(60) * 1'000'000'000);
  const uint64_t start = MonotonicNanoseconds();
  // A sleep may end early; several together reach the time that was asked for.
  while (MonotonicNanoseconds() < start + 2'000'000 && MonotonicNanoseconds() < deadline) {
    FutexWait(&word, 5, 1'000'000);
  }
  EXPECT_GE(MonotonicNanoseconds(), start + 2'000'000);
  EXPECT_LT(MonotonicNanoseconds(), deadline);
}

TEST(ClockTest, DoesNotGoBack) {
  const uint64_t first = MonotonicNanoseconds();
  EXPECT_GE(MonotonicNanoseconds(), first);
}

// A thread that it creates runs as soon, and can become ordinary.
TEST(ServiceThreadTest, UrgencyIsInheritedAndGivenUp) {
  std::thread([] {
    const auto nice = [] { return getpriority(PRIO_PROCESS, static_cast<id_t>(ThreadNumber())); };
    const int before = nice();
    SetUrgency(Urgency::kRealTime);
    const int policy = sched_getscheduler(0);
    if (policy == SCHED_OTHER && nice() == before) GTEST_SKIP() << "the kernel refuses both";
    EXPECT_TRUE(policy == SCHED_RR || nice() == -10);
    std::thread([&] {
      EXPECT_EQ(sched_getscheduler(0), policy);
      SetUrgency(Urgency::kOrdinary);
      EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
      EXPECT_EQ(nice(), before);
      SetUrgency(Urgency::kPreferred);
      EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
      EXPECT_EQ(nice(), -10);
    }).join();
  }).join();
}

}  // namespace
}  // namespace uzswap::os
