// SegmentTable: which parts of the backing file are in use, and how much of each still lives.
//
//    file   | segment 0 | segment 1 | segment 2 | ... up to the size bound
//            live 61 %    live 3 %    empty
//
//   kFree  -- Take --> kFilling -- Seal --> kSealed -- live falls to 0 --> kEmptied -- Take
//                          |                   |                              |
//                          +-- Spoil -> kBad   +-- MarkDraining (cleaner)     +-- Trim: kFree,
//                                                                                 space given back
//   Take prefers emptied segments, then free ones, then grows the file: nothing is allocated
//   on the medium before something is written there.
//
// Fork: the child's entries name the same segments and only the parent writes. While the parent
// holds (Hold ... Unhold, counted), segments that were sealed before and become empty are kept
// aside, neither taken nor given back: a child may still read them.
//
// Invariants: live bytes of a segment are the record bytes counted in by AddLive and not yet
// taken out by Release; a segment with live bytes is never Taken, whoever let go of the others.
//
// Release: any thread, no lock unless the segment just became empty. All else: the writer.
// Neither allocates nor calls the system. Errors: none; no segment to Take is an outcome.
#ifndef UZSWAP_BACKING_SEGMENT_TABLE_H_
#define UZSWAP_BACKING_SEGMENT_TABLE_H_

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

  Result<void> Init(uint32_t segments);
  // From now on space is taken on the medium for at most `segments`; what is beyond shrinks away
  // as it empties. Any thread.
  void SetLimit(uint32_t segments) { limit_.store(segments, std::memory_order_relaxed); }

  // A segment to fill, or kNone when all are in use.
  [[nodiscard]] uint32_t Take() UZ_EXCLUDES(mutex_);
  // Requires: `segment` is kFilling. Its `bytes` are on the medium.
  void Seal(uint32_t segment, uint32_t bytes) UZ_EXCLUDES(mutex_);
  // Requires: kFilling. What was to be written there is not; used again unless `bad`.
  // The live bytes counted in are forgotten.
  void Spoil(uint32_t segment, bool bad) UZ_EXCLUDES(mutex_);

  void AddLive(uint32_t segment, uint32_t bytes);
  void Release(uint32_t segment, uint32_t bytes) UZ_EXCLUDES(mutex_);

  // From now on what is sealed stays readable, until as many Unhold.
  void Hold() UZ_EXCLUDES(mutex_);
  void Unhold() UZ_EXCLUDES(mutex_);

  // An emptied segment, which becomes free, or kNone: its space may be given back.
  [[nodiscard]] uint32_t Trim(uint32_t keep) UZ_EXCLUDES(mutex_);

  // The sealed segment with the smallest share of live bytes below `permille`, or kNone.
  // Skips those draining since batch `oldest_batch` or later: their objects are on the way.
  [[nodiscard]] uint32_t PickSparse(uint32_t permille, uint64_t oldest_batch) const;
  void MarkDraining(uint32_t segment, uint64_t batch);

  [[nodiscard]] State StateOf(uint32_t segment) const {
    return rows_[segment].state.load(std::memory_order_acquire);
  }
  [[nodiscard]] uint32_t LiveOf(uint32_t segment) const {
    return rows_[segment].live.load(std::memory_order_relaxed);
  }
  [[nodiscard]] uint32_t UsedOf(uint32_t segment) const { return rows_[segment].used; }
  // Bytes of records that live, and bytes of the sealed and emptied segments that hold them.
  [[nodiscard]] uint64_t live_bytes() const { return live_bytes_.Get(); }
  [[nodiscard]] uint64_t held_bytes() const { return held_bytes_.Get(); }
  [[nodiscard]] uint32_t in_use() const { return static_cast<uint32_t>(in_use_.Get()); }

  void Audit() UZ_EXCLUDES(mutex_);
  // Requires: the only thread of a forked child.
  void ResetAfterFork() { mutex_.ResetAfterFork(); }

 private:
  struct Row {
    // Raised by the writer while it fills, lowered by anybody; who lowers it to 0 then looks at
    // the state under the lock (see ReleaseIfEmpty).
    std::atomic<uint32_t> live;
    std::atomic<State> state;  // changed under the lock, read by anybody
    uint32_t used;             // the writer's: bytes on the medium
    uint32_t next;             // in the emptied or free list
    uint64_t draining_since;   // the writer's: batch serial, 0 if not draining
    uint64_t sealed_at;        // guarded by mutex_: the epoch
  };

  uint32_t TakeFresh() UZ_REQUIRES(mutex_);
  void ReleaseIfEmpty(uint32_t segment) UZ_EXCLUDES(mutex_);

  os::VirtualArray<Row> rows_;
  uint32_t capacity_ = 0;
  std::atomic<uint32_t> limit_{UINT32_MAX};  // orders nothing
  uint32_t grown_ = 0;                       // the writer's: segments that were ever taken
  Mutex mutex_{LockRank::kBackingStore};
  uint32_t emptied_ UZ_GUARDED_BY(mutex_) = kNone;
  uint32_t emptied_count_ UZ_GUARDED_BY(mutex_) = 0;
  uint32_t free_ UZ_GUARDED_BY(mutex_) = kNone;
  uint32_t held_ UZ_GUARDED_BY(mutex_) = kNone;
  uint32_t holds_ UZ_GUARDED_BY(mutex_) = 0;
  uint32_t allocated_ UZ_GUARDED_BY(mutex_) = 0;  // neither free nor beyond grown_
  uint64_t epoch_ UZ_GUARDED_BY(mutex_) = 1;      // rises with every Hold
  RelaxedCounter live_bytes_;
  RelaxedCounter held_bytes_;
  RelaxedCounter in_use_;
};

}  // namespace uzswap

#endif  // UZSWAP_BACKING_SEGMENT_TABLE_H_
