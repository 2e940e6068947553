// SegmentTable: which segments of the backing file are in use, and how many bytes of each are live.
//
//    file   | segment 0 | segment 1 | segment 2 | ... up to the size bound
//            61 % live    3 % live    empty
//
//   kFree  -- Take --> kFilling -- Seal --> kSealed -- live falls to 0 --> kEmptied -- Take
//                          |                   |                              |
//                          +-- Spoil -> kBad   +-- MarkCleaning (cleaner)     +-- Trim: kFree,
//                                                                                 space given back
//   Take prefers emptied segments, then free ones, then grows the file. Space on the medium is
//   allocated by writing only.
//
// Fork: the child's entries name the same segments, and they are the parent's. Between Hold and
// Unhold (counted), segments that were sealed before and become empty are kHeld: neither used
// again nor given back, because a child may still read them. In the child, the segments below
// first() are inherited: only their live bytes change. Segments that it takes are above.
//
//    | inherited from its ancestors  | own: of a file of its own             |
//    0                            first()                              capacity
//
// Invariants: the live bytes of a segment are the record bytes added by AddLive and not yet
// subtracted by Release; a segment with live bytes is never returned by Take.
//
// Release: any thread, without a lock unless the segment became empty. All else: the writer.
// Neither allocates nor calls the system. Errors: none; no segment to Take is an outcome.
//
// Size: 18 data members: the heads of three lists inside the table with their counts, the bounds of
// the table, and four counters that are read without a walk over it. 29 methods: a third of them
// only read.
#ifndef UZSWAP_BACKING_SEGMENT_TABLE_H_
#define UZSWAP_BACKING_SEGMENT_TABLE_H_

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "base/counter.h"
#include "base/mutex.h"
#include "os/virtual_array.h"

namespace uzswap {

class SegmentTable {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  enum class State : uint8_t { kFree, kFilling, kSealed, kEmptied, kBad, kHeld };

  // At most `segments` of its own; more in the table, for those that descendants add.
  Result<void> Init(uint32_t segments, uint32_t capacity);
  Result<void> Init(uint32_t segments) { return Init(segments, segments); }
  // From now on at most `segments` have space on the medium. Segments beyond that are not used
  // again once they are empty. Any thread.
  void SetLimit(uint32_t segments) { limit_.store(segments, std::memory_order_relaxed); }

  // A segment to fill. kNone if no more than `spare` may be taken; without `may_grow`, only those
  // that have space on the medium count.
  [[nodiscard]] uint32_t Take(uint32_t spare = 0, bool may_grow = true) UZ_EXCLUDES(mutex_);
  // True if Take with the same arguments would find one.
  [[nodiscard]] bool HasMoreThan(uint32_t spare, bool may_grow) UZ_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return Available(may_grow) > spare;
  }
  // Its `bytes` are on the medium now. Requires: `segment` is kFilling.
  void Seal(uint32_t segment, uint32_t bytes) UZ_EXCLUDES(mutex_);
  // The write failed: the live bytes added are subtracted again; the segment is used again unless
  // `bad`. Requires: kFilling.
  void Spoil(uint32_t segment, bool bad) UZ_EXCLUDES(mutex_);

  void AddLive(uint32_t segment, uint32_t bytes);
  void Release(uint32_t segment, uint32_t bytes) UZ_EXCLUDES(mutex_);

  // What is sealed now stays readable until there were as many calls of Unhold.
  void Hold() UZ_EXCLUDES(mutex_);
  void Unhold() UZ_EXCLUDES(mutex_);

  // Makes an emptied segment free and returns it: the caller gives its space back. kNone if there
  // are not more than `keep`.
  [[nodiscard]] uint32_t Trim(uint32_t keep) UZ_EXCLUDES(mutex_);

  // The sealed segment with the smallest share of live bytes below `permille`, or kNone: of `whole`
  // bytes, or of the bytes that are used if `whole` is 0. Skips those marked draining with batch
  // `oldest_batch` or later: their records are in flight. Skips what is held for children: its
  // space is not freed.
  [[nodiscard]] uint32_t PickSparse(uint32_t permille, uint64_t oldest_batch,
                                    uint32_t whole = 0) const UZ_EXCLUDES(mutex_);
  void MarkCleaning(uint32_t segment, uint64_t batch);

