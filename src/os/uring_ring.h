// UringRing: an io_uring in memory of uzswap's own.
//
//     memory:  | page 0: both rings | page 1: submission entries |      os/mapping.h
//
// liburing's io_uring_queue_init leaves the addresses of the rings to the kernel, and the kernel
// accepts no other: they would lie in a hole of the program (os/own_address.h). So the kernel gets
// the memory from here (IORING_SETUP_NO_MMAP, Linux 6.5). All functions of liburing that use a ring
// work with it; those that make and end one do not.
//
// The owner guards it.
#ifndef UZSWAP_OS_URING_RING_H_
#define UZSWAP_OS_URING_RING_H_

#include <liburing.h>

#include <cstdint>

#include "base/result.h"
#include "os/mapping.h"

namespace uzswap::os {

class UringRing {
 public:
  // Each part of the memory must be one page.
  static constexpr uint32_t kDepthMax = 64;

  UringRing() = default;
  UringRing(const UringRing&) = delete;
  UringRing& operator=(const UringRing&) = delete;
  ~UringRing() { Close(); }

  // Requires: not open; depth is at most kDepthMax. Fails with the errno of io_uring_setup or mmap.
  Result<void> Open(uint32_t depth);
  [[nodiscard]] bool is_open() const { return !memory_.empty(); }
  // Requires: no request is in flight.
  void Close();
  // For a forked child: the descriptor is in the parent's table, only the memory is here.
  void Forget();

  // Requires: open.
  io_uring* get() { return &ring_; }

 private:
  io_uring ring_ = {};
  Mapping memory_;  // empty: not open
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_URING_RING_H_
