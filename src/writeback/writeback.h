// Writeback: empties the coldest frames of the pool before a store has to wait for a frame.
//
//   pool's oldest unit --> its objects, one by one
//        |                    | referenced or being loaded   move it to another frame
//        |                    | sparse unit                  move it rather than write it
//        |                    | ephemeral                    dropped by the cache
//        |                    | untried, a codec is set      recompress (see below)
//        |                    ` otherwise                    BeginWrite, Append
//        v
//   pending units  [u1 u2 u3 ...]   ended when the batch that carries their last object ends:
//                                   only then is it known which frames were freed
//
// Progress is measured in frames freed, not in objects evicted. A unit whose objects were loaded
// since the writer last looked gets a second chance: its warm objects are moved as long as other
// frames have room. Without room the unit goes back to the pool as the youngest.
//
// Recompression: an object that another codec makes smaller by at least a size class is replaced.
// The space of the old object is freed with the unit. An object that gains nothing is tried once.
//
// Units whose frames a forked relative maps too are not written, and go back to the pool: that
// would free nothing (FrameSharing). Without a store they are made denser as all others: it is the
// only way to make room.
//
// Without a store the writer only recompresses. When that gains nothing, the pool stays at its
// bound, stores are refused, and the pages stay with the caller of Store.
//
// Step does a bounded amount of work and never waits. Shrink may wait for a batch. Run is for the
// writer's thread. Only one thread at a time may be in any of them; it is also the writer of
// the BackingStore. Nothing here can reach the cache's Store; nothing allocates after Init.
//
// Size: 14 members and 31 methods, because the steps of the writer are separate calls for tests
// that interleave them.
#ifndef UZSWAP_WRITEBACK_WRITEBACK_H_
#define UZSWAP_WRITEBACK_WRITEBACK_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/counter.h"
#include "cache/compressed_cache.h"
#include "writeback/idle_densifier.h"
#include "writeback/pending_units.h"
#include "writeback/store_cleaner.h"
#include "writeback/writer_control.h"

namespace uzswap {

struct WritebackOptions {
  const Codec* recompress_with = nullptr;  // nullptr: objects are written as they are
  // A unit less filled than this is emptied by moving, if there is room.
  uint32_t move_below_permille = 330;
  // A segment less live than this is cleaned while writing: at most 1.14 bytes written per byte.
  uint32_t clean_below_permille = 120;
  uint32_t keep_empty_segments = 4;
  // When the gate has not been called for this long, the store is cleaned.
  uint64_t idle_ns = 1'000'000'000;
  // Then, too: objects are recompressed by time that no other thread wants. nullptr: they are not.
  const Codec* densify_with = nullptr;
};

// clang-format off
#define UZ_WRITEBACK_COUNTERS(X)                                                  \
  X(units_taken, "units of the pool taken out of use to be emptied")              \
  X(units_spared, "of these, given back because of warm objects")                 \
  X(units_shared, "of these, given back because a forked relative has them too")  \
  X(frames_freed, "frames that were freed")                                       \
  X(objects_evicted, "objects written to empty them")                             \
  X(objects_moved, "objects moved to other frames")                               \
  X(objects_recompressed, "objects made denser before they would have been written")  \
  X(objects_densified, "objects made denser while idle")                          \
  X(densify_yields, "times that ended because another thread wanted the processor")   \
  X(evicted_bytes, "compressed bytes written")                                    \
  X(moved_bytes, "compressed bytes moved")                                        \
  X(idle_bytes, "record bytes rewritten by cleaning while idle")                  \
  X(batch_waits, "waits for a batch")                                  \
  X(room_made, "times a full store was cleaned until it had room") \
  X(fruitless_turns, "attempts to shrink that ended because nothing could be written") \
  X(blocked, "objects that could not be written: no room, budget or device")
// clang-format on

struct WritebackCounters {
#define UZ_DECLARE(name, meaning) RelaxedCounter name;
  UZ_WRITEBACK_COUNTERS(UZ_DECLARE)
#undef UZ_DECLARE
};

enum class [[nodiscard]] StepOutcome : uint8_t{
    kWorked,   // a unit was emptied, or was given back
    kIdle,     // the pool has no unit, or all of them are pending
    kBlocked,  // the store takes nothing now
};

// Whether forked relatives map a frame of the pool too. Called by the writer's thread.
class FrameSharing {
 public:
  // `frame`: an address, whose bytes may be freed at any time.
  virtual bool IsShared(const std::byte* frame) = 0;

