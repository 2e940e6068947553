// ZsmallocPool: objects of similar size packed into rows of frames, straddling frame ends.
//
//     size --> class --> group (class x shard) --> zspage --> position
//
//     group   partial[0..9]    zspages with free backed positions, by density in tenths
//             growable[0..9]   zspages with free positions, but none that is backed, likewise
//             (full)           on no list but that of ages
//             ages             all of them, youngest first
//
// Density is the bytes of the live positions over those of the frames that are there.
//
// A zspage (pool/zspage.h) has its frames only where objects are. So at rest a class wastes part
// of one frame instead of part of a zspage, and emptying a frame frees it by itself.
//
// Allocation, in this order, until one has room:
//   1. the fullest partial zspage of the class, in the thread's shard;
//   2. a partial zspage of a slightly larger class (kSpill: at most 1/32 larger), same shard:
//      after churn the free positions of a class that has shrunk serve its neighbours;
//   3. the same in other shards, but only in groups that have plenty of free backed positions
//   (kPlenty)
//      and whose lock is not held: else threads that fill the pool side by side would end up in
//      one another's zspages;
//   4. a further frame for a growable zspage, then for a new one;
//   5. other shards without that restriction.
// An object's class is therefore that of its zspage, not that of its size.
//
// Compaction goes through the classes from the largest, in each from the emptiest zspage to the
// fullest ones, in two stages:
//   1. empties the sparsest frame of the emptiest zspage into free backed positions elsewhere, for
//   as
//      long as they can take all of that frame's objects. Every such round frees a frame.
//   2. while the class has more frames than its objects would need side by side (scattered frames
//      lose the positions that straddle their ends), drains the emptiest zspage into the densest,
//      backing positions there as needed. Every zspage drained is gone, so this ends; at the end
//      all zspages but one are full.
//
// Units (see pool.h) are zspages. Their frames come back one by one while their objects go.
//
// Locks: one for each group. A group's class never changes, a zspage changes its group (for
// one of the same class in another shard) only in compaction. Shards are built when the first of
// their threads comes. Threads that share a shard part (base/thread_shard.h).
//
// Algorithm: zsmalloc (N. Gupta, M. Kim, S. Senozhatsky), with frames on demand, back-pointers
// out of line and readers that take no lock.
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
  uint32_t chain = 16;  // frames in a zspage at most
};

class ZsmallocPool final : public HandlePool {
 public:
  ZsmallocPool() = default;
  ~ZsmallocPool() override;
  // Once, before anything else. Fails if the kernel grants no address space.
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

  [[nodiscard]] const SizeClassTable& classes() const { return classes_; }

 private:
  friend class PoolSharingTestPeer;
  using FullnessList = IntrusiveList<Zspage, &Zspage::fullness_link>;
  using AgeList = IntrusiveList<Zspage, &Zspage::age_link>;

  static constexpr uint32_t kTenths = 10;
  static constexpr uint32_t kLists = 2 * kTenths;  // partial, growable
  static constexpr uint32_t kPartialMask = (1u << kTenths) - 1;
  static constexpr uint32_t kGrowableMask = kPartialMask << kTenths;
  // Bytes of free backed positions in a group: at least so many, and this share of what its frames
  // hold. No longer plenty with half of it.
  static constexpr uint64_t kPlenty = 4 * kPageSize;
  static constexpr uint64_t kPlentyShare = 32;
  static constexpr uint8_t kNoList = UINT8_MAX;

  struct alignas(kCacheLineSize) Group {
    Mutex mutex{LockRank::kPoolClass};
    ShardUser user UZ_GUARDED_BY(mutex);
    // Bit n: lists[n] is not empty. Written under mutex, read by others as a hint.
    std::atomic<uint32_t> list_mask{0};
    FullnessList lists[kLists] UZ_GUARDED_BY(mutex);
    AgeList ages UZ_GUARDED_BY(mutex);
    // Over the listed zspages.
    uint64_t live UZ_GUARDED_BY(mutex) = 0;
    uint64_t backed UZ_GUARDED_BY(mutex) = 0;
    uint64_t frames UZ_GUARDED_BY(mutex) = 0;
    uint64_t additions UZ_GUARDED_BY(mutex) = 0;
    // Only the sum over the shards means anything: zspages move between them.
    PoolStatistics counts UZ_GUARDED_BY(mutex);
  };

  // Frames that came free under a lock, to be given back after it.
  struct FreedFrames {
    static constexpr uint32_t kMax = 2 * kChainMax;
    uint32_t frames[kMax];
    uint32_t count = 0;
  };

  // Where an allocation found room.
  struct Room {
    Group* group = nullptr;  // locked, if there is room
    Zspage* page = nullptr;
    uint32_t position = 0;
  };

  static constexpr uint32_t kShards = 8;  // bits of plenty_
  static constexpr uint32_t kGroupsInShard = 256;
  static constexpr uint64_t kStampEvery = 64;
  // A position larger than the object by up to 1/kSpill of it is better than a new frame.
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

  // The locked group of a live handle; nullptr (nothing locked) if it is stale.
  Group* LockHome(Handle handle);
  Group& LockUnit(uint32_t unit);
  // The unit of a frame of ours, with its group locked; 0 (nothing locked) if it is not ours.
  uint32_t LockUnitOfFrame(FrameId frame, uint32_t* k);

