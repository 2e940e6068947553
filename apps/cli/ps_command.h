// ps: the runs of uzswap on this machine and their processes, as a table or as JSON.
//
//     FindSessions ──> Session: options, live processes, their figures
//
// A session of another version of uzswap is counted, and not shown.
//
// One thread; exceptions only from allocation.
#ifndef UZSWAP_APPS_CLI_PS_COMMAND_H_
#define UZSWAP_APPS_CLI_PS_COMMAND_H_

#include <cstdint>
#include <string>
#include <vector>

#include "figures.h"
#include "os/process_identity.h"

namespace uzswap::cli {

struct PsRequest {
  bool json = false;
};

struct PsProcess {
  os::ProcessIdentity identity{};  // of this program, also among PID namespaces
  uint32_t pid = 0;
  std::string name;
  uint64_t usage = 0;  // what the limit counts: resident pages, pool and tables
  Figures figures;
};

struct PsRun {
  uint32_t runner = 0;  // the process that holds the session
  uint64_t limit = 0;
  uint64_t usage = 0;  // of the tree
  std::string backing;
  std::vector<PsProcess> processes;
};

struct PsReport {
  std::vector<PsRun> runs;      // by the number of the runner
  uint32_t other_versions = 0;  // sessions that this program cannot read
  uint32_t unreadable = 0;      // processes whose descriptors the caller may not list
};

// `proc` is /proc, or a tree of the tests.
PsReport FindRuns(const std::string& proc = "/proc");
std::string ToTable(const PsReport& report);
std::string ToJson(const PsReport& report);

int PsCommand(const PsRequest& request);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_PS_COMMAND_H_
