// UffdMover: moves pages with UFFDIO_MOVE, and counts what was moved by what the frames hold.
//
//   program's mappings  <-- one userfaultfd -->  staging frames  -- another, without events -->
//                                                                    release window --> kernel
//
// Program and frames belong to one userfaultfd, so that every move is refused with kRetry while an
// event is pending (docs/decisions/0001-one-context.md). Frames are emptied by a move into the
// release window, whose pages are then discarded (MADV_DONTNEED).
//
// UFFDIO_MOVE wants equal protection on both sides, and the frames are readable and writable. For a
// mapping that is executable as well the frames are executable while they take its pages in. Such a
// page does not go back by a move: its fault is answered with a copy.
//
// Only the owner of the lock fills or empties a frame, so moves can be counted by what the frames
// hold (os/counted_move.h).
//
// All calls under the owner's lock. Nothing allocates after Init.
#ifndef UZSWAP_RECLAIM_UFFD_MOVER_H_
#define UZSWAP_RECLAIM_UFFD_MOVER_H_

#include "base/result.h"
#include "base/statistics.h"
#include "os/address_space.h"
#include "os/mapping.h"
#include "reclaim/page_mover.h"
#include "reclaim/staging_frames.h"

namespace uzswap {

class UffdMover final : public PageMover {
 public:
  // All outlive this.
  struct Parts {
    os::UserFaultPort* port = nullptr;          // of the program's mappings and the frames
    os::UserFaultPort* release_port = nullptr;  // of the release window; has no events
    os::AddressSpace* address_space = nullptr;
    StagingFrames* frames = nullptr;
    Statistics* statistics = nullptr;
  };

  // Once. Fails with the errno of mmap.
  Result<void> Init(const Parts& parts);
  // In a forked child, with ports of its own.
  void UseParts(const Parts& parts) { parts_ = parts; }
  // Registers frames and release window. Fails with the errno of UFFDIO_REGISTER.
  Result<void> RegisterOwn();

  os::PortResult Isolate(uint64_t address, FrameId first, size_t pages) override;
  os::PortResult Return(uint64_t address, FrameId first, size_t pages) override;
  os::PortResult Release(FrameId first, size_t pages) override;
  void BreakCow(FrameId frame) override { *parts_.frames->data(frame) = std::byte{0}; }

 private:
  os::PortResult MoveOut(os::UserFaultPort& port, uint64_t destination, FrameId first,
                         size_t pages);
  os::PortResult IsolateExecutable(uint64_t address, uint64_t frames, size_t pages);
  bool IsExecutable(uint64_t address);

  Parts parts_;
  os::Mapping window_;
};

}  // namespace uzswap

#endif  // UZSWAP_RECLAIM_UFFD_MOVER_H_
