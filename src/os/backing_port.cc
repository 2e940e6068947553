#include "os/backing_port.h"

#include <cerrno>
#include <utility>

namespace uzswap::os {
namespace {

// Another process has the named file; a tree of processes shares the path, not the file.
bool IsTaken(const Error& error) {
  return error.errno_value == EBUSY || error.errno_value == EEXIST;
}

}  // namespace

Result<void> BackingPort::Open(const char* path, uint32_t depth, bool allow_direct) {
  UZ_CHECK(port_ == nullptr);
  Result<BackingFile> file = BackingFile::Open(path, allow_direct);
  if (!file.ok() && IsTaken(file.error()) && !BackingFile::IsDevice(path)) {
    file = BackingFile::OpenBeside(path, allow_direct);
  }
  if (!file.ok()) return file.error();
  file_ = std::move(file).value();
  const Result<void> ring = uring_.Init(file_, depth);
  if (ring.ok()) {
    port_ = &uring_;
    return {};
  }
  uring_error_ = ring.error().errno_value;
  threads_.Init(file_, depth);
  port_ = &threads_;
  return {};
}

void BackingPort::BecomeReader(BackingFile file) {
  uring_.Forget();
  file_.Forget();
  file_ = std::move(file);
}

}  // namespace uzswap::os