  // Each returns with the group locked if it found room.
  Room FindRoom(uint32_t shard, uint32_t home, size_t size);
  Room FindPartial(uint32_t shard, size_t size);
  Room FindWherePlenty(uint32_t shard, size_t size);
  Room FindAnyPartial(uint32_t shard, size_t size);
  // From the class of the size to those a little larger, the last of which this is.
  uint32_t LastClassFor(size_t size) const;
  // Leaves the lock held if there is room.
  Room RoomOrUnlock(Group& group);
  Room FindGrowable(uint32_t home);
  Room NewZspage(uint32_t home);
  bool BackPosition(Group& group, Zspage& page, uint32_t position) UZ_REQUIRES(group.mutex);
  void MoveUnitTo(uint32_t unit, uint32_t home);

  void AddObject(Group& group, Zspage& page, uint32_t position, uint32_t index)
      UZ_REQUIRES(group.mutex);
  void RemoveObject(Group& group, Zspage& page, uint32_t position, FreedFrames* freed)
      UZ_REQUIRES(group.mutex);
  // Adds what a listed zspage contributes to the group's sums, or takes it away before a change.
  static void Count(Group& group, const Zspage& page) UZ_REQUIRES(group.mutex);
  static void Uncount(Group& group, const Zspage& page) UZ_REQUIRES(group.mutex);
  void NotePlenty(Group& group) UZ_REQUIRES(group.mutex);
  void Unlist(Group& group, Zspage& page) UZ_REQUIRES(group.mutex);
  void List(Group& group, Zspage& page) UZ_REQUIRES(group.mutex);
  void MakeYoungest(Group& group, Zspage& page) UZ_REQUIRES(group.mutex);
  void PublishOldest(Group& group) UZ_REQUIRES(group.mutex);
  static uint8_t ListFor(const Zspage& page, const SizeClass& size_class);
  // Takes a zspage without objects out of the pool, or to and from use by reclaim.
  void Retire(Group& group, Zspage& page) UZ_REQUIRES(group.mutex);
  void Detach(Group& group, Zspage& page) UZ_REQUIRES(group.mutex);
  void Attach(Group& group, Zspage& page, bool youngest) UZ_REQUIRES(group.mutex);
  void GiveBack(const FreedFrames& freed);
  size_t ListObjects(Zspage& page, uint32_t first, uint32_t end, std::span<ObjectInfo> objects);
  ReclaimUnit BeginReclaimLocked(Group& group, Zspage& page, std::span<ObjectInfo> objects)
      UZ_REQUIRES(group.mutex);

  // zsmalloc_move.cc
  bool MoveObject(Group& group, Zspage& from, uint32_t position, Zspage& to, uint32_t to_position,
                  FreedFrames* freed) UZ_REQUIRES(group.mutex);
  Zspage* FindDestination(Group& group, const Zspage& from, uint32_t except, uint32_t* position)
      UZ_REQUIRES(group.mutex);
  // The sparsest zspage on the lists of the mask, the densest other than `except`; nullptr if none.
  static Zspage* Sparsest(Group& group, uint32_t mask) UZ_REQUIRES(group.mutex);
  static Zspage* Densest(Group& group, uint32_t mask, const Zspage* except)
      UZ_REQUIRES(group.mutex);
  bool EmptyOneFrame(Group& group, CompactOutcome& outcome);
  bool WorthDraining(Group& group, const Zspage& from) UZ_REQUIRES(group.mutex);
  bool DrainPosition(Group& group, const Zspage& from, Zspage** to, uint32_t* position)
      UZ_REQUIRES(group.mutex);
  void UnbackPosition(Group& group, Zspage& page, uint32_t position, FreedFrames* freed)
      UZ_REQUIRES(group.mutex);
  bool Drain(Group& group, Zspage& from, Zspage* to, uint32_t to_position, FreedFrames* freed,
             CompactOutcome& outcome) UZ_REQUIRES(group.mutex);
  bool DrainSparsest(Group& group, CompactOutcome& outcome);
  bool DrainLocked(Group& group, const Room& fresh, CompactOutcome& outcome)
      UZ_REQUIRES(group.mutex);
  void CompactGroup(Group& group, uint32_t budget, CompactOutcome& outcome);
  void GatherPartials(uint32_t class_number);
  void AuditGroup(Group& group, uint64_t* objects, uint64_t* frames);

  SizeClassTable classes_{kChainMax};
  ZspageTable pages_;
  os::Mapping group_memory_;
  Group* groups_ = nullptr;  // kShards * kGroupsInShard, built shard by shard
  std::atomic<bool> shard_built_[kShards] = {};
  Mutex build_mutex_{LockRank::kPoolSetup};
  Mutex compact_mutex_{LockRank::kFrameLru};
  uint32_t compact_class_ UZ_GUARDED_BY(compact_mutex_) = 0;
  // Stamp of the oldest zspage of each group, UINT64_MAX if there is none: hints, kept together so
  // that the oldest of all is found in one sweep.
  std::atomic<uint64_t> oldest_[kShards * kGroupsInShard] = {};
  // Advances now and then with additions; only orders stamps roughly: relaxed.
  std::atomic<uint64_t> clock_{1};
  // By class, bit n: its group in shard n has plenty. Written under the group's mutex, read by
  // others as a hint: seldom changed, since each thread that finds nothing of its own looks here.
  alignas(kCacheLineSize) std::atomic<uint8_t> plenty_[kGroupsInShard] = {};
};

}  // namespace uzswap

#endif  // UZSWAP_POOL_ZSMALLOC_POOL_H_
