// Compaction of a zsmalloc pool, in the two stages that zsmalloc_pool.h describes.
#include <bit>

#include "pool/zsmalloc_pool.h"

namespace uzswap {
namespace {

constexpr int kGatherMax = 4096;

}  // namespace

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

// Stage 1: one hold of the lock, with at most as many moves as a frame has objects. Returns false
// if no frame of the group can be emptied into free backed positions.
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
    // The positions that the frame takes with it: live ones need another position, free ones are
    // lost.
    uint32_t lost = 0;
    for (uint32_t position = size_class.FirstIn(k); position < end; ++position) {
      lost += view.IsBacked(position) ? 1 : 0;
    }
    if (group.backed - group.live < lost) return false;
    for (uint32_t position = view.NextLive(size_class.FirstIn(k), end);
         position != kNoPosition && progress; position = view.NextLive(position + 1, end)) {
      uint32_t to_position = 0;
      Zspage* to = FindDestination(group, *from, k, &to_position);
      // If an object is pinned, the next call continues with this group.
      progress = to != nullptr && MoveObject(group, *from, position, *to, to_position, &freed);
      if (progress) ++outcome.objects_moved;
    }
    group.counts.frames_freed += freed.count;
    if (from->live == 0) {
      Retire(group, *from);
      retired = pages_.UnitOf(*from);
    }
  }
  outcome.frames_freed += freed.count;
  if (retired != 0) pages_.Return(retired);
  FreeFrames(freed);
  return progress;
}

// Whether the group has frames that its objects would not need without holes. The last of these
// frames must not cost many moves.
bool ZsmallocPool::WorthDraining(Group& group, const Zspage& from) {
  constexpr uint32_t kMovesForOneFrame = 32;
  const SizeClass& size_class = ClassOf(from);
  const uint64_t needed =
      (group.live * size_class.frames + size_class.positions - 1) / size_class.positions;
  if (group.frames <= needed) return false;
  return group.frames > needed + 1 || from.live <= kMovesForOneFrame;
}

// A free position for an object of `from`, outside `from`. It takes a backed position if there is
// one; otherwise it backs one now.
bool ZsmallocPool::DrainPosition(Group& group, const Zspage& from, Zspage** to,
                                 uint32_t* position) {
  *to = Densest(group, kPartialMask, &from);
  if (*to != nullptr) {
    *position = View(**to).FindBacked();
    return true;
  }
  *to = Densest(group, kGrowableMask, &from);
  if (*to == nullptr) return false;
  *position = View(**to).FindUnbacked();
  return BackPosition(group, **to, *position);
}

// Frees the frames that were allocated to back a position, if that position is not used after all.
void ZsmallocPool::UnbackPosition(Group& group, Zspage& page, uint32_t position,
                                  FreedFrames* freed) {
  ZspageView view = View(page);
  const SizeClass& size_class = ClassOf(page);
  Uncount(group, page);
  for (uint32_t k = size_class.FirstFrameOf(position); k <= size_class.LastFrameOf(position); ++k) {
    if (view.CountLiveIn(k) != 0) continue;
    freed->frames[freed->count++] = view.frame(k);
    view.RemoveFrame(k);
    --group.counts.frames;
  }
  Count(group, page);
  List(group, page);
}

// Moves every object out of `from`. If `to` is not null, the first object goes to `to_position`
// there. Returns false if it had to stop.
bool ZsmallocPool::MoveObjects(Group& group, Zspage& from, Zspage* to, uint32_t to_position,
                               FreedFrames* freed, CompactOutcome& outcome) {
  while (from.live > 0) {
    if (to == nullptr && !DrainPosition(group, from, &to, &to_position)) return false;
    const uint32_t first = View(from).NextLive(0, ClassOf(from).positions);
    if (!MoveObject(group, from, first, *to, to_position, freed)) {
      UnbackPosition(group, *to, to_position, freed);
      return false;
    }
    ++outcome.objects_moved;
    to = nullptr;
  }
  return true;
}

// Stage 2: one zspage in one hold of the lock. After it the zspage is retired, or an object was
// pinned. Returns false if there is nothing to gain or nothing to do.
bool ZsmallocPool::EmptySparsest(Group& group, CompactOutcome& outcome) {
  constexpr uint32_t kAll = kPartialMask | kGrowableMask;
  const uint32_t home = HomeOf(group);
  Room fresh;
  {
    MutexLock lock(group.mutex);
    const Zspage* from = Sparsest(group, kAll);
    if (from == nullptr || !WorthDraining(group, *from)) return false;
    if (Densest(group, kAll, from) != nullptr) return DrainLocked(group, {}, outcome);
  }
  // This is the only zspage that is not full. Its objects go without holes into a new zspage.
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
    progress = MoveObjects(group, *from, fresh.page, fresh.position, &freed, outcome);
  } else if (fresh.page != nullptr) {
    UnbackPosition(group, *fresh.page, fresh.position, &freed);
  }
  // Frames that the destination allocated are not a gain.
  const uint64_t after = group.counts.frames;
  if (after < before) {
    group.counts.frames_freed += before - after;
    outcome.frames_freed += static_cast<uint32_t>(before - after);
  }
  for (Zspage* page : {from, fresh.page}) {
    if (page == nullptr || page->live > 0) continue;
    Retire(group, *page);
    pages_.Return(pages_.UnitOf(*page));
  }
  FreeFrames(freed);
  return progress;
}

void ZsmallocPool::CompactGroup(Group& group, uint32_t budget, CompactOutcome& outcome) {
  while (outcome.objects_moved < budget && EmptyOneFrame(group, outcome)) {
  }
  while (outcome.objects_moved < budget && EmptySparsest(group, outcome)) {
  }
}

// Moves the partial zspages of a class from other shards to shard 0, so that they can fill each
// other. Between the two locks a zspage has the state of a zspage under reclaim.
void ZsmallocPool::GatherPartials(uint32_t class_number) {
  Group& into = GroupAt(class_number);
  for (uint32_t shard = 1; shard < kShards; ++shard) {
    if (!IsBuilt(shard)) continue;
    Group& group = GroupAt(shard * kGroupsInShard + class_number);
    // Bounded, because other threads may keep filling that shard.
    for (int i = 0; i < kGatherMax && group.list_mask.load(std::memory_order_relaxed) != 0; ++i) {
      Zspage* page = nullptr;
      {
        MutexLock lock(group.mutex);
        page = Sparsest(group, kPartialMask | kGrowableMask);
        if (page == nullptr) break;
        Detach(group, *page);
        // Release: who finds this name locks `into`, perhaps before this thread does, and has to
        // see the zspage detached (LockHomeNamedBy).
        page->home.store(static_cast<uint16_t>(class_number), std::memory_order_release);
      }
      bool empty = false;
      {
        MutexLock lock(into.mutex);
        empty = page->live == 0;
        if (empty) Retire(into, *page);
        if (!empty) Attach(into, *page, false);
      }
      if (empty) pages_.Return(pages_.UnitOf(*page));
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

}  // namespace uzswap
