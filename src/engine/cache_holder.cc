#include "engine/cache_holder.h"

#include <algorithm>
#include <utility>

#include "os/thread.h"

namespace uzswap {
namespace {

// Pages away at a time: in the pool, as many as its handles; with a file as many as fit the
// tables, 256 GiB.
constexpr uint32_t kSlotsWithBacking = uint32_t{1} << 26;
constexpr uint32_t kReadAheadFrames = 64;

uint32_t SlotsFor(const Options& options, bool has_backing) {
  if (has_backing) return kSlotsWithBacking;
  const uint64_t objects = PagesCovering(options.limit).raw() * PoolHolder::kObjectsPerFrame;
  return static_cast<uint32_t>(std::min<uint64_t>(objects, kSlotsWithBacking));
}

// Batches are memory that the program does not have: sixteen of them within a fiftieth of the
// limit, if that can be. Smaller ones would make requests of less than 64 KiB, since a batch that
// is not full goes out too when the pool has shrunk enough.
uint32_t SegmentBytesFor(Bytes limit) {
  constexpr uint32_t kLeast = 128 << 10;
  constexpr uint32_t kMost = 256 << 10;
  return uint64_t{kMost} * os::BackingPort::kDefaultDepth * 50 <= limit.raw() ? kMost : kLeast;
}

}  // namespace

Result<void> CacheHolder::Init(const Options& options, WearAccount* wear) {
  Result<void> done = pool_.Init(options.pool, options.limit);
  if (!done.ok()) return done;
  if (options.backing[0] != 0) {
    done = OpenBacking(options, wear);
    has_backing_ = done.ok();
    if (!done.ok()) backing_error_ = done.error();
  }
  CacheOptions wishes;
  wishes.codec = CodecByName(Name(options.codec));
  wishes.keep_incompressible = has_backing_;
  wishes.object_max = PageStore::kObjectMax;
  wishes.readahead_frames = has_backing_ ? kReadAheadFrames : 0;
  if (options.pool_limit.raw() != 0) wishes.pool_limit = options.pool_limit.raw();
  const uint32_t slots = SlotsFor(options, has_backing_);
  const uint32_t leaves = slots / EntryLeaf::kWords + 1;
  wishes.index = {.areas_max = 2, .nodes_max = leaves / 512 + 4, .leaves_max = leaves + 1};
  done = cache_.Init(pool_.pool(), wishes);
  if (!done.ok()) return done;
  done = writer_context_.Init(cache_);
  if (!done.ok()) return done;
  WritebackOptions writing;
  // Where writing is dear or impossible, time is spent to hold more.
  const bool thrifty = !has_backing_ || options.write_limit.raw() != 0;
  if (thrifty && options.codec != CodecKind::kZstd) {
    writing.recompress_with = CodecById(CodecId::kZstd);
  }
  done = writeback_.Init(cache_, writer_context_, backing(), writing);
  if (!done.ok()) return done;
  return store_.Init(&cache_, &pool_.arena(), slots);
}

Result<void> CacheHolder::OpenBacking(const Options& options, WearAccount* wear) {
  keeper_thread_ = os::ThreadNumber();
  Result<void> done = port_.Open(options.backing);
  if (!done.ok()) return done;
  BackingOptions wishes;
  wishes.segment_size = SegmentBytesFor(options.limit);
  wishes.encrypt = options.encrypt;
  if (options.backing_size.raw() != 0) wishes.size_max = options.backing_size.raw();
  done = backing_.Init(port_.port(), cache_, wishes);
  if (!done.ok()) return done;
  if (options.write_limit.raw() != 0) {
    backing_.SetWearLimit(options.write_limit.raw(),
                          uint64_t{options.write_period_s} * 1'000'000'000,
                          os::MonotonicNanoseconds(), wear);
  }
  return {};
}

void CacheHolder::Pause() {
  writeback_.Pause();
  if (!writes()) return;
  backing_.BeginChild();
  ++children_;
}

void CacheHolder::Resume() { writeback_.Resume(); }

os::BackingFile CacheHolder::OpenForChild() {
  if (!has_backing_ || backing_.segments().in_use() == 0) return {};
  Result<os::BackingFile> file = os::BackingFile::OpenForReading(
      static_cast<int>(keeper_thread_), port_.file().fd(), port_.file().direct());
  if (!file.ok()) return {};
  os::BackingFile opened = std::move(file).value();
  // Without the lock the parent may use those parts again: rather no page than another's.
  if (!opened.ShareLock().ok()) return {};
  return opened;
}

void CacheHolder::BecomeChild(os::BackingFile file) {
  cache_.ResetAfterFork();
  store_.ResetAfterFork();
  writeback_.ResetAfterFork();
  is_child_ = true;
  children_ = 0;
  if (!has_backing_) return;
  keeper_thread_ = os::ThreadNumber();
  port_.BecomeReader(std::move(file));
  backing_.BecomeReader();
  cache_.SetKeepIncompressible(false);
  // Nothing leaves the pool any more, so it is not bounded apart from the limit either.
  cache_.gate().SetLimit(UINT64_MAX);
}

void CacheHolder::ReleaseChildren() {
  if (children_ == 0 || is_child_ || port_.file().OthersRead()) return;
  for (; children_ > 0; --children_) backing_.EndChild();
}

}  // namespace uzswap
