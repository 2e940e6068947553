// CacheCounters: what one context of a CompressedCache counted.
//
// These counters count operations of the cache. The page account of a process (zswpout, zswpin,
// invalidated_pages, stored_pages) is kept by the pager in Statistics; only zswpwb is counted
// here and reported as it is.
//
// Gauges are differences: entries_in - entries_out is the number of entries that hold a page, once
// all contexts are added up. One context may count in what another counts out.
#ifndef UZSWAP_CACHE_CACHE_COUNTERS_H_
#define UZSWAP_CACHE_CACHE_COUNTERS_H_

#include "base/counter.h"
#include "cache/entry_word.h"

namespace uzswap {

// clang-format off
#define UZ_CACHE_COUNTERS(X)                                                           \
  X(stores, "pages stored")                                                            \
  X(loads, "pages loaded, wherever they were")                                         \
  X(zswpwb, "pages written back and gone from the pool")                               \
  X(invalidations, "stored pages that were invalidated")                               \
  X(dropped, "pages of ephemeral areas that were dropped")                             \
  X(superseded, "older copies replaced, or erased by a failed store")                  \
  X(entries_in, "words that received content")                                         \
  X(entries_out, "words that became empty")                                            \
  X(same_filled_in, "words that became same-filled")                                   \
  X(same_filled_out, "words that ceased to be same-filled")                            \
  X(disk_in, "words that became OnDisk")                                               \
  X(disk_out, "words that ceased to be OnDisk")                                        \
  X(disk_bytes_in, "compressed bytes of the words of disk_in")                         \
  X(disk_bytes_out, "compressed bytes of the words of disk_out")                       \
  X(uncompressed_in, "words that became an uncompressed object in the pool")           \
  X(uncompressed_out, "words that ceased to be one")                                   \
  X(stores_uncompressed, "pages stored uncompressed because compression did not help") \
  X(loads_pool, "loads answered from the pool")                                        \
  X(loads_disk, "loads answered from the backing store")                               \
  X(loads_left_on_disk, "loads that were not allowed to wait for a device")            \
  X(loads_same_filled, "loads answered by filling the page with a pattern")            \
  X(loads_joined, "loads that found the page in flight and copied it")                 \
  X(loads_read_ahead, "loads answered from a page read ahead")                         \
  X(load_misses, "loads of empty entries")                                             \
  X(load_retries, "loads that found their entry changed and looked again")             \
  X(decompressions, "objects decompressed")                                            \
  X(readahead_filled, "pages read ahead")                                              \
  X(readahead_dropped, "pages read ahead that were dropped unused")                    \
  X(readahead_refused, "pages not read ahead: no frame, in flight, or not on disk")    \
  X(load_io_errors, "loads that failed because the device failed")                     \
  X(load_corrupt, "loads of damaged content")                                          \
  X(load_wrong_dictionary, "of these: records that name another dictionary")           \
  X(gate_closings, "times the gate closed because the pool reached its limit")         \
  X(refused_gate_closed, "stores refused while the gate is closed")                    \
  X(refused_incompressible, "stores refused because the page does not compress")       \
  X(refused_no_frame, "stores refused because the pool had no frame")                  \
  X(refused_index_full, "stores refused because the index had no room, or no area")    \
  X(evict_begun, "objects that entered a batch")                                       \
  X(evict_referenced, "objects spared once, because they had been loaded")             \
  X(evict_gone, "candidates whose entry had changed")                                  \
  X(evict_in_flight, "candidates that were being loaded")                              \
  X(evict_cancelled, "writes undone: no room on the backing store")                    \
  X(writes_lost,                                                                       \
    "writes whose result was not used: loaded, replaced or invalidated meanwhile")     \
  X(writes_failed, "objects kept in the pool because the write failed")                \
  X(relocated, "objects moved by the cleaner")                                         \
  X(relocations_lost, "copies of the cleaner whose result was not used")               \
  X(recompressed, "objects made denser")                                               \
  X(recompress_kept, "recompressions that would have freed nothing")                   \
  X(recompress_lost,                                                                   \
    "recompressions whose result was not used: the entry changed meanwhile")           \
  X(recompress_no_space, "recompressions without room in the pool for the new object") \
  X(frees_left_to_loader, "releases left to a load in flight")
// clang-format on

struct CacheCounters {
#define UZ_DECLARE(name, meaning) RelaxedCounter name;
  UZ_CACHE_COUNTERS(UZ_DECLARE)
#undef UZ_DECLARE

  void AddTo(CacheCounters& sum) const;
  // Counts a change of a word: *_in and *_out.
  void CountChange(EntryWord from, EntryWord to);
};

}  // namespace uzswap

#endif  // UZSWAP_CACHE_CACHE_COUNTERS_H_
