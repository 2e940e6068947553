// Probes: what the running kernel supports. It is tested by calls, never by the version number.
//
//   userfaultfd(2)        needs CAP_SYS_PTRACE or vm.unprivileged_userfaultfd = 1
//   /dev/userfaultfd      needs only permission for the file (6.1)
//   features              UFFDIO_API on a temporary userfaultfd returns all features
//   PAGEMAP_SCAN          one empty scan
//
// Containers often forbid the system call with a seccomp filter. It then fails with EPERM, or with
// ENOSYS as on a kernel without userfaultfd. UffdSurroundings has the facts that tell these cases
// apart, for the message. Nothing stays open. Any thread may call these; they do not allocate.
#ifndef UZSWAP_OS_PROBE_H_
#define UZSWAP_OS_PROBE_H_

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "base/units.h"
#include "os/text_line.h"
#include "os/uffd_abi.h"

namespace uzswap::os {

// Without these the pager cannot work.
inline constexpr uint64_t kUffdFeaturesNeeded =
    abi::kUffdFeatureMove | abi::kUffdFeatureEventRemap | abi::kUffdFeatureEventRemove |
    abi::kUffdFeatureEventUnmap;

// Opens a userfaultfd that serves faults of user and kernel mode. Uses the system call; if that
// fails, the device. Fails with the errno of the system call.
Result<int> OpenUserfaultfd(int flags);

struct UffdProbe {
  int call_errno = 0;     // 0: the system call works
  int device_errno = 0;   // 0: the device works
  uint64_t features = 0;  // if one of them works

  [[nodiscard]] bool reachable() const { return call_errno == 0 || device_errno == 0; }
  [[nodiscard]] bool sufficient() const {
    return reachable() && (features & kUffdFeaturesNeeded) == kUffdFeaturesNeeded;
  }
};
UffdProbe ProbeUserfaultfd();

// Why userfaultfd may be unavailable.
struct UffdSurroundings {
  std::optional<uint64_t> sysctl;  // vm.unprivileged_userfaultfd; empty: the kernel has none
  bool device_exists = false;
  bool seccomp_filter = false;  // a filter is active in this process
  bool pagemap_scan = true;     // false: the kernel is older than Linux 6.7
};
UffdSurroundings LookAroundUserfaultfd();

bool ProbePagemapScan();

// The total memory of the machine, and the output of `uname -r`.
Bytes MachineMemory();
using KernelRelease = TextLine<65>;
KernelRelease ReadKernelRelease();

}  // namespace uzswap::os

#endif  // UZSWAP_OS_PROBE_H_
