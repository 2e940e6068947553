// Writeback: the coldest frames of the pool are emptied before anybody has to wait for one.
//
//   pool's oldest unit --> its objects, one by one
//        |                    | referenced or being loaded   move it to room elsewhere
//        |                    | sparse unit                  move it rather than write it
//        |                    | ephemeral                    dropped by the cache
//        |                    | untried, a codec is set      recompress (see below)
//        |                    ` otherwise                    BeginWrite, Append
//        v
//   pending units  [u1 u2 u3 ...]   ended when the batch that carries their last object ends:
//                                   only then is it known which frames came free
//
// The measure is frames freed, not objects evicted. A unit whose objects have been loaded since
// the last look gets a second chance: as long as there is room for its warm objects
// elsewhere they are moved, else it goes back to the pool as the youngest.
//
// Recompression: an object that another codec would make smaller by at least a size class is
// replaced, and what it was in comes free with the unit. Tried once for each object.
//
// Without a store, recompression is all there is; then the pool stays at its bound and stores
// are refused: pages stay with whoever wanted to store them.
//
// Step does a bounded amount of work and never waits. Shrink may wait for a batch. Run is for the
// writer's thread. Exactly one thread at a time may be in any of them, and it is the writer of
// the BackingStore too. Nothing here can reach the cache's Store; nothing allocates after Init.
#ifndef UZSWAP_WRITEBACK_WRITEBACK_H_
#define UZSWAP_WRITEBACK_WRITEBACK_H_

#include <atomic>
#include <cstdint>

#include "base/counter.h"
#include "cache/compressed_cache.h"

namespace uzswap {

struct WritebackOptions {
  const Codec* recompress_with = nullptr;  // nullptr: objects are written as they are
  // A unit less filled than this is emptied by moving, if there is room.
  uint32_t move_below_permille = 330;
  // A segment less alive than this is cleaned in passing: at most 1.14 bytes written per byte.
  uint32_t clean_below_permille = 120;
  uint32_t keep_empty_segments = 4;
};

// clang-format off
#define UZ_WRITEBACK_COUNTERS(X)                                                  \
  X(units_taken, "units of the pool taken out of use to be emptied")              \
  X(units_spared, "of these, given back because of warm objects")                 \
  X(frames_freed, "frames that came free")                                        \
  X(objects_evicted, "objects written to empty them")                             \
  X(objects_moved, "objects moved to other frames")                               \
  X(objects_recompressed, "objects made denser")                                  \
  X(evicted_bytes, "compressed bytes written")                                    \
  X(moved_bytes, "compressed bytes moved")                                        \
  X(batch_waits, "times a batch was waited for")                                  \
  X(blocked, "times nothing could be written: no room, budget or device")
// clang-format on

struct WritebackCounters {
#define UZ_DECLARE(name, meaning) RelaxedCounter name;
  UZ_WRITEBACK_COUNTERS(UZ_DECLARE)
#undef UZ_DECLARE
};

enum class [[nodiscard]] StepOutcome : uint8_t{
    kWorked,   // a unit was dealt with
    kIdle,     // the pool has nothing to offer, or all of it is on its way
    kBlocked,  // the store takes nothing now
};

class Writeback {
 public:
  Writeback() = default;
  ~Writeback();
  Writeback(const Writeback&) = delete;
  Writeback& operator=(const Writeback&) = delete;

  // `context` is the writer's. `store` may be nullptr. All must outlive this.
  Result<void> Init(CompressedCache& cache, CacheContext& context, BackingStore* store,
                    const WritebackOptions& options);

  // Empties one unit, and ends what has been written meanwhile.
  StepOutcome Step() { return StepOnce(false); }
  // Steps until the pool holds at most `bytes`, counting frames on their way out as gone; then
  // waits until they are out. False if it could not be done.
  bool Shrink(uint64_t bytes);
  // Writes out what was begun and waits for it.
  void Drain();

  // Cleans segments until what the store holds is at least `permille` alive. For idle times.
  void CompactStore(uint32_t permille);

