#include "reclaim/uffd_mover.h"

#include <utility>

#include "os/counted_move.h"

namespace uzswap {

using os::PortOutcome;
using os::PortResult;

Result<void> UffdMover::Init(const Parts& parts) {
  static_assert(kBatchMax <= os::kCountedMoveMax);
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
  const PortResult result = os::MoveIn(*parts_.port, *parts_.address_space, frames, address, pages,
                                       parts_.statistics->unreported_moves);
  if (result.outcome == PortOutcome::kRefused && result.done_bytes == 0 && IsExecutable(address)) {
    return IsolateExecutable(address, frames, pages);
  }
  return result;
}

PortResult UffdMover::IsolateExecutable(uint64_t address, uint64_t frames, size_t pages) {
  const PortResult result = parts_.port->MoveFromExecutable(frames, address, pages << kPageShift);
  if (!os::MayReportTooLittle(result)) return result;
  os::AddressSpace& space = *parts_.address_space;
  const uint64_t moved =
      os::PresentMask(space, frames, pages) & ~os::PresentMask(space, address, pages);
  return os::AddUnreported(result, pages, moved, parts_.statistics->unreported_moves);
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
  return os::MoveOut(port, *parts_.address_space, destination, parts_.frames->AddressOf(first),
                     pages, parts_.statistics->unreported_moves);
}

bool UffdMover::IsExecutable(uint64_t address) {
  os::MapsEntry entry;
  return parts_.address_space->Find(address, &entry) && entry.writable && entry.executable;
}

}  // namespace uzswap
