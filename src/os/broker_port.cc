#include "os/broker_port.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/units.h"
#include "os/packet_socket.h"
#include "os/process_identity.h"
#include "os/text_line.h"
#include "os/thread.h"
#include "os/uffd_abi.h"

namespace uzswap::os {
namespace {

constexpr int kCompareMemory = 1;   // KCMP_VM of linux/kcmp.h
constexpr unsigned kCloneTree = 1;  // OPEN_TREE_CLONE of linux/mount.h

Result<int> OpenPath(const char* path, int flags, const char* what) {
  const int descriptor = open(path, flags | O_CLOEXEC | O_NOCTTY);
  if (descriptor < 0) return Error{errno, what};
  return descriptor;
}

// The folder as the root of a mount that nothing else shows. -1 if that is not permitted.
int OpenAlone(int folder) {
  const long tree = syscall(SYS_open_tree, folder, "", AT_EMPTY_PATH | O_CLOEXEC | kCloneTree);
  if (tree < 0) return -1;
  // open_tree returns an O_PATH descriptor, which cannot be listed.
  const int alone = openat(static_cast<int>(tree), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  close(static_cast<int>(tree));
  return alone;
}

}  // namespace

const char* Name(ProcLeaf leaf) {
  constexpr const char* kNames[] = {"statm", "status", "smaps_rollup", "pagemap", "maps", "smaps"};
  static_assert(sizeof(kNames) / sizeof(kNames[0]) == kProcLeafCount);
  return kNames[static_cast<size_t>(leaf)];
}

Result<int> LinuxBrokerPort::OpenProcFile(uint32_t pid, ProcLeaf leaf) {
  TextLine<64> path;
  path.Text("/proc/").Decimal(pid).Text("/").Text(Name(leaf));
  return OpenPath(path.c_str(), O_RDONLY, "open of a file in /proc");
}

Result<int> LinuxBrokerPort::OpenTaskFolder(uint32_t pid) {
  TextLine<64> path;
  path.Text("/proc/").Decimal(pid).Text("/task");
  const Result<int> folder =
      OpenPath(path.c_str(), O_RDONLY | O_DIRECTORY, "open of a task folder in /proc");
  if (!folder.ok()) return folder;
  const int alone = OpenAlone(folder.value());
  if (alone < 0) return folder;
  close(folder.value());
  return alone;
}

Result<int> LinuxBrokerPort::OpenUserfaultfdDevice() {
  return OpenPath("/dev/userfaultfd", O_RDWR, "open of /dev/userfaultfd");
}

// A mapping of the new file tells the runner that the memory is in use (SharedMemory).
Result<int> LinuxBrokerPort::ReopenMemory(int descriptor) {
  TextLine<64> path;
  path.Text("/proc/self/fd/").Decimal(static_cast<uint64_t>(descriptor));
  return OpenPath(path.c_str(), O_RDWR, "open of the session's memory");
}

bool LinuxBrokerPort::DescendsFrom(uint32_t pid, uint32_t ancestor) {
  constexpr int kGenerationsMax = 1000;
  for (int i = 0; i < kGenerationsMax && pid > 1; ++i) {
    const std::optional<uint32_t> parent = ParentOf(pid);
    if (!parent) return false;
    if (*parent == ancestor) return true;
    pid = *parent;
  }
  return false;
}

Result<uint32_t> LinuxBrokerPort::ProcessOf(int pidfd) { return PidOf(pidfd); }

bool LinuxBrokerPort::HasEnded(int pidfd) {
  pollfd ended = {pidfd, POLLIN, 0};
  return poll(&ended, 1, 0) != 0;
}

MemoryRelation LinuxBrokerPort::CompareMemory(uint32_t pid, uint32_t other) {
  const long order = syscall(SYS_kcmp, pid, other, kCompareMemory, 0, 0);
  if (order < 0) return MemoryRelation::kUnknown;
  return order == 0 ? MemoryRelation::kSame : MemoryRelation::kDifferent;
}

// UFFDIO_ZEROPAGE looks for the memory before it looks for the range, which is not registered.
bool LinuxBrokerPort::MemoryInUse(int userfaultfd) {
  constexpr int kTries = 100;
  abi::UffdioZeropage request{};
  request.range = {kPageSize, kPageSize};
  for (int i = 0; i < kTries; ++i) {
    if (syscall(SYS_ioctl, userfaultfd, abi::kUffdioZeropage, &request) == 0) return true;
    if (errno != EAGAIN) return errno != ESRCH;
    YieldProcessor();
  }
  return true;
}

void LinuxBrokerPort::Kill(int pidfd) {
  syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
}

void LinuxBrokerPort::Close(int descriptor) { CloseDescriptor(descriptor); }

uint64_t LinuxBrokerPort::NowMs() { return MonotonicNanoseconds() / 1'000'000; }

}  // namespace uzswap::os
