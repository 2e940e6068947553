// Returning the memory of free frames to the kernel.
#include <algorithm>

#include "frame/frame_arena.h"

namespace uzswap {

PageCount FrameArena::ReleaseFreeFrames(PageCount max) {
  DrainMagazines();
  constexpr size_t kRunLengths[] = {512, 64, 8, 1};
  uint64_t released = 0;
  for (const size_t at_least : kRunLengths) {
    size_t below = capacity_;
    while (released < max.raw()) {
      const size_t at_most = std::max<uint64_t>(at_least, max.raw() - released);
      if (at_most > max.raw() - released) break;
      const Bitmap::Run run = TakeWarmRun(below, at_least, at_most);
      if (run.count == 0) break;
      memory_.Discard(run.first << kPageShift, run.count << kPageShift);
      MutexLock lock(mutex_);
      for (size_t frame = run.first; frame < run.first + run.count; ++frame) {
        Descriptor& descriptor = descriptors_[frame];
        if ((descriptor.flags.load(std::memory_order_relaxed) & kInRange) != 0) {
          descriptor.flags.fetch_or(kCold, std::memory_order_relaxed);
          ++isolated_cold_;
          descriptor.kind.store(FrameKind::kIsolated, std::memory_order_release);
        } else {
          cold_.Set(frame);
        }
      }
      PublishCountsLocked();
      released += run.count;
      below = run.first;
    }
  }
  return PageCount(released);
}

// The frames are in no bitmap while the kernel takes their memory.
Bitmap::Run FrameArena::TakeWarmRun(size_t below, size_t at_least, size_t at_most) {
  MutexLock lock(mutex_);
  const Bitmap::Run run = warm_.HighestRunBelow(below, at_least, at_most);
  for (size_t frame = run.first; frame < run.first + run.count; ++frame) warm_.Clear(frame);
  return run;
}

}  // namespace uzswap
