#include "writeback/idle_densifier.h"

#include "os/thread.h"

namespace uzswap {

void IdleDensifier::Init(CompressedCache& cache, CacheContext& context, const Codec& codec) {
  cache_ = &cache;
  context_ = &context;
  codec_ = &codec;
}

bool IdleDensifier::IsWorthwhile() const {
  if (codec_ == nullptr) return false;
  const PoolStatistics pool = cache_->pool().Snapshot();
  const uint64_t objects = pool.allocations - pool.frees;
  return units_left_ > 0 || (pool.allocations - allocations_at_end_) * kNewOfPool > objects;
}

IdleDensifier::Work IdleDensifier::Densify(const PoolGate& gate, uint32_t calls_seen) {
  Work work;
  if (units_left_ == 0) {
    units_left_ = turn_ = cache_->pool().Snapshot().units;
    scan_left_ = 2 * turn_;
  }
  uint64_t began = os::MonotonicNanoseconds();
  uint64_t spent = os::ThreadNanoseconds();
  const uint64_t switches = os::InvoluntarySwitches();
  while (units_left_ > 0 && gate.calls() == calls_seen) {
    const uint64_t before = work.objects;
    --units_left_;
    if (!DensifyUnit(gate, calls_seen, work)) units_left_ = 0;
    if (work.objects > before) units_left_ = turn_;
    if (--scan_left_ == 0) units_left_ = 0;
    const uint64_t used = os::ThreadNanoseconds() - spent;
    if (used < kSliceNs) continue;
    const uint64_t now = os::MonotonicNanoseconds();
    if (now - began > used + used / kLostOfSlice || os::InvoluntarySwitches() != switches) {
      work.yielded = true;
      break;
    }
    began = now;
    spent += used;
  }
  if (units_left_ == 0) allocations_at_end_ = cache_->pool().Snapshot().allocations;
  return work;
}

bool IdleDensifier::DensifyUnit(const PoolGate& gate, uint32_t calls_seen, Work& work) {
  Pool& pool = cache_->pool();
  ObjectInfo objects[kObjectsInUnitMax];
  const ReclaimUnit unit = pool.BeginReclaim(objects);
  if (!unit.valid()) return false;
  bool room = true;
  for (uint32_t i = 0; i < unit.objects && room && gate.calls() == calls_seen; ++i) {
    const RecompressOutcome outcome = cache_->Recompress(*context_, objects[i], *codec_);
    if (outcome == RecompressOutcome::kMadeDenser) ++work.objects;
    room = outcome != RecompressOutcome::kNoSpace;
  }
  work.frames_freed += pool.EndReclaim(unit);
  return room;
}

}  // namespace uzswap
