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
  const uint64_t end = start + (pages << kPageShift);
  uint64_t mask = 0;
  os::PresentRun runs[32];
  for (uint64_t at = start; at < end;) {
    uint64_t walked = end;
    const Result<size_t> found = parts_.address_space->Present(at, end, runs, 32, &walked);
    if (!found.ok() || walked <= at) {
      Panic(__FILE__, __LINE__, "which pages the kernel has moved cannot be found out");
    }
    for (size_t i = 0; i < found.value(); ++i) {
      for (uint64_t page = runs[i].start; page < runs[i].end; page += kPageSize) {
        mask |= uint64_t{1} << ((page - start) >> kPageShift);
      }
    }
    at = walked;
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

PortResult Pager::MoveOut(uint64_t address, FrameId first, size_t pages) {
  static_assert(kTakeBatch <= 64);
  const uint64_t frames = frames_.AddressOf(first);
  const PortResult result = parts_.port->Move(frames, address, pages << kPageShift);
  if (!MayTellTooLittle(result)) return result;
  // A frame that was full before holds something else, and the page is where it was.
  return AddUntold(result, pages, PresentMask(frames, pages) & ~PresentMask(address, pages));
}

PortResult Pager::MoveBack(uint64_t address, FrameId first, size_t pages) {
  static_assert(Streams::kWindowMax <= 64);
  const uint64_t frames = frames_.AddressOf(first);
  const PortResult told = parts_.port->Move(address, frames, pages << kPageShift);
  if (!MayTellTooLittle(told)) return told;
  const PortResult result = AddUntold(told, pages, ~PresentMask(frames, pages));
  if (result.done_bytes > told.done_bytes) {
    // The kernel wakes only those who wait for what it tells.
    parts_.port->Wake(address + told.done_bytes, result.done_bytes - told.done_bytes);
  }
  return result;
}

PortResult Pager::MoveToDrain(FrameId first, size_t pages) {
  static_assert(kDrainPages <= 64);
  const uint64_t frames = frames_.AddressOf(first);
  const PortResult result = parts_.drain_port->Move(reinterpret_cast<uint64_t>(drain_.data()),
                                                    frames, pages << kPageShift);
  if (!MayTellTooLittle(result)) return result;
  return AddUntold(result, pages, ~PresentMask(frames, pages));
}

}  // namespace uzswap
