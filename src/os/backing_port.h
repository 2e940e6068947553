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
  // For a forked child, which has a new descriptor table: what it inherited is read from `files`
  // from now on. If one is not open, every read from it fails. There is no port() any more.
  void BecomeReader(InheritedFiles files);
  // Then, once: an unlinked file for writing (BackingFile::OpenUnlinked). Never a device: others
  // may still read what they inherited there. ThreadPort only: a ring and registered buffers are
  // not worth their memory in each of many children.
  Result<void> OpenInChild(const char* path, uint32_t depth = kDefaultDepth);
  // As before OpenInChild. Requires: nothing was written.
  void CloseInChild();

  // Requires: open.
  [[nodiscard]] IoPort& port() { return *port_; }
  [[nodiscard]] const BackingFile& file() const { return file_; }
  // Requires: BecomeReader was called. `i` < kFilesReadMax.
  [[nodiscard]] IoPort& inherited_port(size_t i) { return inherited_ports_[i]; }
  [[nodiscard]] const BackingFile& inherited_file(size_t i) const { return inherited_.file[i]; }

 private:
  BackingFile file_;
  UringPort uring_;
  ThreadPort threads_;
  IoPort* port_ = nullptr;
  InheritedFiles inherited_;
  ThreadPort inherited_ports_[kFilesReadMax];
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_BACKING_PORT_H_
