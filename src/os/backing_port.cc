#include "os/backing_port.h"

#include <utility>

namespace uzswap::os {

Result<void> BackingPort::Open(const char* path, uint32_t depth, bool allow_direct) {
  UZ_CHECK(port_ == nullptr);
  Result<BackingFile> file = BackingFile::Open(path, allow_direct);
  // The processes of a tree share the path, but each has its own file.
  if (!file.ok() && BackingFile::IsTaken(file.error()) && !BackingFile::IsDevice(path)) {
    file = BackingFile::OpenBeside(path, allow_direct);
  }
  if (!file.ok()) return file.error();
  file_ = std::move(file).value();
  if (uring_.Init(file_, depth).ok()) {
    port_ = &uring_;
    return {};
  }
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
