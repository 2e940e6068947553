// ZsmallocPool: objects of similar size are packed into rows of frames; an object may straddle two.
//
//     size --> class --> group (class x shard) --> zspage --> position
//
//     group   partial[0..9]    zspages with free backed positions, by density in tenths
//             growable[0..9]   zspages with free positions, none of them backed, by density
//             (full)           only on the list of ages
//             ages             all zspages, youngest first
//
// Density is the bytes of the live positions divided by the bytes of the existing frames.
//
// A zspage (pool/zspage.h) has a frame only where it has objects. So at rest a class wastes part of
// one frame, not part of a zspage, and a frame is freed when its own objects are gone.
//
// Allocation tries, in this order, until it finds room:
//   1. the fullest partial zspage of the class, in the thread's shard;
//   2. a partial zspage of a slightly larger class (kSpill: at most 1/32 larger) in the same shard.
//      After churn, the free positions of a class with fewer objects serve its neighbours;
//   3. the same in other shards, but only in groups that have plenty of free backed positions
//      (kPlenty) and whose lock is free. Otherwise threads that fill the pool at the same time
//      would put objects into each other's zspages;
//   4. another frame for a growable zspage, then a new zspage;
//   5. other shards without the restriction of step 3.
// So an object's class is the class of its zspage. It may differ from the class of the object's
// size.
//
// Compaction visits the classes from the largest. In each class it moves objects from the emptiest
// zspage to the fullest ones, in two stages:
//   1. It empties the sparsest frame of the emptiest zspage into free backed positions elsewhere,
//      as long as these can take all objects of that frame. Each round frees a frame.
//   2. While the class has more frames than its objects would need without holes (scattered frames
//      lose the positions that straddle their ends), it drains the emptiest zspage into the densest
//      one and backs positions there as needed. Each drained zspage is retired, so this ends. At
//      the end all zspages but one are full.
//
// Units (see pool.h) are zspages. The frames of a unit are freed one at a time as its objects go.
//
// Locks: each group has one. A group's class never changes. A zspage changes its group only in
// compaction, to the group of the same class in another shard. A shard is built when its first
// thread arrives. Threads that share a shard separate (base/thread_shard.h, decision 0010).
//
// Size: 66 methods. Thirteen of them override the Pool and HandlePool interfaces. The others are
// the private steps of allocation, listing, reclaim, compaction and migration. They work on the
// lists of one group under its lock; their thread safety annotations have to name that lock as a
// member. The steps are divided over five .cc files of this folder (zsmalloc_*.cc).
//
// Algorithm: zsmalloc (N. Gupta, M. Kim, S. Senozhatsky), with frames on demand, back-pointers
// outside the frames, and readers that take no lock (decisions 0011, 0012).
#ifndef UZSWAP_POOL_ZSMALLOC_POOL_H_
#define UZSWAP_POOL_ZSMALLOC_POOL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/intrusive_list.h"
#include "base/mutex.h"
#include "base/thread_shard.h"
#include "os/mapping.h"
#include "pool/handle_pool.h"
#include "pool/size_class.h"
#include "pool/zspage.h"

namespace uzswap {

struct ZsmallocOptions {
  PoolOptions pool;
  uint32_t chain = 16;  // most frames in a zspage
  // Threads are spread over so many shards, 1 to ZsmallocPool::kShards. A shard has 176 KiB of
  // groups, and zspages that are not full: a small pool needs few.
  uint32_t shards = 8;
};

class ZsmallocPool final : public HandlePool {
 public:
  static constexpr uint32_t kShards = 8;  // bits of plenty_

  ZsmallocPool() = default;
  ~ZsmallocPool() override;
  // Call once, before any other function. Fails if the kernel grants no address space.
  Result<void> Init(const ZsmallocOptions& options);

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
  using FullnessList = IntrusiveList<Zspage, &Zspage::fullness_link>;
  using AgeList = IntrusiveList<Zspage, &Zspage::age_link>;

  static constexpr uint32_t kTenths = 10;
  static constexpr uint32_t kLists = 2 * kTenths;  // partial, growable
  static constexpr uint32_t kPartialMask = (1u << kTenths) - 1;
  static constexpr uint32_t kGrowableMask = kPartialMask << kTenths;
  // A group has plenty if its free backed positions have at least kPlenty bytes, and at least
  // 1/kPlentyShare of what its frames hold. Plenty ends at half of that.
  static constexpr uint64_t kPlenty = 4 * kPageSize;
  static constexpr uint64_t kPlentyShare = 32;
  static constexpr uint8_t kNoList = UINT8_MAX;

