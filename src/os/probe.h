// Probes: what this machine offers, asked of the running kernel and never of a version number.
//
//   userfaultfd(2)        needs CAP_SYS_PTRACE or vm.unprivileged_userfaultfd = 1
//   /dev/userfaultfd      needs permission on the file only (6.1)
//   features              one handshake on a throw-away context (UFFDIO_API tells them all)
//   PAGEMAP_SCAN          one empty scan
//
// Containers often forbid the system call with a seccomp filter: that looks like EPERM or like
// a kernel without it (ENOSYS), so the surroundings are collected too, for the message.
// Nothing stays open. Any thread may call these; they allocate nothing.
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

// Opens a context that serves faults of user and kernel mode: by the system call, failing that
// through the device. Fails with the errno of the system call.
Result<int> OpenUserfaultfd(int flags);

struct UffdProbe {
  int call_errno = 0;     // 0: the system call works
  int device_errno = 0;   // 0: the device works
  uint64_t features = 0;  // when either works

  [[nodiscard]] bool reachable() const { return call_errno == 0 || device_errno == 0; }
  [[nodiscard]] bool sufficient() const {
    return reachable() && (features & kUffdFeaturesNeeded) == kUffdFeaturesNeeded;
  }
};
UffdProbe ProbeUserfaultfd();

// Why userfaultfd may be out of reach.
struct UffdSurroundings {
  std::optional<uint64_t> sysctl;  // vm.unprivileged_userfaultfd; nothing: kernel built without
  bool device_exists = false;
  bool seccomp_filter = false;  // some filter is active in this process
};
UffdSurroundings LookAroundUserfaultfd();

bool ProbePagemapScan();

// All the machine's memory; what `uname -r` says.
Bytes MachineMemory();
using KernelRelease = TextLine<65>;
KernelRelease ReadKernelRelease();

}  // namespace uzswap::os

#endif  // UZSWAP_OS_PROBE_H_
