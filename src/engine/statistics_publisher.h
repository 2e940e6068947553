// StatisticsPublisher: what the storage stack has counted, into the statistics of the process.
//
//   CacheCounters ──────┐            last time
//   WritebackCounters ──┼── sums ──> [s0 s1 ... s13] ── now - last time ──> Statistics (added)
//   BackingCounters ────┘
//                       └── levels (pages stored now, bytes on disk) ─────> Statistics (set)
//
// Sums are added as differences because others add to the same figures, and because the session
// adds up the processes of a tree. A forked child inherits the counters: what was counted before
// the fork is its parent's, so the first publication in a child adds nothing.
//
// zswpin and zswpout are not here: the pager counts each page as it goes in or out, and that is the
// one page account (base/statistics.h).
//
// One thread: the reclaim daemon.
#ifndef UZSWAP_ENGINE_STATISTICS_PUBLISHER_H_
#define UZSWAP_ENGINE_STATISTICS_PUBLISHER_H_

#include <cstdint>

#include "backing/backing_store.h"
#include "base/statistics.h"
#include "cache/cache_context.h"
#include "writeback/writeback.h"

namespace uzswap {

class StatisticsPublisher {
 public:
  static constexpr uint64_t kPoolEveryNs = 2'000'000;

  // `file` is nullptr without a backing store.
  void Publish(const CacheCounters& cache, const WritebackCounters& writer,
               const BackingCounters* file, Statistics& to);

  // The pool's own figures cost a walk over its parts: true when it is time for one. Then the
  // caller sets compressed_bytes.
  bool PoolDue(uint64_t now_ns);

  // In a forked child: what is counted up to the next Publish is not its own.
  void ForgetInChild() { forget_ = true; }

 private:
  static constexpr int kSums = 14;

  uint64_t published_[kSums] = {};
  uint64_t pool_published_ns_ = 0;
  bool forget_ = false;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_STATISTICS_PUBLISHER_H_
