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

void BackingPort::BecomeReader(InheritedFiles files) {
  uring_.Forget();
  file_.Forget();
  port_ = nullptr;
  for (size_t i = 0; i < kFilesReadMax; ++i) {
    inherited_.file[i].Forget();
    inherited_.file[i] = std::move(files.file[i]);
    inherited_ports_[i].Init(inherited_.file[i], 0);
  }
}

Result<void> BackingPort::OpenInChild(const char* path, uint32_t depth) {
  UZ_CHECK(port_ == nullptr);
  // The path may be no device any more, or another one.
  for (const BackingFile& file : inherited_.file) {
    if (file.is_open() && file.device()) return Error{ENOTSUP, "a file of its own on a device"};
  }
  Result<BackingFile> file = BackingFile::OpenUnlinked(path);
  if (!file.ok()) return file.error();
  file_ = std::move(file).value();
  threads_.Init(file_, depth);
  port_ = &threads_;
  return {};
}

void BackingPort::CloseInChild() {
  file_ = BackingFile();
  port_ = nullptr;
}

}  // namespace uzswap::os
