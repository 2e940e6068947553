#include "pool/zbud_pool.h"

#include <utility>

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
  auto buds = os::VirtualArray<Bud>::Reserve(units, "zbud descriptors");
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

uint32_t ZbudPool::TakeUnit() {
  return units_.Take(
      [this](uint32_t i) -> auto& { return buds_[i].stamp; },
      [this](uint64_t count) {
        MutexLock lock(growth_mutex_);
        return buds_.Reach(count);
      });
}
void ZbudPool::ReturnUnit(uint32_t unit) {
  units_.Put(
      unit, [this](uint32_t i) -> auto& { return buds_[i].stamp; });
}

// --- Finding an object and its lock ---

Location ZbudPool::LocationIn(const Bud& bud, uint32_t side) const {
  const uint32_t begin = side == 0 ? 0 : kChunks - bud.chunks[1];
  return {UnitOf(bud), side, bud.frame, begin * static_cast<uint32_t>(kChunkSize)};
}

FrameId ZbudPool::SecondFrameOf(const Location&) {
  Panic(__FILE__, __LINE__, "an object of a zbud pool beyond the end of its frame");
}

ZbudPool::Shard* ZbudPool::LockHome(Handle handle) {
  return LockHomeOf<Shard>(handle, buds_.capacity(),
                           [this](uint32_t unit) -> Shard& { return LockUnit(unit); });
}

ZbudPool::Shard& ZbudPool::LockUnit(uint32_t unit) {
  return LockHomeNamedBy(buds_[unit].shard,
                         [this](uint32_t number) -> Shard& { return shards_[number]; });
}

void ZbudPool::MoveUnitTo(uint32_t unit, uint32_t shard) {
  ChangeHome(buds_[unit].shard, shard, buds_[unit].state == BudState::kNeverUsed,
             [this](uint32_t number) -> Shard& { return shards_[number]; });
}

void ZbudPool::WaitForMove(uint32_t index) {
  PassThroughHomeOf(index, buds_.capacity(),
                    [this](uint32_t unit) -> Shard& { return LockUnit(unit); });
}

// --- Allocation ---

AllocateResult ZbudPool::AllocateObject(size_t size, uint64_t owner_key, uint32_t pins) {
  const uint32_t mine = ThreadShard() % kShards;
  const Request request{handles_.TakeIndex(), ChunksFor(size), size, owner_key, pins};
  Handle handle;
  if (request.index != 0) {
    handle = AllocateInHole(shards_[mine], request);
    if (!handle.valid()) handle = AllocateWherePlenty(mine, request);
    if (!handle.valid()) handle = AllocateInFreshFrame(mine, request);
    if (!handle.valid()) handle = AllocateInAnyHole(mine, request);
  }
  if (handle.valid()) return {AllocateOutcome::kAllocated, handle};
  if (request.index != 0) handles_.ReturnIndex(request.index);
  MutexLock lock(shards_[mine].mutex);
  ++shards_[mine].counts.no_space;
  return {AllocateOutcome::kNoSpace, {}};
}

Handle ZbudPool::AllocateInHole(Shard& shard, const Request& request) {
  if (request.chunks >= kChunks) return {};
  if ((shard.fit_mask.load(std::memory_order_relaxed) >> request.chunks) == 0) return {};
  LockCounted(shard.mutex);
  const Handle handle = AllocateInHoleLocked(shard, request);
  shard.mutex.Unlock();
  return handle;
}

Handle ZbudPool::AllocateInHoleLocked(Shard& shard, const Request& request) {
  Bud* bud = FindHole(shard, request.chunks, nullptr);
  if (bud == nullptr) return {};
  return PublishIn(shard, *bud, bud->chunks[0] == 0 ? 0 : 1, request);
}

Handle ZbudPool::AllocateWherePlenty(uint32_t mine, const Request& request) {
  if (request.chunks >= kChunks) return {};
  for (uint32_t i = 1; i < kShards; ++i) {
    const uint32_t number = (mine + i) % kShards;
    if ((plenty_[number].load(std::memory_order_relaxed) >> request.chunks) == 0) continue;
    Shard& shard = shards_[number];
    if (!TryLockCounted(shard.mutex)) continue;
    const Handle handle = AllocateInHoleLocked(shard, request);
    shard.mutex.Unlock();
    if (handle.valid()) return handle;
  }
  return {};
}

Handle ZbudPool::AllocateInAnyHole(uint32_t mine, const Request& request) {
  for (uint32_t i = 1; i < kShards; ++i) {
    const Handle handle = AllocateInHole(shards_[(mine + i) % kShards], request);
    if (handle.valid()) return handle;
  }
  return {};
}

Handle ZbudPool::AllocateInFreshFrame(uint32_t shard_number, const Request& request) {
  const uint32_t unit = TakeUnit();
  if (unit == 0) return {};
  // This must precede the write of the frame's tag, which makes the unit known to other threads.
  MoveUnitTo(unit, shard_number);
  const FrameId frame = arena_->Allocate(FrameKind::kPool, owner_id_, unit);
  if (!frame.valid()) {
    ReturnUnit(unit);
    return {};
  }
  Shard& shard = shards_[shard_number];
  LockCounted(shard.mutex);
  Bud& bud = buds_[unit];
  bud.frame = frame.raw();
  bud.state = BudState::kListed;
  ++shard.counts.frames;
  const Handle handle = PublishIn(shard, bud, 0, request);
  shard.mutex.Unlock();
  return handle;
}

Handle ZbudPool::PublishIn(Shard& shard, Bud& bud, int side, const Request& request) {
  AddObject(shard, bud, side, request.index, request.chunks);
  const bool own = &shard == &shards_[ThreadShard() % kShards];
  CountAddition(shard.counts, shard.user, own, request.size);
  return handles_.Publish(request.index, request.size, request.owner_key,
                          LocationIn(bud, static_cast<uint32_t>(side)), request.pins);
}

// --- Freeing ---

RetireOutcome ZbudPool::RetireAndRemove(Handle handle) {
  Shard* home = LockHome(handle);
  if (home == nullptr)
    return handles_.Retire(handle);  // distinguishes a double free from a stale handle
  Shard& shard = *home;
  shard.mutex.AssertHeld();
  const size_t size = handles_.SizeOf(handle.index());
  const Location location = handles_.LocationOf(handle.index());
  const RetireOutcome outcome = handles_.Retire(handle);
  if (outcome != RetireOutcome::kRetired) {
    shard.mutex.Unlock();
    return outcome;
  }
  Bud& bud = buds_[location.unit];
  UZ_CHECK_EQ(bud.object[location.position], handle.index());
  RemoveObject(shard, bud, location.position);
  CountRemoval(shard.counts, size);
  const uint32_t frame = bud.frame;
  const bool empty = bud.state == BudState::kListed && HoleOf(bud) == kChunks;
  if (empty) Retire(shard, bud);
  shard.mutex.Unlock();

  handles_.ReturnIndex(handle.index());
  if (empty) Release(location.unit, frame);
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
  // The number first: then a thread that gets the frame also finds a free number.
  ReturnUnit(unit);
  arena_->Free(FrameId(frame));
}

}  // namespace uzswap
