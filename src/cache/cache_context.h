// CacheContext: what one thread needs to work with a CompressedCache, and what it counted.
//
//   | codec workspaces: lz4, zstd | read window | object 4 KiB | page 4 KiB | counters |
//
// One for each thread, handed to every call. Counting here keeps threads from fighting over
// shared counters; the cache adds all contexts up (CompressedCache::Count). Gauges are
// differences: entries that came minus entries that went, whoever saw them come or go.
//
// Init and the destructor enter and leave the cache's list of contexts; a context must not
// outlive its cache. What a context counted stays in the sums when it goes.
#ifndef UZSWAP_CACHE_CACHE_CONTEXT_H_
#define UZSWAP_CACHE_CACHE_CONTEXT_H_

#include <cstdint>
#include <span>

#include "backing/backing_store.h"
#include "base/counter.h"
#include "base/intrusive_list.h"
#include "codec/codec.h"
#include "os/mapping.h"

namespace uzswap {

class CompressedCache;

// clang-format off
#define UZ_CACHE_COUNTERS(X)                                                          \
  X(zswpout, "pages stored")                                                          \
  X(zswpin, "pages loaded, from wherever they were")                                  \
  X(zswpwb, "pages written back and gone from the pool")                              \
  X(invalidated_pages, "stored pages that were invalidated")                          \
  X(dropped_pages, "pages of ephemeral areas that gave way")                          \
  X(superseded_pages, "older copies replaced, or erased by a failed store")           \
  X(entries_in, "words that became content")                                          \
  X(entries_out, "words that became empty")                                           \
  X(same_filled_in, "words that became same-filled")                                  \
  X(same_filled_out, "and that no longer are")                                        \
  X(disk_in, "words that went to disk")                                               \
  X(disk_out, "and came from it")                                                     \
  X(disk_bytes_in, "compressed bytes of those words that went")                       \
  X(disk_bytes_out, "and of those that came")                                         \
  X(uncompressed_in, "words that became an object in the pool that no codec made")      \
  X(uncompressed_out, "and that no longer are")                                         \
  X(raw_in, "pages stored uncompressed because compression lost")                     \
  X(loads_pool, "loads answered from the pool")                                       \
  X(loads_disk, "loads answered from the backing store")                              \
  X(loads_left_on_disk, "loads that were not to wait for a device")                     \
  X(loads_same_filled, "loads answered by writing a word")                            \
  X(loads_joined, "loads that found the page in flight and copied it")                \
  X(swapcache_hits, "loads answered from a page read ahead")                          \
  X(load_misses, "loads of entries that are empty")                                   \
  X(load_retries, "loads that found their entry changed and looked again")            \
  X(decompressions, "objects unfolded")                                               \
  X(readahead_pages, "pages read ahead")                                              \
  X(readahead_dropped, "of these, dropped unused")                                    \
  X(readahead_refused, "not read ahead: no frame, in flight, or not on disk")         \
  X(load_io_errors, "loads the device refused")                                       \
  X(load_corrupt, "loads of damaged content")                                         \
  X(pool_limit_hit, "stores that met the pool's bound")                               \
  X(reject_gate_closed, "stores refused while the pool shrinks to 90 %")              \
  X(reject_compress_poor, "stores refused because the page does not compress")        \
  X(reject_alloc_fail, "stores refused because the pool had no frame")                \
  X(reject_index_full, "stores refused because the index had no room, or no area")    \
  X(evict_begun, "objects that entered a batch")                                      \
  X(evict_referenced, "objects spared once, because they had been loaded")            \
  X(evict_gone, "candidates that were something else by then")                        \
  X(evict_in_flight, "candidates being loaded")                                       \
  X(evict_cancelled, "writes undone: no room on the backing store")                   \
  X(writes_lost, "written, but loaded, replaced or invalidated meanwhile")            \
  X(writes_failed, "kept in the pool because the write failed")                       \
  X(relocated, "objects the cleaner moved")                                           \
  X(relocations_lost, "of which it moved a copy in vain")                             \
  X(recompressed, "objects made denser")                                              \
  X(recompress_kept, "not, because it freed nothing")                                 \
  X(recompress_lost, "not, because the entry changed meanwhile")                      \
  X(recompress_no_space, "not, because the pool had no room for the new object")      \
  X(frees_left_to_loader, "releases left to a load in flight")
// clang-format on

struct CacheCounters {
#define UZ_DECLARE(name, meaning) RelaxedCounter name;
  UZ_CACHE_COUNTERS(UZ_DECLARE)
#undef UZ_DECLARE
  void AddTo(CacheCounters& sum) const;
};

class CacheContext {
 public:
  CacheContext() = default;
  ~CacheContext();
  CacheContext(const CacheContext&) = delete;
  CacheContext& operator=(const CacheContext&) = delete;

  // Once. The cache must be initialised.
  Result<void> Init(CompressedCache& cache);

  [[nodiscard]] CacheCounters& counters() { return counters_; }
  // The errno of the last load that failed, 0 if its content was damaged.
  [[nodiscard]] int last_error() const { return last_error_; }

 private:
  friend class CompressedCache;
  friend class LoadOperation;
  friend class PrefetchOperation;
  friend class StoreOperation;
  friend class RecompressOperation;

  // Requires: `id` names a codec.
  [[nodiscard]] CodecContext& codec(CodecId id);

  CompressedCache* cache_ = nullptr;
  ListLink link_;
  CodecContext lz4_;
  CodecContext zstd_;
  ReadContext read_;
  os::Mapping memory_;
  std::span<std::byte> object_;  // compressed bytes on their way
  std::span<std::byte> page_;    // a page on its way
  uint32_t stores_until_check_ = 0;
  int last_error_ = 0;
  CacheCounters counters_;
};

}  // namespace uzswap

#endif  // UZSWAP_CACHE_CACHE_CONTEXT_H_
