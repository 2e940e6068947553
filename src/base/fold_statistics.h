// FoldStatistics: adds the figures of one process to those of several.
//
//   sums add up; gauges add up (the caller decides whether they mean "now" or "at the end");
//   peaks keep the larger, which is the largest of any one process, not the peak of the sum;
//   the histograms merge.
//
// Folding into zeroes is a copy. Counters are read one by one while others may count: the
// result is exact when the source is quiet.
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

// Back to zeroes. Requires: nobody counts meanwhile (readers may look).
inline void ClearStatistics(Statistics& statistics) {
#define UZ_CLEAR_STATISTIC(name, kind, meaning) statistics.name.Set(0);
  UZ_STATISTICS(UZ_CLEAR_STATISTIC)
#undef UZ_CLEAR_STATISTIC
  statistics.fault_ns.Clear();
}

}  // namespace uzswap

#endif  // UZSWAP_BASE_FOLD_STATISTICS_H_
