#include "swap/storage_stack.h"

#include <algorithm>
#include <utility>

namespace uzswap {
namespace {

// With a backing store as many pages as the tables can hold: 256 GiB.
constexpr uint32_t kSlotsWithBacking = uint32_t{1} << 26;
constexpr uint32_t kReadAheadFrames = 64;

// Without a backing store the pool's handles bound the number of pages.
uint32_t SlotsFor(const StorageOptions& options, bool has_backing) {
  if (has_backing) return kSlotsWithBacking;
  const uint64_t objects = PagesCovering(options.memory_limit).raw() * options.objects_per_frame;
  return static_cast<uint32_t>(std::min<uint64_t>(objects, kSlotsWithBacking));
}

bool Keeps(KeepIncompressible keep, bool writes) {
  switch (keep) {
    case KeepIncompressible::kIfWritable:
      return writes;
    case KeepIncompressible::kAlways:
      return true;
    case KeepIncompressible::kNever:
      return false;
  }
  Panic(__FILE__, __LINE__, "unknown value for incompressible pages");
}

}  // namespace

Result<void> StorageStack::Init(const StorageOptions& options) {
  Result<void> done = Validate(options);
  if (!done.ok()) return done;
  done = pool_.Init(options.pool, options.memory_limit, options.objects_per_frame);
  if (!done.ok()) return done;
  if (options.backing.wanted()) {
    static_cast<void>(backing_.Open(options.backing, options.memory_limit, cache_));
  }
  keep_incompressible_ = options.keep_incompressible;
  const uint32_t slots = SlotsFor(options, backing() != nullptr);
  done = InitCache(options, slots);
  if (!done.ok()) return done;
  done = InitWriteback(options);
  if (!done.ok()) return done;
  return store_.Init(&cache_, &pool_.arena(), slots);
}

Result<void> StorageStack::InitCache(const StorageOptions& options, uint32_t slots) {
  const bool has_backing = backing() != nullptr;
  CacheOptions cache_options;
  cache_options.codec = CodecById(FirstCodecOf(options.codec));
  cache_options.choose_codec = options.codec == CodecMode::kAuto;
  cache_options.dictionaries = &dictionaries_;
  if (options.dictionary_max != Bytes(0)) {
    const Result<void> done = dictionaries_.Init(options.dictionary_max);
    if (!done.ok()) return done;
  }
  cache_options.keep_incompressible = Keeps(keep_incompressible_, has_backing);
  cache_options.object_max = PageStore::kObjectMax;
  cache_options.readahead_frames = has_backing ? kReadAheadFrames : 0;
  if (options.pool_limit != Bytes(0)) cache_options.pool_limit = options.pool_limit.raw();
  const uint32_t leaves = slots / EntryLeaf::kWords + 1 + options.extra_leaves;
  // Scattered leaves can need two nodes each, besides the root of their area.
  const uint32_t nodes = leaves / 512 + 4 + options.extra_areas + 2 * options.extra_leaves;
  cache_options.index = {
      .areas_max = 2 + options.extra_areas, .nodes_max = nodes, .leaves_max = leaves + 1};
  return cache_.Init(pool_.pool(), cache_options);
}

Result<void> StorageStack::InitWriteback(const StorageOptions& options) {
  const Result<void> done = writer_context_.Init(cache_);
  if (!done.ok()) return done;
  WritebackOptions writeback_options;
  // With a choice of codecs, cold objects are zstd before they are written: while stores wait for
  // that, there is no time for more effort. Without one, only where writing is impossible or
  // limited, so that processor time is spent to hold more in memory.
  const Codec* const zstd = CodecById(CodecId::kZstd);
  const bool saves_writes = backing() == nullptr || options.backing.write_limit != Bytes(0);
  if (options.codec == CodecMode::kAuto) {
    writeback_options.recompress_with = backing() != nullptr ? zstd : &DenseCodec();
    writeback_options.densify_with = &DenseCodec();
  } else if (saves_writes && options.codec == CodecMode::kLz4) {
    writeback_options.recompress_with = zstd;
  }
  return writeback_.Init(cache_, writer_context_, backing(), writeback_options);
}

void StorageStack::Close(CacheContext& context) {
  if (!is_child_ || backing_.writes()) writeback_.WaitForWrites();
  store_.Close(context);
}

void StorageStack::Pause() {
  writeback_.Pause();
  backing_.BeginChild();
}

void StorageStack::BecomeChild(os::InheritedFiles files) {
  cache_.ResetAfterFork();
  store_.ResetAfterFork();
  writeback_.ResetAfterFork();
  is_child_ = true;
  cache_.gate().reservation().ResetInChild();
  cache_.gate().SetUncounted(0);
  if (backing() == nullptr) return;
  backing_.BecomeReader(std::move(files));
  cache_.SetKeepIncompressible(Keeps(keep_incompressible_, false));
  // Nothing leaves the pool any more, so only the memory limit bounds it.
  cache_.gate().SetLimit(UINT64_MAX);
}

Result<void> StorageStack::BecomeWriter(const char* path) {
  const Result<void> done = backing_.BecomeWriter(path);
  if (!done.ok()) return done;
  writeback_.AttachStore(*backing());
  cache_.SetKeepIncompressible(Keeps(keep_incompressible_, true));
  return {};
}

}  // namespace uzswap
