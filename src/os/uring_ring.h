// The mappings of an io_uring, at places of uzswap's own (os/own_place.h says why).
//
// liburing's io_uring_queue_init leaves the addresses to the kernel. OpenRing does the same as that
// function with one more argument of mmap. All other functions of liburing work with the result.
#ifndef UZSWAP_OS_URING_RING_H_
#define UZSWAP_OS_URING_RING_H_

#include <liburing.h>

#include <cstdint>

#include "base/result.h"

namespace uzswap::os {

// A ring of at least `depth` entries. Fails with the errno of io_uring_setup or of mmap; ENOTSUP: a
// kernel before Linux 5.4. io_uring_queue_exit closes it.
Result<void> OpenRing(uint32_t depth, io_uring* ring);
// For a forked child: the descriptor is in the parent's table, only the mappings are here.
void UnmapRing(io_uring& ring);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_URING_RING_H_
