#include "writeback/writeback.h"

#include <algorithm>
#include <climits>
#include <utility>

#include "os/thread.h"

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

void Writeback::Run(uint64_t (*now_ns)()) {
  PoolGate& gate = cache_->gate();
  while (Obey()) {
    const uint32_t seen = gate.calls();
    if (store_ != nullptr) store_->Tick(now_ns());
    if (!ShrinkToGate() || Interrupted()) continue;
    if (stuck()) {
      // Those who are refused keep calling, and it would not help them.
      os::FutexWait(&order_, static_cast<uint32_t>(Order::kRun), kRetryNs);
    } else if (!gate.AwaitCall(seen, kIdleNs)) {
      CleanWhenIdle(seen);
    }
  }
  Drain();
}

bool Writeback::ShrinkToGate() {
  PoolGate& gate = cache_->gate();
  const uint64_t asked = asked_.exchange(UINT64_MAX, std::memory_order_relaxed);
  const uint64_t goal = std::min(gate.reopen_level(), asked);
  if (cache_->pool().Snapshot().frame_bytes() <= goal) {
    shrinking_.store(false, std::memory_order_relaxed);
    stuck_.store(false, std::memory_order_relaxed);
  } else {
    shrinking_.store(true, std::memory_order_relaxed);
    const uint64_t freed = counters_.frames_freed.Get();
    const bool reached = StepUntil(goal);
    Drain();
    // The gate is open while the pool shrinks: what was stored meanwhile is no reason to give up,
    // and whoever waits goes on waiting.
    const bool outpaced = reached && counters_.frames_freed.Get() > freed;
    const bool done = cache_->pool().Snapshot().frame_bytes() <= goal;
    if (!done && outpaced) {
      if (goal == asked) asked_.store(asked, std::memory_order_relaxed);
      return false;
    }
    shrinking_.store(false, std::memory_order_relaxed);
    stuck_.store(!done && !Interrupted(), std::memory_order_relaxed);
  }
  // Only downward: reporting a level that stays high would call for ourselves.
  const uint64_t level = cache_->pool().Snapshot().frame_bytes();
  if (level <= gate.reopen_level()) static_cast<void>(gate.Observe(level));
  return true;
}

void Writeback::CleanWhenIdle(uint32_t seen) {
  if (store_ == nullptr || store_->closed()) return;
  const SegmentTable& segments = store_->segments();
  const uint64_t live = segments.live_bytes();
  const uint64_t slack = kSlackWhenIdle + live / 1000 * (1000 - kAliveWhenIdle);
  // While pages come back nobody is idle, and what is rewritten now may be gone in a moment.
  if (std::exchange(live_bytes_seen_, live) != live) return;
  // What was as clean as it gets would be rewritten for ever.
  if (segments.held_bytes() <= live + slack || live == cleaned_live_bytes_) return;
  // A large file takes seconds, and a full pool cannot wait for that.
  const auto called = [&] { return cache_->gate().calls() != seen; };
  uint32_t steps = 2 * segments.in_use() + 1;
  // Nobody has come for them in a second, and each can keep a segment.
  cache_->DropReadAhead(*context_);
  while (steps-- > 0 && !called() && CompactStep(kAliveWhenIdle)) {
  }
  Drain();
  while (!called() && store_->TrimOne(0)) {
  }
  if (!called()) cleaned_live_bytes_ = segments.live_bytes();
}

bool Writeback::Obey() {
  if (order_.load(std::memory_order_acquire) == Order::kPause) {
    shrinking_.store(false, std::memory_order_relaxed);
    Drain();
    paused_.store(1, std::memory_order_release);
    os::FutexWake(&paused_, INT_MAX);
    while (order_.load(std::memory_order_acquire) == Order::kPause) {
      os::FutexWait(&order_, static_cast<uint32_t>(Order::kPause), kIdleNs);
    }
    paused_.store(0, std::memory_order_release);
  }
  return order_.load(std::memory_order_acquire) != Order::kStop;
}

void Writeback::Command(Order order) {
  order_.store(order, std::memory_order_release);
  os::FutexWake(&order_, INT_MAX);
  cache_->gate().Call();
}

void Writeback::Pause() {
  // From the last time it may not have woken up yet.
  while (paused_.load(std::memory_order_acquire) != 0) os::YieldProcessor();
  Command(Order::kPause);
  while (paused_.load(std::memory_order_acquire) == 0) os::FutexWait(&paused_, 0, kIdleNs);
}

void Writeback::Resume() { Command(Order::kRun); }

void Writeback::Ask(uint64_t bytes) {
  asked_.store(bytes, std::memory_order_relaxed);
  cache_->gate().Call();
}

void Writeback::ResetAfterFork() {
  UZ_CHECK_EQ(pending_count_, 0u);
  store_ = nullptr;
  order_.store(Order::kRun, std::memory_order_relaxed);
  paused_.store(0, std::memory_order_relaxed);
  shrinking_.store(false, std::memory_order_relaxed);
  stuck_.store(false, std::memory_order_relaxed);
}

}  // namespace uzswap
