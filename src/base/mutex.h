// Mutex: the only lock of uzswap. Clang checks its annotations; debug builds check its rank.
//
//   rank     Every lock has a LockRank. A thread may only take a lock whose rank is higher than the
//            ranks of all locks it holds. Debug builds check this. The enum is the lock order.
//   state    0 free, 1 held, 2 held and a thread may be waiting
//            (U. Drepper, "Futexes Are Tricky", the second mutex)
//
// The mutexes of the C library are not used: they record their owner in the thread's descriptor,
// which the engine's threads do not have (os/thread.h). A Mutex never allocates. After fork the
// child calls ResetAfterFork(), which frees the lock whichever thread held it.
#ifndef UZSWAP_BASE_MUTEX_H_
#define UZSWAP_BASE_MUTEX_H_

#include <atomic>
#include <cstdint>

#include "base/check.h"
#include "base/thread_annotations.h"

namespace uzswap {

// The lock that is taken first comes first. The gaps are for new ranks.
enum class LockRank : uint8_t {
  kLibraryHeap = 2,       // RegionHeap: slabs and lists
  kLibraryContext = 4,    // LeasePool: the context of one call
  kLibraryUnit = 6,       // PageCache: a unit that has several pages
  kEngine = 10,           // ForkCoordinator: one fork of the program at a time
  kLearner = 15,          // DictionaryLearner: dictionaries do not change meanwhile
  kRegion = 18,           // RegionReclaim: victims and staging frames of one shard of a region
  kPager = 20,            // Pager: page table, faults, events of the program's mappings
  kCacheArea = 35,        // EntryIndex: the tree of one area of the compressed cache
  kCacheShard = 40,       // EntryLeaf: 64 entries of the compressed cache
  kEntriesInFlight = 45,  // EntriesInFlight: free list, serials; EntryIndex: free nodes and leaves
  kPoolCompaction = 60,   // ZsmallocPool: one compaction at a time
  kPoolSetup = 65,        // ZsmallocPool: first use of a shard
  kPoolClass = 70,        // pools: one shard of zbud, one size class of a shard of zsmalloc
  kHandleTable = 80,      // IndexPool: free indices of a shard; ZspageTable: free blocks
  kFrameMagazine = 85,    // FrameArena: one magazine of free frames
  kFrameArena = 90,       // FrameArena: bitmaps of free frames, limit
  kBackingStore = 100,    // SegmentTable: lists of segments
  kReadRing = 105,        // UringPort: one caller of ReadMany at a time
  kLeaf = 110,            // the holder takes no other lock
};

namespace internal {
#ifndef NDEBUG
void NoteAcquire(LockRank rank);
void NoteRelease(LockRank rank);
// From now on only locks that are taken afterwards count. Returns what to give to ResumeRanks.
int SuspendRanks();
void ResumeRanks(int suspended);
#else
inline void NoteAcquire(LockRank) {}
inline void NoteRelease(LockRank) {}
inline int SuspendRanks() { return 0; }
inline void ResumeRanks(int) {}
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
    // Acquire pairs with the release in Unlock: this thread sees what the last holder wrote.
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
  // Requires: the caller is the only thread of a forked child.
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

// For a signal handler whose locks are never held by the code that it interrupts: until the end of
// the scope the ranks of that code's locks do not count.
class OwnRankScope {
 public:
  OwnRankScope() : suspended_(internal::SuspendRanks()) {}
  ~OwnRankScope() { internal::ResumeRanks(suspended_); }
  OwnRankScope(const OwnRankScope&) = delete;
  OwnRankScope& operator=(const OwnRankScope&) = delete;

 private:
  int suspended_;
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
