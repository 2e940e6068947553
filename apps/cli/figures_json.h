// Figures as JSON: the same names and forms in every report.
#ifndef UZSWAP_APPS_CLI_FIGURES_JSON_H_
#define UZSWAP_APPS_CLI_FIGURES_JSON_H_

#include <nlohmann/json.hpp>

#include "figures.h"

namespace uzswap::cli {

inline void AddFigures(const Figures& figures, nlohmann::ordered_json& json) {
  for (size_t i = 0; i < kFigureCount; ++i) json[kFigureNames[i].name] = figures.values[i];
  const Latency& faults = figures.fault_ns;
  json["fault_ns"] = {{"sum", faults.sum}, {"p50", faults.p50},   {"p90", faults.p90},
                      {"p99", faults.p99}, {"p999", faults.p999}, {"max", faults.max}};
}

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_FIGURES_JSON_H_
