// Moves between the program and our frames, counted by what the frames hold.
//
// Linux since 6.18 can move pages and not say so: docs/decisions/0007-moves-are-recounted.md. What
// was moved without being told would read as zeroes in the program, or be there twice. Nobody but
// the pager, under its lock, fills or empties a frame; so wherever an answer is short, the frames
// tell.
#include <bit>

#include "pager/pager.h"

namespace uzswap {

using os::PortOutcome;
using os::PortResult;

namespace {

// Refusals that the kernel gives before it begins are what they seem.
bool MayTellTooLittle(const PortResult& result) {
  if (result.outcome == PortOutcome::kDone) return false;
  return result.done_bytes > 0 || result.outcome == PortOutcome::kExists ||
         result.outcome == PortOutcome::kGone;
}

}  // namespace

// Bit i: page i of the range is there. At most 64 pages.
uint64_t Pager::PresentMask(uint64_t start, size_t pages) {
  uint64_t mask = 0;
  os::PresentWalk walk(*parts_.address_space, start, start + (pages << kPageShift));
  for (os::PresentRun run; walk.Next(&run);) {
    for (uint64_t page = run.start; page < run.end; page += kPageSize) {
      mask |= uint64_t{1} << ((page - start) >> kPageShift);
    }
  }
  if (walk.failed()) {
    Panic(__FILE__, __LINE__, "which pages the kernel has moved cannot be found out");
  }
  return mask;
}

// What was moved untold follows at once on what was told.
PortResult Pager::AddUntold(PortResult result, size_t pages, uint64_t moved) {
  const size_t told = result.done_bytes >> kPageShift;
  const auto in_a_row = static_cast<size_t>(std::countr_one(moved >> told));
  const size_t untold = in_a_row < pages - told ? in_a_row : pages - told;
  if (untold == 0) return result;
  parts_.statistics->untold_moves.Add(untold);
  const size_t done = told + untold;
  return {done == pages ? PortOutcome::kDone : result.outcome, done << kPageShift};
}

PortResult Pager::MoveIntoFrames(uint64_t source, FrameId first, size_t pages) {
  static_assert(kTakeBatch <= 64);
  const uint64_t frames = frames_.AddressOf(first);
  const PortResult result = parts_.port->Move(frames, source, pages << kPageShift);
  if (!MayTellTooLittle(result)) return result;
  // A frame that was full before holds something else, and the page is where it was.
  return AddUntold(result, pages, PresentMask(frames, pages) & ~PresentMask(source, pages));
}

PortResult Pager::MoveFromFrames(os::UserFaultPort& port, uint64_t destination, FrameId first,
                                 size_t pages) {
  static_assert(Readahead::kWindowMax <= 64 && kDrainPages <= 64);
  const uint64_t frames = frames_.AddressOf(first);
  const PortResult told = port.Move(destination, frames, pages << kPageShift);
  if (!MayTellTooLittle(told)) return told;
  const PortResult result = AddUntold(told, pages, ~PresentMask(frames, pages));
  if (result.done_bytes > told.done_bytes) {
    // The kernel wakes only those who wait for what it tells.
    port.Wake(destination + told.done_bytes, result.done_bytes - told.done_bytes);
  }
  return result;
}

}  // namespace uzswap
