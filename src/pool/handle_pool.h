// HandlePool: what every pool with indirect handles shares, independent of how it packs objects.
//
//     PinnedObject <-- HandlePool --> HandleTable      the record of each object
//                         |
//                         +---------> FrameArena       the frames that hold the bytes
//                         |
//          ZbudPool, ZsmallocPool                      allocation, lists, moves
//
// It owns the handle table and turns a live handle into pinned bytes. It pins the record, which
// says where the object begins. If the object straddles two frames, it asks the derived class for
// the second frame. Then it maps the frames; the object's pin keeps them in place. A derived class
// implements allocation, lists and moves. HandleTable describes the protocol between readers,
// movers and frees.
//
// Threads: as in pool.h. TryPin and SizeOf take no lock, as Pin.
//
// Size: 33 methods. Four of them override the Pool interface and five are hooks for the derived
// class. The rest are the locking, copying and counting helpers that both derived classes use. They
// need the same four data members, so a second class would share all of its state with this one.
#ifndef UZSWAP_POOL_HANDLE_POOL_H_
#define UZSWAP_POOL_HANDLE_POOL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/counter.h"
#include "base/mutex.h"
#include "base/thread_shard.h"
#include "frame/frame_arena.h"
#include "pool/handle_table.h"
#include "pool/pool.h"

namespace uzswap {

struct PoolOptions {
  FrameArena* arena = nullptr;  // outlives the pool; several pools may share it
  uint64_t max_objects = 0;     // 0: 32 objects for each frame of the arena
};

class HandlePool : public Pool {
 public:
  PinnedObject Pin(Handle handle) final;
  PinnedObject TryPin(Handle handle);
  AllocateResult Store(std::span<const std::byte> bytes, uint64_t owner_key) final;
  // Requires: size > 0. The content is unspecified until written.
  AllocateResult Allocate(size_t size, uint64_t owner_key);
  // Writes from the object's first byte. Requires: the object is live, it is not shorter than
  // `bytes`, and no other thread reads it.
  void Write(Handle handle, std::span<const std::byte> bytes);
  void Free(Handle handle) final;
  // For callers that may have lost a race: returns an outcome instead of ending the process.
  [[nodiscard]] FreeOutcome TryFree(Handle handle);
  // Requires: live.
  [[nodiscard]] size_t SizeOf(Handle handle);
  uint64_t OwnerOf(Handle handle) final;

  // Lists up to objects.size() objects that have bytes in the frame. Returns how many such objects
  // exist; 0 if the frame does not belong to this pool. Takes and releases the lock; moves nothing.
  [[nodiscard]] virtual size_t ListObjectsInFrame(FrameId frame, std::span<ObjectInfo> objects) = 0;
  // Calls visit(const ObjectInfo&) for each object, without holding a lock.
  template <typename Visitor>
  void ForEachObjectInFrame(FrameId frame, Visitor&& visit) {
    ObjectInfo objects[kObjectsInUnitMax];
    const size_t count = ListObjectsInFrame(frame, objects);
    for (size_t i = 0; i < count; ++i) visit(static_cast<const ObjectInfo&>(objects[i]));
  }

 protected:
  HandlePool() = default;
  Result<void> InitHandles(const PoolOptions& options);
  // Panics if objects are live.
  void Finish(uint64_t live_objects);

  // Finds room and publishes the object with `pins` pins. Requires: 0 < size <= kPageSize.
  virtual AllocateResult AllocateObject(size_t size, uint64_t owner_key, uint32_t pins) = 0;
  virtual RetireOutcome RetireAndRemove(Handle handle) = 0;
  // The second frame of an object that begins at `location` and ends beyond its first frame.
  // Requires: the object is pinned or being moved by the caller.
  virtual FrameId SecondFrameOf(const Location& location) = 0;
  // Returns after the move that holds this object has ended.
  virtual void WaitForMove(uint32_t index) = 0;

  // Requires: as SecondFrameOf.
  Extent Locate(const Location& location, size_t size);
  void LockCounted(Mutex& mutex) UZ_ACQUIRE(mutex) {
    if (mutex.TryLock()) return;
    contention_.lock_waits.Add();
    mutex.Lock();
  }

