#include "figures.h"

namespace uzswap::cli {

Figures Copy(const Statistics& statistics) {
  Figures figures;
#define UZ_COPY_FIGURE(name, kind, meaning) figures[Figure::name] = statistics.name.Get();
  UZ_STATISTICS(UZ_COPY_FIGURE)
#undef UZ_COPY_FIGURE
  const LatencyHistogram& faults = statistics.fault_ns;
  figures.fault_ns = {faults.Quantile(500), faults.Quantile(900), faults.Quantile(990),
                      faults.Quantile(999), faults.Max()};
  return figures;
}

}  // namespace uzswap::cli
