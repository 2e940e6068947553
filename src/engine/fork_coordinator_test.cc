#include "engine/fork_coordinator.h"

#include <algorithm>
#include <atomic>
#include <gtest/gtest.h>
#include <thread>
#include <vector>

#include "base/testing/slowness.h"
#include "base/units.h"
#include "engine/testing/fake_fork_port.h"
#include "os/thread.h"

namespace uzswap {
namespace {

using Log = std::vector<std::string>;
using Turn = ForkCoordinator::Turn;

constexpr ForkState kStates[] = {
    ForkState::kIdle,   ForkState::kListRequested, ForkState::kListed, ForkState::kFreezeRequested,
    ForkState::kFrozen, ForkState::kThawRequested, ForkState::kThawed};

TEST(ForkStates, EachStateGivesTheTurnToOneSide) {
  int transitions = 0;
  for (const ForkState from : kStates) {
    for (const ForkState to : kStates) transitions += IsForkTransition(from, to) ? 1 : 0;
  }
  EXPECT_EQ(transitions, 8);
  EXPECT_FALSE(IsForkTransition(ForkState::kIdle, ForkState::kFreezeRequested));
  EXPECT_FALSE(IsForkTransition(ForkState::kListed, ForkState::kFrozen));
  EXPECT_FALSE(IsForkTransition(ForkState::kFrozen, ForkState::kIdle));
}

class ForkCoordinatorTest : public testing::Test {
 protected:
  ForkCoordinatorTest() { fork_.Init(port_, roots_); }

  FakeForkPort port_;
  ForkRoots roots_;
  ForkCoordinator fork_;
};

// Both sides by hand, the daemon looking before and after each request.
TEST_F(ForkCoordinatorTest, OneForkStepByStep) {
  struct Case {
    ForkState request;
    Turn turn;
    ForkState after;
    Turn then;
    Log log;
  };
  const Case cases[] = {
      {ForkState::kListRequested, Turn::kServed, ForkState::kListed, Turn::kNotOurs, {"list"}},
      {ForkState::kFreezeRequested,
       Turn::kServed,
       ForkState::kFrozen,
       Turn::kHolding,
       {"list", "freeze"}},
      {ForkState::kThawRequested,
       Turn::kServed,
       ForkState::kThawed,
       Turn::kNotOurs,
       {"list", "freeze", "thaw"}},
  };
  EXPECT_EQ(fork_.ServeOnce(), Turn::kNotOurs);
  int wakes = 0;
  for (const Case& c : cases) {
    fork_.Request(c.request);
    EXPECT_EQ(port_.wakes, ++wakes);
    EXPECT_EQ(fork_.state(), c.request);
    EXPECT_EQ(fork_.ServeOnce(), c.turn);
    EXPECT_EQ(fork_.state(), c.after);
    // The turn is not the daemon's: however often it looks, nothing changes.
    for (int i = 0; i < 3; ++i) EXPECT_EQ(fork_.ServeOnce(), c.then);
    EXPECT_EQ(fork_.state(), c.after);
    EXPECT_EQ(port_.Log(), c.log);
  }
  // Roots had left: once more, without an idle state in between.
  fork_.Request(ForkState::kListRequested);
  EXPECT_EQ(fork_.ServeOnce(), Turn::kServed);
  EXPECT_EQ(fork_.state(), ForkState::kListed);
}

using ForkCoordinatorDeathTest = ForkCoordinatorTest;

TEST_F(ForkCoordinatorDeathTest, ARequestOutOfTurnIsABug) {
  EXPECT_DEATH(fork_.Request(ForkState::kThawRequested), "check failed");
  fork_.Request(ForkState::kListRequested);
  EXPECT_DEATH(fork_.Request(ForkState::kListRequested), "check failed");
}

// A daemon on a thread of its own, as in the engine: it sleeps, and is woken by requests.
class Daemon {
 public:
  Daemon(ForkCoordinator& fork, FakeForkPort& port)
      : thread_([this, &fork, &port] {
          os::ProgramWatch watch;
          while (!stop_.load()) {
            fork.Serve();
            port.waker.Sleep(1'000'000, watch);
          }
        }),
        port_(port) {}
  ~Daemon() {
    stop_.store(true);
    port_.waker.Wake();
    thread_.join();
  }
  Daemon(const Daemon&) = delete;

