// Metrics: a report as text for Prometheus and for what reads its formats.
//
//   # HELP uzswap_faults_total page faults served
//   # TYPE uzswap_faults_total counter                  OpenMetrics: uzswap_faults, and # EOF
//   uzswap_faults_total{run="4711",command="redis-server"} 123
//
//   UZ_STATISTICS                name                          kind
//   kSum    faults               uzswap_faults_total           counter
//   kGauge  resident_bytes       uzswap_resident_bytes         gauge
//   kPeak   activation_us        uzswap_activation_seconds     gauge
//   fault_ns                     uzswap_fault_seconds          histogram
//
// Durations are in seconds and sizes in bytes, as the conventions of Prometheus ask. A counter
// is of the whole tree, ended processes included. Of the running processes the most important
// figures follow one by one, with their number and name.
//
// Pure: no system call. Exceptions only from allocation.
#ifndef UZSWAP_APPS_CLI_OPEN_METRICS_H_
#define UZSWAP_APPS_CLI_OPEN_METRICS_H_

#include <cstdint>
#include <string>

#include "report.h"

namespace uzswap::cli {

enum class MetricsFormat : uint8_t {
  kPrometheus,   // text format 0.0.4, also that of node_exporter's textfile collector
  kOpenMetrics,  // 1.0.0
};

// The Content-Type of the text.
const char* ContentType(MetricsFormat format);

// At most so many processes are listed: each is a time series of its own for the server.
inline constexpr size_t kMetricsProcessesMax = 100;

// `runner`: the process number of the runner, by which runs of one machine differ.
std::string ToMetrics(const Report& report, uint32_t runner, MetricsFormat format);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_OPEN_METRICS_H_
