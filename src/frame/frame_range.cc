#include "frame/frame_range.h"

#include "frame/frame_arena.h"
#include "os/thread.h"

namespace uzswap {
namespace {

// A lack of frames ends only if another thread frees some.
constexpr uint32_t kPassesWithoutSpaceMax = 8;

void Note(RangeReport& report, uint32_t frame, RangeLeft why) {
  if (report.left_total() < RangeReport::kLeftMax) {
    report.left[report.left_total()] = {FrameId(frame), why};
  }
  switch (why) {
    case RangeLeft::kNothing:
      break;
    case RangeLeft::kPinned:
      ++report.left_pinned;
      break;
    case RangeLeft::kBusy:
      ++report.left_busy;
      break;
    case RangeLeft::kUnmovable:
      ++report.left_unmovable;
      break;
    case RangeLeft::kNoSpace:
      ++report.left_no_space;
      break;
  }
}

void ForgetLeft(RangeReport& report) {
  report.left_pinned = report.left_busy = report.left_unmovable = report.left_no_space = 0;
  for (RangeReport::Left& left : report.left) left = {};
}

}  // namespace

ReclaimRangeResult FrameArena::ReclaimRange(FrameId first, PageCount count,
                                            const ReclaimRangeOptions& options) {
  UZ_CHECK_LE(first.raw() + count.raw(), capacity_);
  UZ_CHECK_GT(count.raw(), uint64_t{0});
  ReclaimRangeResult result;
  if (!IsolateFree(first.raw(), count.raw(), result.report)) return result;
  uint64_t left = count.raw();
  uint32_t starved = 0;
  for (uint32_t pass = 0; pass < options.passes_max && left > 0; ++pass) {
    const uint64_t before = left;
    left = MigrateOnce(first.raw(), count.raw(), options, result.report);
    ++result.report.passes;
    if (result.report.left_unmovable > 0) break;
    if (left == before && result.report.left_no_space > 0 && ++starved > kPassesWithoutSpaceMax) {
      break;
    }
    if (left == before) os::YieldProcessor();
  }
  if (left > 0) {
    EndRange(first.raw(), count.raw(), false);
    return result;
  }
  result.report.freed_meanwhile =
      static_cast<uint32_t>(count.raw()) - result.report.free_before - result.report.moved;
  result.range = IsolatedRange(this, first, count.raw());
  return result;
}

// From now until EndRange no frame of the range is allocated, and each frame that is freed stays in
// it.
bool FrameArena::IsolateFree(uint64_t first, uint64_t count, RangeReport& report) {
  {
    MutexLock lock(mutex_);
    for (uint64_t frame = first; frame < first + count; ++frame) {
      if ((descriptors_[frame].flags.load(std::memory_order_relaxed) & kInRange) != 0) {
        Note(report, static_cast<uint32_t>(frame), RangeLeft::kBusy);
      }
    }
    if (report.left_total() > 0) return false;
    for (uint64_t frame = first; frame < first + count; ++frame) {
      descriptors_[frame].flags.store(kInRange, std::memory_order_relaxed);
    }
  }
  DrainMagazines();
  MutexLock lock(mutex_);
  for (uint64_t frame = first; frame < first + count; ++frame) {
    Descriptor& descriptor = descriptors_[frame];
    const bool warm = warm_.Test(frame);
    if (!warm && !cold_.Test(frame)) {
      if (descriptor.kind.load(std::memory_order_acquire) == FrameKind::kIsolated) {
        ++report.free_before;  // it came from a magazine
      }
      continue;
    }
    (warm ? warm_ : cold_).Clear(frame);
    if (!warm) {
      descriptor.flags.fetch_or(kCold, std::memory_order_relaxed);
      ++isolated_cold_;
    }
    descriptor.kind.store(FrameKind::kIsolated, std::memory_order_release);
    ++report.free_before;
  }
  PublishCountsLocked();
  return true;
}

uint64_t FrameArena::MigrateOnce(uint64_t first, uint64_t count, const ReclaimRangeOptions& options,
                                 RangeReport& report) {
  ForgetLeft(report);
  for (uint64_t frame = first; frame < first + count; ++frame) {
    const auto raw = static_cast<uint32_t>(frame);
    const RangeLeft why = MoveOne(raw, options, report);
    if (why != RangeLeft::kNothing) Note(report, raw, why);
  }
  return report.left_total();
}

// The limit does not apply here: a move allocates one frame and frees another.
FrameId FrameArena::TakeForMove(FrameKind kind, FrameOwnerId owner, bool populated_only) {
  if (InjectedFailure()) return FrameId();
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (attempt == 1) DrainMagazines();
    uint32_t frame = kNone;
    {
      MutexLock lock(mutex_);
      if (warm_.count() + (populated_only ? 0 : cold_.count()) == 0) continue;
      frame = TakeFreeLocked();
      if (frame == kNone) return FrameId();
      PublishCountsLocked();
    }
    MarkInUse(frame, kind, owner, UINT64_MAX);
    return FrameId(frame);
  }
  return FrameId();
}

