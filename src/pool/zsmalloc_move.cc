// Everything that takes objects or frames of a zsmalloc pool from one place to another: reclaim
// by zspage, compaction, migration of frames.
#include <bit>

#include "pool/zsmalloc_pool.h"

namespace uzswap {
namespace {

constexpr int kGatherMax = 4096;

}  // namespace

// --- Reclaim ---

ReclaimUnit ZsmallocPool::BeginReclaim(std::span<ObjectInfo> objects) {
  // A group may empty between the sweep and the lock; others then make progress.
  for (uint32_t attempt = 0; attempt < 8; ++attempt) {
    uint32_t oldest = 0;
    uint64_t stamp = UINT64_MAX;
    for (uint32_t home = 0; home < kShards * kGroupsInShard; ++home) {
      const uint64_t here = oldest_[home].load(std::memory_order_relaxed);
      if (here >= stamp) continue;
      stamp = here;
      oldest = home;
    }
    if (stamp == UINT64_MAX) return {};
    Group& group = GroupAt(oldest);
    MutexLock lock(group.mutex);
    Zspage* page = group.ages.back();
    if (page != nullptr) return BeginReclaimLocked(group, *page, objects);
  }
  return {};
}

ReclaimUnit ZsmallocPool::BeginReclaimOf(FrameId frame, std::span<ObjectInfo> objects) {
  uint32_t k = 0;
  const uint32_t unit = LockUnitOfFrame(frame, &k);
  if (unit == 0) return {};
  Zspage& page = pages_[unit];
  Group& group = GroupAt(page.home.load(std::memory_order_relaxed));
  group.mutex.AssertHeld();
  ReclaimUnit result;
  if (page.state == ZspageState::kListed) result = BeginReclaimLocked(group, page, objects);
  group.mutex.Unlock();
  return result;
}

ReclaimUnit ZsmallocPool::BeginReclaimLocked(Group& group, Zspage& page,
                                             std::span<ObjectInfo> objects) {
  Detach(group, page);
  const size_t count = ListObjects(page, 0, ClassOf(page).slots, objects);
  UZ_CHECK_LE(count, objects.size());
  return {pages_.UnitOf(page), static_cast<uint32_t>(std::popcount(page.present)),
          static_cast<uint32_t>(count)};
}

uint32_t ZsmallocPool::EndReclaim(const ReclaimUnit& unit) {
  UZ_CHECK(unit.valid());
  Group& group = LockUnit(unit.unit);
  group.mutex.AssertHeld();
  Zspage& page = pages_[unit.unit];
  UZ_CHECK(page.state == ZspageState::kUnderReclaim);
  const SizeClass& size_class = ClassOf(page);
  const auto left = static_cast<uint32_t>(std::popcount(page.present));
  if (left == 0) {
    Retire(group, page);
    ++group.counts.units_reclaimed;
  } else {
    Attach(group, page, true);
  }
  group.mutex.Unlock();
  if (left == 0) pages_.Return(unit.unit, size_class);
  return unit.frames - left;
}

// --- Moving one object ---

// Requires: to_slot is free and backed. False if the object is pinned.
bool ZsmallocPool::MoveObject(Group& group, Zspage& from, uint32_t slot, Zspage& to,
                              uint32_t to_slot, FreedFrames* freed) {
  const uint32_t index = View(from).object(slot);
  if (!handles_.TryBeginMove(index)) {
    ++group.counts.moves_refused;
    return false;
  }
  const size_t size = handles_.SizeOf(index);
  const Place source{pages_.UnitOf(from), static_cast<uint16_t>(slot)};
  const Place target{pages_.UnitOf(to), static_cast<uint16_t>(to_slot)};
  CopyBytes(Locate(source, size), Locate(target, size));
  // A mover's destination keeps its age: moving is not use.
  AddObject(group, to, to_slot, index);
  RemoveObject(group, from, slot, freed);
  handles_.EndMove(index, target);
  ++group.counts.objects_moved;
  return true;
}

// A free backed slot in the densest zspage that has one; never in frame `except` of `from`.
Zspage* ZsmallocPool::FindDestination(Group& group, const Zspage& from, uint32_t except,
                                      uint32_t* slot) {
  uint32_t mask = group.list_mask.load(std::memory_order_relaxed) & kPartialMask;
  while (mask != 0) {
    const int list = std::bit_width(mask) - 1;
    mask &= ~(1u << list);
    for (Zspage* page = group.lists[list].front(); page != nullptr;
         page = group.lists[list].Next(*page)) {
      *slot = View(*page).FindBacked(page == &from ? except : kNoFrame);
      if (*slot != kNoSlot) return page;
      UZ_CHECK(page == &from);  // only there may the free slots be out of bounds
    }
  }
  return nullptr;
}

MoveOutcome ZsmallocPool::TryMoveOut(Handle handle) {
  Group* home = LockHome(handle);
  if (home == nullptr) return MoveOutcome::kStale;
  Group& group = *home;
  group.mutex.AssertHeld();
  const Place place = handles_.PlaceOf(handle.index());
  Zspage& from = pages_[place.unit];
  MoveOutcome outcome = MoveOutcome::kNoRoom;
  FreedFrames freed;
  if (from.state == ZspageState::kUnderReclaim) {
    uint32_t slot = 0;
    Zspage* to = FindDestination(group, from, kNoFrame, &slot);
    if (to != nullptr) {
      outcome = MoveObject(group, from, place.slot, *to, slot, &freed) ? MoveOutcome::kMoved
                                                                       : MoveOutcome::kPinned;
    }
  }
  group.mutex.Unlock();
  GiveBack(freed);
  return outcome;
}

// --- Compaction ---

Zspage* ZsmallocPool::Sparsest(Group& group, uint32_t mask) {
  // Partial and growable zspages of the same tenth are equally sparse.
  mask &= group.list_mask.load(std::memory_order_relaxed);
  if (mask == 0) return nullptr;
  const uint32_t tenths = (mask & kPartialMask) | (mask >> kTenths);
  const int tenth = std::countr_zero(tenths);
  const bool partial = ((mask >> tenth) & 1) != 0;
  return group.lists[partial ? tenth : tenth + static_cast<int>(kTenths)].back();
}

Zspage* ZsmallocPool::Densest(Group& group, uint32_t mask, const Zspage* except) {
  mask &= group.list_mask.load(std::memory_order_relaxed);
  while (mask != 0) {
    const int list = std::bit_width(mask) - 1;
    mask &= ~(1u << list);
    Zspage* page = group.lists[list].front();
    if (page == except) page = group.lists[list].Next(*page);
    if (page != nullptr) return page;
  }
  return nullptr;
}

// Stage 1: one hold of the lock, at most as many moves as a frame has objects. False if no frame
// of the group can be emptied into free slots that are there.
bool ZsmallocPool::EmptyOneFrame(Group& group, CompactOutcome& outcome) {
  FreedFrames freed;
  bool progress = true;
  uint32_t retired = 0;
  {
    MutexLock lock(group.mutex);
    Zspage* from = Sparsest(group, kPartialMask);
    if (from == nullptr) return false;
    const SizeClass& size_class = ClassOf(*from);
    const ZspageView view = View(*from);
    const uint32_t k = view.SparsestFrame();
    const uint32_t end = size_class.EndIn(k);
    // The slots that go with the frame: its live ones need a place, its free ones are lost.
    uint32_t lost = 0;
    for (uint32_t slot = size_class.FirstIn(k); slot < end; ++slot) {
      lost += view.IsBacked(slot) ? 1 : 0;
    }
    if (group.backed - group.live < lost) return false;
    for (uint32_t slot = view.NextLive(size_class.FirstIn(k), end); slot != kNoSlot && progress;
         slot = view.NextLive(slot + 1, end)) {
      uint32_t to_slot = 0;
      Zspage* to = FindDestination(group, *from, k, &to_slot);
      // Pinned: the group is left to the next call.
      progress = to != nullptr && MoveObject(group, *from, slot, *to, to_slot, &freed);
      if (progress) ++outcome.objects_moved;
    }
    group.counts.frames_freed += freed.count;
    if (from->live == 0) {
      Retire(group, *from);
      retired = pages_.UnitOf(*from);
    }
  }
  outcome.frames_freed += freed.count;
  if (retired != 0) pages_.Return(retired, classes_[HomeOf(group) % kGroupsInShard]);
  GiveBack(freed);
  return progress;
}

// Whether the group holds frames that its objects would not need side by side, and not at the
// price of many moves for the last of them.
bool ZsmallocPool::WorthDraining(Group& group, const Zspage& from) {
  constexpr uint32_t kMovesForOneFrame = 32;
  const SizeClass& size_class = ClassOf(from);
  const uint64_t needed =
      (group.live * size_class.frames + size_class.slots - 1) / size_class.slots;
  if (group.frames <= needed) return false;
  return group.frames > needed + 1 || from.live <= kMovesForOneFrame;
}

// A free slot for an object of `from`: backed if there is one, else backed now; never in `from`.
bool ZsmallocPool::DrainSlot(Group& group, const Zspage& from, Zspage** to, uint32_t* slot) {
  *to = Densest(group, kPartialMask, &from);
  if (*to != nullptr) {
    *slot = View(**to).FindBacked();
    return true;
  }
  *to = Densest(group, kGrowableMask, &from);
  if (*to == nullptr) return false;
  *slot = View(**to).FindUnbacked();
  return BackSlot(group, **to, *slot);
}

// Takes back frames that were got for a slot and are not used after all.
void ZsmallocPool::UnbackSlot(Group& group, Zspage& page, uint32_t slot, FreedFrames* freed) {
  ZspageView view = View(page);
  const SizeClass& size_class = ClassOf(page);
  Uncount(group, page);
  for (uint32_t k = size_class.FirstFrameOf(slot); k <= size_class.LastFrameOf(slot); ++k) {
    if (view.CountLiveIn(k) != 0) continue;
    freed->frames[freed->count++] = view.frame(k);
    view.RemoveFrame(k);
    --group.counts.frames;
  }
  Count(group, page);
  List(group, page);
}

// Moves every object of `from` away, first of all into `to` if that is not null and has a slot
// waiting. False if it had to stop.
bool ZsmallocPool::Drain(Group& group, Zspage& from, Zspage* to, uint32_t to_slot,
                         FreedFrames* freed, CompactOutcome& outcome) {
  while (from.live > 0) {
    if (to == nullptr && !DrainSlot(group, from, &to, &to_slot)) return false;
    const uint32_t first = View(from).NextLive(0, ClassOf(from).slots);
    if (!MoveObject(group, from, first, *to, to_slot, freed)) {
      UnbackSlot(group, *to, to_slot, freed);
      return false;
    }
    ++outcome.objects_moved;
    to = nullptr;
  }
  return true;
}

// Stage 2: one zspage in one hold of the lock, so that it is either gone or has met a pin. False
// if there is nothing to gain or to do.
bool ZsmallocPool::DrainSparsest(Group& group, CompactOutcome& outcome) {
  constexpr uint32_t kAll = kPartialMask | kGrowableMask;
  const uint32_t home = HomeOf(group);
  Room fresh;
  {
    MutexLock lock(group.mutex);
    const Zspage* from = Sparsest(group, kAll);
    if (from == nullptr || !WorthDraining(group, *from)) return false;
    if (Densest(group, kAll, from) != nullptr) return DrainLocked(group, {}, outcome);
  }
  // The only zspage that is not full: its objects go side by side into a new one.
  fresh = NewZspage(home);
  if (fresh.page == nullptr) return false;
  group.mutex.AssertHeld();
  const bool progress = DrainLocked(group, fresh, outcome);
  group.mutex.Unlock();
  return progress;
}

bool ZsmallocPool::DrainLocked(Group& group, const Room& fresh, CompactOutcome& outcome) {
  Zspage* from = Sparsest(group, kPartialMask | kGrowableMask);
  FreedFrames freed;
  const uint64_t before = group.counts.frames;
  bool progress = false;
  if (fresh.page != nullptr) {
    fresh.page->stamp.store(from != nullptr ? from->stamp.load(std::memory_order_relaxed) : 0,
                            std::memory_order_relaxed);
    group.ages.PushBack(*fresh.page);
    PublishOldest(group);
  }
  if (from != nullptr && WorthDraining(group, *from)) {
    progress = Drain(group, *from, fresh.page, fresh.slot, &freed, outcome);
  } else if (fresh.page != nullptr) {
    UnbackSlot(group, *fresh.page, fresh.slot, &freed);
  }
  // What the destination took is not gained.
  const uint64_t after = group.counts.frames;
  if (after < before) {
    group.counts.frames_freed += before - after;
    outcome.frames_freed += static_cast<uint32_t>(before - after);
  }
  const SizeClass& size_class = classes_[HomeOf(group) % kGroupsInShard];
  for (Zspage* page : {from, fresh.page}) {
    if (page == nullptr || page->live > 0) continue;
    Retire(group, *page);
    pages_.Return(pages_.UnitOf(*page), size_class);
  }
  GiveBack(freed);
  return progress;
}

void ZsmallocPool::CompactGroup(Group& group, uint32_t budget, CompactOutcome& outcome) {
  while (outcome.objects_moved < budget && EmptyOneFrame(group, outcome)) {
  }
  while (outcome.objects_moved < budget && DrainSparsest(group, outcome)) {
  }
}

// Brings the partial zspages of a class in other shards to shard 0, so that they can be filled
// from one another. Between the two locks a zspage is as one under reclaim.
void ZsmallocPool::GatherPartials(uint32_t class_number) {
  Group& into = GroupAt(class_number);
  for (uint32_t shard = 1; shard < kShards; ++shard) {
    if (!IsBuilt(shard)) continue;
    Group& group = GroupAt(shard * kGroupsInShard + class_number);
    // Bounded, since others may go on filling that shard.
    for (int i = 0; i < kGatherMax && group.list_mask.load(std::memory_order_relaxed) != 0; ++i) {
      Zspage* page = nullptr;
      {
        MutexLock lock(group.mutex);
        page = Sparsest(group, kPartialMask | kGrowableMask);
        if (page == nullptr) break;
        Detach(group, *page);
        page->home.store(static_cast<uint16_t>(class_number), std::memory_order_relaxed);
      }
      bool empty = false;
      {
        MutexLock lock(into.mutex);
        empty = page->live == 0;
        if (empty) Retire(into, *page);
        if (!empty) Attach(into, *page, false);
      }
      if (empty) pages_.Return(pages_.UnitOf(*page), classes_[class_number]);
    }
  }
}

CompactOutcome ZsmallocPool::CompactStep(uint32_t budget) {
  CompactOutcome outcome;
  if (!compact_mutex_.TryLock()) return outcome;  // one compactor at a time
  if (!IsBuilt(0)) BuildShard(0);
  while (outcome.objects_moved < budget) {
    if (compact_class_ == classes_.count()) {
      compact_class_ = 0;
      outcome.done = true;
      break;
    }
    GatherPartials(compact_class_);
    CompactGroup(GroupAt(compact_class_), budget, outcome);
    if (outcome.objects_moved < budget) ++compact_class_;
  }
  compact_mutex_.Unlock();
  return outcome;
}

// --- Migration of frames ---

MigrateOutcome ZsmallocPool::TryMigrateFrame(FrameId from, FrameId to) {
  uint32_t k = 0;
  const uint32_t unit = LockUnitOfFrame(from, &k);
  if (unit == 0) return MigrateOutcome::kGone;  // freed, or taken and not yet listed
  Zspage& page = pages_[unit];
  Group& group = GroupAt(page.home.load(std::memory_order_relaxed));
  group.mutex.AssertHeld();
  ZspageView view = View(page);
  const SizeClass& size_class = ClassOf(page);
  const uint32_t first = size_class.FirstIn(k);
  const uint32_t end = size_class.EndIn(k);
  // Hold every object with bytes in the frame; where one is pinned, let go of those before it.
  uint32_t stop = view.NextLive(first, end);
  while (stop != kNoSlot && handles_.TryBeginMove(view.object(stop))) {
    stop = view.NextLive(stop + 1, end);
  }
  const bool held_all = stop == kNoSlot;
  if (held_all) {
    CopyFrame(from, to);
    arena_->SetTag(to, (uint64_t{k} << 32) | unit);
    view.SetFrame(k, to.raw());
    ++group.counts.frames_migrated;
  } else {
    ++group.counts.moves_refused;
  }
  const uint32_t held_end = held_all ? end : stop;
  for (uint32_t slot = view.NextLive(first, held_end); slot != kNoSlot;
       slot = view.NextLive(slot + 1, held_end)) {
    handles_.EndMove(view.object(slot), {unit, static_cast<uint16_t>(slot)});
  }
  group.mutex.Unlock();
  if (!held_all) return MigrateOutcome::kPinned;
  arena_->Free(from);
  return MigrateOutcome::kMoved;
}

}  // namespace uzswap
