#include "swap/storage_backing.h"

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
  os::IoPort& port = on_file_ ? port_.port() : *options.port;
  const Result<void> done = store_.Init(port, owner, store_options);
  if (!done.ok()) return done;
  if (options.write_limit != Bytes(0)) {
    store_.SetWearLimit(options.write_limit.raw(), options.write_period_s * kNsPerSecond,
                        os::MonotonicNanoseconds(), options.wear);
  }
  return {};
}

void StorageBacking::BeginChild() {
  if (!writes()) return;
  store_.BeginChild();
  ++children_;
}

os::BackingFile StorageBacking::OpenForChild() {
  if (!open_ || !on_file_ || store_.segments().in_use() == 0) return {};
  Result<os::BackingFile> file = os::BackingFile::OpenForReading(
      static_cast<int>(owner_thread_), port_.file().fd(), port_.file().direct());
  if (!file.ok()) return {};
  os::BackingFile opened = std::move(file).value();
  if (!opened.IsSameFile(port_.file())) return {};
  // Without the lock the parent may reuse what the child reads: no page is better than a wrong one.
  if (!opened.ShareLock().ok()) return {};
  return opened;
}

void StorageBacking::BecomeReader(os::BackingFile file) {
  if (!open_) return;
  reader_ = true;
  children_ = 0;
  owner_thread_ = os::ThreadNumber();
  if (on_file_) port_.BecomeReader(std::move(file));
  store_.BecomeReader();
}

void StorageBacking::EndGoneChildren() {
  if (children_ == 0 || reader_) return;
  if (on_file_ && port_.file().OthersRead()) return;
  for (; children_ > 0; --children_) store_.EndChild();
}

}  // namespace uzswap
