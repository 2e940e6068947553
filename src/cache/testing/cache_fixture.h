// For tests and benchmarks: a cache with its arena, pool, store and fake device.
#ifndef UZSWAP_CACHE_TESTING_CACHE_FIXTURE_H_
#define UZSWAP_CACHE_TESTING_CACHE_FIXTURE_H_

#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "base/testing/page_corpus.h"
#include "cache/operations.h"
#include "cache/testing/cache_peer.h"
#include "frame/frame_arena.h"
#include "os/testing/fake_io_port.h"
#include "pool/zbud_pool.h"
#include "pool/zsmalloc_pool.h"

namespace uzswap {

struct alignas(kPageSize) TestPage {
  std::array<std::byte, kPageSize> bytes;
  PageBytes span() { return bytes; }
  [[nodiscard]] ConstPageBytes view() const { return bytes; }
  friend bool operator==(const TestPage&, const TestPage&) = default;
};

// Pages are made from a version, so that any of them can be checked at any time. All kinds, with
// the version in the middle.
inline void MakePage(uint64_t version, TestPage& page) {
  FillPageOf(static_cast<PageKind>(version % kPageKinds), version / 64, page.bytes);
  if (version % kPageKinds > 1) memcpy(page.bytes.data() + 2048, &version, sizeof(version));
}
inline TestPage PageOf(uint64_t version) {
  TestPage page;
  MakePage(version, page);
  return page;
}

struct FixtureOptions {
  uint64_t frames = 4096;
  uint64_t pool_limit = UINT64_MAX;
  uint64_t device = 64 << 20;
  uint32_t depth = 4;
  bool encrypt = false;
  bool keep_incompressible = true;
  uint32_t readahead_frames = 8;
  const char* codec = "lz4";
  size_t dictionary_max = 4096;
  FrameAccess access = FrameAccess::kAlways;
  bool zsmalloc = false;
  IndexOptions index;
};

class CacheFixture {
 public:
  explicit CacheFixture(const FixtureOptions& options = {})
      : pool(options.zsmalloc ? static_cast<HandlePool&>(zsmalloc) : zbud) {
    FrameArenaOptions arena_options;
    arena_options.capacity = PageCount(options.frames);
    arena_options.access = options.access;
    UZ_CHECK(arena.Init(arena_options).ok());
    PoolOptions pool_options;
    pool_options.arena = &arena;
    if (options.zsmalloc) {
      ZsmallocOptions zsmalloc_options;
      zsmalloc_options.pool = pool_options;
      UZ_CHECK(zsmalloc.Init(zsmalloc_options).ok());
    } else {
      UZ_CHECK(zbud.Init(pool_options).ok());
    }
    CacheOptions cache_options;
    cache_options.codec = CodecByName(options.codec);
    cache_options.dictionaries = &dictionaries;
    UZ_CHECK(dictionaries.Init(Bytes(options.dictionary_max)).ok());
    cache_options.pool_limit = options.pool_limit;
    cache_options.keep_incompressible = options.keep_incompressible;
    cache_options.readahead_frames = options.readahead_frames;
    cache_options.index = options.index;
    UZ_CHECK(cache.Init(pool, cache_options).ok());
    UZ_CHECK(context.Init(cache).ok());
    UZ_CHECK(other.Init(cache).ok());
    UZ_CHECK(port.Init(options.device, options.depth).ok());
    BackingOptions backing_options;
    backing_options.encrypt = options.encrypt;
    UZ_CHECK(store.Init(port, cache, backing_options).ok());
    area = cache.CreateArea(AreaKind::kPersistent);
  }
  // For tests that drive the store themselves; Writeback attaches it otherwise.
  void Attach() {
    cache.SetWriterContext(context);
    cache.AttachStore(store);
  }
  ~CacheFixture() {
    port.Heal();
    port.Release();
    store.WaitForWrites();
    if (cache.KindOf(area) != AreaKind::kNone) cache.DestroyArea(context, area);
  }

  [[nodiscard]] SwapEntry At(uint64_t offset) const { return {area, offset}; }
  StoreOutcome Put(uint64_t offset, uint64_t version) {
    return cache.Store(context, At(offset), PageOf(version).view());
  }
  LoadOutcome Get(uint64_t offset, LoadMode mode = LoadMode::kKeep) {
    return cache.Load(context, At(offset), got.span(), mode);
  }
  // True if the page at `offset` is that version.
  bool Is(uint64_t offset, uint64_t version) {
    return Get(offset) == LoadOutcome::kLoaded && got == PageOf(version);
  }
  // The object of an entry, as its frame lists it; not valid if there is none.
  ObjectInfo Candidate(uint64_t offset) {
    ObjectInfo objects[kObjectsInUnitMax];
    for (uint32_t frame = 0; frame < arena.capacity().raw(); ++frame) {
      const size_t count = pool.ListObjectsInFrame(FrameId(frame), objects);
      for (size_t i = 0; i < count; ++i) {
        if (objects[i].owner_key == EntryKey(At(offset)).raw()) return objects[i];
      }
    }
    return {};
  }
  // Begins writing an entry out; the batch is submitted, and held if the port is.
  EvictOutcome BeginWriting(uint64_t offset) {
    const EvictResult begun = cache.BeginWrite(context, Candidate(offset));
    if (begun.outcome != EvictOutcome::kBegun) return begun.outcome;
    const uint64_t key = EntryKey(At(offset)).raw();
    if (store.Append(key, begun.token, begun.encoding, {begun.object, {}}) !=
        AppendOutcome::kAppended) {
      cache.CancelWrite(context, key, begun.token);
      return EvictOutcome::kGone;
    }
    store.Flush();
    return begun.outcome;
  }
  // Stores a page and brings it to disk.
  void PutOnDisk(uint64_t offset, uint64_t version) {
    UZ_CHECK(Put(offset, version) == StoreOutcome::kStored);
    UZ_CHECK(BeginWriting(offset) == EvictOutcome::kBegun);
    store.WaitForWrites();
  }
  // Reads a page ahead. False if it was not read: not on disk, in flight, or read ahead already.
  bool ReadAhead(uint64_t offset) {
    const SwapEntry entry = At(offset);
    const uint64_t before = context.counters().readahead_filled.Get();
    cache.PrefetchMany(context, {&entry, 1});
    return context.counters().readahead_filled.Get() > before;
  }
  uint64_t StoredPages() {
    const CacheCounters& sum = Counted();
    return sum.entries_in.Get() - sum.entries_out.Get();
  }
  CacheCounters& Counted() {
    counted_.push_back(std::make_unique<CacheCounters>());
    cache.Count(*counted_.back());
    return *counted_.back();
  }

  FrameArena arena;
  ZbudPool zbud;
  ZsmallocPool zsmalloc;
  HandlePool& pool;  // one of the two
  os::FakeIoPort port;
  DictionarySet dictionaries;
  CompressedCache cache;
  BackingStore store;
  CacheContext context;
  CacheContext other;
  AreaId area = kNoArea;
  TestPage got;

 private:
  std::vector<std::unique_ptr<CacheCounters>> counted_;
};

}  // namespace uzswap

#endif  // UZSWAP_CACHE_TESTING_CACHE_FIXTURE_H_
