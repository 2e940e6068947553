// UserFaultPort: the seam between the pager and userfaultfd(2).
//
//      program thread            kernel                      pager
//      touches a missing page -> queues a message  -------->  Read()
//             (sleeps)                                        Move / Copy / Zero
//             runs again     <------------------------------  (wakes it)
//      munmap, mremap,        -> queues an event   -------->  Read()
//      madvise (sleeps until the event is read)
//
// One port is one context. Both the program's adopted mappings and the swap cache's slots are
// registered with it, so that every Move, in either direction, is refused with kRetry while an
// event waits to be read. That is what keeps us from taking a page out of a mapping that has
// just replaced the one we knew (docs/decisions/0001-one-context.md).
//
// Two implementations: LinuxUserFault (os/linux_user_fault.h) and FakeUserFault
// (os/fake_user_fault.h), a small address space without a kernel, for stepping the pager's
// protocol in every order. All calls may come from any thread; none allocates.
#ifndef UZSWAP_OS_USER_FAULT_PORT_H_
#define UZSWAP_OS_USER_FAULT_PORT_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace uzswap::os {

struct UserFaultEvent {
  enum class Kind : uint8_t {
    kPageFault,  // start: the address; thread, write
    kUnmap,      // [start, end) is gone
    kRemap,      // [start, end) now begins at target
    kRemove,     // the program discards the content of [start, end); it may not be gone yet
  };
  Kind kind = Kind::kPageFault;
  bool write = false;
  uint32_t thread = 0;
  uint64_t start = 0;
  uint64_t end = 0;
  uint64_t target = 0;
};

// What the kernel answered. Every value is an ordinary outcome.
enum class PortOutcome : uint8_t {
  kDone,
  kRetry,     // EAGAIN: an event waits to be read; read it, then try again
  kExists,    // EEXIST: the destination has a page already
  kGone,      // ENOENT, ESRCH: no page at the source, or no such mapping any more
  kBusy,      // EBUSY: the page is pinned, or shared with a forked child
  kRefused,   // EINVAL: the mapping's protection or lock does not allow it, or the range is not one
              // of whole pages in one mapping. EFAULT: the source page is poisoned.
  kNoMemory,  // ENOMEM
};

struct PortResult {
  PortOutcome outcome = PortOutcome::kDone;
  uint64_t done_bytes = 0;  // whole pages finished before the outcome
};

class UserFaultPort {
 public:
  // Takes messages that wait, faults first; 0 when there are none. Never sleeps.
  virtual size_t Read(std::span<UserFaultEvent> events) = 0;
  // Sleeps until a message waits or `timeout_ms` is over (-1: for ever).
  virtual void WaitReadable(int timeout_ms) = 0;

  // Moves whole pages, nothing copied. Wakes threads that wait for the destination.
  virtual PortResult Move(uint64_t destination, uint64_t source, uint64_t length) = 0;
  // Supplies whole pages with copies of `source` (engine memory). Wakes as Move does.
  virtual PortResult Copy(uint64_t destination, const void* source, uint64_t length) = 0;
  // Supplies the shared zero page.
  virtual PortResult Zero(uint64_t destination) = 0;
  // Supplies a page that raises SIGBUS at every touch, until it is discarded or unmapped: for
  // content that is lost. kRefused where the kernel cannot (before Linux 6.6).
  virtual PortResult Poison(uint64_t destination) = 0;
  // Wakes threads that wait for pages in the range, without supplying any.
  virtual void Wake(uint64_t start, uint64_t length) = 0;

  // From here on missing pages of the range are ours to supply.
  virtual Result<void> Register(uint64_t start, uint64_t length) = 0;

 protected:
  ~UserFaultPort() = default;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_USER_FAULT_PORT_H_
