#include "pool/zbud_pool.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/thread_shard.h"

namespace uzswap {
namespace {

constexpr uint32_t ChunksFor(size_t size) {
  return static_cast<uint32_t>((size + ZbudPool::kChunkSize - 1) / ZbudPool::kChunkSize);
}
static_assert(ChunksFor(1) == 1 && ChunksFor(64) == 1 && ChunksFor(65) == 2);
static_assert(ChunksFor(kPageSize) == ZbudPool::kChunks);

}  // namespace

Result<void> ZbudPool::Init(const PoolOptions& options) {
  const uint64_t units = options.arena->capacity().raw() + 1;
  auto buds = os::VirtualArray<Bud>::Create(units, "zbud descriptors");
  if (!buds.ok()) return buds.error();
  buds_ = std::move(buds).value();
  units_.Init(units);
  return InitHandles(options);
}

ZbudPool::~ZbudPool() {
  uint64_t live = 0;
  for (Shard& shard : shards_) {
    MutexLock lock(shard.mutex);
    live += shard.counts.objects;
  }
  Finish(live);
}

size_t ZbudPool::FootprintOf(size_t size) const { return size_t{ChunksFor(size)} * kChunkSize; }

uint32_t ZbudPool::HoleOf(const Bud& bud) { return kChunks - bud.chunks[0] - bud.chunks[1]; }

uint32_t ZbudPool::TakeUnit() {
  return units_.Take([this](uint32_t i) -> auto& { return buds_[i].stamp; });
}
void ZbudPool::ReturnUnit(uint32_t unit) {
  units_.Put(
      unit, [this](uint32_t i) -> auto& { return buds_[i].stamp; });
}

// --- Finding an object and its lock ---

Extent ZbudPool::Locate(Place place, size_t size) {
  const Bud& bud = buds_[place.unit];
  const size_t offset = place.slot == 0 ? 0 : kPageSize - FootprintOf(size);
  Extent extent;
  extent.count = 1;
  extent.parts[0] = {FrameId(bud.frame), static_cast<uint32_t>(offset),
                     static_cast<uint32_t>(size)};
  return extent;
}

// The lock that guards an object depends on where it is, so: look, lock, look again. The analysis
// cannot follow; the caller asserts the lock and unlocks it.
ZbudPool::Shard* ZbudPool::LockHome(Handle handle) UZ_NO_THREAD_SAFETY_ANALYSIS {
  while (handles_.IsLive(handle)) {
    const Place place = handles_.PlaceOf(handle.index());
    if (place.unit >= buds_.capacity()) continue;  // freed since; the loop will see it
    Shard& shard = LockUnit(place.unit);
    if (handles_.IsLive(handle) && handles_.PlaceOf(handle.index()).unit == place.unit) {
      return &shard;
    }
    shard.mutex.Unlock();
  }
  return nullptr;
}

// As above; a unit keeps its shard while that shard's lock is held.
ZbudPool::Shard& ZbudPool::LockUnit(uint32_t unit) UZ_NO_THREAD_SAFETY_ANALYSIS {
  for (;;) {
    const uint32_t number = buds_[unit].shard.load(std::memory_order_relaxed);
    Shard& shard = shards_[number];
    shard.mutex.Lock();
    if (buds_[unit].shard.load(std::memory_order_relaxed) == number) return shard;
    shard.mutex.Unlock();
  }
}

// Requires: the unit is unused. Whoever still looks at it does so under the lock of its old shard.
void ZbudPool::MoveUnitTo(uint32_t unit, uint32_t shard) {
  if (buds_[unit].shard.load(std::memory_order_relaxed) == shard) return;
  Shard& old = LockUnit(unit);
  old.mutex.AssertHeld();
  buds_[unit].shard.store(shard, std::memory_order_relaxed);
  old.mutex.Unlock();
}

void ZbudPool::WaitForMove(uint32_t index) {
  const Place place = handles_.PlaceOf(index);
  if (place.unit >= buds_.capacity()) return;
  Shard& shard = LockUnit(place.unit);
  shard.mutex.AssertHeld();
  shard.mutex.Unlock();
}

// --- Allocation ---

AllocateResult ZbudPool::PlaceObject(size_t size, uint64_t owner_key, uint32_t pins) {
  const uint32_t mine = ThreadShard() % kShards;
  const Request request{handles_.TakeIndex(), ChunksFor(size), size, owner_key, pins};
  Handle handle;
  if (request.index != 0) {
    const auto others = [&](std::atomic<uint64_t> Shard::*mask) {
      for (uint32_t i = 1; i < kShards && !handle.valid() && request.chunks < kChunks; ++i) {
        Shard& shard = shards_[(mine + i) % kShards];
        if (((shard.*mask).load(std::memory_order_relaxed) >> request.chunks) == 0) continue;
        handle = PlaceInHole(shard, request);
      }
    };
    handle = PlaceInHole(shards_[mine], request);
    if (!handle.valid()) others(&Shard::plenty_mask);
    if (!handle.valid()) handle = PlaceInFreshFrame(mine, request);
    if (!handle.valid()) others(&Shard::fit_mask);
  }
  if (handle.valid()) return {AllocateOutcome::kAllocated, handle};
  if (request.index != 0) handles_.ReturnIndex(request.index);
  MutexLock lock(shards_[mine].mutex);
  ++shards_[mine].counts.no_space;
  return {AllocateOutcome::kNoSpace, {}};
}

Handle ZbudPool::PlaceInHole(Shard& shard, const Request& request) {
  if (request.chunks >= kChunks) return {};
  if ((shard.fit_mask.load(std::memory_order_relaxed) >> request.chunks) == 0) return {};
  MutexLock lock(shard.mutex);
  Bud* bud = FindHole(shard, request.chunks, nullptr);
  if (bud == nullptr) return {};
  return PublishIn(shard, *bud, bud->chunks[0] == 0 ? 0 : 1, request);
}

Handle ZbudPool::PlaceInFreshFrame(uint32_t shard_number, const Request& request) {
  const uint32_t unit = TakeUnit();
  if (unit == 0) return {};
  const FrameId frame = arena_->Allocate(FrameKind::kPool, owner_id_, unit);
  if (!frame.valid()) {
    ReturnUnit(unit);
    return {};
  }
  MoveUnitTo(unit, shard_number);
  Shard& shard = shards_[shard_number];
  MutexLock lock(shard.mutex);
  Bud& bud = buds_[unit];
  bud.frame = frame.raw();
  bud.state = BudState::kListed;
  ++shard.counts.frames;
  return PublishIn(shard, bud, 0, request);
}

Handle ZbudPool::PublishIn(Shard& shard, Bud& bud, int side, const Request& request) {
  AddObject(shard, bud, side, request.index, request.chunks);
  ++shard.counts.allocations;
  ++shard.counts.objects;
  shard.counts.object_bytes += request.size;
  const Place place{UnitOf(bud), static_cast<uint16_t>(side)};
  return handles_.Publish(request.index, request.size, request.owner_key, place, request.pins);
}

ZbudPool::Bud* ZbudPool::FindHole(Shard& shard, uint32_t chunks, const Bud* except) {
  if (chunks >= kChunks) return nullptr;
  uint64_t mask = shard.fit_mask.load(std::memory_order_relaxed) >> chunks << chunks;
  while (mask != 0) {
    const int hole = std::countr_zero(mask);
    Bud* bud = shard.fits[hole].front();
    if (bud == except) bud = shard.fits[hole].Next(*bud);
    if (bud != nullptr) return bud;
    mask &= mask - 1;
  }
  return nullptr;
}

void ZbudPool::AddObject(Shard& shard, Bud& bud, int side, uint32_t index, uint32_t chunks) {
  UZ_CHECK(bud.object[side] == 0 && chunks <= HoleOf(bud));
  bud.object[side] = index;
  bud.chunks[side] = static_cast<uint8_t>(chunks);
  Relist(shard, bud);
  if (bud.state == BudState::kListed) MakeYoungest(shard, bud);
}

void ZbudPool::RemoveObject(Shard& shard, Bud& bud, int side) {
  bud.object[side] = 0;
  bud.chunks[side] = 0;
  if (bud.state == BudState::kListed) Relist(shard, bud);
}

// Puts the bud on the list its hole belongs to, or on none.
void ZbudPool::Relist(Shard& shard, Bud& bud) {
  UnlistFit(shard, bud);
  const bool single = (bud.object[0] == 0) != (bud.object[1] == 0);
  const uint32_t hole = HoleOf(bud);
  if (bud.state != BudState::kListed || !single || hole == 0) return;
  shard.fits[hole].PushFront(bud);
  bud.hole = static_cast<uint8_t>(hole);
  const uint64_t bit = uint64_t{1} << hole;
  const size_t size = shard.fits[hole].size();
  if (size == 1) shard.fit_mask.fetch_or(bit, std::memory_order_relaxed);
  if (size == kPlenty) shard.plenty_mask.fetch_or(bit, std::memory_order_relaxed);
}

void ZbudPool::UnlistFit(Shard& shard, Bud& bud) {
  if (bud.hole == 0) return;
  shard.fits[bud.hole].Remove(bud);
  const uint64_t bit = uint64_t{1} << bud.hole;
  const size_t size = shard.fits[bud.hole].size();
  if (size == 0) shard.fit_mask.fetch_and(~bit, std::memory_order_relaxed);
  if (size == kPlenty - 1) shard.plenty_mask.fetch_and(~bit, std::memory_order_relaxed);
  bud.hole = 0;
}

void ZbudPool::MakeYoungest(Shard& shard, Bud& bud) {
  if (++shard.additions % kStampEvery == 0) clock_.fetch_add(1, std::memory_order_relaxed);
  bud.stamp.store(clock_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  if (shard.ages.front() == &bud) return;
  if (bud.age_link.linked()) shard.ages.Remove(bud);
  shard.ages.PushFront(bud);
  PublishOldest(shard);
}

void ZbudPool::PublishOldest(Shard& shard) {
  const Bud* oldest = shard.ages.back();
  shard.oldest.store(oldest != nullptr ? oldest->stamp.load(std::memory_order_relaxed) : UINT64_MAX,
                     std::memory_order_relaxed);
}

// --- Freeing ---

RetireOutcome ZbudPool::RetireAndRemove(Handle handle) {
  Shard* home = LockHome(handle);
  if (home == nullptr) return handles_.Retire(handle);  // which tells a double free from the rest
  Shard& shard = *home;
  shard.mutex.AssertHeld();
  const size_t size = handles_.SizeOf(handle.index());
  const Place place = handles_.PlaceOf(handle.index());
  const RetireOutcome outcome = handles_.Retire(handle);
  if (outcome != RetireOutcome::kRetired) {
    shard.mutex.Unlock();
    return outcome;
  }
  Bud& bud = buds_[place.unit];
  UZ_CHECK_EQ(bud.object[place.slot], handle.index());
  RemoveObject(shard, bud, place.slot);
  ++shard.counts.frees;
  --shard.counts.objects;
  shard.counts.object_bytes -= size;
  const uint32_t frame = bud.frame;
  const bool empty = bud.state == BudState::kListed && HoleOf(bud) == kChunks;
  if (empty) Retire(shard, bud);
  shard.mutex.Unlock();

  handles_.ReturnIndex(handle.index());
  if (empty) Release(place.unit, frame);
  return outcome;
}

void ZbudPool::Retire(Shard& shard, Bud& bud) {
  UZ_CHECK_EQ(HoleOf(bud), kChunks);
  UnlistFit(shard, bud);
  if (bud.age_link.linked()) shard.ages.Remove(bud);
  bud.state = BudState::kUnused;
  --shard.counts.frames;
  PublishOldest(shard);
}

void ZbudPool::Release(uint32_t unit, uint32_t frame) {
  // The number first, so that whoever gets the frame finds a number for it.
  ReturnUnit(unit);
  arena_->Free(FrameId(frame));
}

// --- Looking ---

size_t ZbudPool::List(const Bud& bud, std::span<ObjectInfo> objects) const {
  size_t count = 0;
  for (const uint32_t index : bud.object) {
    if (index == 0) continue;
    if (count < objects.size()) objects[count] = Describe(index);
    ++count;
  }
  return count;
}

size_t ZbudPool::ListObjectsInFrame(FrameId frame, std::span<ObjectInfo> objects) {
  if (arena_->kind(frame) != FrameKind::kPool || arena_->owner(frame) != owner_id_) return 0;
  const uint64_t unit = arena_->tag(frame);
  if (unit == 0 || unit >= buds_.capacity()) return 0;
  Shard& shard = LockUnit(static_cast<uint32_t>(unit));
  shard.mutex.AssertHeld();
  const Bud& bud = buds_[unit];
  const bool here = bud.state != BudState::kUnused && bud.frame == frame.raw();
  const size_t count = here ? List(bud, objects) : 0;
  shard.mutex.Unlock();
  return count;
}

PoolStatistics ZbudPool::Snapshot() {
  PoolStatistics sum;
  for (Shard& shard : shards_) {
    MutexLock lock(shard.mutex);
    sum += shard.counts;
  }
  sum.units = sum.frames;
  sum.pin_waits = pin_waits_.Get();
  sum.metadata_bytes = handles_.touched() * HandleTable::record_size() +
                       units_.touched() * sizeof(Bud) + sizeof(*this) +
                       sum.frames * FrameArena::descriptor_size();
  return sum;
}

void ZbudPool::Audit() {
  uint64_t objects = 0;
  uint64_t frames = 0;
  uint64_t frames_counted = 0;
  for (uint32_t number = 0; number < kShards; ++number) {
    Shard& shard = shards_[number];
    MutexLock lock(shard.mutex);
    shard.ages.Audit();
    frames_counted += shard.counts.frames;
    size_t singles = 0;
    for (Bud* bud = shard.ages.front(); bud != nullptr; bud = shard.ages.Next(*bud)) {
      ++frames;
      UZ_CHECK(bud->state == BudState::kListed);
      UZ_CHECK_EQ(bud->shard.load(std::memory_order_relaxed), number);
      UZ_CHECK_EQ(arena_->tag(FrameId(bud->frame)), uint64_t{UnitOf(*bud)});
      UZ_CHECK_LT(HoleOf(*bud), kChunks);
      if (bud->hole != 0) UZ_CHECK_EQ(uint32_t{bud->hole}, HoleOf(*bud));
      if (bud->hole != 0) ++singles;
      for (uint16_t side = 0; side < 2; ++side) {
        const uint32_t index = bud->object[side];
        UZ_CHECK_EQ(index == 0, bud->chunks[side] == 0);
        if (index == 0) continue;
        ++objects;
        UZ_CHECK((handles_.PlaceOf(index) == Place{UnitOf(*bud), side}));
        UZ_CHECK_EQ(ChunksFor(handles_.SizeOf(index)), uint32_t{bud->chunks[side]});
      }
    }
    size_t listed = 0;
    for (uint32_t hole = 0; hole < kChunks; ++hole) {
      const size_t size = shard.fits[hole].size();
      const uint64_t bit = uint64_t{1} << hole;
      listed += size;
      UZ_CHECK_EQ(size > 0, (shard.fit_mask.load(std::memory_order_relaxed) & bit) != 0);
      UZ_CHECK_EQ(size >= kPlenty, (shard.plenty_mask.load(std::memory_order_relaxed) & bit) != 0);
    }
    UZ_CHECK_EQ(listed, singles);
  }
  UZ_CHECK_EQ(frames, frames_counted);
  UZ_CHECK_EQ(objects, handles_.CountLiveForAudit());
}

}  // namespace uzswap
