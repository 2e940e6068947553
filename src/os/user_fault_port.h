// UserFaultPort: the interface between the pager and userfaultfd(2).
//
//      program thread            kernel                      pager
//      touches a missing page -> queues a message  -------->  Read()
//             (sleeps)                                        Move / Copy / Zero
//             runs again     <------------------------------  (wakes it)
//      munmap, mremap,        -> queues an event   -------->  Read()
//      madvise (sleeps until the event is read)
//
// One port is one userfaultfd. Both the program's adopted mappings and the staging frames are
// registered with it. So every Move, in either direction, is refused with kRetry while an event
// waits to be read. This ensures that the pager does not isolate a page of a mapping that has just
// replaced the mapping it knows (docs/decisions/0001-one-context.md).
//
// Two implementations: LinuxUserFault (os/linux_user_fault.h) and FakeUserFault
// (os/testing/fake_user_fault.h). The fake is a small address space without a kernel. Tests step
// the pager's protocol with it in every order. Any thread may call these; none allocates.
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
    kUnmap,      // [start, end) is unmapped
    kRemap,      // [start, end) was moved and now begins at target
    kRemove,     // the program discards the content of [start, end); the pages may still be there
  };
  Kind kind = Kind::kPageFault;
  bool write = false;
  uint32_t thread = 0;
  uint64_t start = 0;
  uint64_t end = 0;
  uint64_t target = 0;
};

// The answer of the kernel. Every value is a normal outcome.
enum class PortOutcome : uint8_t {
  kDone,
  kRetry,     // EAGAIN: an event waits to be read, or the call stopped in the middle; read, retry
  kExists,    // EEXIST: the destination has a page already
  kGone,      // ENOENT, ESRCH: the source has no page, or the mapping does not exist any more
  kBusy,      // EBUSY: the page is pinned, or shared with a forked child
  kRefused,   // EINVAL: the mapping's protection or lock does not allow it, or the range is not
              // whole pages of one mapping. EFAULT: the source page is poisoned.
  kNoMemory,  // ENOMEM
};

struct PortResult {
  PortOutcome outcome = PortOutcome::kDone;
  uint64_t done_bytes = 0;  // whole pages that were done before the outcome
};

class UserFaultPort {
 public:
  // Reads queued messages, faults first. Returns 0 if there are none. Never sleeps.
  virtual size_t Read(std::span<UserFaultEvent> events) = 0;
  // Sleeps until a message is queued or `timeout_ms` has passed (-1: no timeout).
  virtual void WaitReadable(int timeout_ms) = 0;

  // Moves whole pages without copying. Wakes threads that wait for the destination.
  virtual PortResult Move(uint64_t destination, uint64_t source, uint64_t length) = 0;
  // Move from a mapping that is also executable: its pages cannot be moved into a mapping that is
  // not. Makes `destination`, which is memory of the engine that nobody else uses, executable for
  // the duration of the call. kRefused, too, where the kernel forbids that (PR_SET_MDWE).
  virtual PortResult MoveFromExecutable(uint64_t destination, uint64_t source, uint64_t length) = 0;
  // Populates whole pages with copies of `source` (engine memory). Wakes as Move does.
  virtual PortResult Copy(uint64_t destination, const void* source, uint64_t length) = 0;
  // Populates a page with the shared zero page.
  virtual PortResult Zero(uint64_t destination) = 0;
  // Poisons a page whose content is lost: every touch raises SIGBUS until the page is discarded or
  // unmapped. kRefused if the kernel cannot do it (before Linux 6.6).
  virtual PortResult Poison(uint64_t destination) = 0;
  // Wakes threads that wait for pages in the range, without populating any.
  virtual void Wake(uint64_t start, uint64_t length) = 0;
  // While held, none of the calls above wakes a thread: the caller calls Wake for them afterwards.
  // A port may wake them at once anyway.
  virtual void HoldWakes(bool /*held*/) {}

  // After this call the port's user must populate the missing pages of the range.
  virtual Result<void> Register(uint64_t start, uint64_t length) = 0;

 protected:
  ~UserFaultPort() = default;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_USER_FAULT_PORT_H_
