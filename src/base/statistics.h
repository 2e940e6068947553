// Statistics: the counters of one process.
//
// The list UZ_STATISTICS has the name, the kind and the meaning of each counter. The struct, the
// JSON, the summary and the documentation are generated from it. A counter has the kernel's name if
// the kernel has the same counter (zswap's debugfs, vmstat). Sizes are in bytes. All others count.
//
//   kSum     only increases; added over all processes of a tree
//   kGauge   the current value; added over the living processes
//   kPeak    the largest value; the session keeps the peak of the tree
//
// The struct is all zeroes at the start and may be in memory shared between processes.
// Any thread may count and any thread may read. Counters order no other memory access.
//
// While no page is being stored or loaded: zswpout = zswpin + invalidated_pages + stored_pages.
#ifndef UZSWAP_BASE_STATISTICS_H_
#define UZSWAP_BASE_STATISTICS_H_

#include "base/counter.h"
#include "base/histogram.h"

namespace uzswap {

// clang-format off
#define UZ_STATISTICS(X)                                                                         \
  /* The compressed pool. */                                                                     \
  X(stored_pages, kGauge, "pages stored: compressed, same-filled or on the backing store")       \
  X(same_filled_pages, kGauge,                                                                   \
    "stored pages that repeat one 64-bit word; they use no pool memory")                         \
  X(stored_incompressible_pages, kGauge,                                                         \
    "pages stored uncompressed because compression did not make them smaller")                   \
  X(compressed_bytes, kGauge, "sum of the compressed sizes of the pages in the pool")            \
  X(pool_total_size, kGauge, "bytes of the frames in the pool")                                  \
  X(pool_total_size_peak, kPeak, "largest pool_total_size")                                      \
  X(zswpout, kSum, "pages stored: compressed or found to be same-filled")                        \
  X(zswpin, kSum, "pages loaded, on a fault or by readahead")                                    \
  X(zswpwb, kSum, "pages written back to the backing store")                                     \
  X(invalidated_pages, kSum, "stored pages that the program discarded or unmapped")              \
  X(written_back_pages, kGauge, "pages stored on the backing store only")                        \
  X(pool_limit_hit, kSum, "times the pool reached its limit")                                    \
  X(reservations_refused, kSum,                                                                  \
    "requests for a part of the pool limit or of the backing size, of which others held the rest")          \
  X(reject_compress_poor, kSum, "pages that stayed resident because they do not compress")       \
  X(reject_alloc_fail, kSum, "pages that stayed resident because the pool had no free frame")    \
  X(recompressed_pages, kSum, "old pages compressed again, with another codec or more effort")                \
  X(densified_pages, kSum, "of these, while no other thread wanted the processor")               \
  X(codec_changes, kSum, "times stores changed from one codec to the other")                       \
  X(dictionary_pages, kGauge, "stored pages that need a dictionary")                             \
  X(dictionary_bytes, kGauge, "memory of the dictionaries")                                      \
  X(dictionaries, kSum, "dictionaries that came into use")                                       \
  X(trainings, kSum, "trainings of a dictionary that began")                                     \
  X(trainings_postponed, kSum, "of these, put off for lack of memory or behind another one")     \
  X(trainings_failed, kSum, "of these, without a usable dictionary")                             \
  /* The backing store. */                                                                       \
  X(backing_file_bytes, kGauge, "bytes that the backing file occupies on the disk")              \
  X(written_back_bytes, kGauge, "compressed sizes of the pages on the backing store only")       \
  X(backing_live_bytes, kGauge, "bytes of the records in the backing store that are in use")     \
  X(backing_written_bytes, kSum,                                                                 \
    "bytes written to the backing store, with headers, padding and cleaning")                    \
  X(backing_idle_bytes, kSum, "of these, records rewritten while the writer was idle")           \
  X(backing_payload_bytes, kSum, "compressed bytes of the pages written to the backing store")   \
  X(backing_requests, kSum, "write requests submitted")                                          \
  X(backing_queue_peak, kPeak, "most write requests in flight at once")                          \
  X(backing_reads, kSum, "pages read from the backing store")                                    \
  X(backing_errors, kSum, "reads and writes that failed")                                        \
  X(backing_refusals, kSum,                                                                      \
    "times writeback was refused: store full, write limit reached, or device failed")            \
  X(unlocked_keys, kGauge, "keys that could not be locked: the kernel may swap them out")         \
  /* The program's memory. */                                                                    \
  X(resident_bytes, kGauge, "anonymous memory as the kernel counts it, pool included")           \
  X(resident_bytes_peak, kPeak, "largest resident_bytes")                                        \
  X(activation_us, kPeak, "longest time in microseconds to prepare for the first registration")  \
  X(adopted_bytes, kGauge, "bytes of the mappings registered with userfaultfd")                  \
  X(mappings_left, kGauge,                                                                       \
    "mappings that are not registered, because the process would have too many")                 \
  X(swapcache_bytes, kGauge, "bytes of the staging frames")                                      \
  X(metadata_bytes, kGauge, "of resident_bytes, uzswap's own tables, buffers and stacks")        \
  /* Faults and reclaim. */                                                                      \
  X(faults, kSum, "page faults served")                                                          \
  X(faults_zero, kSum, "page faults on pages that were never written, served with a zero page")  \
  X(faults_spurious, kSum, "page faults on pages that were present when the fault was read")     \
  X(swapcache_hits, kSum, "page faults served from a staging frame, without decompression")      \
  X(readahead_pages, kSum, "pages brought in by readahead")                                      \
  X(pages_taken, kSum, "pages moved from the program to staging frames")                         \
  X(frames_freed, kSum, "pool frames freed by writeback or compaction")                          \
  X(objects_evicted, kSum, "objects written back to free their frames")                          \
  X(objects_moved, kSum, "objects moved to other frames by compaction")                          \
  X(lost_races, kSum, "work thrown away because the page changed meanwhile")                     \
  X(broker_files, kSum, "files that the broker opened for the engine")                           \
  X(unguarded_engines, kSum, "engines beside a program that the broker does not guard")          \
  X(untied_engines, kSum, "engines beside a program that the kernel does not end with them")     \
  X(restored_pages, kSum, "pages copied back to a forked child that cannot be served")            \
  X(former_image_waits, kSum,                                                                    \
    "programs that waited at their start for the memory of the image before exec")               \
  X(former_images_left, kSum, "of former_image_waits, those that started before it was free")    \
  X(engines_left_out, kSum, "processes without an engine, because the limit on tasks is low")      \
  X(limit_changes, kSum, "changes of the limit or of what is asked that processes followed")     \
  X(sibling_refusals, kSum, "engines inside the program, because they could not be beside it")     \
  X(unreported_moves, kSum, "pages the kernel moved without reporting it (a bug of Linux 6.18)") \
  X(busy_pages, kSum,                                                                            \
    "pages the kernel refused to move: pinned, or shared with a child process")                  \
  X(shared_pages_copied, kSum,                                                                   \
    "pages shared with a child process that were copied, so that both can give them up")         \
  X(kept_pages, kGauge,                                                                          \
    "resident pages whose stored copy is kept, because a forked relative has it too")            \
  X(unchanged_pages, kSum, "of zswpout, pages whose kept copy had the same content")             \
  X(shared_pages_kept, kSum,                                                                     \
    "times a page stayed because its compressed copies would be larger than the page")           \
  X(refused_pages, kSum,                                                                         \
    "pages in mappings whose pages cannot be moved: locked or not writable")                     \
  X(throttled_waits, kSum, "times a fault waited for memory to be freed")                        \
  X(poisoned_pages, kSum, "pages that could not be read back: a touch raises SIGBUS")            \
  X(direct_reclaims, kSum, "faults that had to compress pages because no frame was free")        \
  X(limit_exceeded, kSum, "times memory usage exceeded the limit")                               \
  X(working_set_protected, kSum, "measurements that spared the last resident pages")             \
  X(contentions, kSum, "times the engine became real-time because too many tasks wanted a processor") \
  X(pager_rescues, kSum, "times the pager thread was moved because it got no processor")           \
  X(late_scans, kSum, "scans of the mappings by the pager because the daemon was late")            \
  X(late_measurements, kSum, "measurements by the pager because the daemon was late")            \
  /* Events and process life. */                                                                 \
  X(unmap_events, kSum,                                                                          \
    "munmap, and calls that include it (mmap with MAP_FIXED), in registered mappings")           \
  X(remap_events, kSum, "mremap of registered mappings")                                         \
  X(remove_events, kSum, "madvise(DONTNEED or FREE) in registered mappings")                     \
  X(retries, kSum, "calls repeated because the kernel returned EAGAIN")                          \
  X(adoptions, kSum, "mappings registered with userfaultfd")                                     \
  X(forks, kSum, "forks of the program")                                                         \
  X(lasting_children, kSum, "children, forked while it was managed, that lived for a second")    \
  X(fork_pages_stored, kSum, "pages stored before a fork, so that parent and child share them")  \
  X(child_files, kSum, "forked processes that got a backing file of their own")                  \
  X(child_files_refused, kSum, "forked processes that could not get one")                        \
  X(fork_pages_brought_in, kSum,                                                                 \
    "pages made resident before a fork because the child needs them")                           \
  X(fork_roots_retried, kSum,                                                                    \
    "times a fork began again because a page that the child needs had been swapped out")         \
  X(fork_roots_given_up, kSum, "forks without a page that the child needs at once")              \
  X(fork_ranges_replaced, kSum,                                                                  \
    "ranges that another thread used again during a fork, so that the child dropped their pages")\
  X(fork_rescues, kSum,                                                                          \
    "times a frozen engine checked whether the forking thread waits for a page")                 \
  X(unknown_errnos, kSum, "answers of userfaultfd that are not documented, taken as refusals")   \
  X(dropped_messages, kSum, "messages to the user that could not be shown")
// clang-format on

struct Statistics {
#define UZ_DECLARE_STATISTIC(name, kind, meaning) RelaxedCounter name;
  UZ_STATISTICS(UZ_DECLARE_STATISTIC)
#undef UZ_DECLARE_STATISTIC

  // From reading a fault message to populating the page.
  LatencyHistogram fault_ns;
};

}  // namespace uzswap

#endif  // UZSWAP_BASE_STATISTICS_H_
