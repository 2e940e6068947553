// Pool: stores compressed objects. One interface with two implementations (zbud, zsmalloc).
//
//     Handle ----> record {unit, position, owner key} ----> unit ----> 1..16 frames of a FrameArena
//       ^                                                |
//       +------------------------------------------------+   each position knows its handle's index
//
// An object has 1 to kPageSize bytes, a handle, and a 64-bit key. The key lets the owner identify
// the object if only the frame is known. The pool knows nothing else about an object and makes no
// callbacks. It does not decide what to evict; it only offers its oldest unit.
//
// Objects and frames move (CompactStep, TryMigrateFrame, TryMoveOut). Handles do not change. A
// PinnedObject prevents its object from moving. Movers only try. A reader waits at most for one
// move, and a mover never waits for a reader.
//
// Emptying frames. A *unit* is a frame (zbud) or a zspage (zsmalloc). The steps are:
//   1. BeginReclaim takes the unit with the oldest last addition out of use, and lists its objects.
//   2. The caller writes the objects elsewhere and frees them, or moves them to other units with
//      TryMoveOut.
//   3. EndReclaim returns how many frames were freed.
// Between the first and the last step, nothing is added to the unit. Reads continue, and other
// threads may free objects of the unit. So a handle of the list may be stale when the caller uses
// it. TryMoveOut reports a stale handle and does not end the process.
//
// Threads: any thread may call any function except Audit and the destructor. Pin, Unpin and
// OwnerOf take no lock; only a reader that meets a mover takes the mover's lock. The other
// functions hold one lock of rank kPoolClass for a short, bounded time. They make no system call
// under that lock unless frames are guarded (FrameAccess::kWhilePinned). Nothing allocates from the
// heap. Frames come from the arena. If the arena has none, the outcome is kNoSpace.
//
// Bugs end the process with one of these messages: "stale handle", "double free of a pool object",
// "free of a pinned object", "too many pins of one object" (131,071), "write beyond the object",
// "pool destroyed with live objects".
#ifndef UZSWAP_POOL_POOL_H_
#define UZSWAP_POOL_POOL_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/units.h"
#include "frame/frame_owner.h"
#include "pool/handle.h"
#include "pool/pinned_object.h"

namespace uzswap {

enum class AllocateOutcome : uint8_t {
  kAllocated,
  kNoSpace,   // no frame or no handle is free
  kTooLarge,  // larger than kPageSize: the pool can never store it
};

struct [[nodiscard]] AllocateResult {
  AllocateOutcome outcome = AllocateOutcome::kNoSpace;
  Handle handle;
  [[nodiscard]] bool ok() const { return outcome == AllocateOutcome::kAllocated; }
};

enum class FreeOutcome : uint8_t { kFreed, kStale, kPinned };
enum class MoveOutcome : uint8_t { kMoved, kStale, kPinned, kNoRoom };

// An object as listed from its frame. The information can become stale after the call.
struct ObjectInfo {
  Handle handle;
  uint64_t owner_key = 0;
  uint32_t size = 0;
};

// The largest number of objects in a frame or a unit.
inline constexpr size_t kObjectsInUnitMax = 256;

// A unit under reclaim. The caller must pass it to EndReclaim of the same pool.
struct [[nodiscard]] ReclaimUnit {
  static constexpr uint32_t kNone = 0;
  uint32_t unit = kNone;
  uint32_t frames = 0;   // frames of the unit when the reclaim began
  uint32_t objects = 0;  // objects that were listed
  // Where a frame of the unit was then. An address only: the bytes may be freed at any time.
  const std::byte* at = nullptr;
  [[nodiscard]] bool valid() const { return unit != kNone; }
};

struct CompactOutcome {
  uint32_t objects_moved = 0;
  uint32_t frames_freed = 0;
  bool done = false;  // no useful move is left
};

struct PoolStatistics {
  uint64_t objects = 0;
  uint64_t object_bytes = 0;  // sum of the requested sizes
  uint64_t frames = 0;        // frames that the pool uses
  uint64_t units = 0;
  uint64_t metadata_bytes = 0;  // used parts of the tables, descriptors of the frames
  uint64_t allocations = 0;
  uint64_t frees = 0;
  uint64_t no_space = 0;
  uint64_t objects_moved = 0;  // by compaction and TryMoveOut
  uint64_t frames_migrated = 0;
  uint64_t frames_freed = 0;     // emptied by compaction
  uint64_t units_reclaimed = 0;  // units that EndReclaim found empty
  uint64_t moves_refused = 0;    // because of a pin
  uint64_t pin_waits = 0;        // readers that waited for a mover
  // Contention between threads:
  uint64_t lock_waits = 0;        // allocations and frees that waited for a lock
  uint64_t locks_passed = 0;      // held locks of other shards that were skipped
  uint64_t placed_elsewhere = 0;  // objects added to a shard other than the thread's
  uint64_t shard_moves = 0;       // threads that left a shared shard

