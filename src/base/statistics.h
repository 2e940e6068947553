// Statistics: every figure uzswap keeps about one process, as plain counters.
//
// One list (UZ_STATISTICS) gives each counter its name, its kind and its meaning; the struct,
// the JSON, the summary and the documentation all come from it. Names follow the kernel's
// where it has one (zswap's debugfs, vmstat). Sizes are in bytes, the rest are counts.
//
//   kSum     only grows; a tree of processes adds them up
//   kGauge   a level now; added up over the living processes
//   kPeak    the largest level seen; the tree's is kept by the session
//
// The struct is all zeroes at the start and may live in memory shared between processes.
// Any thread may count and any may read; nothing is ordered.
//
// The page account: zswpout = zswpin + invalidated_pages + stored_pages, at every quiet moment.
#ifndef UZSWAP_BASE_STATISTICS_H_
#define UZSWAP_BASE_STATISTICS_H_

#include "base/counter.h"
#include "base/histogram.h"

namespace uzswap {

// clang-format off
#define UZ_STATISTICS(X)                                                                         \
  /* The compressed pool. */                                                                     \
  X(stored_pages, kGauge, "pages held compressed, same-filled or on disk")                       \
  X(same_filled_pages, kGauge, "of these, pages of one repeated word, held without memory")      \
  X(stored_incompressible_pages, kGauge, "pages held uncompressed because compression lost")     \
  X(compressed_bytes, kGauge, "sum of the compressed sizes of the pages in the pool")            \
  X(pool_total_size, kGauge, "bytes of the frames the pool holds")                               \
  X(pool_total_size_peak, kPeak, "largest pool_total_size")                                      \
  X(zswpout, kSum, "pages stored: compressed or recognised as same-filled")                      \
  X(zswpin, kSum, "pages loaded back on touch or ahead of it")                                   \
  X(zswpwb, kSum, "pages written to the backing store")                                          \
  X(invalidated_pages, kSum, "stored pages the program discarded or unmapped")                   \
  X(written_back_pages, kGauge, "pages whose content is on the backing store only")              \
  X(pool_limit_hit, kSum, "times the pool met its bound")                                        \
  X(reject_compress_poor, kSum, "pages kept resident because they do not compress")              \
  X(reject_alloc_fail, kSum, "pages kept resident because the pool had no frame for them")       \
  X(recompressed_pages, kSum, "aged pages made denser with another codec")                       \
  /* The backing store. */                                                                       \
  X(backing_file_bytes, kGauge, "bytes the backing file occupies on its medium")                 \
  X(written_back_bytes, kGauge, "compressed sizes of the pages on the backing store only")       \
  X(backing_live_bytes, kGauge, "bytes of the records in it that are still wanted")              \
  X(backing_written_bytes, kSum, "bytes written to it, headers, padding and cleaning included")  \
  X(backing_payload_bytes, kSum, "compressed bytes of pages handed over for writing")            \
  X(backing_requests, kSum, "write requests submitted")                                          \
  X(backing_queue_peak, kPeak, "most write requests in flight at once")                          \
  X(backing_reads, kSum, "pages read back")                                                      \
  X(backing_errors, kSum, "writes and reads that failed")                                        \
  X(backing_refusals, kSum, "times nothing could be written: full, over the write limit, failed")\
  /* The program's memory. */                                                                    \
  X(resident_bytes, kGauge, "anonymous memory as the kernel counts it, pool included")           \
  X(resident_bytes_peak, kPeak, "largest resident_bytes")                                        \
  X(adopted_bytes, kGauge, "bytes of the mappings under uzswap's care")                          \
  X(swapcache_bytes, kGauge, "bytes of the frames just taken from the program or free")          \
  X(metadata_bytes, kGauge, "of resident_bytes, uzswap's own tables, buffers and stacks")        \
  /* Faults and reclaim. */                                                                      \
  X(faults, kSum, "page faults served")                                                          \
  X(faults_zero, kSum, "of these, first touches")                                                \
  X(faults_spurious, kSum, "of these, pages already there when the fault was read")              \
  X(swapcache_hits, kSum, "faults answered from a page not yet compressed")                      \
  X(readahead_pages, kSum, "pages brought in before they were touched")                          \
  X(pages_taken, kSum, "pages moved from the program into the swap cache")                       \
  X(frames_freed, kSum, "pool frames emptied")                                                   \
  X(objects_evicted, kSum, "objects written out to empty frames")                                \
  X(objects_moved, kSum, "objects moved to denser frames")                                       \
  X(lost_races, kSum, "work thrown away because the page changed hands meanwhile")               \
  X(unreported_moves, kSum, "pages the kernel moved without saying so (a bug of Linux 6.18)")        \
  X(busy_pages, kSum, "pages the kernel refused to move: pinned or shared with a child")         \
  X(refused_pages, kSum, "pages in mappings that cannot be moved: locked, not writable")         \
  X(throttled_waits, kSum, "waits of faults until memory came free")                             \
  X(poisoned_pages, kSum, "pages that could not be read back: the program got SIGBUS")               \
  X(direct_reclaims, kSum, "faults that had to compress because no frame was free")              \
  X(limit_exceeded, kSum, "times the limit could not be kept")                                   \
  /* Events and life. */                                                                         \
  X(unmap_events, kSum, "munmap and its relatives in adopted mappings")                          \
  X(remap_events, kSum, "mremap of adopted mappings")                                            \
  X(remove_events, kSum, "madvise(DONTNEED, FREE, REMOVE) in adopted mappings")                  \
  X(retries, kSum, "calls repeated because the kernel asked for it")                             \
  X(adoptions, kSum, "mappings taken into care")                                                 \
  X(forks, kSum, "forks survived")                                                               \
  X(fork_pages_brought_in, kSum, "pages made resident so that a child may be born")              \
  X(dropped_messages, kSum, "messages to the user that could not be shown")
// clang-format on

struct Statistics {
#define UZ_DECLARE_STATISTIC(name, kind, meaning) RelaxedCounter name;
  UZ_STATISTICS(UZ_DECLARE_STATISTIC)
#undef UZ_DECLARE_STATISTIC

  // From the moment the pager reads a fault until the page is there.
  LatencyHistogram fault_ns;
};

}  // namespace uzswap

#endif  // UZSWAP_BASE_STATISTICS_H_
