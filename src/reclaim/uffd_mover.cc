#include "reclaim/uffd_mover.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace uzswap {

using os::PortOutcome;
using os::PortResult;

namespace {

// The kernel gives the other refusals before it moves anything.
bool MayReportTooLittle(const PortResult& result) {
  if (result.outcome == PortOutcome::kDone) return false;
  return result.done_bytes > 0 || result.outcome == PortOutcome::kExists ||
         result.outcome == PortOutcome::kGone;
}

}  // namespace

Result<void> UffdMover::Init(const Parts& parts) {
  static_assert(kBatchMax <= 64, "a mask of present pages has 64 bits");
  parts_ = parts;
  auto window = os::Mapping::Create(Bytes(kBatchMax * kPageSize), "the release window");
  if (!window.ok()) return window.error();
  window_ = std::move(window).value();
  return {};
}

Result<void> UffdMover::RegisterOwn() {
  const os::Mapping& frames = parts_.frames->memory();
  Result<void> done =
      parts_.port->Register(reinterpret_cast<uint64_t>(frames.data()), frames.size());
  if (!done.ok()) return done;
  return parts_.release_port->Register(reinterpret_cast<uint64_t>(window_.data()), window_.size());
}

PortResult UffdMover::Isolate(uint64_t address, FrameId first, size_t pages) {
  UZ_DCHECK_LE(pages, kBatchMax);
  const uint64_t frames = parts_.frames->AddressOf(first);
  PortResult result = parts_.port->Move(frames, address, pages << kPageShift);
  if (result.outcome == PortOutcome::kRefused && result.done_bytes == 0 && IsExecutable(address)) {
    result = parts_.port->MoveFromExecutable(frames, address, pages << kPageShift);
  }
  if (!MayReportTooLittle(result)) return result;
  // A frame that was full before holds something else, and the page is where it was.
  return AddUnreported(result, pages, PresentMask(frames, pages) & ~PresentMask(address, pages));
}

PortResult UffdMover::Return(uint64_t address, FrameId first, size_t pages) {
  return MoveOut(*parts_.port, address, first, pages);
}

PortResult UffdMover::Release(FrameId first, size_t pages) {
  const PortResult result =
      MoveOut(*parts_.release_port, reinterpret_cast<uint64_t>(window_.data()), first, pages);
  if (result.done_bytes > 0) window_.Discard(0, result.done_bytes);
  return result;
}

PortResult UffdMover::MoveOut(os::UserFaultPort& port, uint64_t destination, FrameId first,
                              size_t pages) {
  UZ_DCHECK_LE(pages, kBatchMax);
  const uint64_t frames = parts_.frames->AddressOf(first);
  const PortResult reported = port.Move(destination, frames, pages << kPageShift);
  if (!MayReportTooLittle(reported)) return reported;
  const PortResult result = AddUnreported(reported, pages, ~PresentMask(frames, pages));
  if (result.done_bytes > reported.done_bytes) {
    // The kernel wakes only the threads that wait for what it reports.
    port.Wake(destination + reported.done_bytes, result.done_bytes - reported.done_bytes);
  }
  return result;
}

// Pages moved without a report follow directly on those that were reported.
PortResult UffdMover::AddUnreported(PortResult result, size_t pages, uint64_t moved) {
  const size_t reported = result.done_bytes >> kPageShift;
  const auto in_a_row = static_cast<size_t>(std::countr_one(moved >> reported));
  const size_t unreported = std::min(in_a_row, pages - reported);
  if (unreported == 0) return result;
  parts_.statistics->unreported_moves.Add(unreported);
  const size_t done = reported + unreported;
  return {done == pages ? PortOutcome::kDone : result.outcome, done << kPageShift};
}

bool UffdMover::IsExecutable(uint64_t address) {
  os::MapsEntry entry;
  return parts_.address_space->Find(address, &entry) && entry.writable && entry.executable;
}

// Bit i: page i of the range is present. At most 64 pages.
uint64_t UffdMover::PresentMask(uint64_t start, size_t pages) {
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

}  // namespace uzswap
