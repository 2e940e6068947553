#include "surroundings.h"

#include <cerrno>
#include <cstring>

namespace uzswap::cli {
namespace {

constexpr char kContainerFix[] =
    "allow the system call userfaultfd in the container's seccomp profile"
    " (docker run --security-opt seccomp=PROFILE.json), or pass the device in"
    " (--device /dev/userfaultfd)";

// Debian 12 has this kernel in its security archive.
constexpr char kNewerKernelFix[] =
    "boot a kernel of 6.8 or later; on Debian 12: apt install linux-image-6.12-amd64";

std::string PermissionFix(const os::UffdSurroundings& around) {
  std::string fix = "as root: sysctl vm.unprivileged_userfaultfd=1";
  if (around.device_exists) {
    fix += "; or for one user: setfacl -m u:NAME:rw /dev/userfaultfd";
  }
  return fix;
}

Refusal Unreachable(const os::UffdProbe& probe, const os::UffdSurroundings& around,
                    const std::string& kernel) {
  if (!around.sysctl && probe.call_errno == ENOSYS && !around.seccomp_filter) {
    return {kCannotDo, "this kernel (" + kernel + ") is built without userfaultfd",
            "boot a kernel of 6.8 or later with CONFIG_USERFAULTFD=y"};
  }
  // A filter returns ENOSYS or EPERM. If the sysctl allows every user, only a filter can refuse.
  const bool filtered =
      around.seccomp_filter && (probe.call_errno == ENOSYS || around.sysctl.value_or(0) == 1);
  if (filtered) {
    return {kCannotDo,
            std::string("a seccomp filter forbids userfaultfd here (") +
                strerror(probe.call_errno) + ")",
            kContainerFix};
  }
  if (probe.call_errno == EPERM) {
    return {
        kCannotDo,
        "userfaultfd is not permitted to this user (vm.unprivileged_userfaultfd is 0 and"
        " /dev/userfaultfd is closed)",
        PermissionFix(around) +
            (around.seccomp_filter ? std::string("; in a container also: ") + kContainerFix : "")};
  }
  return {kCannotDo, std::string("userfaultfd cannot be opened: ") + strerror(probe.call_errno),
          probe.call_errno == EMFILE ? "ulimit -n 1024" : PermissionFix(around)};
}

}  // namespace

std::optional<Refusal> CheckUserfaultfd(const os::UffdProbe& probe,
                                        const os::UffdSurroundings& around,
                                        const std::string& kernel) {
  if (probe.sufficient()) return std::nullopt;
  // No permission can help then. PAGEMAP_SCAN came with Linux 6.7, UFFDIO_MOVE with 6.8.
  if (!probe.reachable() && !around.pagemap_scan) {
    return Refusal{kCannotDo,
                   "this kernel (" + kernel +
                       ") is too old: it has no PAGEMAP_SCAN (Linux 6.7), so"
                       " no UFFDIO_MOVE (Linux 6.8) either",
                   kNewerKernelFix};
  }
  if (!probe.reachable()) return Unreachable(probe, around, kernel);
  if ((probe.features & os::abi::kUffdFeatureMove) == 0) {
    return Refusal{kCannotDo,
                   "this kernel (" + kernel + ") has userfaultfd, but not UFFDIO_MOVE (Linux 6.8)",
                   kNewerKernelFix};
  }
  return Refusal{kCannotDo,
                 "this kernel (" + kernel + ") does not report unmap, remap and remove events",
                 "boot a kernel of 6.8 or later with CONFIG_USERFAULTFD=y"};
}

}  // namespace uzswap::cli
