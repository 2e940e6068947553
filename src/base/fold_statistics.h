// FoldStatistics: adds the statistics of one process to those of several processes.
//
//   sums         are added
//   gauges       are added; the caller decides whether the result means "now" or "at the end"
//   peaks        keep the larger value: the largest of any one process, not the peak of the sum
//   histograms   are merged
//
// Folding into zeroes is a copy. Counters are read one after the other, and other threads may
// count meanwhile. The result is exact if no thread counts.
#ifndef UZSWAP_BASE_FOLD_STATISTICS_H_
#define UZSWAP_BASE_FOLD_STATISTICS_H_

#include <cstdint>

#include "base/statistics.h"

namespace uzswap {

enum class StatisticKind : uint8_t { kSum, kGauge, kPeak };

inline void FoldCounter(StatisticKind kind, uint64_t value, RelaxedCounter& into) {
  if (kind == StatisticKind::kPeak) {
    into.RaiseTo(value);
  } else if (value != 0) {
    into.Add(value);
  }
}

inline void FoldStatistics(const Statistics& from, Statistics& into) {
#define UZ_FOLD_STATISTIC(name, kind, meaning) \
  FoldCounter(StatisticKind::kind, from.name.Get(), into.name);
  UZ_STATISTICS(UZ_FOLD_STATISTIC)
#undef UZ_FOLD_STATISTIC
  into.fault_ns.Merge(from.fault_ns);
}

// Sets all to zero. Requires: no thread counts meanwhile. Threads may read.
inline void ClearStatistics(Statistics& statistics) {
#define UZ_CLEAR_STATISTIC(name, kind, meaning) statistics.name.Set(0);
  UZ_STATISTICS(UZ_CLEAR_STATISTIC)
#undef UZ_CLEAR_STATISTIC
  statistics.fault_ns.Clear();
}

}  // namespace uzswap

#endif  // UZSWAP_BASE_FOLD_STATISTICS_H_