  struct alignas(kCacheLineSize) Group {
    Mutex mutex{LockRank::kPoolClass};
    ShardUser user UZ_GUARDED_BY(mutex);
    // Bit n: lists[n] is not empty. Written under the mutex, read by others as a hint.
    std::atomic<uint32_t> list_mask{0};
    FullnessList lists[kLists] UZ_GUARDED_BY(mutex);
    AgeList ages UZ_GUARDED_BY(mutex);
    // Sums over the listed zspages.
    uint64_t live UZ_GUARDED_BY(mutex) = 0;
    uint64_t backed UZ_GUARDED_BY(mutex) = 0;
    uint64_t frames UZ_GUARDED_BY(mutex) = 0;
    uint64_t additions UZ_GUARDED_BY(mutex) = 0;
    // Only the sum over all shards is meaningful, because zspages move between shards.
    PoolStatistics counts UZ_GUARDED_BY(mutex);
  };

  // Frames that were emptied under a lock. They are freed after it is released.
  struct FreedFrames {
    static constexpr uint32_t kMax = 2 * kChainMax;
    uint32_t frames[kMax];
    uint32_t count = 0;
  };

  // The room that an allocation found.
  struct Room {
    Group* group = nullptr;  // locked; nullptr if there is no room
    Zspage* page = nullptr;
    uint32_t position = 0;
  };

  static constexpr uint32_t kGroupsInShard = 256;
  static constexpr uint64_t kStampEvery = 64;
  // A position that is larger than the object by at most 1/kSpill is better than a new frame.
  static constexpr uint32_t kSpill = 32;

  AllocateResult AllocateObject(size_t size, uint64_t owner_key, uint32_t pins) override;
  RetireOutcome RetireAndRemove(Handle handle) override;
  FrameId SecondFrameOf(const Location& location) override;
  void WaitForMove(uint32_t index) override;

  const SizeClass& ClassOf(const Zspage& page) const {
    return classes_[page.home.load(std::memory_order_relaxed) % kGroupsInShard];
  }
  ZspageView View(Zspage& page) { return pages_.View(page, ClassOf(page)); }
  Group& GroupAt(uint32_t home) { return groups_[home]; }
  Group& BuiltGroupAt(uint32_t home);
  uint32_t HomeOf(const Group& group) const { return static_cast<uint32_t>(&group - groups_); }
  Location LocationIn(Zspage& page, uint32_t position);
  void BuildShard(uint32_t shard);
  bool IsBuilt(uint32_t shard) const { return shard_built_[shard].load(std::memory_order_acquire); }

  // The locked group of a live handle; nullptr (nothing locked) if the handle is stale.
  Group* LockHome(Handle handle);
  Group& LockUnit(uint32_t unit);
  // The unit of a frame, with its group locked; 0 (nothing locked) if the frame is not in use by
  // this pool.
  uint32_t LockUnitOfFrame(FrameId frame, uint32_t* k);

  // Each returns with the group locked if it found room.
  Room FindRoom(uint32_t shard, uint32_t home, size_t size);
  Room FindPartial(uint32_t shard, size_t size);
  Room FindWherePlenty(uint32_t shard, size_t size);
  Room FindAnyPartial(uint32_t shard, size_t size);
  // An allocation uses the class of its size and slightly larger classes. This is the last of them.
  uint32_t LastClassFor(size_t size) const;
  // Keeps the lock if there is room.
  Room RoomOrUnlock(Group& group);
  Room FindGrowable(uint32_t home);
  Room NewZspage(uint32_t home);
  bool BackPosition(Group& group, Zspage& page, uint32_t position) UZ_REQUIRES(group.mutex);
  void MoveUnitTo(uint32_t unit, uint32_t home);

