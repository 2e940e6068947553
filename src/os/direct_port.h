// DirectPort: a UserFaultPort without userfaultfd, for a process in which no other thread runs.
//
//   Copy(destination, page) ──> process_vm_writev to itself
//                                  │ the mapping is not writable now
//                                  └──> /proc/self/mem, which writes as a debugger does
//
// There are no faults and no events. It is for a forked child that cannot be served: every page is
// copied back before the program runs. Writing by system calls, not by the processor: a page that
// is not mapped is an outcome (kGone), not a signal.
#ifndef UZSWAP_OS_DIRECT_PORT_H_
#define UZSWAP_OS_DIRECT_PORT_H_

#include "os/user_fault_port.h"

namespace uzswap::os {

class DirectPort final : public UserFaultPort {
 public:
  size_t Read(std::span<UserFaultEvent> /*events*/) override { return 0; }
  void WaitReadable(int /*timeout_ms*/) override {}
  // Nothing is isolated in such a process.
  PortResult Move(uint64_t /*to*/, uint64_t /*from*/, uint64_t /*length*/) override {
    return {PortOutcome::kRefused, 0};
  }
  PortResult MoveFromExecutable(uint64_t /*to*/, uint64_t /*from*/, uint64_t /*length*/) override {
    return {PortOutcome::kRefused, 0};
  }
  PortResult Copy(uint64_t destination, const void* source, uint64_t length) override;
  // A missing page reads as zeroes without it.
  PortResult Zero(uint64_t /*destination*/) override { return {}; }
  PortResult Poison(uint64_t /*destination*/) override { return {PortOutcome::kRefused, 0}; }
  void Wake(uint64_t /*start*/, uint64_t /*length*/) override {}
  Result<void> Register(uint64_t /*start*/, uint64_t /*length*/) override { return {}; }
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_DIRECT_PORT_H_
