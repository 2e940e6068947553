// Pool: where compressed objects lie. One interface, two ways of packing (zbud, zsmalloc).
//
//     Handle ----> record {unit, position, owner key} ----> unit ----> 1..16 frames of a FrameArena
//       ^                                                |
//       +------------------------------------------------+   each position knows its handle's index
//
// An object has 1 to kPageSize bytes, a handle, and a 64-bit key by which its owner finds
// it again when only the frame is known. The pool knows nothing else of it, calls nobody back,
// and decides nothing about what to evict beyond offering its oldest unit.
//
// Objects and frames move (CompactStep, TryMigrateFrame, TryMoveOut); handles do not change.
// A PinnedObject keeps its object in place. Movers only try: no reader waits for longer than one
// move takes, and no mover waits for a reader.
//
// Emptying frames. A *unit* is what the packing treats as one: a frame (zbud) or a zspage
// (zsmalloc). BeginReclaim takes the unit that has gone longest without an addition out of
// use, and lists its objects; the caller writes them elsewhere and frees them, or moves some to
// other units with TryMoveOut; EndReclaim tells how many frames came free. Between the two
// nothing is added to the unit, reads go on, and frees by others are fine (they are what
// the caller hopes for). A handle of the list may be stale by the time it is used: TryPin,
// TryFree and TryMoveOut say so instead of stopping the program.
//
// Threads: any may call anything but Audit and the destructor. Pin, TryPin, Unpin, SizeOf and
// OwnerOf take no lock (in the rare case of meeting a mover, they take that one lock); the rest
// hold one lock of rank kPoolClass for a short, bounded time, never across a system call unless
// frames are guarded (FrameAccess::kWhilePinned). Nothing allocates from the heap; frames come
// from the arena, and having none is an outcome (kNoSpace).
//
// Bugs end the process with one of these messages: "stale handle", "double free of a pool
// object", "free of a pinned object", "too many pins of one object" (131,071), "write beyond the
// object", "pool destroyed with live objects".
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
  kNoSpace,   // no frame, or no handle, is free
  kTooLarge,  // above kPageSize: no state of the pool could hold it
};

struct [[nodiscard]] AllocateResult {
  AllocateOutcome outcome = AllocateOutcome::kNoSpace;
  Handle handle;
  [[nodiscard]] bool ok() const { return outcome == AllocateOutcome::kAllocated; }
};

enum class FreeOutcome : uint8_t { kFreed, kStale, kPinned };
enum class MoveOutcome : uint8_t { kMoved, kStale, kPinned, kNoRoom };

// An object as seen from its frame; true when it was listed.
struct ObjectInfo {
  Handle handle;
  uint64_t owner_key = 0;
  uint32_t size = 0;
};

// No frame, and no unit, holds more objects than this.
inline constexpr size_t kObjectsInUnitMax = 256;

// A unit under reclaim. Must be ended with EndReclaim of the pool it came from.
struct [[nodiscard]] ReclaimUnit {
  static constexpr uint32_t kNone = 0;
  uint32_t unit = kNone;
  uint32_t frames = 0;   // that the unit held at the beginning
  uint32_t objects = 0;  // listed
  [[nodiscard]] bool valid() const { return unit != kNone; }
};

struct CompactOutcome {
  uint32_t objects_moved = 0;
  uint32_t frames_freed = 0;
  bool done = false;  // nothing worth moving was left
};

struct PoolStatistics {
  uint64_t objects = 0;
  uint64_t object_bytes = 0;  // sum of the sizes asked for
  uint64_t frames = 0;        // held
  uint64_t units = 0;
  uint64_t metadata_bytes = 0;  // touched tables of the pool and descriptors of its frames
  uint64_t allocations = 0;
  uint64_t frees = 0;
  uint64_t no_space = 0;
  uint64_t objects_moved = 0;  // by compaction and TryMoveOut
  uint64_t frames_migrated = 0;
  uint64_t frames_freed = 0;     // emptied by compaction
  uint64_t units_reclaimed = 0;  // that EndReclaim found empty
  uint64_t moves_refused = 0;    // because of a pin
  uint64_t pin_waits = 0;        // readers that met a mover
  // How much threads are in one another's way:
  uint64_t lock_waits = 0;        // allocations and frees that found their lock held
  uint64_t locks_passed = 0;      // other shards' locks that were held, and passed by
  uint64_t placed_elsewhere = 0;  // objects put into another shard than their thread's
  uint64_t shard_moves = 0;       // threads that met others in their shard and left it

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
  // Requires: size > 0. The bytes are unspecified until written.
  virtual AllocateResult Allocate(size_t size, uint64_t owner_key) = 0;
  // Allocates and writes at once.
  virtual AllocateResult Store(std::span<const std::byte> bytes, uint64_t owner_key) = 0;
  // Requires: live, not pinned.
  virtual void Free(Handle handle) = 0;
  // For those who may have lost a race.
  [[nodiscard]] virtual FreeOutcome TryFree(Handle handle) = 0;

  // Requires: live.
  virtual PinnedObject Pin(Handle handle) = 0;
  // Empty if the handle is stale.
  virtual PinnedObject TryPin(Handle handle) = 0;
  // Writes from the object's beginning. Requires: live, not longer than the object, nobody
  // reads it meanwhile.
  virtual void Write(Handle handle, std::span<const std::byte> bytes) = 0;
  // Requires: live.
  [[nodiscard]] virtual size_t SizeOf(Handle handle) = 0;
  [[nodiscard]] virtual uint64_t OwnerOf(Handle handle) = 0;

  // --- Geometry ---
  // What an object of this size takes up, rounding included. Requires: 0 < size <= max.
  [[nodiscard]] virtual size_t FootprintOf(size_t size) const = 0;

  // --- Frames ---
  // Lists the objects that have bytes in the frame, up to objects.size(); returns how many there
  // were. 0 if the frame is not this pool's. Takes and drops the lock; moves nothing.
  [[nodiscard]] virtual size_t ListObjectsInFrame(FrameId frame, std::span<ObjectInfo> objects) = 0;
  // Calls visit(const ObjectInfo&) for each, without holding a lock.
  template <typename Visitor>
  void ForEachObjectInFrame(FrameId frame, Visitor&& visit) {
    ObjectInfo objects[kObjectsInUnitMax];
    const size_t count = ListObjectsInFrame(frame, objects);
    for (size_t i = 0; i < count; ++i) visit(static_cast<const ObjectInfo&>(objects[i]));
  }

  // --- Emptying units ---
  // The unit is invalid if there is none to offer. Requires: room for kObjectsInUnitMax.
  virtual ReclaimUnit BeginReclaim(std::span<ObjectInfo> objects) = 0;
  // Returns how many frames came free since the beginning. A unit that still holds objects is
  // used again, as the youngest.
  virtual uint32_t EndReclaim(const ReclaimUnit& unit) = 0;
  // Moves an object of a unit under reclaim to room that exists elsewhere; takes no new frame.
  [[nodiscard]] virtual MoveOutcome TryMoveOut(Handle handle) = 0;

  // --- Compaction ---
  // Moves at most `budget` objects from sparse units to dense ones, in several short holds of
  // locks. Call until done.
  virtual CompactOutcome CompactStep(uint32_t budget) = 0;

  // --- Looking ---
  [[nodiscard]] virtual PoolStatistics Snapshot() = 0;
  // Complete check. Requires: no other thread is active, nothing is pinned or under reclaim.
  virtual void Audit() = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_POOL_POOL_H_
