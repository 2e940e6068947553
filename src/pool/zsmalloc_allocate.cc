// Allocation in a zsmalloc pool, in the order that zsmalloc_pool.h gives.
#include <bit>

#include "base/thread_shard.h"
#include "pool/zsmalloc_pool.h"

namespace uzswap {

AllocateResult ZsmallocPool::AllocateObject(size_t size, uint64_t owner_key, uint32_t pins) {
  const uint32_t shard = ThreadShard() % shards_in_use_;
  if (!IsBuilt(shard)) BuildShard(shard);
  const uint32_t home = shard * kGroupsInShard + classes_.ClassFor(size);
  const uint32_t index = handles_.TakeIndex();
  const Room room = index != 0 ? FindRoom(shard, home, size) : Room{};
  if (room.page == nullptr) {
    if (index != 0) handles_.ReturnIndex(index);
    MutexLock lock(GroupAt(home).mutex);
    ++GroupAt(home).counts.no_space;
    return {AllocateOutcome::kNoSpace, {}};
  }
  Group& group = *room.group;
  group.mutex.AssertHeld();
  AddObject(group, *room.page, room.position, index);
  MakeYoungest(group, *room.page);
  CountAddition(group.counts, group.user, HomeOf(group) / kGroupsInShard == shard, size);
  const Location location = LocationIn(*room.page, room.position);
  const Handle handle = handles_.Publish(index, size, owner_key, location, pins);
  group.mutex.Unlock();
  return {AllocateOutcome::kAllocated, handle};
}

ZsmallocPool::Room ZsmallocPool::FindRoom(uint32_t shard, uint32_t home, size_t size) {
  Room room = FindPartial(shard, size);
  if (room.page == nullptr) room = FindWherePlenty(shard, size);
  if (room.page == nullptr) room = FindGrowable(home);
  if (room.page == nullptr) room = NewZspage(home);
  if (room.page == nullptr) room = FindAnyPartial(shard, size);
  return room;
}

// Classes with smaller numbers have larger positions.
uint32_t ZsmallocPool::LastClassFor(size_t size) const {
  const size_t largest = size + size / kSpill;
  uint32_t number = classes_.ClassFor(size);
  while (number > 0 && classes_[number - 1].size <= largest) --number;
  return number;
}

ZsmallocPool::Room ZsmallocPool::FindPartial(uint32_t shard,
                                             size_t size) UZ_NO_THREAD_SAFETY_ANALYSIS {
  const uint32_t last = LastClassFor(size);
  for (uint32_t number = classes_.ClassFor(size) + 1; number-- > last;) {
    Group& group = GroupAt(shard * kGroupsInShard + number);
    if ((group.list_mask.load(std::memory_order_relaxed) & kPartialMask) == 0) continue;
    LockCounted(group.mutex);
    const Room room = RoomOrUnlock(group);
    if (room.page != nullptr) return room;
  }
  return {};
}

ZsmallocPool::Room ZsmallocPool::FindWherePlenty(uint32_t shard,
                                                 size_t size) UZ_NO_THREAD_SAFETY_ANALYSIS {
  const uint32_t last = LastClassFor(size);
  for (uint32_t number = classes_.ClassFor(size) + 1; number-- > last;) {
    uint32_t others = plenty_[number].load(std::memory_order_relaxed) & ~(1u << shard);
    for (; others != 0; others &= others - 1) {
      const auto other = static_cast<uint32_t>(std::countr_zero(others));
      // The bit of plenty_ is relaxed, so it does not order the construction of the group. The flag
      // does.
      if (!IsBuilt(other)) continue;
      Group& group = GroupAt(other * kGroupsInShard + number);
      if (!TryLockCounted(group.mutex)) continue;
      const Room room = RoomOrUnlock(group);
      if (room.page != nullptr) return room;
    }
  }
  return {};
}

ZsmallocPool::Room ZsmallocPool::FindAnyPartial(uint32_t shard, size_t size) {
  Room room;
  for (uint32_t i = 1; i < kShards && room.page == nullptr; ++i) {
    const uint32_t other = (shard + i) % kShards;
    if (IsBuilt(other)) room = FindPartial(other, size);
  }
  return room;
}

// Requires: the group is locked. It stays locked if there is room; the thread safety analysis
// cannot follow that.
ZsmallocPool::Room ZsmallocPool::RoomOrUnlock(Group& group) UZ_NO_THREAD_SAFETY_ANALYSIS {
  const uint32_t mask = group.list_mask.load(std::memory_order_relaxed) & kPartialMask;
  if (mask == 0) {
    group.mutex.Unlock();
    return {};
  }
  Zspage* page = group.lists[std::bit_width(mask) - 1].front();
  UZ_CHECK(page != nullptr);
  const uint32_t position = View(*page).FindBacked();
  UZ_CHECK_NE(position, kNoPosition);
  return {&group, page, position};
}

ZsmallocPool::Room ZsmallocPool::FindGrowable(uint32_t home) UZ_NO_THREAD_SAFETY_ANALYSIS {
  Group& group = GroupAt(home);
  if ((group.list_mask.load(std::memory_order_relaxed) & kGrowableMask) == 0) return {};
  LockCounted(group.mutex);
  Zspage* page = Densest(group, kGrowableMask, nullptr);
  if (page != nullptr) {
    const uint32_t position = View(*page).FindUnbacked();
    UZ_CHECK_NE(position, kNoPosition);
    if (BackPosition(group, *page, position)) return {&group, page, position};
  }
  group.mutex.Unlock();
  return {};
}

ZsmallocPool::Room ZsmallocPool::NewZspage(uint32_t home) UZ_NO_THREAD_SAFETY_ANALYSIS {
  const SizeClass& size_class = classes_[home % kGroupsInShard];
  const uint32_t unit = pages_.Take(size_class);
  if (unit == 0) return {};
  MoveUnitTo(unit, home);
  Group& group = GroupAt(home);
  LockCounted(group.mutex);
  Zspage& page = pages_[unit];
  page.state = ZspageState::kListed;
  page.list = kNoList;
  ++group.counts.units;
  const uint32_t position = View(page).FindUnbacked();
  if (BackPosition(group, page, position)) return {&group, &page, position};
  Retire(group, page);
  group.mutex.Unlock();
  pages_.Return(unit);
  return {};
}

// Allocates the one or two frames that the position lacks; all or none. The arena's locks may be
// taken under the group's lock (rank order).
bool ZsmallocPool::BackPosition(Group& group, Zspage& page, uint32_t position) {
  const SizeClass& size_class = ClassOf(page);
  ZspageView view = View(page);
  uint32_t needed[2];
  FrameId frames[2];
  uint32_t count = 0;
  for (uint32_t k = size_class.FirstFrameOf(position); k <= size_class.LastFrameOf(position); ++k) {
    if (view.HasFrame(k)) continue;
    const uint64_t tag = (uint64_t{k} << 32) | pages_.UnitOf(page);
    frames[count] = arena_->Allocate(FrameKind::kPool, owner_id_, tag);
    if (!frames[count].valid()) {
      if (count == 1) arena_->Free(frames[0]);
      return false;
    }
    needed[count++] = k;
  }
  Uncount(group, page);
  for (uint32_t i = 0; i < count; ++i) view.AddFrame(needed[i], frames[i].raw());
  Count(group, page);
  group.counts.frames += count;
  return true;
}

}  // namespace uzswap
