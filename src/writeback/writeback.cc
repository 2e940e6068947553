#include "writeback/writeback.h"

#include <utility>

namespace uzswap {

Writeback::~Writeback() { UZ_CHECK_EQ(pending_count_, 0u); }

Result<void> Writeback::Init(CompressedCache& cache, CacheContext& context, BackingStore* store,
                             const WritebackOptions& options) {
  Result<os::VirtualArray<Pending>> pending =
      os::VirtualArray<Pending>::Create(kPendingMax, "units under writeback");
  if (!pending.ok()) return pending.error();
  pending_ = std::move(pending).value();
  cache.SetWriterContext(context);
  if (store != nullptr) cache.AttachStore(*store);
  cache_ = &cache;
  context_ = &context;
  store_ = store;
  options_ = options;
  return {};
}

uint64_t Writeback::PoolBytes() const {
  const uint64_t frames = cache_->pool().Snapshot().frames;
  return (frames > PendingFrames() ? frames - PendingFrames() : 0) * kPageSize;
}

StepOutcome Writeback::StepOnce(bool may_wait) {
  if (store_ != nullptr) {
    store_->Reap(false);
    EndPending();
  }
  if (pending_count_ == kPendingMax) {
    if (!may_wait) return StepOutcome::kIdle;
    Drain();
  }
  ObjectInfo objects[kObjectsInUnitMax];
  const ReclaimUnit unit = cache_->pool().BeginReclaim(objects);
  if (!unit.valid()) return StepOutcome::kIdle;
  counters_.units_taken.Add();
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < unit.objects; ++i) bytes += objects[i].size;
  const bool sparse = bytes * 1000 < unit.frames * kPageSize * options_.move_below_permille;
  const uint64_t evicted = counters_.objects_evicted.Get();
  Fate fate = Fate::kOut;
  for (uint32_t i = 0; i < unit.objects && fate == Fate::kOut; ++i) {
    fate = Evict(objects[i], sparse, may_wait);
  }
  if (fate == Fate::kStays) counters_.units_spared.Add();
  if (counters_.objects_evicted.Get() == evicted) {
    EndUnit(unit);
  } else {
    pending_[(pending_first_ + pending_count_++) % kPendingMax] = {unit, store_->latest_batch()};
    pending_frames_ += unit.frames;
  }
  CleanInPassing();
  return fate == Fate::kBlocked ? StepOutcome::kBlocked : StepOutcome::kWorked;
}

Writeback::Fate Writeback::Evict(const ObjectInfo& object, bool sparse, bool may_wait) {
  if (sparse && MoveOut(object)) return Fate::kOut;
  if (options_.recompress_with != nullptr) {
    switch (cache_->Recompress(*context_, object, *options_.recompress_with)) {
      case RecompressOutcome::kMadeDenser:
        counters_.objects_recompressed.Add();
        return Fate::kOut;
      case RecompressOutcome::kKept:
      case RecompressOutcome::kGone:
      case RecompressOutcome::kNoSpace:
        break;
    }
  }
  if (store_ == nullptr) return MoveOut(object) ? Fate::kOut : Fate::kStays;
  return Write(object, may_wait);
}

Writeback::Fate Writeback::Write(const ObjectInfo& object, bool may_wait) {
  const EvictResult begun = cache_->BeginWrite(*context_, object);
  switch (begun.outcome) {
    case EvictOutcome::kBegun:
      return Append(object, begun, may_wait) ? Fate::kOut : Fate::kBlocked;
    case EvictOutcome::kGone:
    case EvictOutcome::kDropped:
      return Fate::kOut;
    case EvictOutcome::kInFlight:
    case EvictOutcome::kReferenced:
      return MoveOut(object) ? Fate::kOut : Fate::kStays;
  }
  return Fate::kStays;
}

