// BrokerPort: what the broker (broker/broker_server.h) asks the kernel for. Its tests
// replace it.
//
//   OpenProcFile(pid, leaf)    /proc/PID/statm, status, smaps_rollup, pagemap, maps, smaps
//   OpenTaskFolder(pid)        /proc/PID/task
//   OpenUserfaultfdDevice      /dev/userfaultfd
//   ReopenMemory(descriptor)   the session's memory, for a process that joins
//   DescendsFrom(pid, other)   whether a process is in the tree of another one
//   ProcessOf(pidfd), HasEnded(pidfd), CompareMemory(a, b)    which process a request is about
//
// A pid can be used again as soon as its process is reaped. So the caller opens a file by the pid,
// and then checks by HasEnded that the process still lives: the file belongs to that process.
//
// LinuxBrokerPort is the real one. It runs in the broker's own process, on one thread.
#ifndef UZSWAP_OS_BROKER_PORT_H_
#define UZSWAP_OS_BROKER_PORT_H_

#include <cstdint>

#include "base/result.h"

namespace uzswap::os {

enum class ProcLeaf : uint8_t { kStatm, kStatus, kSmapsRollup, kPagemap, kMaps, kSmaps };
inline constexpr uint64_t kProcLeafCount = 6;
const char* Name(ProcLeaf leaf);

enum class MemoryRelation : uint8_t {
  kSame,
  kDifferent,
  kUnknown,  // no permission to compare, or the kernel cannot
};

class BrokerPort {
 public:
  virtual ~BrokerPort() = default;

  // Each returns a descriptor that is close-on-exec and belongs to the caller.
  virtual Result<int> OpenProcFile(uint32_t pid, ProcLeaf leaf) = 0;
  // If it is permitted, the folder is the root of a mount of its own: a process that gets the
  // descriptor cannot leave the folder by "..", which would undo a chroot.
  virtual Result<int> OpenTaskFolder(uint32_t pid) = 0;
  virtual Result<int> OpenUserfaultfdDevice() = 0;

  // A new open file of the memory behind `descriptor`.
  virtual Result<int> ReopenMemory(int descriptor) = 0;

  // True if `ancestor` is the parent of `pid`, or of its parent, and so on.
  virtual bool DescendsFrom(uint32_t pid, uint32_t ancestor) = 0;
  // The process of a pidfd. Fails with EBADF if the descriptor is no pidfd, with ESRCH if the
  // process has ended or has no number in the broker's pid namespace.
  virtual Result<uint32_t> ProcessOf(int pidfd) = 0;
  virtual bool HasEnded(int pidfd) = 0;
  virtual MemoryRelation CompareMemory(uint32_t pid, uint32_t other) = 0;

  // True unless the memory of a userfaultfd is certainly used by no process any more.
  virtual bool MemoryInUse(int userfaultfd) = 0;
  virtual void Kill(int pidfd) = 0;

  virtual void Close(int descriptor) = 0;
  virtual uint64_t NowMs() = 0;
};

class LinuxBrokerPort : public BrokerPort {
 public:
  Result<int> OpenProcFile(uint32_t pid, ProcLeaf leaf) override;
  Result<int> OpenTaskFolder(uint32_t pid) override;
  Result<int> OpenUserfaultfdDevice() override;
  Result<int> ReopenMemory(int descriptor) override;
  bool DescendsFrom(uint32_t pid, uint32_t ancestor) override;
  Result<uint32_t> ProcessOf(int pidfd) override;
  bool HasEnded(int pidfd) override;
  MemoryRelation CompareMemory(uint32_t pid, uint32_t other) override;
  bool MemoryInUse(int userfaultfd) override;
  void Kill(int pidfd) override;
  void Close(int descriptor) override;
  uint64_t NowMs() override;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_BROKER_PORT_H_
