// HandlePool: what every pool with indirect handles shares, above the way it packs.
//
// It owns the handle table and turns a live handle into pinned bytes: pin the record, which says
// where the object begins, ask the packing for the second frame of an object that straddles two,
// map those frames (the object's pin keeps them). A packing derives from it and implements
// placement, lists and moves; see HandleTable for the protocol between readers, movers and frees.
#ifndef UZSWAP_POOL_HANDLE_POOL_H_
#define UZSWAP_POOL_HANDLE_POOL_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/counter.h"
#include "base/mutex.h"
#include "frame/frame_arena.h"
#include "pool/handle_table.h"
#include "pool/pool.h"

namespace uzswap {

struct PoolOptions {
  FrameArena* arena = nullptr;  // outlives the pool; may be shared by several
  uint64_t max_objects = 0;     // 0: 32 for each frame of the arena
};

class HandlePool : public Pool {
 public:
  PinnedObject Pin(Handle handle) final;
  PinnedObject TryPin(Handle handle) final;
  void Write(Handle handle, std::span<const std::byte> bytes) final;
  AllocateResult Allocate(size_t size, uint64_t owner_key) final;
  AllocateResult Store(std::span<const std::byte> bytes, uint64_t owner_key) final;
  void Free(Handle handle) final;
  [[nodiscard]] FreeOutcome TryFree(Handle handle) final;
  size_t SizeOf(Handle handle) final;
  uint64_t OwnerOf(Handle handle) final;
  size_t MaxObjectSize() const final { return kPageSize; }

 protected:
  HandlePool() = default;
  Result<void> InitHandles(const PoolOptions& options);
  // Panics if objects are live.
  void Finish(uint64_t live_objects);

  // Finds room and publishes the object with `pins` pins. Requires: 0 < size <= max.
  virtual AllocateResult PlaceObject(size_t size, uint64_t owner_key, uint32_t pins) = 0;
  virtual RetireOutcome RetireAndRemove(Handle handle) = 0;
  // The frame in which an object goes on that begins at the place and ends beyond its frame.
  // Requires: the object is pinned or being moved by the caller.
  virtual FrameId SecondFrameOf(const Place& place) = 0;
  // Returns when the move that holds this object is over.
  virtual void WaitForMove(uint32_t index) = 0;

  // Requires: as SecondFrameOf.
  Extent Locate(const Place& place, size_t size);
  void LockCounted(Mutex& mutex) UZ_ACQUIRE(mutex) {
    if (mutex.TryLock()) return;
    meetings_.lock_waits.Add();
    mutex.Lock();
  }
  // For locks that the caller can do without.
  [[nodiscard]] bool TryLockCounted(Mutex& mutex) UZ_TRY_ACQUIRE(true, mutex) {
    if (mutex.TryLock()) return true;
    meetings_.locks_passed.Add();
    return false;
  }
  void AddMeetings(PoolStatistics& sum) const;
  // Copies between two places of which the caller is the mover.
  void CopyBytes(const Extent& from, const Extent& to);
  void CopyFrame(FrameId from, FrameId to);
  [[nodiscard]] ObjectInfo Describe(uint32_t index) const;

  FrameArena* arena_ = nullptr;
  FrameOwnerId owner_id_ = 0;
  HandleTable handles_;
  // Written when threads meet, so not beside what all of them read.
  struct alignas(kCacheLineSize) Meetings {
    RelaxedCounter pin_waits;
    RelaxedCounter lock_waits;
    RelaxedCounter locks_passed;
  };
  Meetings meetings_;

 private:
  friend class PinnedObject;
  friend class HandlePoolTestPeer;
  friend class PoolSharingTestPeer;
  void PrefetchBytes(uint32_t index) const;
  PinnedObject MakePin(uint32_t index);
  static void CopyIn(const PinnedObject& pin, std::span<const std::byte> bytes);
};

}  // namespace uzswap

#endif  // UZSWAP_POOL_HANDLE_POOL_H_
