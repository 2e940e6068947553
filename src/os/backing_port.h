// BackingPort: opens a path and chooses the port for it: io_uring if possible, else pwrite(2).
//
// Open fails with the reason why the path cannot be used. If the kernel refuses io_uring (seccomp
// in containers, kernel.io_uring_disabled, an old kernel) ThreadPort is used: the thread that
// writes back waits for each write.
#ifndef UZSWAP_OS_BACKING_PORT_H_
#define UZSWAP_OS_BACKING_PORT_H_

#include "os/backing_file.h"
#include "os/thread_port.h"
#include "os/uring_port.h"

namespace uzswap::os {

class BackingPort {
 public:
  static constexpr uint32_t kDefaultDepth = 16;

  BackingPort() = default;
  BackingPort(const BackingPort&) = delete;
  BackingPort& operator=(const BackingPort&) = delete;

  // May be called once. Fails if the path cannot be used, never because of io_uring. If another
  // process uses the named file, an unlinked file in the same directory is used. A device can be
  // used by one process only.
  Result<void> Open(const char* path, uint32_t depth = kDefaultDepth, bool allow_direct = true);
  // For a forked child, which has a new descriptor table: reads use `file` from now on, and nothing
  // is written. If `file` is not open, every read fails.
  void BecomeReader(BackingFile file);

  // Requires: open.
  [[nodiscard]] IoPort& port() { return *port_; }
  [[nodiscard]] const BackingFile& file() const { return file_; }

 private:
  BackingFile file_;
  UringPort uring_;
  ThreadPort threads_;
  IoPort* port_ = nullptr;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_BACKING_PORT_H_