 protected:
  ~FrameSharing() = default;
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

  // Before the writer's thread is started. nullptr, as at first: nothing is shared.
  void SetSharing(FrameSharing* sharing) { sharing_ = sharing; }

  // Empties one unit, and ends what has been written meanwhile.
  StepOutcome Step() { return StepOnce(false); }
  // Steps until the pool holds at most `bytes`, counting frames on their way out as gone; then
  // waits until they are out. False if it could not be done.
  bool Shrink(uint64_t bytes);
  // Writes out what was begun and waits for it.
  void WaitForWrites();

  // The writer's thread: shrinks to the gate's opening level whenever called, until Stop. After
  // idle_ns without a call it makes objects denser, or cleans the store. `now_ns` is the clock of
  // the wear limit.
  void Run(uint64_t (*now_ns)());
  void Stop() { control_.Stop(); }
  // Any other thread, one at a time. When Pause returns, nothing is in flight and Run holds still
  // until Resume; Pause waits for the batches in flight. Requires: a thread is in Run.
  void Pause() { control_.Pause(); }
  void Resume() { control_.Resume(); }
  // Any thread: whether an idle writer may make objects denser. It may, unless told otherwise.
  void PermitDensifying(bool permitted) {
    may_densify_.store(permitted, std::memory_order_relaxed);
  }
  // Any thread: shrink to `bytes` once, even if the gate does not ask for it.
  void Ask(uint64_t bytes);
  // True while the pool shrinks: a store that was refused succeeds if it is tried again later.
  [[nodiscard]] bool shrinking() const { return shrinking_.load(std::memory_order_relaxed); }
  // True if the last attempt to shrink ended because nothing could be written.
  [[nodiscard]] bool stuck() const { return stuck_.load(std::memory_order_relaxed); }
  // In a forked child, which has no writer's thread yet and must not write. Requires: the
  // parent was paused.
  void ResetAfterFork();
  // The store can be written again, to a file of this process. Requires: paused.
  void AttachStore(BackingStore& store);

  [[nodiscard]] const WritebackCounters& counters() const { return counters_; }

 private:
  friend class WritebackPeer;

  // What happens to an object of a unit that is being emptied.
  enum class ObjectFate : uint8_t { kLeaves, kStays, kBlocked };

  // How often a store that takes nothing is tried again.
  static constexpr uint64_t kRetryNs = 50'000'000;

  StepOutcome StepOnce(bool may_wait);
  // False once there is a request to stop.
  bool HandleRequest();
  // Shrinks without waiting for pending units. False if nothing more could be begun.
  bool StepUntil(uint64_t bytes);
  // False if the pool grew as fast as it was emptied: the caller tries again at once.
  bool ShrinkToGate();
  // These work until the gate has been called more often than `calls_seen`.
  void Densify(uint32_t calls_seen);
  void CleanStore(uint32_t calls_seen);
  ObjectFate Evict(const ObjectInfo& object, bool sparse, bool may_wait);
  ObjectFate Write(const ObjectInfo& object, bool may_wait);
  bool Append(const ObjectInfo& object, const EvictResult& begun, bool may_wait);
  // Waits for a buffer, or cleans a full store. False if that does not help.
  bool Relieve(AppendOutcome refusal);
  bool MoveOut(const ObjectInfo& object);
  void EndUnit(const ReclaimUnit& unit);
  // Ends the units whose batches have ended.
  void EndPending();
  // Bytes of the pool's frames, without those of pending units.
  [[nodiscard]] uint64_t PoolBytes() const;

  CompressedCache* cache_ = nullptr;
  CacheContext* context_ = nullptr;
  BackingStore* store_ = nullptr;
  FrameSharing* sharing_ = nullptr;
  WritebackOptions options_;
  PendingUnits pending_;
  StoreCleaner cleaner_;
  IdleDensifier densifier_;
  WriterControl control_;
  std::atomic<uint64_t> asked_{UINT64_MAX};  // orders nothing
  std::atomic<bool> shrinking_{false};       // hints to others; order nothing
  std::atomic<bool> stuck_{false};
  std::atomic<bool> may_densify_{true};  // orders nothing
  WritebackCounters counters_;
};

}  // namespace uzswap

#endif  // UZSWAP_WRITEBACK_WRITEBACK_H_
