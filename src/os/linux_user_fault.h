// LinuxUserFault: a userfaultfd(2) context as a UserFaultPort, and the drain that goes with it.
//
// The context hears missing pages of user and kernel mode, unmap, remap and remove events. It
// must be opened and used by threads that share one descriptor table (the engine's own), which
// the program never sees. Closing it while faults wait would hand out zero pages, so it is
// closed only by the end of the process (or by tests that know better).
#ifndef UZSWAP_OS_LINUX_USER_FAULT_H_
#define UZSWAP_OS_LINUX_USER_FAULT_H_

#include "base/result.h"
#include "os/user_fault_port.h"

namespace uzswap::os {

class LinuxUserFault final : public UserFaultPort {
 public:
  LinuxUserFault() = default;
  LinuxUserFault(const LinuxUserFault&) = delete;
  LinuxUserFault& operator=(const LinuxUserFault&) = delete;

  enum class Events : uint8_t { kAll, kNone };

  // By the system call, or by /dev/userfaultfd where only that is allowed. Fails with the
  // errno of what was tried last; EOPNOTSUPP when the kernel lacks MOVE (before 6.8).
  Result<void> Open(Events events);
  // Requires: no thread waits for a page of this context.
  void Close();
  // In a forked child: the descriptor belonged to a table that stayed with the parent.
  void Forget() { descriptor_ = -1; }
  [[nodiscard]] bool open() const { return descriptor_ >= 0; }

  size_t Read(std::span<UserFaultEvent> events) override;
  void WaitReadable(int timeout_ms) override;
  PortResult Move(uint64_t destination, uint64_t source, uint64_t length) override;
  PortResult Copy(uint64_t destination, const void* source, uint64_t length) override;
  PortResult Zero(uint64_t destination) override;
  PortResult Poison(uint64_t destination) override;
  void Wake(uint64_t start, uint64_t length) override;
  Result<void> Register(uint64_t start, uint64_t length) override;

 private:
  int descriptor_ = -1;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_LINUX_USER_FAULT_H_
