#include "writeback/writeback.h"

namespace uzswap {

Writeback::~Writeback() { UZ_CHECK_EQ(pending_.count(), 0u); }

Result<void> Writeback::Init(CompressedCache& cache, CacheContext& context, BackingStore* store,
                             const WritebackOptions& options) {
  if (Result<void> done = pending_.Init(); !done.ok()) return done;
  if (options.recompress_with == &DenseCodec() || options.densify_with == &DenseCodec()) {
    if (Result<void> done = context.PrepareDense(); !done.ok()) return done;
  }
  cache.SetWriterContext(context);
  if (store != nullptr) cache.AttachStore(*store);
  cache_ = &cache;
  context_ = &context;
  store_ = store;
  options_ = options;
  cleaner_.Init(store, options.clean_below_permille, options.keep_empty_segments);
  control_.Init(cache.gate());
  if (options.densify_with != nullptr) densifier_.Init(cache, context, *options.densify_with);
  return {};
}

uint64_t Writeback::PoolBytes() const {
  const uint64_t frames = cache_->pool().Snapshot().frames;
  return (frames > pending_.frames() ? frames - pending_.frames() : 0) * kPageSize;
}

StepOutcome Writeback::StepOnce(bool may_wait) {
  if (store_ != nullptr) {
    store_->Reap(false);
    EndPending();
  }
  if (pending_.full()) {
    if (!may_wait) return StepOutcome::kIdle;
    WaitForWrites();
  }
  ObjectInfo objects[kObjectsInUnitMax];
  const ReclaimUnit unit = cache_->pool().BeginReclaim(objects);
  if (!unit.valid()) return StepOutcome::kIdle;
  counters_.units_taken.Add();
  // Its objects are not pinned for that: they may be freed at any time.
  if (sharing_ != nullptr && store_ != nullptr && unit.at != nullptr &&
      sharing_->IsShared(unit.at)) {
    counters_.units_shared.Add();
    EndUnit(unit);
    return StepOutcome::kWorked;
  }
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < unit.objects; ++i) bytes += objects[i].size;
  const bool sparse = bytes * 1000 < unit.frames * kPageSize * options_.move_below_permille;
  const uint64_t evicted = counters_.objects_evicted.Get();
  ObjectFate fate = ObjectFate::kLeaves;
  for (uint32_t i = 0; i < unit.objects && fate == ObjectFate::kLeaves; ++i) {
    fate = Evict(objects[i], sparse, may_wait);
  }
  if (fate == ObjectFate::kStays) counters_.units_spared.Add();
  if (counters_.objects_evicted.Get() == evicted) {
    EndUnit(unit);
  } else {
    pending_.Push(unit, store_->latest_batch());
  }
  cleaner_.CleanOnBatch();
  return fate == ObjectFate::kBlocked ? StepOutcome::kBlocked : StepOutcome::kWorked;
}

Writeback::ObjectFate Writeback::Evict(const ObjectInfo& object, bool sparse, bool may_wait) {
  if (sparse && MoveOut(object)) return ObjectFate::kLeaves;
  // Dropped, with or without a store.
  if (cache_->IsEphemeral(object.owner_key)) return Write(object, may_wait);
  if (options_.recompress_with != nullptr) {
    switch (cache_->Recompress(*context_, object, *options_.recompress_with)) {
      case RecompressOutcome::kMadeDenser:
        counters_.objects_recompressed.Add();
        return ObjectFate::kLeaves;
      case RecompressOutcome::kKept:
      case RecompressOutcome::kGone:
      case RecompressOutcome::kNoSpace:
        break;
    }
  }
  if (store_ == nullptr) return MoveOut(object) ? ObjectFate::kLeaves : ObjectFate::kStays;
  return Write(object, may_wait);
}

Writeback::ObjectFate Writeback::Write(const ObjectInfo& object, bool may_wait) {
  const EvictResult begun = cache_->BeginWrite(*context_, object);
  switch (begun.outcome) {
    case EvictOutcome::kBegun:
      return Append(object, begun, may_wait) ? ObjectFate::kLeaves : ObjectFate::kBlocked;
    case EvictOutcome::kGone:
    case EvictOutcome::kDropped:
      return ObjectFate::kLeaves;
    case EvictOutcome::kInFlight:
    case EvictOutcome::kReferenced:
      return MoveOut(object) ? ObjectFate::kLeaves : ObjectFate::kStays;
  }
  return ObjectFate::kStays;
}

bool Writeback::Append(const ObjectInfo& object, const EvictResult& begun, bool may_wait) {
  const ObjectView view = {begun.object, {}};
  for (;;) {
    const AppendOutcome outcome =
        store_->Append(object.owner_key, begun.token, begun.encoding, view);
    if (outcome == AppendOutcome::kAppended) {
      counters_.objects_evicted.Add();
      counters_.evicted_bytes.Add(begun.object.size());
      return true;
    }
    if (!may_wait || !Relieve(outcome)) break;
  }
  cache_->CancelWrite(*context_, object.owner_key, begun.token);
  counters_.blocked.Add();
  return false;
}

bool Writeback::Relieve(AppendOutcome refusal) {
  bool relieved = false;
  if (refusal == AppendOutcome::kNoBuffer) {
    counters_.batch_waits.Add();
    store_->Reap(true);
    relieved = true;
  } else if (refusal == AppendOutcome::kNoSpace && !store_->HasRoom()) {
    // With room the medium itself is full, and cleaning would need space on it. Records that were
    // read ahead cannot be moved.
    cache_->DropReadAhead(*context_);
    relieved = cleaner_.MakeRoom(control_);
    counters_.room_made.Add(relieved ? 1 : 0);
  }
  EndPending();
  return relieved;
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
  while (const std::optional<ReclaimUnit> unit = pending_.PopBefore(oldest)) EndUnit(*unit);
}

bool Writeback::Shrink(uint64_t bytes) {
  static_cast<void>(StepUntil(bytes));
  WaitForWrites();
  return cache_->pool().Snapshot().frame_bytes() <= bytes;
}

bool Writeback::StepUntil(uint64_t bytes) {
  // Asking the pool for its level is expensive; emptying a unit or two too many is not.
  constexpr int kStepsBetweenLooks = 8;
  const uint64_t units = cache_->pool().Snapshot().units;
  // Units that go back as the youngest are offered again. After a full turn without a free frame
  // there is no point in going on.
  uint64_t patience = units + 1;
  bool possible = true;
  while (possible && PoolBytes() > bytes) {
    for (int i = 0; i < kStepsBetweenLooks && possible; ++i) {
      const uint64_t before = pending_.frames() + counters_.frames_freed.Get();
      possible =
          StepOnce(true) == StepOutcome::kWorked && --patience > 0 && !control_.interrupted();
      if (pending_.frames() + counters_.frames_freed.Get() > before) patience = units + 1;
    }
  }
  return possible;
}

void Writeback::WaitForWrites() {
  if (store_ == nullptr) return;
  store_->WaitForWrites();
  EndPending();
}

}  // namespace uzswap