  [[nodiscard]] uint32_t LiveOf(uint32_t segment) const {
    return rows_[segment].live.load(std::memory_order_relaxed);
  }
  [[nodiscard]] uint32_t UsedOf(uint32_t segment) const { return rows_[segment].used; }
  // How often it was taken. A place in the segment names one record for as long as this does not
  // change: a batch is filled from its begin to its end, once. Any thread.
  [[nodiscard]] uint32_t GenerationOf(uint32_t segment) const {
    return rows_[segment].generation.load(std::memory_order_relaxed);
  }
  // The first segment that is not inherited.
  [[nodiscard]] uint32_t first() const { return first_; }
  // Live bytes of the inherited segments. The other figures leave these out.
  [[nodiscard]] uint64_t inherited_live_bytes() const { return inherited_live_bytes_.Get(); }
  // Bytes of live records, and bytes of the sealed and emptied segments.
  [[nodiscard]] uint64_t live_bytes() const { return live_bytes_.Get(); }
  [[nodiscard]] uint64_t held_bytes() const { return held_bytes_.Get(); }
  // Segments that have space on the medium, once `more` are taken.
  [[nodiscard]] uint32_t AllocatedWith(uint32_t more) UZ_EXCLUDES(mutex_);
  // Segments that may have space on the medium.
  [[nodiscard]] uint32_t limit() const {
    return std::min({limit_.load(std::memory_order_relaxed), own_max_, capacity_ - first_});
  }
  [[nodiscard]] uint32_t in_use() const { return static_cast<uint32_t>(in_use_.Get()); }

  void Audit() UZ_EXCLUDES(mutex_);
  // In a forked child: all segments are inherited. Requires: the only thread.
  void ResetAfterFork() UZ_EXCLUDES(mutex_);

 private:
  friend class SegmentTablePeer;

  struct Row {
    // Raised by the writer while it fills, lowered by any thread. The thread that lowers it to 0
    // checks the state under the lock (see ReleaseIfEmpty).
    std::atomic<uint32_t> live;
    std::atomic<State> state;  // changed under the lock, read by any thread
    // Relaxed: who learns a place in the segment from the writer sees the value of that time.
    std::atomic<uint32_t> generation;
    uint32_t used;            // the writer's: bytes on the medium
    uint32_t next;            // in the emptied or free list
    uint64_t cleaning_since;  // the writer's: batch serial, 0 if not draining
    uint64_t sealed_at;       // the epoch; set by the writer under mutex_
  };

  uint32_t TakeFresh() UZ_REQUIRES(mutex_);
  // What was sealed in an earlier epoch than this is held once it is empty.
  [[nodiscard]] uint64_t HeldBefore() const UZ_EXCLUDES(mutex_);
  // Segments that may be taken now.
  [[nodiscard]] uint32_t Available(bool may_grow) const UZ_REQUIRES(mutex_);
  void ReleaseIfEmpty(uint32_t segment) UZ_EXCLUDES(mutex_);

  os::VirtualArray<Row> rows_;
  uint32_t capacity_ = 0;
  uint32_t own_max_ = 0;
  uint32_t first_ = 0;
  std::atomic<uint32_t> limit_{UINT32_MAX};  // orders nothing
  uint32_t grown_ = 0;                       // the writer's: segments that were ever taken
  mutable Mutex mutex_{LockRank::kBackingStore};
  uint32_t emptied_ UZ_GUARDED_BY(mutex_) = kNone;
  uint32_t emptied_count_ UZ_GUARDED_BY(mutex_) = 0;
  uint32_t free_ UZ_GUARDED_BY(mutex_) = kNone;
  uint32_t held_ UZ_GUARDED_BY(mutex_) = kNone;
  uint32_t holds_ UZ_GUARDED_BY(mutex_) = 0;
  uint32_t allocated_ UZ_GUARDED_BY(mutex_) = 0;  // neither free nor beyond grown_
  uint64_t epoch_ UZ_GUARDED_BY(mutex_) = 1;      // rises with every Hold
  RelaxedCounter inherited_live_bytes_;
  RelaxedCounter live_bytes_;
  RelaxedCounter held_bytes_;
  RelaxedCounter in_use_;
};

}  // namespace uzswap

#endif  // UZSWAP_BACKING_SEGMENT_TABLE_H_