  // --- Homes: the shard or group whose lock guards a unit and its objects ---
  // `number` names the home of a unit. It changes only under the lock of the home that it names.
  // `home_at(n)` returns home n, which has a `mutex`. Returns the unit's home, locked. The thread
  // safety analysis cannot follow these functions. Their callers assert the lock and release it.
  template <typename Number, typename HomeAt>
  auto& LockHomeNamedBy(const std::atomic<Number>& number,
                        HomeAt&& home_at) UZ_NO_THREAD_SAFETY_ANALYSIS {
    for (;;) {
      // Relaxed: a stale number leads to the wrong lock. The second load under that lock detects
      // it.
      const Number seen = number.load(std::memory_order_relaxed);
      auto& home = home_at(seen);
      LockCounted(home.mutex);
      // Acquire pairs with the release of the store that named this home. Its thread wrote to the
      // unit under the lock of the former home, and may not have held this lock since.
      if (number.load(std::memory_order_acquire) == seen) return home;
      home.mutex.Unlock();
    }
  }
  // Requires: the unit is unused and no frame is tagged with it. A thread that still examines the
  // unit holds the lock of its old home. No other thread knows a unit that was never used.
  template <typename Number, typename HomeAt>
  void ChangeHome(std::atomic<Number>& number, Number to, bool never_used,
                  HomeAt&& home_at) UZ_NO_THREAD_SAFETY_ANALYSIS {
    if (number.load(std::memory_order_relaxed) == to) return;
    if (never_used) {
      number.store(to, std::memory_order_relaxed);
      return;
    }
    auto& old = LockHomeNamedBy(number, home_at);
    // Release: see LockHomeNamedBy.
    number.store(to, std::memory_order_release);
    old.mutex.Unlock();
  }
  // The locked home of a live handle; nullptr (nothing locked) if the handle is stale. The lock
  // that guards an object depends on the object's location, so this reads the location, locks, and
  // reads the location again. `lock_unit(unit)` returns the locked home of a unit below `units`.
  template <typename Home, typename LockUnit>
  Home* LockHomeOf(Handle handle, uint64_t units,
                   LockUnit&& lock_unit) UZ_NO_THREAD_SAFETY_ANALYSIS {
    while (handles_.IsLive(handle)) {
      const uint32_t unit = handles_.LocationOf(handle.index()).unit;
      if (unit == 0 || unit >= units) continue;  // freed after the IsLive check
      Home& home = lock_unit(unit);
      if (handles_.IsLive(handle) && handles_.LocationOf(handle.index()).unit == unit) return &home;
      home.mutex.Unlock();
    }
    return nullptr;
  }
  // Waits until the lock of this object's home is free.
  template <typename LockUnit>
  void PassThroughHomeOf(uint32_t index, uint64_t units,
                         LockUnit&& lock_unit) UZ_NO_THREAD_SAFETY_ANALYSIS {
    const uint32_t unit = handles_.LocationOf(index).unit;
    if (unit != 0 && unit < units) lock_unit(unit).mutex.Unlock();
  }
  // Counts an object that was added to a home. `own`: it is the home of the thread's shard.
  static void CountAddition(PoolStatistics& counts, ShardUser& user, bool own, size_t size) {
    ++counts.allocations;
    ++counts.objects;
    counts.object_bytes += size;
    if (!own) {
      ++counts.placed_elsewhere;
    } else if (user.Note()) {
      ++counts.shard_moves;
    }
  }
  static void CountRemoval(PoolStatistics& counts, size_t size) {
    ++counts.frees;
    --counts.objects;
    counts.object_bytes -= size;
  }
  // For locks that the caller can skip.
  [[nodiscard]] bool TryLockCounted(Mutex& mutex) UZ_TRY_ACQUIRE(true, mutex) {
    if (mutex.TryLock()) return true;
    contention_.locks_passed.Add();
    return false;
  }
  void AddContention(PoolStatistics& sum) const;
  // Copies the bytes of an object. Requires: the caller is moving the object (TryBeginMove).
  void CopyBytes(const Extent& from, const Extent& to);
  void CopyFrame(FrameId from, FrameId to);
  [[nodiscard]] ObjectInfo Describe(uint32_t index) const;

  FrameArena* arena_ = nullptr;
  FrameOwnerId owner_id_ = 0;
  HandleTable handles_;
  // Written only under contention, so these counters have a cache line apart from data that all
  // threads read.
  struct alignas(kCacheLineSize) Contention {
    RelaxedCounter pin_waits;
    RelaxedCounter lock_waits;
    RelaxedCounter locks_passed;
  };
  Contention contention_;

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
