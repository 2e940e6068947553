// Report: the state of one run, now or at its end; printed as JSON and as a table.
//
//   total      the tree: sums and histograms over running and ended processes; peaks of the whole
//              tree; gauges of the running processes, and in the last report also the gauges
//              that ended processes had at their exit
//   at_exit    gauges of the ended processes, at their exit
//
// so that between operations, and at the end,
//   zswpout = zswpin + invalidated_pages + stored_pages (running) + stored_pages (at_exit).
#ifndef UZSWAP_APPS_CLI_REPORT_H_
#define UZSWAP_APPS_CLI_REPORT_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "figures.h"
#include "session/options.h"

namespace uzswap::cli {

struct ProcessReport {
  uint32_t pid = 0;
  std::string name;
  bool running = false;
  Figures figures;
};

struct Report {
  std::vector<std::string> command;
  Options options;
  bool running = false;
  int exit_status = 0;  // as in a shell: 128 + signal if killed
  int signal = 0;       // 0: it ended by itself
  double wall_seconds = 0;

  Figures total;
  Figures at_exit;
  std::vector<ProcessReport> processes;
  uint64_t processes_seen = 0;
  uint64_t processes_unmanaged = 0;  // without a record, or without uzswap
  // What the broker has counted (session/broker_record.h), by name.
  std::vector<std::pair<const char*, uint64_t>> broker;
};

std::string ToJson(const Report& report);
std::string ToTable(const Report& report);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_REPORT_H_