 private:
  std::atomic<bool> stop_{false};
  std::thread thread_;
  FakeForkPort& port_;
};

TEST_F(ForkCoordinatorTest, APreparedForkIsFrozenUntilTheParentIsBack) {
  const uint64_t word = 0x123456789000;
  ASSERT_TRUE(
      roots_.AddRange({reinterpret_cast<uint64_t>(&word), reinterpret_cast<uint64_t>(&word + 1)}));
  port_.registered = {word};
  Daemon daemon(fork_, port_);
  fork_.Prepare();
  EXPECT_EQ(fork_.state(), ForkState::kFrozen);
  EXPECT_TRUE(port_.frozen);
  fork_.ParentAfter();
  EXPECT_EQ(fork_.state(), ForkState::kIdle);
  EXPECT_FALSE(port_.frozen);
  Log log = port_.Log();
  std::erase(log, "rescue");
  EXPECT_EQ(log, (Log{"list", "freeze", "file", "thaw"}));
  EXPECT_EQ(port_.brought_in, 0);
}

TEST_F(ForkCoordinatorTest, AnUnmanagedProcessIsHeldStillToo) {
  port_.is_active = false;
  Daemon daemon(fork_, port_);
  fork_.Prepare();
  EXPECT_EQ(fork_.state(), ForkState::kFrozen);
  fork_.ParentAfter();
  Log log = port_.Log();
  std::erase(log, "rescue");
  EXPECT_EQ(log, (Log{"list", "freeze", "thaw"}));
}

TEST_F(ForkCoordinatorTest, ASwappedOutRootIsTouched) {
  const uint64_t page = 42;  // what the root points to: readable memory
  const auto address = reinterpret_cast<uint64_t>(&page);
  ASSERT_TRUE(roots_.AddRange(
      {reinterpret_cast<uint64_t>(&address), reinterpret_cast<uint64_t>(&address + 1)}));
  port_.registered = {address};
  port_.swapped = {address};
  port_.on_brought_in = [this] { port_.swapped.clear(); };
  Daemon daemon(fork_, port_);
  fork_.Prepare();
  EXPECT_EQ(port_.brought_in, 1);
  fork_.ParentAfter();
  EXPECT_EQ(port_.figures.fork_roots_retried.Get(), 0u);
}

// The child runs on this thread's stack, deeper than this thread has been for a while.
TEST_F(ForkCoordinatorTest, TheStackBelowTheForkingThreadIsBroughtIn) {
  const uint64_t here = RoundDownToPage(reinterpret_cast<uint64_t>(__builtin_frame_address(0)));
  const uint64_t page = here - 2 * kPageSize;
  port_.swapped = {page, here - 64 * kPageSize};
  port_.on_brought_in = [this, page] { port_.swapped.erase(page); };
  Daemon daemon(fork_, port_);
  fork_.Prepare();
  EXPECT_EQ(port_.brought_in, 1) << "and nothing that lies far below";
  EXPECT_EQ(port_.figures.fork_roots_retried.Get(), 0u);
  fork_.ParentAfter();
}

// The daemon swaps the root out again between the touch and the freeze, `times` times.
void ForkWithRestlessRoot(int times, int* tries, uint64_t* given_up) {
  FakeForkPort port;
  ForkRoots roots;
  ForkCoordinator fork;
  fork.Init(port, roots);
  const uint64_t page = 42;
  const auto address = reinterpret_cast<uint64_t>(&page);
  ASSERT_TRUE(roots.AddRange(
      {reinterpret_cast<uint64_t>(&address), reinterpret_cast<uint64_t>(&address + 1)}));
  port.registered = {address};
  port.on_brought_in = [&port] { port.swapped.clear(); };
  port.on_freeze = [&port, &times, address] {
    if (times-- > 0) port.swapped = {address};
  };
  Daemon daemon(fork, port);
  fork.Prepare();
  fork.ParentAfter();
  const Log log = port.Log();
  *tries = static_cast<int>(std::count(log.begin(), log.end(), "freeze"));
  *given_up = port.figures.fork_roots_given_up.Get();
  EXPECT_EQ(std::count(log.begin(), log.end(), "file"), 1);
  EXPECT_EQ(std::count(log.begin(), log.end(), "thaw"), *tries);
  EXPECT_EQ(std::count(log.begin(), log.end(), "list"), *tries);
  EXPECT_EQ(port.figures.fork_roots_retried.Get(), static_cast<uint64_t>(*tries - 1));
}

TEST(ForkCoordinatorRoots, ThatLeaveAgainAreTriedAgainAFewTimes) {
  for (int times = 0; times <= 7; ++times) {
    int tries = 0;
    uint64_t given_up = 0;
    ForkWithRestlessRoot(times, &tries, &given_up);
    EXPECT_EQ(tries, std::min(times, ForkCoordinator::kTriesMax) + 1) << times;
    EXPECT_EQ(given_up, times > ForkCoordinator::kTriesMax ? 1u : 0u) << times;
  }
}

// The forking thread stays away until it has been rescued: without rescue this would not end.
TEST_F(ForkCoordinatorTest, AForkingThreadThatStaysAwayIsRescued) {
  std::atomic<uint32_t> rescued{0};
  port_.on_rescue = [&rescued] {
    rescued.store(1);
    os::FutexWake(&rescued, 1);
  };
  Daemon daemon(fork_, port_);
  fork_.Prepare();
  const uint64_t deadline = os::MonotonicNanoseconds() + Slower(uint64_t{30} * 1'000'000'000);
  while (rescued.load() == 0) {
    ASSERT_LT(os::MonotonicNanoseconds(), deadline) << "nobody came to rescue";
    os::FutexWait(&rescued, 0, 10'000'000);
  }
  EXPECT_EQ(port_.rescued_thread, os::ThreadNumber());
  EXPECT_GE(port_.figures.fork_rescues.Get(), 1u);
  fork_.ParentAfter();
}

TEST_F(ForkCoordinatorTest, AChildBeginsIdleAndWaitsForItsDaemon) {
  fork_.Request(ForkState::kListRequested);
  EXPECT_EQ(fork_.ServeOnce(), Turn::kServed);
  fork_.Request(ForkState::kFreezeRequested);
  EXPECT_EQ(fork_.ServeOnce(), Turn::kServed);
  fork_.NoteDaemonReady();
  // What the child does with its copy.
  fork_.ChildAfter();
  EXPECT_EQ(fork_.state(), ForkState::kIdle);
  EXPECT_EQ(fork_.ServeOnce(), Turn::kNotOurs);
  std::atomic<bool> ready{false};
  std::thread daemon([this, &ready] {
    ready.store(true);
    fork_.NoteDaemonReady();
  });
  fork_.AwaitDaemon();
  EXPECT_TRUE(ready);
  daemon.join();
  port_.frozen = false;  // the child's pager is a new one
  Daemon next(fork_, port_);
  fork_.Prepare();
  fork_.ParentAfter();
  EXPECT_EQ(fork_.state(), ForkState::kIdle);
}

// Threads fork at once, as glibc lets them; the daemon works in between.
TEST_F(ForkCoordinatorTest, ManyThreadsForkAtOnce) {
  constexpr int kThreads = 4;
  constexpr int kForks = 200;
  std::atomic<int> inside{0};
  {
    Daemon daemon(fork_, port_);
    std::vector<std::thread> threads;
    threads.reserve(kThreads);
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([this, &inside] {
        for (int n = 0; n < kForks; ++n) {
          fork_.Prepare();
          // Alone, and the engine stands still.
          EXPECT_EQ(inside.fetch_add(1), 0);
          EXPECT_TRUE(port_.frozen);
          EXPECT_EQ(fork_.state(), ForkState::kFrozen);
          EXPECT_EQ(inside.fetch_sub(1), 1);
          fork_.ParentAfter();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(fork_.state(), ForkState::kIdle);
  const Log log = port_.Log();
  for (const char* what : {"list", "freeze", "file", "thaw"}) {
    EXPECT_EQ(std::count(log.begin(), log.end(), what), kThreads * kForks) << what;
  }
}

TEST(DaemonWaker, AWakeBeforeTheSleepIsKept) {
  DaemonWaker waker;
  waker.Wake();
  waker.Wake();
  const uint64_t kLong = Slower(uint64_t{60} * 1'000'000'000);
  const uint64_t before = os::MonotonicNanoseconds();
  os::ProgramWatch watch;
  waker.Sleep(kLong, watch);
  EXPECT_LT(os::MonotonicNanoseconds() - before, kLong / 2);
}

}  // namespace
}  // namespace uzswap
