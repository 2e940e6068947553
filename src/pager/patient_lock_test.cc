#include "pager/patient_lock.h"

#include <atomic>
#include <gtest/gtest.h>
#include <thread>

#include "base/testing/wait_until.h"

namespace uzswap {
namespace {

struct Stalls {
  std::atomic<int> count{0};
  static void Note(void* self) { static_cast<Stalls*>(self)->count.fetch_add(1); }
  StallCallback callback() { return {Note, this}; }
};

// Holds the lock until the condition is true.
template <typename Condition>
std::thread Holder(Mutex& mutex, std::atomic<bool>& held, Condition until) {
  return std::thread([&mutex, &held, until] {
    const MutexLock lock(mutex);
    held.store(true);
    EXPECT_TRUE(WaitUntil(until)) << "the holder waits in vain";
  });
}

void Await(const std::atomic<bool>& flag) {
  ASSERT_TRUE(WaitUntil([&] { return flag.load(); })) << "the holder does not get the lock";
}

TEST(PatientLock, TakesAFreeLockAtOnce) {
  Mutex mutex(LockRank::kPager);
  Stalls stalls;
  {
    PatientLock lock(mutex, stalls.callback());
    mutex.AssertHeld();
  }
  const bool free = mutex.TryLock();
  if (free) mutex.Unlock();
  EXPECT_TRUE(free);
  EXPECT_EQ(stalls.count.load(), 0);
}

TEST(PatientLock, TellsOnceOfAHolderThatDoesNotRelease) {
  Mutex mutex(LockRank::kPager);
  Stalls stalls;
  std::atomic<bool> held{false};
  // Without the callback the holder would wait until its deadline.
  std::thread holder = Holder(mutex, held, [&] { return stalls.count.load() > 0; });
  Await(held);
  {
    PatientLock lock(mutex, stalls.callback());
    mutex.AssertHeld();
  }
  holder.join();
  EXPECT_EQ(stalls.count.load(), 1);
}

TEST(PatientLock, WaitsWithoutACallbackToo) {
  Mutex mutex(LockRank::kPager);
  std::atomic<bool> held{false};
  const uint64_t until = os::MonotonicNanoseconds() + 2 * kLockPatienceNs;
  std::thread holder = Holder(mutex, held, [&] { return os::MonotonicNanoseconds() >= until; });
  Await(held);
  {
    PatientLock lock(mutex, {});
    EXPECT_GE(os::MonotonicNanoseconds(), until);
  }
  holder.join();
}

}  // namespace
}  // namespace uzswap
