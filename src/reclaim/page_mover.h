// PageMover: how pages get from the program into staging frames, back, and out of the frames.
//
//     program  -- Isolate -->  staging frames  -- Release -->  kernel
//              <-- Return --
//
// UffdMover (reclaim/uffd_mover.h) uses UFFDIO_MOVE. A kernel without it needs another mover. Every
// call handles adjacent pages, at most kBatchMax, and answers how many bytes were done before the
// outcome. What an outcome means is in os/user_fault_port.h.
//
// All calls under the owner's lock. Nothing allocates.
#ifndef UZSWAP_RECLAIM_PAGE_MOVER_H_
#define UZSWAP_RECLAIM_PAGE_MOVER_H_

#include <cstddef>
#include <cstdint>

#include "base/units.h"
#include "os/user_fault_port.h"

namespace uzswap {

class PageMover {
 public:
  static constexpr size_t kBatchMax = 64;

  // From the program into Empty frames. A touch of these pages is a fault from here on.
  virtual os::PortResult Isolate(uint64_t address, FrameId first, size_t pages) = 0;
  // From the frames back to where the program has no page. Wakes the threads that wait for them.
  virtual os::PortResult Return(uint64_t address, FrameId first, size_t pages) = 0;
  // Gives the memory of frames back to the kernel. kBusy: the first is shared with a forked child,
  // and BreakCow makes it releasable.
  virtual os::PortResult Release(FrameId first, size_t pages) = 0;
  // Makes a frame that is shared with a forked child a private copy, by writing to it.
  virtual void BreakCow(FrameId frame) = 0;

 protected:
  ~PageMover() = default;
};

}  // namespace uzswap

#endif  // UZSWAP_RECLAIM_PAGE_MOVER_H_
