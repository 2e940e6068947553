// The lists of a zbud pool's shards, and the audit that checks them.
#include <bit>

#include "pool/zbud_pool.h"

namespace uzswap {

// --- Lists ---

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

// Puts the bud on the list for its hole, or on no list.
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
  if (size == kPlenty) plenty_[&shard - shards_].fetch_or(bit, std::memory_order_relaxed);
}

void ZbudPool::UnlistFit(Shard& shard, Bud& bud) {
  if (bud.hole == 0) return;
  shard.fits[bud.hole].Remove(bud);
  const uint64_t bit = uint64_t{1} << bud.hole;
  const size_t size = shard.fits[bud.hole].size();
  if (size == 0) shard.fit_mask.fetch_and(~bit, std::memory_order_relaxed);
  if (size == kPlenty / 2) plenty_[&shard - shards_].fetch_and(~bit, std::memory_order_relaxed);
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

// --- Statistics and checks ---

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
  if (unit == 0 || unit >= units_.touched()) return 0;
  Shard& shard = LockUnit(static_cast<uint32_t>(unit));
  shard.mutex.AssertHeld();
  const Bud& bud = buds_[unit];
  const bool here = IsUsed(bud) && bud.frame == frame.raw();
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
  AddContention(sum);
  sum.metadata_bytes = handles_.touched() * HandleTable::record_size() +
                       units_.touched() * sizeof(Bud) + sizeof(*this) +
                       sum.frames * FrameArena::descriptor_size();
  return sum;
}

void ZbudPool::AuditBud(const Bud& bud, uint32_t shard, uint64_t* objects) const {
  UZ_CHECK(bud.state == BudState::kListed);
  UZ_CHECK_EQ(bud.shard.load(std::memory_order_relaxed), shard);
  UZ_CHECK_EQ(arena_->tag(FrameId(bud.frame)), uint64_t{UnitOf(bud)});
  UZ_CHECK_LT(HoleOf(bud), kChunks);
  if (bud.hole != 0) UZ_CHECK_EQ(uint32_t{bud.hole}, HoleOf(bud));
  for (uint32_t side = 0; side < 2; ++side) {
    const uint32_t index = bud.object[side];
    UZ_CHECK_EQ(index == 0, bud.chunks[side] == 0);
    if (index == 0) continue;
    ++*objects;
    UZ_CHECK((handles_.LocationOf(index) == LocationIn(bud, side)));
    UZ_CHECK_EQ(FootprintOf(handles_.SizeOf(index)), bud.chunks[side] * kChunkSize);
  }
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
    for (const Bud* bud = shard.ages.front(); bud != nullptr; bud = shard.ages.Next(*bud)) {
      ++frames;
      if (bud->hole != 0) ++singles;
      AuditBud(*bud, number, &objects);
    }
    size_t listed = 0;
    for (uint32_t hole = 0; hole < kChunks; ++hole) {
      const size_t size = shard.fits[hole].size();
      const uint64_t bit = uint64_t{1} << hole;
      const bool plenty = (plenty_[number].load(std::memory_order_relaxed) & bit) != 0;
      listed += size;
      UZ_CHECK_EQ(size > 0, (shard.fit_mask.load(std::memory_order_relaxed) & bit) != 0);
      if (size >= kPlenty) UZ_CHECK(plenty);
      if (size <= kPlenty / 2) UZ_CHECK(!plenty);
    }
    UZ_CHECK_EQ(listed, singles);
  }
  UZ_CHECK_EQ(frames, frames_counted);
  UZ_CHECK_EQ(objects, handles_.CountLiveForAudit());
}

}  // namespace uzswap
