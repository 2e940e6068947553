#include "swap/storage_backing.h"

#include <cerrno>
#include <utility>

#include "os/thread.h"

namespace uzswap {
namespace {

constexpr uint64_t kNsPerSecond = 1'000'000'000;

// The batches in flight are memory too. All of them together take a fiftieth of the limit at
// most, if segments of 128 KiB allow that. Smaller segments would make requests of less than
// 64 KiB, because a batch that is not full is also written when the pool has shrunk enough.
uint32_t SegmentBytesFor(Bytes memory_limit) {
  constexpr uint32_t kLeast = 128 << 10;
  constexpr uint32_t kMost = 256 << 10;
  const uint64_t in_flight = uint64_t{kMost} * os::BackingPort::kDefaultDepth;
  return in_flight * 50 <= memory_limit.raw() ? kMost : kLeast;
}

}  // namespace

bool StorageBacking::Open(const StorageBackingOptions& options, Bytes memory_limit,
                          ObjectOwner& owner) {
  const Result<void> opened = TryOpen(options, memory_limit, owner);
  open_ = opened.ok();
  if (!open_) error_ = opened.error();
  return open_;
}

Result<void> StorageBacking::TryOpen(const StorageBackingOptions& options, Bytes memory_limit,
                                     ObjectOwner& owner) {
  owner_thread_ = os::ThreadNumber();
  on_file_ = options.port == nullptr;
  if (on_file_) {
    const Result<void> opened = port_.Open(options.path);
    if (!opened.ok()) return opened;
  }
  BackingOptions store_options;
  store_options.segment_size = SegmentBytesFor(memory_limit);
  store_options.encrypt = options.encrypt;
  if (options.size_limit != Bytes(0)) store_options.size_max = options.size_limit.raw();
  other_port_ = options.port;
  os::IoPort& port = on_file_ ? port_.port() : *options.port;
  const Result<void> done = store_.Init(port, owner, store_options);
  if (!done.ok()) return done;
  // Also without a limit: one can be given later.
  store_.SetWearLimit(options.write_limit.raw(), options.write_period_s * kNsPerSecond,
                      os::MonotonicNanoseconds(), options.wear);
  return {};
}

void StorageBacking::BeginChild() {
  if (!writes()) return;
  store_.BeginChild();
  ++children_;
}

const os::BackingFile& StorageBacking::FileOf(size_t i) {
  return writes() && i + 1 == store_.file_count() ? port_.file() : port_.inherited_file(i);
}

os::InheritedFiles StorageBacking::OpenForChild() {
  os::InheritedFiles files;
  if (!open_ || !on_file_) return files;
  for (size_t i = 0; i < store_.file_count(); ++i) {
    const os::BackingFile& own = FileOf(i);
    if (!own.is_open() || !store_.MayBeRead(i)) continue;
    Result<os::BackingFile> opened =
        os::BackingFile::OpenForReading(static_cast<int>(owner_thread_), own.fd(), own.direct());
    if (!opened.ok() || !opened.value().IsSameFile(own)) continue;
    // Without the lock the writer may reuse what the child reads: no page is better than a wrong
    // one.
    if (!opened.value().ShareLock().ok()) continue;
    files.file[i] = std::move(opened).value();
  }
  return files;
}

void StorageBacking::BecomeReader(os::InheritedFiles files) {
  if (!open_) return;
  reader_ = true;
  children_ = 0;
  owner_thread_ = os::ThreadNumber();
  if (on_file_) port_.BecomeReader(std::move(files));
  os::IoPort* ports[os::kFilesReadMax];
  const size_t count = store_.file_count();
  for (size_t i = 0; i < count; ++i) {
    ports[i] = on_file_ ? &port_.inherited_port(i) : other_port_;
  }
  store_.BecomeReader({ports, count});
}

Result<void> StorageBacking::BecomeWriter(const char* path) {
  UZ_CHECK(open_ && reader_);
  if (!on_file_) return Error{ENOTSUP, "a file for a child of a caller's port"};
  if (!store_.MayBecomeWriter()) return Error{ENOTSUP, "a file in so late a generation"};
  Result<void> done = port_.OpenInChild(path);
  if (!done.ok()) return done;
  done = store_.BecomeWriter(port_.port());
  if (!done.ok()) {
    port_.CloseInChild();
    return done;
  }
  reader_ = false;
  return {};
}

void StorageBacking::EndGoneChildren() {
  if (children_ == 0 || reader_) return;
  if (on_file_ && port_.file().OthersRead()) return;
  for (; children_ > 0; --children_) store_.EndChild();
}

}  // namespace uzswap