  void AddObject(Group& group, Zspage& page, uint32_t position, uint32_t index)
      UZ_REQUIRES(group.mutex);
  void RemoveObject(Group& group, Zspage& page, uint32_t position, FreedFrames* freed)
      UZ_REQUIRES(group.mutex);
  // Count adds a listed zspage to the group's sums. Uncount subtracts it before a change.
  static void Count(Group& group, const Zspage& page) UZ_REQUIRES(group.mutex);
  static void Uncount(Group& group, const Zspage& page) UZ_REQUIRES(group.mutex);
  void NotePlenty(Group& group) UZ_REQUIRES(group.mutex);
  void Unlist(Group& group, Zspage& page) UZ_REQUIRES(group.mutex);
  void List(Group& group, Zspage& page) UZ_REQUIRES(group.mutex);
  void MakeYoungest(Group& group, Zspage& page) UZ_REQUIRES(group.mutex);
  void PublishOldest(Group& group) UZ_REQUIRES(group.mutex);
  static uint8_t ListFor(const Zspage& page, const SizeClass& size_class);
  // Retire removes an empty zspage from the pool. Detach and Attach take a zspage out of use for
  // reclaim, and back.
  void Retire(Group& group, Zspage& page) UZ_REQUIRES(group.mutex);
  void Detach(Group& group, Zspage& page) UZ_REQUIRES(group.mutex);
  void Attach(Group& group, Zspage& page, bool youngest) UZ_REQUIRES(group.mutex);
  void FreeFrames(const FreedFrames& freed);
  size_t ListObjects(Zspage& page, uint32_t first, uint32_t end, std::span<ObjectInfo> objects);
  ReclaimUnit BeginReclaimLocked(Group& group, Zspage& page, std::span<ObjectInfo> objects)
      UZ_REQUIRES(group.mutex);

  // zsmalloc_move.cc
  bool MoveObject(Group& group, Zspage& from, uint32_t position, Zspage& to, uint32_t to_position,
                  FreedFrames* freed) UZ_REQUIRES(group.mutex);
  Zspage* FindDestination(Group& group, const Zspage& from, uint32_t except, uint32_t* position)
      UZ_REQUIRES(group.mutex);
  // The sparsest zspage on the lists of the mask; the densest one except `except`. nullptr if there
  // is none.
  static Zspage* Sparsest(Group& group, uint32_t mask) UZ_REQUIRES(group.mutex);
  static Zspage* Densest(Group& group, uint32_t mask, const Zspage* except)
      UZ_REQUIRES(group.mutex);
  bool EmptyOneFrame(Group& group, CompactOutcome& outcome);
  bool WorthDraining(Group& group, const Zspage& from) UZ_REQUIRES(group.mutex);
  bool DrainPosition(Group& group, const Zspage& from, Zspage** to, uint32_t* position)
      UZ_REQUIRES(group.mutex);
  void UnbackPosition(Group& group, Zspage& page, uint32_t position, FreedFrames* freed)
      UZ_REQUIRES(group.mutex);
  bool MoveObjects(Group& group, Zspage& from, Zspage* to, uint32_t to_position, FreedFrames* freed,
                   CompactOutcome& outcome) UZ_REQUIRES(group.mutex);
  bool EmptySparsest(Group& group, CompactOutcome& outcome);
  bool DrainLocked(Group& group, const Room& fresh, CompactOutcome& outcome)
      UZ_REQUIRES(group.mutex);
  void CompactGroup(Group& group, uint32_t budget, CompactOutcome& outcome);
  void GatherPartials(uint32_t class_number);
  void AuditGroup(Group& group, uint64_t* objects, uint64_t* frames);

  SizeClassTable classes_{kChainMax};
  ZspageTable pages_;
  os::Mapping group_memory_;
  Group* groups_ = nullptr;  // kShards * kGroupsInShard; built one shard at a time
  std::atomic<bool> shard_built_[kShards] = {};
  uint32_t shards_in_use_ = kShards;
  Mutex build_mutex_{LockRank::kPoolSetup};
  Mutex compact_mutex_{LockRank::kPoolCompaction};
  uint32_t compact_class_ UZ_GUARDED_BY(compact_mutex_) = 0;
  // Stamp of the oldest zspage of each group; UINT64_MAX if there is none. These are hints. They
  // lie together so that one sweep finds the oldest of all.
  std::atomic<uint64_t> oldest_[kShards * kGroupsInShard] = {};
  // Advances with every kStampEvery additions of a group. Relaxed: stamps are ordered only
  // approximately.
  std::atomic<uint64_t> clock_{1};
  // By class, bit n: its group in shard n has plenty. Written under the group's mutex, read by
  // others as a hint. Each thread that finds no room in its own group reads it, so it must change
  // rarely (hysteresis).
  alignas(kCacheLineSize) std::atomic<uint8_t> plenty_[kGroupsInShard] = {};
};

}  // namespace uzswap

#endif  // UZSWAP_POOL_ZSMALLOC_POOL_H_
