#include "swap/storage_pool.h"

#include <algorithm>

#include "os/thread.h"

namespace uzswap {

namespace {

// Two threads store at the same time in a small pool at most, and rarely into the same class.
uint32_t ShardsFor(PageCount frames) {
  constexpr uint64_t kFramesOfShard = (uint64_t{64} << 20) >> kPageShift;
  const uint64_t shards = frames.raw() / kFramesOfShard;
  return static_cast<uint32_t>(std::clamp<uint64_t>(shards, 1, ZsmallocPool::kShards));
}

}  // namespace

Result<void> StoragePool::Init(PoolKind kind, Bytes limit, uint32_t objects_per_frame) {
  const PageCount frames = PagesCovering(limit);
  Result<void> done = arena_.Init({.capacity = frames, .access = FrameAccess::kAlways});
  if (!done.ok()) return done;
  const PoolOptions options{.arena = &arena_, .max_objects = frames.raw() * objects_per_frame};
  switch (kind) {
    case PoolKind::kZbud:
      return zbud_.emplace().Init(options);
    case PoolKind::kZsmalloc:
      return zsmalloc_.emplace().Init({.pool = options, .shards = ShardsFor(frames)});
  }
  Panic(__FILE__, __LINE__, "unknown kind of pool");
}

TrimResult StoragePool::Trim() {
  TrimResult result;
  CompactSparseFrames(result);
  ReleaseBlocks(result);
  ReleaseIdleFrames(result);
  return result;
}

Bytes StoragePool::ObjectBytes() {
  const uint64_t now = os::MonotonicNanoseconds();
  if (now - counted_ns_ >= kCountEveryNs) {
    counted_ns_ = now;
    object_bytes_ = Bytes(pool().Snapshot().object_bytes);
  }
  return object_bytes_;
}

// Compaction pays when frames hold an eighth more than the objects in them.
void StoragePool::CompactSparseFrames(TrimResult& result) {
  const Bytes used = ToBytes(arena_.frames_in_use());
  const Bytes slack = ToBytes(PageCount(kIdleFrames));
  if (used.raw() <= ObjectBytes().raw() / 8 * 9 + slack.raw()) return;
  const CompactOutcome compacted = pool().CompactStep(kCompactFrames);
  result.objects_moved = compacted.objects_moved;
  result.frames_freed = compacted.frames_freed;
}

// Before single frames are released: moving the content of a block needs idle frames elsewhere.
void StoragePool::ReleaseBlocks(TrimResult& result) {
  if (IdleFrames().raw() < kIdleFrames + kIdleFramesForBlocks) return;
  const uint64_t now = os::MonotonicNanoseconds();
  if (now - blocks_ns_ < kBlocksEveryNs) return;
  blocks_ns_ = now;
  result.frames_released += blocks_.ReclaimBlocks(1);
}

void StoragePool::ReleaseIdleFrames(TrimResult& result) {
  const PageCount idle = IdleFrames();
  if (idle.raw() <= kIdleFrames) return;
  const uint64_t surplus = idle.raw() - kIdleFrames;
  result.frames_released += arena_.ReleaseFreeFrames(PageCount(std::min(surplus, kReleaseFrames)));
  result.more = surplus > kReleaseFrames;
}

// Both counts change while they are read, so the difference can come out negative.
PageCount StoragePool::IdleFrames() const {
  const PageCount populated = arena_.frames_populated();
  const PageCount used = arena_.frames_in_use();
  return populated > used ? populated - used : PageCount(0);
}

}  // namespace uzswap
