// BackingPort: the port for a path: io_uring, or ordinary writes where io_uring is forbidden.
//
// Open tells why a path will not do. Where io_uring is refused (seccomp in containers,
// kernel.io_uring_disabled, an old kernel) ThreadPort serves: the thread that writes back waits for
// each write.
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

  // Once. Fails with what is wrong with the path, never because of io_uring. A named file that is
  // another process's already has an unlinked one beside it; a device serves one process.
  Result<void> Open(const char* path, uint32_t depth = kDefaultDepth, bool allow_direct = true);
  // In a freshly forked child, whose descriptor table is new: reads come from `file` from now on,
  // and nothing is written. `file` may be not open; then every read fails.
  void BecomeReader(BackingFile file);

  // Requires: open.
  [[nodiscard]] IoPort& port() { return *port_; }
  [[nodiscard]] const BackingFile& file() const { return file_; }
  // Why io_uring does not serve; 0 if it does.
  [[nodiscard]] int uring_error() const { return uring_error_; }

 private:
  BackingFile file_;
  UringPort uring_;
  ThreadPort threads_;
  IoPort* port_ = nullptr;
  int uring_error_ = 0;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_BACKING_PORT_H_
