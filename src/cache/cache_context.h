// CacheContext: what one thread needs to work with a CompressedCache, and what it counted.
//
//   | codec workspaces: lz4, zstd, dense | read window | object 4 KiB | page 4 KiB | counters |
//
// One for each thread, passed to every call. Each thread counts in its own context, so that threads
// do not share cache lines of counters.
//
// Init and the destructor enter and leave the cache's list of contexts (CacheContexts); a context
// must not outlive its cache. What a context counted stays in the sums when it goes.
#ifndef UZSWAP_CACHE_CACHE_CONTEXT_H_
#define UZSWAP_CACHE_CACHE_CONTEXT_H_

#include <cstdint>
#include <span>

#include "backing/backing_store.h"
#include "base/intrusive_list.h"
#include "base/mutex.h"
#include "cache/cache_counters.h"
#include "cache/codec_chooser.h"
#include "codec/codec.h"
#include "os/mapping.h"

namespace uzswap {

class CompressedCache;

class CacheContext {
 public:
  CacheContext() = default;
  ~CacheContext();
  CacheContext(const CacheContext&) = delete;
  CacheContext& operator=(const CacheContext&) = delete;

  // Once. The cache must be initialised.
  Result<void> Init(CompressedCache& cache);

  // Once, before Recompress with DenseCodec(). Fails with the errno of mmap.
  Result<void> PrepareDense();

  [[nodiscard]] CacheCounters& counters() { return counters_; }
  // The errno of the last load that failed, 0 if its content was damaged.
  [[nodiscard]] int last_error() const { return last_error_; }

 private:
  friend class CacheContexts;
  friend class CachePeer;
  friend class CompressedCache;
  friend class EntryContent;
  friend class LoadOperation;
  friend class PrefetchOperation;
  friend class StoreOperation;
  friend class RecompressOperation;

  // Requires: `id` names a codec.
  [[nodiscard]] CodecContext& codec(CodecId id);
  [[nodiscard]] CodecContext& compressor(const Codec& codec);

  CompressedCache* cache_ = nullptr;
  ListLink link_;
  CodecContext codecs_[3];  // lz4, zstd, dense
  ReadContext read_;
  os::Mapping memory_;
  std::span<std::byte> object_;  // room for the compressed bytes of one page
  std::span<std::byte> page_;    // room for one page
  uint32_t stores_until_check_ = 0;
  CodecChooser::Countdown countdown_;
  int last_error_ = 0;
  CacheCounters counters_;
};

// The contexts of one cache, and the sums of all that ever were. Any thread.
class CacheContexts {
 public:
  CacheContexts() = default;
  ~CacheContexts();
  CacheContexts(const CacheContexts&) = delete;
  CacheContexts& operator=(const CacheContexts&) = delete;

  void Add(CacheContext& context) UZ_EXCLUDES(mutex_);
  void Remove(CacheContext& context) UZ_EXCLUDES(mutex_);
  void Count(CacheCounters& sum) UZ_EXCLUDES(mutex_);
  // Requires: the only thread of a forked child.
  void ResetAfterFork() { mutex_.ResetAfterFork(); }

 private:
  using List = IntrusiveList<CacheContext, &CacheContext::link_>;

  Mutex mutex_{LockRank::kLeaf};
  List list_ UZ_GUARDED_BY(mutex_);
  CacheCounters past_ UZ_GUARDED_BY(mutex_);  // of contexts that are gone
};

}  // namespace uzswap

#endif  // UZSWAP_CACHE_CACHE_CONTEXT_H_
