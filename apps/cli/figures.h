// Figures: a copy of Statistics that can be kept, indexed and printed.
//
// The order and the names are those of UZ_STATISTICS (base/statistics.h).
#ifndef UZSWAP_APPS_CLI_FIGURES_H_
#define UZSWAP_APPS_CLI_FIGURES_H_

#include <array>
#include <cstdint>
#include <optional>

#include "base/fold_statistics.h"
#include "base/statistics.h"

namespace uzswap::cli {

struct FigureName {
  const char* name;
  StatisticKind kind;
};

inline constexpr FigureName kFigureNames[] = {
#define UZ_NAME_FIGURE(name, kind, meaning) {#name, StatisticKind::kind},
    UZ_STATISTICS(UZ_NAME_FIGURE)
#undef UZ_NAME_FIGURE
};
inline constexpr size_t kFigureCount = std::size(kFigureNames);

enum class Figure : size_t {
#define UZ_ENUM_FIGURE(name, kind, meaning) name,
  UZ_STATISTICS(UZ_ENUM_FIGURE)
#undef UZ_ENUM_FIGURE
};

// Bounds of the cumulative counts: 1 us to 17 s, each four times the one before.
inline constexpr size_t kLatencyBounds = 13;
constexpr uint64_t LatencyBoundNs(size_t i) { return uint64_t{1} << (10 + 2 * i); }

struct Latency {
  uint64_t count = 0;
  uint64_t sum = 0;  // nanoseconds
  std::array<uint64_t, kLatencyBounds> up_to{};
  uint64_t p50 = 0;
  uint64_t p90 = 0;
  uint64_t p99 = 0;
  uint64_t p999 = 0;
  uint64_t max = 0;
};

struct Figures {
  std::array<uint64_t, kFigureCount> values{};
  Latency fault_ns;

  [[nodiscard]] uint64_t operator[](Figure figure) const {
    return values[static_cast<size_t>(figure)];
  }
  uint64_t& operator[](Figure figure) { return values[static_cast<size_t>(figure)]; }
};

Figures Copy(const Statistics& statistics);

// Bytes of the pages in the pool, divided by their compressed sizes. Nothing if there are none. The
// frames of the pool would tell something else: a pool that was just emptied has sparse ones.
std::optional<double> CompressionRatio(const Figures& figures);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_FIGURES_H_
