#include "figures.h"

#include "base/units.h"

namespace uzswap::cli {

Figures Copy(const Statistics& statistics) {
  Figures figures;
#define UZ_COPY_FIGURE(name, kind, meaning) figures[Figure::name] = statistics.name.Get();
  UZ_STATISTICS(UZ_COPY_FIGURE)
#undef UZ_COPY_FIGURE
  const LatencyHistogram& faults = statistics.fault_ns;
  Latency& latency = figures.fault_ns;
  latency.sum = faults.Sum();
  for (size_t i = 0; i < kLatencyBounds; ++i)
    latency.up_to[i] = faults.CountBelow(LatencyBoundNs(i));
  // Last, so that it is not below what was counted before.
  latency.count = faults.Count();
  latency.p50 = faults.Quantile(500);
  latency.p90 = faults.Quantile(900);
  latency.p99 = faults.Quantile(990);
  latency.p999 = faults.Quantile(999);
  latency.max = faults.Max();
  return figures;
}

std::optional<double> CompressionRatio(const Figures& figures) {
  const uint64_t elsewhere =
      figures[Figure::same_filled_pages] + figures[Figure::written_back_pages];
  // The sizes contain what resident pages keep.
  const uint64_t stored = figures[Figure::stored_pages] + figures[Figure::kept_pages];
  const uint64_t compressed = figures[Figure::compressed_bytes];
  if (stored <= elsewhere || compressed == 0) return std::nullopt;
  const auto bytes = static_cast<double>((stored - elsewhere) * kPageSize);
  return bytes / static_cast<double>(compressed);
}

}  // namespace uzswap::cli
