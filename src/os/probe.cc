#include "os/probe.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>

#include "base/parse_size.h"
#include "os/open_fallback.h"
#include "os/read_file.h"

namespace uzswap::os {
namespace {

constexpr char kDevice[] = "/dev/userfaultfd";

// A descriptor, or a negative errno.
int OpenByCall(int flags) {
  const long fd = syscall(abi::kSysUserfaultfd, flags);
  return fd < 0 ? -errno : static_cast<int>(fd);
}

// syscall() is used because open and close of the C library are cancellation points. These read the
// thread's descriptor, and that of the engine's threads is all zeroes (os/thread.h).
int OpenByDevice(int flags) {
  const long device = syscall(SYS_openat, AT_FDCWD, kDevice, O_RDWR | O_CLOEXEC, 0);
  if (device < 0) return -errno;
  const long fd = syscall(SYS_ioctl, device, abi::kUffdioNew, flags);
  const int failure = errno;
  syscall(SYS_close, device);
  return fd < 0 ? -failure : static_cast<int>(fd);
}

// Returns all features of the kernel. A handshake that requests none returns all. Closes `fd`.
uint64_t AskFeatures(int fd) {
  abi::UffdioApi api = {abi::kUffdApi, 0, 0};
  const bool answered = ioctl(fd, abi::kUffdioApi, &api) == 0;
  close(fd);
  return answered ? api.features : 0;
}

// The decimal number that follows `label` in `text`.
std::optional<uint64_t> NumberAfter(std::string_view text, std::string_view label) {
  const size_t found = text.find(label);
  if (found == std::string_view::npos) return std::nullopt;
  const std::string_view rest = text.substr(found + label.size());
  return ParseDecimal(rest.substr(0, rest.find('\n')));
}

// 0 if the kernel has PAGEMAP_SCAN; else why that cannot be said. ENOTTY: it does not know the
// call.
int PagemapScanErrno() {
  const int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  abi::PagemapScan scan = {};
  scan.size = sizeof(scan);
  const int failure = ioctl(fd, abi::kPagemapScan, &scan) >= 0 ? 0 : errno;
  close(fd);
  return failure;
}

}  // namespace

Result<int> OpenUserfaultfd(int flags) {
  const int by_call = OpenByCall(flags);
  if (by_call >= 0) return by_call;
  const int by_device = OpenByDevice(flags);
  if (by_device >= 0) return by_device;
  const int device = OpenByFallback(NeededFile::kUserfaultfd, -by_device);
  const long by_fallback = device >= 0 ? syscall(SYS_ioctl, device, abi::kUffdioNew, flags) : -1;
  if (device >= 0) syscall(SYS_close, device);
  if (by_fallback >= 0) return static_cast<int>(by_fallback);
  return Error{-by_call, "userfaultfd"};
}

UffdProbe ProbeUserfaultfd() {
  UffdProbe probe;
  const int by_call = OpenByCall(O_CLOEXEC);
  if (by_call < 0) {
    probe.call_errno = -by_call;
  } else {
    probe.features = AskFeatures(by_call);
  }
  const int by_device = OpenByDevice(O_CLOEXEC);
  if (by_device < 0) {
    probe.device_errno = -by_device;
  } else {
    probe.features |= AskFeatures(by_device);
  }
  return probe;
}

UffdSurroundings LookAroundUserfaultfd() {
  UffdSurroundings around;
  char buffer[8192];
  const auto sysctl = ReadSmallFile("/proc/sys/vm/unprivileged_userfaultfd", buffer);
  if (sysctl.ok()) around.sysctl = NumberAfter(sysctl.value(), "");
  around.device_exists = access(kDevice, F_OK) == 0;
  const auto status = ReadSmallFile("/proc/self/status", buffer);
  constexpr uint64_t kFilterMode = 2;
  if (status.ok()) {
    around.seccomp_filter = NumberAfter(status.value(), "\nSeccomp:\t") == kFilterMode;
  }
  // A filter or a hidden /proc proves nothing.
  around.pagemap_scan = PagemapScanErrno() != ENOTTY;
  return around;
}

bool ProbePagemapScan() { return PagemapScanErrno() == 0; }

Bytes MachineMemory() {
  struct sysinfo info = {};
  if (sysinfo(&info) != 0) return Bytes(0);
  return Bytes(uint64_t{info.totalram} * info.mem_unit);
}

KernelRelease ReadKernelRelease() {
  KernelRelease release;
  utsname names = {};
  if (uname(&names) == 0) release.Text(names.release);
  return release;
}

}  // namespace uzswap::os