  PoolStatistics& operator+=(const PoolStatistics& part);
  [[nodiscard]] uint64_t frame_bytes() const { return frames * kPageSize; }
};

inline PoolStatistics& PoolStatistics::operator+=(const PoolStatistics& part) {
  objects += part.objects;
  object_bytes += part.object_bytes;
  frames += part.frames;
  units += part.units;
  metadata_bytes += part.metadata_bytes;
  allocations += part.allocations;
  frees += part.frees;
  no_space += part.no_space;
  objects_moved += part.objects_moved;
  frames_migrated += part.frames_migrated;
  frames_freed += part.frames_freed;
  units_reclaimed += part.units_reclaimed;
  moves_refused += part.moves_refused;
  pin_waits += part.pin_waits;
  lock_waits += part.lock_waits;
  locks_passed += part.locks_passed;
  placed_elsewhere += part.placed_elsewhere;
  shard_moves += part.shard_moves;
  return *this;
}

class Pool : public FrameOwner {
 public:
  virtual ~Pool() = default;

  // --- Objects ---
  // A new object with these bytes. Requires: there is at least one.
  virtual AllocateResult Store(std::span<const std::byte> bytes, uint64_t owner_key) = 0;
  // Requires: the object is live and not pinned.
  virtual void Free(Handle handle) = 0;

  // Requires: live.
  virtual PinnedObject Pin(Handle handle) = 0;
  [[nodiscard]] virtual uint64_t OwnerOf(Handle handle) = 0;

  // --- Geometry ---
  // The bytes that an object of this size uses, including rounding. Requires: 0 < size <=
  // kPageSize.
  [[nodiscard]] virtual size_t FootprintOf(size_t size) const = 0;

  // --- Emptying units ---
  // Returns an invalid unit if there is none to offer. Requires: objects.size() >=
  // kObjectsInUnitMax.
  virtual ReclaimUnit BeginReclaim(std::span<ObjectInfo> objects) = 0;
  // Returns how many frames were freed since BeginReclaim. A unit that still has objects goes back
  // into use as the youngest.
  virtual uint32_t EndReclaim(const ReclaimUnit& unit) = 0;
  // Moves an object of a unit under reclaim to free room in another unit. Allocates no frame.
  [[nodiscard]] virtual MoveOutcome TryMoveOut(Handle handle) = 0;

  // --- Compaction ---
  // Moves at most `budget` objects from sparse units to dense units. Takes and releases locks
  // several times. Call until `done`.
  virtual CompactOutcome CompactStep(uint32_t budget) = 0;

  // --- Statistics and checks ---
  [[nodiscard]] virtual PoolStatistics Snapshot() = 0;
  // Checks all data structures. Requires: no other thread is active, nothing is pinned or under
  // reclaim.
  virtual void Audit() = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_POOL_POOL_H_
