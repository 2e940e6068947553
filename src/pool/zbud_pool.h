// ZbudPool: at most two objects in a frame, one at each end.
//
//     | first object -->|            hole            |<-- last object |
//     0                 first chunks                  last chunks      64 chunks of 64 bytes
//
// Each object is flush with its end of the frame, so freeing either object leaves one contiguous
// hole. A frame with one object is listed by the size of its hole. An allocation takes the smallest
// hole that fits, or a fresh frame. So a frame always has one or two objects. In the worst case it
// has one object, as if the object had its own frame. Evicting a frame evicts at most two objects,
// and there are at most 2 objects for each frame. (The kernel's zbud uses one chunk for a header.
// Here descriptors are outside the frames, so an object can fill a frame.)
//
//   fits[n]    frames with one object and a hole of n chunks: taking from the list is best fit
//   ages       every frame, youngest first. Adding an object makes the frame young; a free does
//              not
//   shards     each has these lists and a lock of its own
//
// A thread adds objects to its own shard. Before it takes a fresh frame it looks for holes in the
// other shards. It uses only lengths of which the shard has plenty (kPlenty), and skips shards
// whose lock is held. Otherwise threads that fill the pool at the same time would put objects into
// each other's frames, and would contend for locks from then on. The last holes of other shards are
// used only if there is no fresh frame. Threads that share a shard separate (base/thread_shard.h,
// decision 0010).
//
// A frame under reclaim is on neither list, so nothing is added to it. EndReclaim frees it or lists
// it again. The unit (see pool.h) is the frame. The unit's number does not change when the frame's
// content migrates.
//
// Stamps compare the ages of frames in different shards. The clock of the stamps advances with
// every kStampEvery additions of a shard, so the order across shards is correct within that
// precision.
//
// Threads: as in pool.h. Each shard's lists are guarded by the shard's lock.
//
// Size: 46 methods in the class. Thirteen of them override the Pool and HandlePool interfaces. The
// others are the private steps of allocation, listing, compaction and migration. They work on the
// same lists under the same lock; their thread safety annotations have to name that lock as a
// member. The steps are divided over zbud_pool.cc, zbud_lists.cc and zbud_move.cc.
//
// Algorithm: zbud by S. Jennings (Linux 3.11); owner keys as in D. Magenheimer's zcache2.
#ifndef UZSWAP_POOL_ZBUD_POOL_H_
#define UZSWAP_POOL_ZBUD_POOL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/intrusive_list.h"
#include "base/mutex.h"
#include "base/thread_shard.h"
#include "os/virtual_array.h"
#include "pool/handle_pool.h"
#include "pool/index_pool.h"

namespace uzswap {

class ZbudPool final : public HandlePool {
 public:
  static constexpr size_t kChunkSize = 64;
  static constexpr uint32_t kChunks = kPageSize / kChunkSize;

  ZbudPool() = default;
  ~ZbudPool() override;
  // Call once, before any other function. Fails if the kernel grants no address space.
  Result<void> Init(const PoolOptions& options);

  size_t FootprintOf(size_t size) const override;
  size_t ListObjectsInFrame(FrameId frame, std::span<ObjectInfo> objects) override;
  ReclaimUnit BeginReclaim(std::span<ObjectInfo> objects) override;
  uint32_t EndReclaim(const ReclaimUnit& unit) override;
  MoveOutcome TryMoveOut(Handle handle) override;
  CompactOutcome CompactStep(uint32_t budget) override;
  MigrateOutcome TryMigrateFrame(FrameId from, FrameId to) override;
  PoolStatistics Snapshot() override;
  void Audit() override;

 private:
  friend class PoolSharingTestPeer;
  enum class BudState : uint8_t { kNeverUsed, kUnused, kListed, kUnderReclaim };
  // One frame and its objects. Guarded by the lock of its shard, except where noted.
  struct Bud {
    uint32_t frame;      // also read by readers; changes only while they are excluded
    uint32_t object[2];  // handle indices; 0 if the side is free
    uint8_t chunks[2];   // 0 if the side is free
    BudState state;
    uint8_t hole;  // the list in fits that has it; 0 for none
    // Read without a lock to find the lock. Changed under the lock of the shard that it names.
    std::atomic<uint32_t> shard;
    ListLink fit_link;
    ListLink age_link;
    // The time of the last addition. While the unit is unused: the link of the free numbers.
    std::atomic<uint64_t> stamp;
  };

  using FitList = IntrusiveList<Bud, &Bud::fit_link>;
  using AgeList = IntrusiveList<Bud, &Bud::age_link>;

  struct alignas(kCacheLineSize) Shard {
    Mutex mutex{LockRank::kPoolClass};
    ShardUser user UZ_GUARDED_BY(mutex);
    // Bit n: fits[n] is not empty. Written under the mutex, read by others as a hint.
    std::atomic<uint64_t> fit_mask{0};
    // Stamp of the oldest frame; UINT64_MAX if there is none. Also a hint for others.
    std::atomic<uint64_t> oldest{UINT64_MAX};
    FitList fits[kChunks] UZ_GUARDED_BY(mutex);
    AgeList ages UZ_GUARDED_BY(mutex);
    uint64_t additions UZ_GUARDED_BY(mutex) = 0;
    // Only the sum over all shards is meaningful, because units move between shards.
    PoolStatistics counts UZ_GUARDED_BY(mutex);
  };