RangeLeft FrameArena::MoveOne(uint32_t frame, const ReclaimRangeOptions& options,
                              RangeReport& report) {
  const FrameKind kind = this->kind(FrameId(frame));
  if (kind == FrameKind::kIsolated) return RangeLeft::kNothing;
  if (kind == FrameKind::kFree) return RangeLeft::kBusy;  // on its way into or out of a magazine
  const FrameOwnerId id = owner(FrameId(frame));
  FrameOwner* owner = owners_[id].load(std::memory_order_acquire);
  if (owner == nullptr) return RangeLeft::kUnmovable;
  const FrameId to = TakeForMove(kind, id, options.populated_targets_only);
  if (!to.valid()) return RangeLeft::kNoSpace;
  const MigrateOutcome outcome = owner->TryMigrateFrame(FrameId(frame), to);
  if (outcome == MigrateOutcome::kMoved) {
    ++report.moved;
    return RangeLeft::kNothing;
  }
  Free(to);
  switch (outcome) {
    case MigrateOutcome::kMoved:
    case MigrateOutcome::kGone:
    case MigrateOutcome::kBusy:
      return RangeLeft::kBusy;
    case MigrateOutcome::kPinned:
      return RangeLeft::kPinned;
    case MigrateOutcome::kUnmovable:
      return RangeLeft::kUnmovable;
  }
  return RangeLeft::kBusy;
}

PageCount FrameArena::EndRange(uint64_t first, uint64_t count, bool discard) {
  // No other thread touches isolated frames, so the kernel may take their memory without our lock.
  if (discard) memory_.Discard(first << kPageShift, count << kPageShift);
  uint64_t released = 0;
  MutexLock lock(mutex_);
  for (uint64_t frame = first; frame < first + count; ++frame) {
    Descriptor& descriptor = descriptors_[frame];
    const uint8_t flags = descriptor.flags.exchange(0, std::memory_order_relaxed);
    if (descriptor.kind.load(std::memory_order_acquire) != FrameKind::kIsolated) continue;
    const bool was_cold = (flags & kCold) != 0;
    if (was_cold) --isolated_cold_;
    if (discard && !was_cold) ++released;
    descriptor.kind.store(FrameKind::kFree, std::memory_order_release);
    (discard || was_cold ? cold_ : warm_).Set(frame);
  }
  PublishCountsLocked();
  return PageCount(released);
}

PageCount IsolatedRange::End(bool discard) {
  if (arena_ == nullptr) return PageCount(0);
  return std::exchange(arena_, nullptr)->EndRange(first_.raw(), count_, discard);
}

RangeUsage FrameArena::UsageOf(FrameId first, PageCount count) {
  UZ_CHECK_LE(first.raw() + count.raw(), capacity_);
  MutexLock lock(mutex_);
  const uint64_t warm = warm_.CountIn(first.raw(), count.raw());
  const uint64_t cold = cold_.CountIn(first.raw(), count.raw());
  return {PageCount(count.raw() - warm - cold), PageCount(warm)};
}

}  // namespace uzswap
