#include "os/uring_ring.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/check.h"

namespace uzswap::os {
namespace {

// linux/io_uring.h since 6.5. The addresses are in the last members of the two offset structures,
// which older headers call reserved.
constexpr uint32_t kSetupNoMmap = uint32_t{1} << 14;

// The kernel tells where in the memory its words are: io_uring_setup(2).
io_uring RingAt(std::byte* rings, std::byte* entries, const io_uring_params& parameters) {
  const auto word = [rings](uint32_t offset) {
    return reinterpret_cast<unsigned*>(rings + offset);
  };
  io_uring ring = {};
  ring.flags = parameters.flags;
  ring.features = parameters.features;
  io_uring_sq& to_kernel = ring.sq;
  to_kernel.khead = word(parameters.sq_off.head);
  to_kernel.ktail = word(parameters.sq_off.tail);
  to_kernel.kring_mask = word(parameters.sq_off.ring_mask);
  to_kernel.kring_entries = word(parameters.sq_off.ring_entries);
  to_kernel.kflags = word(parameters.sq_off.flags);
  to_kernel.kdropped = word(parameters.sq_off.dropped);
  to_kernel.array = word(parameters.sq_off.array);
  to_kernel.ring_mask = *to_kernel.kring_mask;
  to_kernel.ring_entries = *to_kernel.kring_entries;
  to_kernel.sqes = reinterpret_cast<io_uring_sqe*>(entries);
  io_uring_cq& from_kernel = ring.cq;
  from_kernel.khead = word(parameters.cq_off.head);
  from_kernel.ktail = word(parameters.cq_off.tail);
  from_kernel.kring_mask = word(parameters.cq_off.ring_mask);
  from_kernel.kring_entries = word(parameters.cq_off.ring_entries);
  from_kernel.koverflow = word(parameters.cq_off.overflow);
  from_kernel.kflags = word(parameters.cq_off.flags);
  from_kernel.cqes = reinterpret_cast<io_uring_cqe*>(rings + parameters.cq_off.cqes);
  from_kernel.ring_mask = *from_kernel.kring_mask;
  from_kernel.ring_entries = *from_kernel.kring_entries;
  // Slot i of the submission ring always names entry i.
  for (unsigned i = 0; i < to_kernel.ring_entries; ++i) to_kernel.array[i] = i;
  return ring;
}

}  // namespace

Result<void> UringRing::Open(uint32_t depth) {
  UZ_CHECK(!is_open() && depth <= kDepthMax);
  Result<Mapping> memory = Mapping::Create(Bytes(2 * kPageSize), "the memory of an io_uring");
  if (!memory.ok()) return memory.error();
  std::byte* const rings = memory.value().data();
  std::byte* const entries = rings + kPageSize;
  io_uring_params parameters = {};
  parameters.flags = IORING_SETUP_CLAMP | kSetupNoMmap;
  parameters.cq_off.resv2 = reinterpret_cast<uint64_t>(rings);
  parameters.sq_off.resv2 = reinterpret_cast<uint64_t>(entries);
  const long descriptor = syscall(SYS_io_uring_setup, depth, &parameters);
  if (descriptor < 0) return Error{errno, "io_uring_setup"};
  ring_ = RingAt(rings, entries, parameters);
  ring_.ring_fd = ring_.enter_ring_fd = static_cast<int>(descriptor);
  memory_ = std::move(memory).value();
  return {};
}

void UringRing::Close() {
  if (is_open()) syscall(SYS_close, ring_.ring_fd);
  Forget();
}

void UringRing::Forget() {
  ring_ = {};
  memory_ = Mapping();
}

}  // namespace uzswap::os
