#include "pool/zsmalloc_pool.h"

#include <bit>
#include <new>
#include <utility>

#include "base/thread_shard.h"

namespace uzswap {

Result<void> ZsmallocPool::Init(const ZsmallocOptions& options) {
  UZ_CHECK(options.chain >= kChainMin && options.chain <= kChainMax);
  classes_ = SizeClassTable(options.chain);
  if (Result<void> made = pages_.Init(options.pool.arena->capacity().raw()); !made.ok())
    return made;
  auto memory =
      os::Mapping::Create(Bytes(size_t{kShards} * kGroupsInShard * sizeof(Group)), "size classes");
  if (!memory.ok()) return memory.error();
  group_memory_ = std::move(memory).value();
  groups_ = reinterpret_cast<Group*>(group_memory_.data());
  for (std::atomic<uint64_t>& oldest : oldest_) oldest.store(UINT64_MAX, std::memory_order_relaxed);
  return InitHandles(options.pool);
}

ZsmallocPool::~ZsmallocPool() {
  if (groups_ == nullptr) return;
  uint64_t live = 0;
  for (uint32_t home = 0; home < kShards * kGroupsInShard; ++home) {
    if (!IsBuilt(home / kGroupsInShard)) continue;
    MutexLock lock(GroupAt(home).mutex);
    live += GroupAt(home).counts.objects;
  }
  Finish(live);
  for (uint32_t home = 0; home < kShards * kGroupsInShard; ++home) {
    if (IsBuilt(home / kGroupsInShard)) GroupAt(home).~Group();
  }
}

void ZsmallocPool::BuildShard(uint32_t shard) {
  MutexLock lock(build_mutex_);
  if (shard_built_[shard].load(std::memory_order_relaxed)) return;
  for (uint32_t i = 0; i < kGroupsInShard; ++i) new (&groups_[shard * kGroupsInShard + i]) Group();
  // Release: who sees the flag sees the groups.
  shard_built_[shard].store(true, std::memory_order_release);
}

size_t ZsmallocPool::FootprintOf(size_t size) const {
  return classes_[classes_.ClassFor(size)].size;
}

// --- Finding an object and its lock ---

Extent ZsmallocPool::Locate(Place place, size_t size) {
  Zspage& page = pages_[place.unit];
  const ZspageView view = View(page);
  const uint32_t begin = uint32_t{place.slot} * ClassOf(page).size;
  const uint32_t k = begin >> kPageShift;
  const uint32_t offset = begin & (kPageSize - 1);
  const uint32_t room = static_cast<uint32_t>(kPageSize) - offset;
  const uint32_t length = static_cast<uint32_t>(size);
  Extent extent;
  extent.count = length <= room ? 1 : 2;
  extent.parts[0] = {FrameId(view.frame(k)), offset, length <= room ? length : room};
  if (extent.count == 2) extent.parts[1] = {FrameId(view.frame(k + 1)), 0, length - room};
  return extent;
}

// The lock that guards an object depends on where it is, so: look, lock, look again. The analysis
// cannot follow; the caller asserts the lock and unlocks it.
ZsmallocPool::Group* ZsmallocPool::LockHome(Handle handle) UZ_NO_THREAD_SAFETY_ANALYSIS {
  while (handles_.IsLive(handle)) {
    const Place place = handles_.PlaceOf(handle.index());
    if (place.unit == 0 || place.unit >= pages_.capacity()) continue;  // freed since
    Group& group = LockUnit(place.unit);
    if (handles_.IsLive(handle) && handles_.PlaceOf(handle.index()).unit == place.unit) {
      return &group;
    }
    group.mutex.Unlock();
  }
  return nullptr;
}

// As above; a zspage keeps its group while that group's lock is held.
ZsmallocPool::Group& ZsmallocPool::LockUnit(uint32_t unit) UZ_NO_THREAD_SAFETY_ANALYSIS {
  for (;;) {
    const uint32_t home = pages_[unit].home.load(std::memory_order_relaxed);
    // A zspage never used before names group 0, whose shard may not be there yet.
    if (!IsBuilt(home / kGroupsInShard)) BuildShard(home / kGroupsInShard);
    Group& group = GroupAt(home);
    group.mutex.Lock();
    if (pages_[unit].home.load(std::memory_order_relaxed) == home) return group;
    group.mutex.Unlock();
  }
}

uint32_t ZsmallocPool::LockUnitOfFrame(FrameId frame, uint32_t* k) UZ_NO_THREAD_SAFETY_ANALYSIS {
  if (arena_->kind(frame) != FrameKind::kPool || arena_->owner(frame) != owner_id_) return 0;
  const uint64_t tag = arena_->tag(frame);
  const auto unit = static_cast<uint32_t>(tag);
  *k = static_cast<uint32_t>(tag >> 32);
  if (unit == 0 || unit >= pages_.capacity()) return 0;
  Group& group = LockUnit(unit);
  Zspage& page = pages_[unit];
  if (page.state != ZspageState::kUnused && *k < ClassOf(page).frames) {
    const ZspageView view = View(page);
    if (view.HasFrame(*k) && view.frame(*k) == frame.raw()) return unit;
  }
  group.mutex.Unlock();
  return 0;
}

void ZsmallocPool::WaitForMove(uint32_t index) {
  const Place place = handles_.PlaceOf(index);
  if (place.unit == 0 || place.unit >= pages_.capacity()) return;
  Group& group = LockUnit(place.unit);
  group.mutex.AssertHeld();
  group.mutex.Unlock();
}

// --- Allocation ---

AllocateResult ZsmallocPool::PlaceObject(size_t size, uint64_t owner_key, uint32_t pins) {
  const uint32_t shard = ThreadShard() % kShards;
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
  AddObject(group, *room.page, room.slot, index);
  MakeYoungest(group, *room.page);
  ++group.counts.allocations;
  ++group.counts.objects;
  group.counts.object_bytes += size;
  const Place place{pages_.UnitOf(*room.page), static_cast<uint16_t>(room.slot)};
  const Handle handle = handles_.Publish(index, size, owner_key, place, pins);
  group.mutex.Unlock();
  return {AllocateOutcome::kAllocated, handle};
}

ZsmallocPool::Room ZsmallocPool::FindRoom(uint32_t shard, uint32_t home, size_t size) {
  const auto others = [&](uint32_t mask) {
    Room room;
    for (uint32_t i = 1; i < kShards && room.page == nullptr; ++i) {
      const uint32_t other = (shard + i) % kShards;
      if (IsBuilt(other)) room = FindPartial(other, size, mask);
    }
    return room;
  };
  Room room = FindPartial(shard, size, kPartialMask);
  if (room.page == nullptr) room = others(kPlentyBit);
  if (room.page == nullptr) room = FindGrowable(home);
  if (room.page == nullptr) room = NewZspage(home);
  if (room.page == nullptr) room = others(kPartialMask);
  return room;
}

// The class of the size, then those a little larger, where the group has any bit of the mask.
ZsmallocPool::Room ZsmallocPool::FindPartial(uint32_t shard, size_t size, uint32_t mask) {
  const size_t largest = size + size / kSpill;
  uint32_t number = classes_.ClassFor(size);
  for (bool own = true; own || classes_[number].size <= largest; own = false) {
    Group& group = GroupAt(shard * kGroupsInShard + number);
    if ((group.list_mask.load(std::memory_order_relaxed) & mask) != 0) {
      const Room room = TryPartial(group);
      if (room.page != nullptr) return room;
    }
    if (number-- == 0) break;
  }
  return {};
}

// Returns with the lock held if there is room, which the analysis cannot follow.
ZsmallocPool::Room ZsmallocPool::TryPartial(Group& group) UZ_NO_THREAD_SAFETY_ANALYSIS {
  group.mutex.Lock();
  const uint32_t mask = group.list_mask.load(std::memory_order_relaxed) & kPartialMask;
  if (mask == 0) {
    group.mutex.Unlock();
    return {};
  }
  Zspage* page = group.lists[std::bit_width(mask) - 1].front();
  UZ_CHECK(page != nullptr);
  const uint32_t slot = View(*page).FindBacked();
  UZ_CHECK_NE(slot, kNoSlot);
  return {&group, page, slot};
}

ZsmallocPool::Room ZsmallocPool::FindGrowable(uint32_t home) UZ_NO_THREAD_SAFETY_ANALYSIS {
  Group& group = GroupAt(home);
  if ((group.list_mask.load(std::memory_order_relaxed) & kGrowableMask) == 0) return {};
  group.mutex.Lock();
  Zspage* page = Densest(group, kGrowableMask, nullptr);
  if (page != nullptr) {
    const uint32_t slot = View(*page).FindUnbacked();
    UZ_CHECK_NE(slot, kNoSlot);
    if (BackSlot(group, *page, slot)) return {&group, page, slot};
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
  group.mutex.Lock();
  Zspage& page = pages_[unit];
  page.state = ZspageState::kListed;
  page.list = kNoList;
  ++group.counts.units;
  const uint32_t slot = View(page).FindUnbacked();
  if (BackSlot(group, page, slot)) return {&group, &page, slot};
  Retire(group, page);
  group.mutex.Unlock();
  pages_.Return(unit, size_class);
  return {};
}

// Gets the one or two frames that the slot lacks; all or nothing. The arena's locks rank below.
bool ZsmallocPool::BackSlot(Group& group, Zspage& page, uint32_t slot) {
  const SizeClass& size_class = ClassOf(page);
  ZspageView view = View(page);
  uint32_t needed[2];
  FrameId frames[2];
  uint32_t count = 0;
  for (uint32_t k = size_class.FirstFrameOf(slot); k <= size_class.LastFrameOf(slot); ++k) {
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

// Requires: the zspage is unused. Whoever still looks at it does so under its old group's lock.
void ZsmallocPool::MoveUnitTo(uint32_t unit, uint32_t home) {
  if (pages_[unit].home.load(std::memory_order_relaxed) == home) return;
  Group& old = LockUnit(unit);
  old.mutex.AssertHeld();
  pages_[unit].home.store(static_cast<uint16_t>(home), std::memory_order_relaxed);
  old.mutex.Unlock();
}

// --- Freeing ---

RetireOutcome ZsmallocPool::RetireAndRemove(Handle handle) {
  Group* home = LockHome(handle);
  if (home == nullptr) return handles_.Retire(handle);  // which tells a double free from the rest
  Group& group = *home;
  group.mutex.AssertHeld();
  const size_t size = handles_.SizeOf(handle.index());
  const Place place = handles_.PlaceOf(handle.index());
  const RetireOutcome outcome = handles_.Retire(handle);
  if (outcome != RetireOutcome::kRetired) {
    group.mutex.Unlock();
    return outcome;
  }
  Zspage& page = pages_[place.unit];
  const SizeClass& size_class = ClassOf(page);
  UZ_CHECK_EQ(View(page).object(place.slot), handle.index());
  FreedFrames freed;
  RemoveObject(group, page, place.slot, &freed);
  ++group.counts.frees;
  --group.counts.objects;
  group.counts.object_bytes -= size;
  const bool empty = page.live == 0 && page.state == ZspageState::kListed;
  if (empty) Retire(group, page);
  group.mutex.Unlock();

  handles_.ReturnIndex(handle.index());
  if (empty) pages_.Return(place.unit, size_class);
  GiveBack(freed);
  return outcome;
}

}  // namespace uzswap
