// Mutex: the only lock in uzswap, annotated for clang and ranked at run time.
//
//   rank     every lock has one from LockRank; a thread may only take a lock whose rank is
//            higher than all it holds (checked in debug builds). The enum is the lock order.
//   state    0 free, 1 held, 2 held and somebody may be waiting
//            (U. Drepper, "Futexes Are Tricky", the second mutex)
//
// It does not use the C library's mutexes: those record their owner in thread-local state
// that the engine's threads inside a foreign process do not have. It never allocates. After
// fork, in the child, ResetAfterFork() makes a lock free whoever held it.
#ifndef UZSWAP_BASE_MUTEX_H_
#define UZSWAP_BASE_MUTEX_H_

#include <atomic>
#include <cstdint>

#include "base/check.h"
#include "base/thread_annotations.h"

namespace uzswap {

// Outermost first. A gap of ten leaves room.
enum class LockRank : uint8_t {
  kEngine = 10,           // start, stop, fork
  kPager = 20,            // page table and everything that changes the program's mappings
  kCacheArea = 35,        // the shape of one area's index
  kCacheShard = 40,       // one leaf of the compressed cache's index
  kEntriesInFlight = 45,  // the table of entries in flight
  kFrameLru = 60,         // pool frames by age
  kPoolSetup = 65,        // first use of a part of a pool
  kPoolClass = 70,        // one size class of a pool
  kHandleTable = 80,      // handle free list
  kFrameMagazine = 85,    // a thread's stock of free frames
  kFrameArena = 90,       // frame free lists and descriptors
  kBackingStore = 100,    // segments and slots
  kLeaf = 110,            // holds nothing else
};

namespace internal {
#ifndef NDEBUG
void NoteAcquire(LockRank rank);
void NoteRelease(LockRank rank);
#else
inline void NoteAcquire(LockRank) {}
inline void NoteRelease(LockRank) {}
#endif
}  // namespace internal

class UZ_CAPABILITY("mutex") Mutex {
 public:
  explicit constexpr Mutex(LockRank rank) : rank_(rank) {}
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() UZ_ACQUIRE() {
    internal::NoteAcquire(rank_);
    int expected = kFree;
    // Acquire pairs with the release in Unlock: what the last holder wrote is seen.
    if (!state_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire)) {
      LockContended();
    }
  }
  [[nodiscard]] bool TryLock() UZ_TRY_ACQUIRE(true) {
    int expected = kFree;
    if (!state_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire)) return false;
    internal::NoteAcquire(rank_);
    return true;
  }
  void Unlock() UZ_RELEASE() {
    internal::NoteRelease(rank_);
    if (state_.exchange(kFree, std::memory_order_release) == kContended) state_.notify_one();
  }
  void AssertHeld() const UZ_ASSERT_HELD(this) {
    UZ_DCHECK(state_.load(std::memory_order_relaxed) != kFree);
  }
  // Requires: the only thread of a freshly forked child.
  void ResetAfterFork() UZ_NO_THREAD_SAFETY_ANALYSIS {
    state_.store(kFree, std::memory_order_relaxed);
  }

 private:
  static constexpr int kFree = 0;
  static constexpr int kHeld = 1;
  static constexpr int kContended = 2;

  void LockContended();

  std::atomic<int> state_{kFree};
  LockRank rank_;
};

class UZ_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) UZ_ACQUIRE(mutex) : mutex_(mutex) { mutex_.Lock(); }
  ~MutexLock() UZ_RELEASE() { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace uzswap

#endif  // UZSWAP_BASE_MUTEX_H_
