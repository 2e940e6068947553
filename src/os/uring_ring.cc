#include "os/uring_ring.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "os/own_place.h"

namespace uzswap::os {
namespace {

void* MapPart(int descriptor, size_t bytes, uint64_t offset) {
  return mmap(NextOwnPlace(bytes), bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
              descriptor, static_cast<off_t>(offset));
}

// The kernel tells where in the mapping its words are: io_uring_setup(2).
void Point(std::byte* base, const io_uring_params& parameters, io_uring* ring) {
  const auto word = [base](uint32_t offset) { return reinterpret_cast<unsigned*>(base + offset); };
  io_uring_sq& to_kernel = ring->sq;
  to_kernel.khead = word(parameters.sq_off.head);
  to_kernel.ktail = word(parameters.sq_off.tail);
  to_kernel.kring_mask = word(parameters.sq_off.ring_mask);
  to_kernel.kring_entries = word(parameters.sq_off.ring_entries);
  to_kernel.kflags = word(parameters.sq_off.flags);
  to_kernel.kdropped = word(parameters.sq_off.dropped);
  to_kernel.array = word(parameters.sq_off.array);
  to_kernel.ring_mask = *to_kernel.kring_mask;
  to_kernel.ring_entries = *to_kernel.kring_entries;
  io_uring_cq& from_kernel = ring->cq;
  from_kernel.khead = word(parameters.cq_off.head);
  from_kernel.ktail = word(parameters.cq_off.tail);
  from_kernel.kring_mask = word(parameters.cq_off.ring_mask);
  from_kernel.kring_entries = word(parameters.cq_off.ring_entries);
  from_kernel.koverflow = word(parameters.cq_off.overflow);
  from_kernel.cqes = reinterpret_cast<io_uring_cqe*>(base + parameters.cq_off.cqes);
  if (parameters.cq_off.flags != 0) from_kernel.kflags = word(parameters.cq_off.flags);
  from_kernel.ring_mask = *from_kernel.kring_mask;
  from_kernel.ring_entries = *from_kernel.kring_entries;
  // Slot i of the submission ring always names entry i.
  for (unsigned i = 0; i < to_kernel.ring_entries; ++i) to_kernel.array[i] = i;
}

Result<void> MapRing(int descriptor, const io_uring_params& parameters, io_uring* ring) {
  const size_t bytes =
      std::max<size_t>(parameters.sq_off.array + parameters.sq_entries * sizeof(unsigned),
                       parameters.cq_off.cqes + parameters.cq_entries * sizeof(io_uring_cqe));
  void* const rings = MapPart(descriptor, bytes, IORING_OFF_SQ_RING);
  if (rings == MAP_FAILED) return Error{errno, "mmap of an io_uring"};
  void* const entries =
      MapPart(descriptor, parameters.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES);
  if (entries == MAP_FAILED) {
    const int error = errno;
    munmap(rings, bytes);
    return Error{error, "mmap of an io_uring"};
  }
  *ring = {};
  ring->sq.sqes = static_cast<io_uring_sqe*>(entries);
  ring->sq.ring_ptr = ring->cq.ring_ptr = rings;
  ring->sq.ring_sz = ring->cq.ring_sz = bytes;
  ring->flags = parameters.flags;
  ring->features = parameters.features;
  ring->ring_fd = ring->enter_ring_fd = descriptor;
  Point(static_cast<std::byte*>(rings), parameters, ring);
  return {};
}

}  // namespace

Result<void> OpenRing(uint32_t depth, io_uring* ring) {
  io_uring_params parameters{};
  parameters.flags = IORING_SETUP_CLAMP;
  const long descriptor = syscall(SYS_io_uring_setup, depth, &parameters);
  if (descriptor < 0) return Error{errno, "io_uring_setup"};
  Result<void> done = Error{ENOTSUP, "io_uring with one mapping (Linux 5.4)"};
  if ((parameters.features & IORING_FEAT_SINGLE_MMAP) != 0) {
    done = MapRing(static_cast<int>(descriptor), parameters, ring);
  }
  if (!done.ok()) syscall(SYS_close, descriptor);
  return done;
}

void UnmapRing(io_uring& ring) {
  munmap(ring.sq.sqes, ring.sq.ring_entries * sizeof(io_uring_sqe));
  munmap(ring.sq.ring_ptr, ring.sq.ring_sz);
}

}  // namespace uzswap::os
