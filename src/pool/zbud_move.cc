// Operations of a zbud pool that move objects or frames: reclaim of whole frames, compaction in
// pairs, migration of frames.
#include <algorithm>
#include <bit>

#include "pool/zbud_pool.h"

namespace uzswap {
namespace {

constexpr int kGatherMax = 65536;

}  // namespace

// --- Reclaim ---

ReclaimUnit ZbudPool::BeginReclaim(std::span<ObjectInfo> objects) {
  for (uint32_t attempt = 0; attempt < kShards; ++attempt) {
    Shard* oldest = nullptr;
    uint64_t stamp = UINT64_MAX;
    for (Shard& shard : shards_) {
      const uint64_t here = shard.oldest.load(std::memory_order_relaxed);
      if (here >= stamp) continue;
      stamp = here;
      oldest = &shard;
    }
    if (oldest == nullptr) return {};
    MutexLock lock(oldest->mutex);
    Bud* bud = oldest->ages.back();
    if (bud != nullptr) return Detach(*oldest, *bud, objects);
  }
  return {};
}

ReclaimUnit ZbudPool::Detach(Shard& shard, Bud& bud, std::span<ObjectInfo> objects) {
  UnlistFit(shard, bud);
  shard.ages.Remove(bud);
  bud.state = BudState::kUnderReclaim;
  PublishOldest(shard);
  const size_t count = List(bud, objects);
  UZ_CHECK_LE(count, objects.size());
  return {UnitOf(bud), 1, static_cast<uint32_t>(count), arena_->AddressOf(FrameId(bud.frame))};
}

uint32_t ZbudPool::EndReclaim(const ReclaimUnit& unit) {
  UZ_CHECK(unit.valid());
  Shard& shard = LockUnit(unit.unit);
  shard.mutex.AssertHeld();
  Bud& bud = buds_[unit.unit];
  UZ_CHECK(bud.state == BudState::kUnderReclaim);
  const uint32_t frame = bud.frame;
  const bool empty = HoleOf(bud) == kChunks;
  if (empty) {
    Retire(shard, bud);
    ++shard.counts.units_reclaimed;
  } else {
    bud.state = BudState::kListed;
    Relist(shard, bud);
    MakeYoungest(shard, bud);
  }
  shard.mutex.Unlock();
  if (empty) Release(unit.unit, frame);
  return empty ? 1 : 0;
}

// --- Moving one object ---

// Requires: one side of `to` is free and its hole is large enough.
bool ZbudPool::MoveObject(Shard& shard, Bud& from, int side, Bud& to) {
  const uint32_t index = from.object[side];
  if (!handles_.TryBeginMove(index)) {
    ++shard.counts.moves_refused;
    return false;
  }
  const size_t size = handles_.SizeOf(index);
  const uint32_t free_side = to.object[0] == 0 ? 0 : 1;
  // The destination frame keeps its age: a move is not a use.
  to.object[free_side] = index;
  to.chunks[free_side] = from.chunks[side];
  const Location target = LocationIn(to, free_side);
  CopyBytes(Locate(LocationIn(from, static_cast<uint32_t>(side)), size), Locate(target, size));
  Relist(shard, to);
  RemoveObject(shard, from, side);
  handles_.EndMove(index, target);
  ++shard.counts.objects_moved;
  return true;
}

MoveOutcome ZbudPool::TryMoveOut(Handle handle) {
  Shard* home = LockHome(handle);
  if (home == nullptr) return MoveOutcome::kStale;
  Shard& shard = *home;
  shard.mutex.AssertHeld();
  const Location location = handles_.LocationOf(handle.index());
  Bud& from = buds_[location.unit];
  MoveOutcome outcome = MoveOutcome::kNoRoom;
  if (from.state == BudState::kUnderReclaim) {
    Bud* to = FindHole(shard, from.chunks[location.position], nullptr);
    if (to != nullptr) {
      outcome = MoveObject(shard, from, location.position, *to) ? MoveOutcome::kMoved
                                                                : MoveOutcome::kPinned;
    }
  }
  shard.mutex.Unlock();
  return outcome;
}

// --- Compaction ---

// The frame with the largest single object that fits beside the one in `bud`; nullptr if there is
// none.
ZbudPool::Bud* ZbudPool::PairFor(Shard& shard, Bud& bud) {
  // An object of c chunks leaves a hole of kChunks - c. So c <= hole means a hole of at least this:
  return FindHole(shard, kChunks - bud.hole, &bud);
}

// Pairs the largest single object with the largest one that fits beside it, then the next largest,
// and so on. With two objects in a frame this leaves the fewest frames. Returns true if no pair is
// left.
bool ZbudPool::CompactShard(Shard& shard, uint32_t budget, CompactOutcome& outcome) {
  uint32_t hole = 1;
  while (hole < kChunks) {
    uint32_t freed[kMovesPerHold][2];
    uint32_t freed_count = 0;
    {
      MutexLock lock(shard.mutex);
      while (hole < kChunks && freed_count < kMovesPerHold && outcome.objects_moved < budget) {
        Bud* to = shard.fits[hole].front();
        Bud* from = to != nullptr ? PairFor(shard, *to) : nullptr;
        if (from == nullptr) {
          ++hole;  // no object fits into a hole of this size
          continue;
        }
        const int side = from->object[0] != 0 ? 0 : 1;
        if (!MoveObject(shard, *from, side, *to)) {
          ++hole;  // pinned: the next call does the rest of this hole size
          continue;
        }
        freed[freed_count][0] = UnitOf(*from);
        freed[freed_count][1] = from->frame;
        ++freed_count;
        ++outcome.objects_moved;
        ++shard.counts.frames_freed;
        Retire(shard, *from);
      }
    }
    for (uint32_t i = 0; i < freed_count; ++i) Release(freed[i][0], freed[i][1]);
    outcome.frames_freed += freed_count;
    if (outcome.objects_moved >= budget) return false;
  }
  return true;
}

// Moves the frames with one object from other shards to one shard, so that they can be paired.
// Between the two locks the bud has the state of a bud under reclaim: it is on no list, and frees
// do not retire it.
void ZbudPool::GatherSingles(Shard& into) {
  const auto number = static_cast<uint32_t>(&into - shards_);
  for (Shard& shard : shards_) {
    if (&shard == &into) continue;
    // Bounded, because other threads may keep filling that shard.
    for (int i = 0; i < kGatherMax && shard.fit_mask.load(std::memory_order_relaxed) != 0; ++i) {
      uint32_t unit = 0;
      {
        MutexLock lock(shard.mutex);
        Bud* bud = FindHole(shard, 1, nullptr);
        if (bud == nullptr) break;
        unit = UnitOf(*bud);
        UnlistFit(shard, *bud);
        shard.ages.Remove(*bud);
        bud->state = BudState::kUnderReclaim;
        PublishOldest(shard);
        bud->shard.store(number, std::memory_order_release);
      }
      ListGathered(into, unit);
    }
  }
}

// Lists a bud that came from another shard, at the end of the list that fits its age.
void ZbudPool::ListGathered(Shard& into, uint32_t unit) {
  Bud& bud = buds_[unit];
  bool empty = false;
  uint32_t frame = 0;
  {
    MutexLock lock(into.mutex);
    frame = bud.frame;
    empty = HoleOf(bud) == kChunks;
    bud.state = BudState::kListed;
    if (empty) {
      Retire(into, bud);
    } else {
      Relist(into, bud);
      const bool older =
          bud.stamp.load(std::memory_order_relaxed) <= into.oldest.load(std::memory_order_relaxed);
      if (older) into.ages.PushBack(bud);
      if (!older) into.ages.PushFront(bud);
      PublishOldest(into);
    }
  }
  if (empty) Release(unit, frame);
}

CompactOutcome ZbudPool::CompactStep(uint32_t budget) {
  CompactOutcome outcome;
  for (Shard& shard : shards_) {
    if (!CompactShard(shard, budget, outcome)) return outcome;
  }
  // Objects that found no partner in their own shard may find one in another.
  GatherSingles(shards_[0]);
  outcome.done = CompactShard(shards_[0], budget, outcome);
  return outcome;
}

// --- Migration of frames ---

MigrateOutcome ZbudPool::TryMigrateFrame(FrameId from, FrameId to) {
  const uint64_t unit = arena_->tag(from);
  if (unit == 0 || unit >= units_.touched()) return MigrateOutcome::kGone;
  Shard& shard = LockUnit(static_cast<uint32_t>(unit));
  shard.mutex.AssertHeld();
  Bud& bud = buds_[unit];
  // The frame was freed meanwhile, or allocated and not yet listed. The caller looks again.
  if (!IsUsed(bud) || bud.frame != from.raw()) {
    shard.mutex.Unlock();
    return MigrateOutcome::kGone;
  }
  bool held[2] = {};
  bool all = true;
  for (int side = 0; side < 2; ++side) {
    if (bud.object[side] == 0) continue;
    held[side] = handles_.TryBeginMove(bud.object[side]);
    all = all && held[side];
  }
  if (all) {
    CopyFrame(from, to);
    arena_->SetTag(to, unit);
    bud.frame = to.raw();
    ++shard.counts.frames_migrated;
  } else {
    ++shard.counts.moves_refused;
  }
  for (uint32_t side = 0; side < 2; ++side) {
    if (held[side]) handles_.EndMove(bud.object[side], LocationIn(bud, side));
  }
  shard.mutex.Unlock();
  if (!all) return MigrateOutcome::kPinned;
  arena_->Free(from);
  return MigrateOutcome::kMoved;
}

}  // namespace uzswap