  static constexpr uint32_t kShards = 8;
  static constexpr uint64_t kStampEvery = 64;
  static constexpr uint32_t kMovesPerHold = 16;
  static constexpr size_t kPlenty = 8;  // frames on a list; plenty ends at half of this

  AllocateResult AllocateObject(size_t size, uint64_t owner_key, uint32_t pins) override;
  RetireOutcome RetireAndRemove(Handle handle) override;
  FrameId SecondFrameOf(const Location& location) override;
  void WaitForMove(uint32_t index) override;

  uint32_t UnitOf(const Bud& bud) const { return static_cast<uint32_t>(&bud - buds_.data()); }
  static bool IsUsed(const Bud& bud) {
    return bud.state == BudState::kListed || bud.state == BudState::kUnderReclaim;
  }
  static uint32_t HoleOf(const Bud& bud) { return kChunks - bud.chunks[0] - bud.chunks[1]; }
  Location LocationIn(const Bud& bud, uint32_t side) const;
  uint32_t TakeUnit();
  void ReturnUnit(uint32_t unit);
  // The locked shard of a live handle; nullptr (nothing locked) if the handle is stale.
  Shard* LockHome(Handle handle);
  Shard& LockUnit(uint32_t unit);

  // What an allocation needs to publish its object after it has found room.
  struct Request {
    uint32_t index;
    uint32_t chunks;
    size_t size;
    uint64_t owner_key;
    uint32_t pins;
  };
  // Each returns an invalid handle if it finds no room of its kind.
  Handle AllocateInHole(Shard& shard, const Request& request);
  Handle AllocateInHoleLocked(Shard& shard, const Request& request) UZ_REQUIRES(shard.mutex);
  Handle AllocateWherePlenty(uint32_t mine, const Request& request);
  Handle AllocateInAnyHole(uint32_t mine, const Request& request);
  Handle AllocateInFreshFrame(uint32_t shard, const Request& request);
  Handle PublishIn(Shard& shard, Bud& bud, int side, const Request& request)
      UZ_REQUIRES(shard.mutex);
  Bud* FindHole(Shard& shard, uint32_t chunks, const Bud* except) UZ_REQUIRES(shard.mutex);
  void AddObject(Shard& shard, Bud& bud, int side, uint32_t index, uint32_t chunks)
      UZ_REQUIRES(shard.mutex);
  void RemoveObject(Shard& shard, Bud& bud, int side) UZ_REQUIRES(shard.mutex);
  void Relist(Shard& shard, Bud& bud) UZ_REQUIRES(shard.mutex);
  void UnlistFit(Shard& shard, Bud& bud) UZ_REQUIRES(shard.mutex);
  void MakeYoungest(Shard& shard, Bud& bud) UZ_REQUIRES(shard.mutex);
  void PublishOldest(Shard& shard) UZ_REQUIRES(shard.mutex);
  // Unlists an empty bud. The caller frees frame and unit after it has unlocked.
  void Retire(Shard& shard, Bud& bud) UZ_REQUIRES(shard.mutex);
  void Release(uint32_t unit, uint32_t frame);
  ReclaimUnit Detach(Shard& shard, Bud& bud, std::span<ObjectInfo> objects)
      UZ_REQUIRES(shard.mutex);
  size_t List(const Bud& bud, std::span<ObjectInfo> objects) const;
  void AuditBud(const Bud& bud, uint32_t shard, uint64_t* objects) const;

  // zbud_move.cc
  bool MoveObject(Shard& shard, Bud& from, int side, Bud& to) UZ_REQUIRES(shard.mutex);
  Bud* PairFor(Shard& shard, Bud& bud) UZ_REQUIRES(shard.mutex);
  bool CompactShard(Shard& shard, uint32_t budget, CompactOutcome& outcome);
  void GatherSingles(Shard& into);
  void ListGathered(Shard& into, uint32_t unit);
  void MoveUnitTo(uint32_t unit, uint32_t shard);

  os::VirtualArray<Bud> buds_;           // reached as far as units_.touched()
  Mutex growth_mutex_{LockRank::kLeaf};  // one thread at a time lets buds_ grow
  IndexPool units_;
  Shard shards_[kShards];
  // Advances with every kStampEvery additions of a shard. Relaxed: stamps are ordered only
  // approximately.
  std::atomic<uint64_t> clock_{1};
  // Bit n of an element: fits[n] of that shard has plenty of frames. Written under the shard's
  // mutex, read by others as a hint. Each thread reads it before it takes a fresh frame. So it is
  // in one cache line, and must change rarely (hysteresis).
  alignas(kCacheLineSize) std::atomic<uint64_t> plenty_[kShards] = {};
};

}  // namespace uzswap

#endif  // UZSWAP_POOL_ZBUD_POOL_H_
