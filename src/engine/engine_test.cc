// The engine, started inside a real process: start, activation, fork, and what it publishes. Each
// test runs in a child process, because an engine ends with its process only; the child's status
// says what went wrong. Not under sanitizers: their run-time does not know the engine's threads.
#include "engine/engine.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <new>

#include "base/testing/slowness.h"
#include "engine/testing/fake_session.h"

namespace uzswap {
namespace {

constexpr Bytes kLimit{16 << 20};
constexpr uint64_t kProgramPages = (48 << 20) / kPageSize;
const unsigned kDeadlineSeconds = Slower(100u);
constexpr uint64_t kStackBytes = 8 << 20;

enum Verdict : int {
  kRight = 0,
  kNotStarted,
  kNoMemory,
  kWrongByte,
  kNothingSwappedOut,
  kNoMetadata,
  kMetadataBeyondResident,
  kNotWatching,
  kChildWasWrong,
  kForkNotCounted,
  kNotPrepared,
  kNotReported,
};

alignas(Engine) std::byte g_memory[sizeof(Engine)];
Engine* g_engine = nullptr;

bool StartEngine(Bytes limit) {
  g_engine = new (g_memory) Engine;
  const Engine::Program program = {"engine_test", kStackBytes, limit};
  if (!g_engine->Start(NewPrivateSession(limit), program).ok()) return false;
  return pthread_atfork([] { g_engine->PrepareFork(); }, [] { g_engine->ParentAfterFork(); },
                        [] { g_engine->ChildAfterFork(); }) == 0;
}

bool EndsRight(pid_t child) {
  int status = -1;
  return waitpid(child, &status, 0) == child && status == 0;
}

// Runs `body` in a process of its own, which must end by itself before the deadline.
int VerdictOf(int (*body)()) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(kDeadlineSeconds);
    _exit(body());
  }
  int status = -1;
  if (waitpid(child, &status, 0) != child) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

// Each page has words that follow from its number: they compress, but no two pages are equal.
uint64_t WordOf(uint64_t page, uint64_t index) { return page * 1'000'003 + index / 16; }

uint64_t* FillProgramMemory() {
  void* made = mmap(nullptr, kProgramPages * kPageSize, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (made == MAP_FAILED) return nullptr;
  auto* words = static_cast<uint64_t*>(made);
  constexpr uint64_t kWords = kPageSize / sizeof(uint64_t);
  for (uint64_t i = 0; i < kProgramPages * kWords; ++i) words[i] = WordOf(i / kWords, i % kWords);
  return words;
}

bool IsWhole(const uint64_t* words) {
  constexpr uint64_t kWords = kPageSize / sizeof(uint64_t);
  for (uint64_t i = 0; i < kProgramPages * kWords; ++i) {
    if (words[i] != WordOf(i / kWords, i % kWords)) return false;
  }
  return true;
}

class EngineTest : public testing::Test {
 protected:
  void SetUp() override {
    os::LinuxUserFault probe;
    if (!probe.Open(os::LinuxUserFault::Events::kAll).ok()) GTEST_SKIP() << "no userfaultfd here";
  }
};

TEST_F(EngineTest, AProgramThreeTimesItsLimitKeepsEveryByte) {
  EXPECT_EQ(VerdictOf([]() -> int {
              if (!StartEngine(kLimit)) return kNotStarted;
              const uint64_t* words = FillProgramMemory();
              if (words == nullptr) return kNoMemory;
              if (!IsWhole(words) || !IsWhole(words)) return kWrongByte;
              const Statistics& counts = g_engine->member().statistics();
              if (counts.zswpout.Get() == 0 || counts.zswpin.Get() == 0) return kNothingSwappedOut;
              if (counts.metadata_bytes.Get() == 0) return kNoMetadata;
              if (counts.metadata_bytes.Get() > counts.resident_bytes_peak.Get()) {
                return kMetadataBeyondResident;
              }
              return kRight;
            }),
            kRight);
}

TEST_F(EngineTest, FarBelowItsLimitAProcessIsOnlyWatched) {
  EXPECT_EQ(VerdictOf([]() -> int {
              if (!StartEngine(Bytes(uint64_t{4} << 30))) return kNotStarted;
              const uint64_t* words = FillProgramMemory();
              if (words == nullptr) return kNoMemory;
              if (!IsWhole(words)) return kWrongByte;
              const Statistics& counts = g_engine->member().statistics();
              const bool watching = counts.adoptions.Get() == 0 && counts.metadata_bytes.Get() == 0;
              return watching ? kRight : kNotWatching;
            }),
            kRight);
}

TEST_F(EngineTest, AForkedChildHasEveryByteToo) {
  EXPECT_EQ(VerdictOf([]() -> int {
              if (!StartEngine(kLimit)) return kNotStarted;
              const uint64_t* words = FillProgramMemory();
              if (words == nullptr) return kNoMemory;
              const pid_t child = fork();
              if (child == 0) {
                alarm(kDeadlineSeconds);
                _exit(IsWhole(words) ? kRight : kWrongByte);
              }
              if (!IsWhole(words)) return kWrongByte;
              if (!EndsRight(child)) return kChildWasWrong;
              if (!IsWhole(words)) return kWrongByte;
              return g_engine->member().statistics().forks.Get() == 1 ? kRight : kForkNotCounted;
            }),
            kRight);
}

TEST_F(EngineTest, AnUnmanagedProcessForksAsWell) {
  EXPECT_EQ(VerdictOf([]() -> int {
              if (!StartEngine(Bytes(uint64_t{4} << 30))) return kNotStarted;
              for (int i = 0; i < 20; ++i) {
                const pid_t child = fork();
                if (child == 0) _exit(kRight);
                if (!EndsRight(child)) return kChildWasWrong;
              }
              return g_engine->member().statistics().forks.Get() == 20 ? kRight : kForkNotCounted;
            }),
            kRight);
}

// A child forks, which needs an engine that answers, and so does its child.
bool ForksTwoDeep() {
  const pid_t child = fork();
  if (child == 0) {
    const pid_t grandchild = fork();
    if (grandchild == 0) _exit(kRight);
    _exit(EndsRight(grandchild) ? kRight : kChildWasWrong);
  }
  return EndsRight(child);
}

bool ReportedUnwatched() { return !g_engine->member().session().TakeWarning(Warning::kUnwatched); }

TEST_F(EngineTest, WithoutProcAChildRunsUnwatched) {
  if (geteuid() != 0) GTEST_SKIP() << "chroot needs root";
  static char folder[] = "/tmp/uzswap-engine-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  EXPECT_EQ(VerdictOf([]() -> int {
              if (!StartEngine(Bytes(uint64_t{4} << 30))) return kNotStarted;
              if (chroot(folder) != 0 || chdir("/") != 0) return kNotPrepared;
              for (int i = 0; i < 20; ++i) {
                if (!ForksTwoDeep()) return kChildWasWrong;
              }
              if (!ReportedUnwatched()) return kNotReported;
              return g_engine->member().statistics().forks.Get() == 20 ? kRight : kForkNotCounted;
            }),
            kRight);
  EXPECT_EQ(rmdir(folder), 0);
}

// The limit leaves room for the child and none for a thread of it. Its own fork fails without
// uzswap too.
TEST_F(EngineTest, WithoutADaemonAChildRunsUnwatched) {
  if (geteuid() != 0) GTEST_SKIP() << "an unused user needs root";
  EXPECT_EQ(VerdictOf([]() -> int {
              constexpr uid_t kUnusedUser = 54'321;
              if (!StartEngine(Bytes(uint64_t{4} << 30))) return kNotStarted;
              const rlimit limit{2, 2};
              const bool limited = setrlimit(RLIMIT_NPROC, &limit) == 0;
              if (!limited || setuid(kUnusedUser) != 0) return kNotPrepared;
              for (int i = 0; i < 20; ++i) {
                const pid_t child = fork();
                if (child == 0) _exit(fork() < 0 ? kRight : kChildWasWrong);
                if (!EndsRight(child)) return kChildWasWrong;
              }
              return ReportedUnwatched() ? kRight : kNotReported;
            }),
            kRight);
}

}  // namespace
}  // namespace uzswap