bool Writeback::Append(const ObjectInfo& object, const EvictResult& begun, bool may_wait) {
  const ObjectView view = {begun.object, {}};
  for (;;) {
    const AppendOutcome outcome = store_->Append(object.owner_key, begun.token, begun.codec, view);
    if (outcome == AppendOutcome::kAppended) {
      counters_.objects_evicted.Add();
      counters_.evicted_bytes.Add(begun.object.size());
      return true;
    }
    if (outcome != AppendOutcome::kNoBuffer || !may_wait) break;
    counters_.batch_waits.Add();
    store_->Reap(true);
    EndPending();
  }
  cache_->CancelWrite(*context_, object.owner_key, begun.token);
  counters_.blocked.Add();
  return false;
}

bool Writeback::MoveOut(const ObjectInfo& object) {
  switch (cache_->pool().TryMoveOut(object.handle)) {
    case MoveOutcome::kMoved:
      counters_.objects_moved.Add();
      counters_.moved_bytes.Add(object.size);
      return true;
    case MoveOutcome::kStale:
      return true;
    case MoveOutcome::kPinned:
    case MoveOutcome::kNoRoom:
      return false;
  }
  return false;
}

void Writeback::EndUnit(const ReclaimUnit& unit) {
  counters_.frames_freed.Add(cache_->pool().EndReclaim(unit));
}

void Writeback::EndPending() {
  const uint64_t oldest = store_->oldest_batch();
  while (pending_count_ > 0 && pending_[pending_first_].batch < oldest) {
    const ReclaimUnit unit = pending_[pending_first_].unit;
    pending_first_ = (pending_first_ + 1) % kPendingMax;
    --pending_count_;
    pending_frames_ -= unit.frames;
    EndUnit(unit);
  }
}

void Writeback::CleanInPassing() {
  if (store_ == nullptr || store_->latest_batch() == cleaned_at_batch_) return;
  // Once for each batch: cleaning keeps step with writing and cannot crowd it out.
  cleaned_at_batch_ = store_->latest_batch();
  static_cast<void>(store_->Clean(options_.clean_below_permille));
  store_->Trim(options_.keep_empty_segments);
}

bool Writeback::Shrink(uint64_t bytes) {
  static_cast<void>(StepUntil(bytes));
  Drain();
  return cache_->pool().Snapshot().frame_bytes() <= bytes;
}

bool Writeback::StepUntil(uint64_t bytes) {
  // Asking the pool for its level is dear; a unit or two more than needed are not.
  constexpr int kStepsBetweenLooks = 8;
  const uint64_t units = cache_->pool().Snapshot().units;
  // Units that go back as the youngest come round again; a full turn in vain is enough.
  uint64_t patience = units + 1;
  bool possible = true;
  while (possible && PoolBytes() > bytes) {
    for (int i = 0; i < kStepsBetweenLooks && possible; ++i) {
      const uint64_t before = PendingFrames() + counters_.frames_freed.Get();
      possible = StepOnce(true) == StepOutcome::kWorked && --patience > 0 && !Interrupted();
      if (PendingFrames() + counters_.frames_freed.Get() > before) patience = units + 1;
    }
  }
  return possible;
}

void Writeback::Drain() {
  if (store_ == nullptr) return;
  store_->Drain();
  EndPending();
}

void Writeback::CompactStore(uint32_t permille) {
  if (store_ == nullptr) return;
  // Each pass may leave one partly filled segment more; the bound stops a pointless chase.
  uint32_t steps = 2 * store_->segments().in_use() + 1;
  while (steps-- > 0 && !Interrupted() && CompactStep(permille)) {
  }
  Drain();
  store_->Trim(0);
}

bool Writeback::CompactStep(uint32_t permille) {
  switch (store_->Clean(permille)) {
    case CleanOutcome::kCleaned:
      store_->Reap(false);
      return true;
    case CleanOutcome::kBlocked:
      return store_->Reap(true) > 0;
    case CleanOutcome::kReadFailed:
      return true;
    case CleanOutcome::kNothing:
      return false;
  }
  return false;
}

}  // namespace uzswap
