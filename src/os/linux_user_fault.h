// LinuxUserFault: a userfaultfd(2) as a UserFaultPort.
//
//   Events::kAll    for the program's mappings and the staging frames: missing-page faults of user
//                   and kernel mode, and unmap, remap and remove events
//   Events::kNone   for the release window: no events, and nobody reads faults. A touch of a
//   missing
//                   page raises SIGBUS, so that the program's mlockall, which populates every
//                   mapping, skips it
//   Events::kSignal for mappings whose faults are answered in the faulting thread: a touch of a
//                   missing page raises SIGBUS there, and in a system call EFAULT. Needs no
//                   privilege
//
// It must be opened and used by threads that share one descriptor table: the engine's, which the
// program cannot see. If it is closed while faults wait, the waiting threads get zero pages. So
// only the end of the process closes it (and tests in which no thread waits).
#ifndef UZSWAP_OS_LINUX_USER_FAULT_H_
#define UZSWAP_OS_LINUX_USER_FAULT_H_

#include "base/counter.h"
#include "base/result.h"
#include "os/user_fault_port.h"

namespace uzswap::os {

class LinuxUserFault final : public UserFaultPort {
 public:
  LinuxUserFault() = default;
  LinuxUserFault(const LinuxUserFault&) = delete;
  LinuxUserFault& operator=(const LinuxUserFault&) = delete;

  enum class Events : uint8_t { kAll, kNone, kSignal };

  // Uses the system call, or /dev/userfaultfd if only that is allowed. Fails with the errno of
  // OpenUserfaultfd, or with EOPNOTSUPP if the kernel has no UFFDIO_MOVE (before Linux 6.8).
  Result<void> Open(Events events);
  // Requires: no thread waits for a page of this userfaultfd.
  void Close();
  // For a forked child: the descriptor is in the parent's descriptor table.
  void Forget() { descriptor_ = -1; }
  // Counts the errnos that are not documented; they are taken as refusals. `counter` outlives this.
  void CountUnknownIn(RelaxedCounter* counter) { unknown_errnos_ = counter; }
  // For a process that keeps it open too. -1: not open.
  [[nodiscard]] int descriptor() const { return descriptor_; }
  [[nodiscard]] bool open() const { return descriptor_ >= 0; }

  size_t Read(std::span<UserFaultEvent> events) override;
  void WaitReadable(int timeout_ms) override;
  PortResult Move(uint64_t destination, uint64_t source, uint64_t length) override;
  PortResult MoveFromExecutable(uint64_t destination, uint64_t source, uint64_t length) override;
  PortResult Copy(uint64_t destination, const void* source, uint64_t length) override;
  PortResult Zero(uint64_t destination) override;
  PortResult Poison(uint64_t destination) override;
  void Wake(uint64_t start, uint64_t length) override;
  void HoldWakes(bool held) override;
  Result<void> Register(uint64_t start, uint64_t length) override;

 private:
  PortResult ResultOf(int status, int64_t answer, uint64_t length);

  int descriptor_ = -1;
  uint64_t mode_ = 0;  // of the calls that resolve faults
  RelaxedCounter* unknown_errnos_ = nullptr;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_LINUX_USER_FAULT_H_
