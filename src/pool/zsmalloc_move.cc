// Operations of a zsmalloc pool that move objects or frames: reclaim of zspages, migration of
// frames. Compaction is in zsmalloc_compact.cc.
#include <bit>

#include "pool/zsmalloc_pool.h"

namespace uzswap {

// --- Reclaim ---

ReclaimUnit ZsmallocPool::BeginReclaim(std::span<ObjectInfo> objects) {
  // A group may become empty between the sweep and the lock. Then other threads made progress.
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
    // The stamp is relaxed, so it does not order the construction of the group. The flag does.
    if (!IsBuilt(oldest / kGroupsInShard)) continue;
    Group& group = GroupAt(oldest);
    MutexLock lock(group.mutex);
    Zspage* page = group.ages.back();
    if (page != nullptr) return BeginReclaimLocked(group, *page, objects);
  }
  return {};
}

ReclaimUnit ZsmallocPool::BeginReclaimLocked(Group& group, Zspage& page,
                                             std::span<ObjectInfo> objects) {
  Detach(group, page);
  const size_t count = ListObjects(page, 0, ClassOf(page).positions, objects);
  UZ_CHECK_LE(count, objects.size());
  ReclaimUnit unit = {pages_.UnitOf(page), static_cast<uint32_t>(std::popcount(page.present)),
                      static_cast<uint32_t>(count)};
  if (page.present != 0) {
    const auto first = static_cast<uint32_t>(std::countr_zero(page.present));
    unit.at = arena_->AddressOf(FrameId(View(page).frame(first)));
  }
  return unit;
}

uint32_t ZsmallocPool::EndReclaim(const ReclaimUnit& unit) {
  UZ_CHECK(unit.valid());
  Group& group = LockUnit(unit.unit);
  group.mutex.AssertHeld();
  Zspage& page = pages_[unit.unit];
  UZ_CHECK(page.state == ZspageState::kUnderReclaim);
  const auto left = static_cast<uint32_t>(std::popcount(page.present));
  if (left == 0) {
    Retire(group, page);
    ++group.counts.units_reclaimed;
  } else {
    Attach(group, page, true);
  }
  group.mutex.Unlock();
  if (left == 0) pages_.Return(unit.unit);
  return unit.frames - left;
}

// --- Moving one object ---

// Requires: to_position is free and backed. Returns false if the object is pinned.
bool ZsmallocPool::MoveObject(Group& group, Zspage& from, uint32_t position, Zspage& to,
                              uint32_t to_position, FreedFrames* freed) {
  const uint32_t index = View(from).object(position);
  if (!handles_.TryBeginMove(index)) {
    ++group.counts.moves_refused;
    return false;
  }
  const size_t size = handles_.SizeOf(index);
  const Location target = LocationIn(to, to_position);
  CopyBytes(Locate(LocationIn(from, position), size), Locate(target, size));
  // The destination keeps its age: a move is not a use.
  AddObject(group, to, to_position, index);
  RemoveObject(group, from, position, freed);
  handles_.EndMove(index, target);
  ++group.counts.objects_moved;
  return true;
}

// A free backed position in the densest zspage that has one, but never in frame `except` of `from`.
Zspage* ZsmallocPool::FindDestination(Group& group, const Zspage& from, uint32_t except,
                                      uint32_t* position) {
  uint32_t mask = group.list_mask.load(std::memory_order_relaxed) & kPartialMask;
  while (mask != 0) {
    const int list = std::bit_width(mask) - 1;
    mask &= ~(1u << list);
    for (Zspage* page = group.lists[list].front(); page != nullptr;
         page = group.lists[list].Next(*page)) {
      *position = View(*page).FindBacked(page == &from ? except : kNoFrame);
      if (*position != kNoPosition) return page;
      UZ_CHECK(page == &from);  // only in `from` can the free positions be excluded
    }
  }
  return nullptr;
}

MoveOutcome ZsmallocPool::TryMoveOut(Handle handle) {
  Group* home = LockHome(handle);
  if (home == nullptr) return MoveOutcome::kStale;
  Group& group = *home;
  group.mutex.AssertHeld();
  const Location location = handles_.LocationOf(handle.index());
  Zspage& from = pages_[location.unit];
  MoveOutcome outcome = MoveOutcome::kNoRoom;
  FreedFrames freed;
  if (from.state == ZspageState::kUnderReclaim) {
    uint32_t position = 0;
    Zspage* to = FindDestination(group, from, kNoFrame, &position);
    if (to != nullptr) {
      outcome = MoveObject(group, from, location.position, *to, position, &freed)
                    ? MoveOutcome::kMoved
                    : MoveOutcome::kPinned;
    }
  }
  group.mutex.Unlock();
  FreeFrames(freed);
  return outcome;
}

// --- Migration of frames ---

MigrateOutcome ZsmallocPool::TryMigrateFrame(FrameId from, FrameId to) {
  uint32_t k = 0;
  const uint32_t unit = LockUnitOfFrame(from, &k);
  if (unit == 0) return MigrateOutcome::kGone;  // freed, or allocated and not yet listed
  Zspage& page = pages_[unit];
  Group& group = GroupAt(page.home.load(std::memory_order_relaxed));
  group.mutex.AssertHeld();
  ZspageView view = View(page);
  const SizeClass& size_class = ClassOf(page);
  const uint32_t first = size_class.FirstIn(k);
  const uint32_t end = size_class.EndIn(k);
  // Begins a move of every object with bytes in the frame. If one is pinned, ends the moves of
  // those before it.
  uint32_t stop = view.NextLive(first, end);
  while (stop != kNoPosition && handles_.TryBeginMove(view.object(stop))) {
    stop = view.NextLive(stop + 1, end);
  }
  const bool held_all = stop == kNoPosition;
  if (held_all) {
    CopyFrame(from, to);
    arena_->SetTag(to, (uint64_t{k} << 32) | unit);
    view.SetFrame(k, to.raw());
    ++group.counts.frames_migrated;
  } else {
    ++group.counts.moves_refused;
  }
  // Writes the new frame into the records.
  const uint32_t held_end = held_all ? end : stop;
  for (uint32_t position = view.NextLive(first, held_end); position != kNoPosition;
       position = view.NextLive(position + 1, held_end)) {
    handles_.EndMove(view.object(position), LocationIn(page, position));
  }
  group.mutex.Unlock();
  if (!held_all) return MigrateOutcome::kPinned;
  arena_->Free(from);
  return MigrateOutcome::kMoved;
}

}  // namespace uzswap