  // The writer's thread: shrinks to the gate's opening level whenever called, until Stop. When
  // nothing has called for a while it cleans the store. `now_ns` is the clock of the wear limit.
  void Run(uint64_t (*now_ns)());
  void Stop() { Command(Order::kStop); }
  // Any other thread, one at a time. When Pause returns nothing is in flight and Run holds still
  // until Resume; it waits for the batches on their way. Requires: somebody is in Run.
  void Pause();
  void Resume();
  // Any thread: shrink to `bytes` once, though the gate does not ask for it.
  void Ask(uint64_t bytes);
  // Is the pool being shrunk with success, so that whoever was refused need only wait?
  [[nodiscard]] bool shrinking() const { return shrinking_.load(std::memory_order_relaxed); }
  // Did the last attempt to shrink end because nothing could be written?
  [[nodiscard]] bool stuck() const { return stuck_.load(std::memory_order_relaxed); }
  // In a forked child, which has no writer's thread yet and can write nowhere. Requires: the
  // parent was paused.
  void ResetAfterFork();

  [[nodiscard]] const WritebackCounters& counters() const { return counters_; }
  [[nodiscard]] uint32_t pending_units() const { return pending_count_; }

 private:
  static constexpr uint32_t kPendingMax = 4096;

  struct Pending {
    ReclaimUnit unit;
    uint64_t batch;
  };
  enum class Fate : uint8_t { kOut, kStays, kBlocked };
  enum class Order : uint32_t { kRun, kPause, kStop };

  // How long nobody may have called before the store is cleaned, and how often a store that
  // takes nothing is tried again.
  static constexpr uint64_t kIdleNs = 1'000'000'000;
  static constexpr uint64_t kRetryNs = 50'000'000;
  // Cleaned in idle times until so much of what the file takes up is alive.
  static constexpr uint32_t kAliveWhenIdle = 960;
  static constexpr uint64_t kSlackWhenIdle = 64 << 10;

  StepOutcome StepOnce(bool may_wait);
  void Command(Order order);
  [[nodiscard]] bool Interrupted() const {
    return order_.load(std::memory_order_acquire) != Order::kRun;
  }
  // False once told to stop.
  bool Obey();
  // Shrink without waiting for what is on its way. False if nothing more could be begun.
  bool StepUntil(uint64_t bytes);
  // False if the pool grew as fast as it was emptied: at once again.
  bool ShrinkToGate();
  // Until the gate has been called more often than `seen`.
  void CleanWhenIdle(uint32_t seen);
  // False when there is nothing more to clean.
  bool CompactStep(uint32_t permille);
  // What becomes of one object of a unit that is being emptied.
  Fate Evict(const ObjectInfo& object, bool sparse, bool may_wait);
  Fate Write(const ObjectInfo& object, bool may_wait);
  bool Append(const ObjectInfo& object, const EvictResult& begun, bool may_wait);
  bool MoveOut(const ObjectInfo& object);
  void EndUnit(const ReclaimUnit& unit);
  void EndPending();
  void CleanInPassing();
  [[nodiscard]] uint64_t PendingFrames() const { return pending_frames_; }
  [[nodiscard]] uint64_t PoolBytes() const;

  CompressedCache* cache_ = nullptr;
  CacheContext* context_ = nullptr;
  BackingStore* store_ = nullptr;
  WritebackOptions options_;
  os::VirtualArray<Pending> pending_;
  uint32_t pending_first_ = 0;
  uint32_t pending_count_ = 0;
  uint64_t pending_frames_ = 0;
  uint64_t cleaned_at_batch_ = 0;
  uint64_t cleaned_live_bytes_ = UINT64_MAX;
  uint64_t live_bytes_seen_ = UINT64_MAX;    // when nobody had called for a while
  std::atomic<Order> order_{Order::kRun};    // set by others (release), read by Run (acquire)
  std::atomic<uint64_t> asked_{UINT64_MAX};  // orders nothing
  std::atomic<uint32_t> paused_{0};          // release by Run, acquire by Pause
  std::atomic<bool> shrinking_{false};       // hints to others; order nothing
  std::atomic<bool> stuck_{false};
  WritebackCounters counters_;
};

}  // namespace uzswap

#endif  // UZSWAP_WRITEBACK_WRITEBACK_H_
