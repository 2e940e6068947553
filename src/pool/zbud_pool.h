// ZbudPool: at most two objects in a frame, one from each end.
//
//     | first object -->|            hole            |<-- last object |
//     0                 first chunks                  last chunks      64 chunks of 64 bytes
//
// Freeing either object leaves one contiguous hole, since each is flush with its end. A frame with
// one object is listed by the size of its hole; an allocation takes the tightest hole that
// holds it, or a fresh frame. So a frame holds never less than one object and never more than
// two: it can do no harm, evicting a frame costs at most two objects, and the ratio of pages to
// frames stays below 2. (The kernel's zbud spends a chunk on its header; here descriptors are
// out of line, so that an object may fill the frame.)
//
//   fits_[n]   frames with one object and a hole of n chunks          best fit by construction
//   ages_      every frame, youngest first. Adding an object makes the frame young; freeing
//              one does not
//   shards     all of this several times over, with a lock each. A thread adds to its own shard.
//              Before it takes a fresh frame it looks for holes in the others, but only where
//              there are plenty of that length, and passes by those whose lock is held: else
//              threads that fill the pool side by side would end up in one another's frames, and in
//              one another's way ever after. The last holes of others are used when there is no
//              fresh frame. Threads that share a shard part (base/thread_shard.h)
//
// A frame under reclaim is on neither list: nothing is added to it, and the one who ends the
// reclaim frees it or lists it again. The unit (see pool.h) is the frame, under a number that
// stays when the frame's content migrates.
//
// The age of frames in different shards is compared by stamps that advance every
// kStampEvery additions, so the order across shards is right to within that.
//
// Algorithm: zbud by S. Jennings (Linux 3.11); keys in the frame as in D. Magenheimer's zcache2.
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
  // Once, before anything else. Fails if the kernel grants no address space.
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
  // One frame with its objects. Guarded by the lock of its shard, except where noted.
  struct Bud {
    uint32_t frame;      // read by readers too: it changes only while they are excluded
    uint32_t object[2];  // handle indices; 0 for a vacant side
    uint8_t chunks[2];   // 0 for a vacant side
    BudState state;
    uint8_t hole;  // the fits_ list it is on; 0 for none
    // Read without the lock to find the lock: changed under the lock of the shard that it names.
    std::atomic<uint32_t> shard;
    ListLink fit_link;
    ListLink age_link;
    // When it was last added to; the chain of free numbers while unused.
    std::atomic<uint64_t> stamp;
  };

  using FitList = IntrusiveList<Bud, &Bud::fit_link>;
  using AgeList = IntrusiveList<Bud, &Bud::age_link>;

  struct alignas(kCacheLineSize) Shard {
    Mutex mutex{LockRank::kPoolClass};
    ShardUser user UZ_GUARDED_BY(mutex);
    // Bit n: fits[n] is not empty. Written under mutex, read by others as a hint.
    std::atomic<uint64_t> fit_mask{0};
    // Stamp of the oldest frame; UINT64_MAX if there is none. A hint likewise.
    std::atomic<uint64_t> oldest{UINT64_MAX};
    FitList fits[kChunks] UZ_GUARDED_BY(mutex);
    AgeList ages UZ_GUARDED_BY(mutex);
    uint64_t additions UZ_GUARDED_BY(mutex) = 0;
    // Only the sum over the shards means anything: units move between them.
    PoolStatistics counts UZ_GUARDED_BY(mutex);
  };

  static constexpr uint32_t kShards = 8;
  static constexpr uint64_t kStampEvery = 64;
  static constexpr uint32_t kMovesPerHold = 16;
  static constexpr size_t kPlenty = 8;  // frames on a list; no longer plenty with half of it

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
  // The locked shard of a live handle; nullptr (nothing locked) if it is stale.
  Shard* LockHome(Handle handle);
  Shard& LockUnit(uint32_t unit);

  // What an allocation needs to publish its object once room is found.
  struct Request {
    uint32_t index;
    uint32_t chunks;
    size_t size;
    uint64_t owner_key;
    uint32_t pins;
  };
  // Each is invalid if there is no room for it of that kind now.
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
  // Unlists an empty bud; the caller frees frame and unit after unlocking.
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
  void Adopt(Shard& into, uint32_t unit);
  void MoveUnitTo(uint32_t unit, uint32_t shard);

  os::VirtualArray<Bud> buds_;
  IndexPool units_;
  Shard shards_[kShards];
  // Advances now and then with additions; only orders stamps roughly: relaxed.
  std::atomic<uint64_t> clock_{1};
  // Bit n of one: fits[n] of that shard has plenty of frames. Written under the shard's mutex,
  // read by others as a hint: seldom changed, and in one cache line, since each thread that takes a
  // fresh frame looks here first.
  alignas(kCacheLineSize) std::atomic<uint64_t> plenty_[kShards] = {};
};

}  // namespace uzswap

#endif  // UZSWAP_POOL_ZBUD_POOL_H_
