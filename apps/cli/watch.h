// Watch: the runner's view of its session. Adds up ended processes, keeps their records, and makes
// reports.
//
// Only the newest kRecordsMax records are kept, because a build can start thousands of processes.
// The sums of the tree contain all of them.
#ifndef UZSWAP_APPS_CLI_WATCH_H_
#define UZSWAP_APPS_CLI_WATCH_H_

#include <deque>
#include <string>
#include <vector>

#include "report.h"
#include "session/session.h"

namespace uzswap::cli {

class Watch {
 public:
  static constexpr size_t kRecordsMax = 1000;

  Watch(Session& session, std::vector<std::string> command);

  // Adds up the statistics of ended processes, and prints the messages of all processes.
  void Sweep();
  // With `running`, the fields about the end are empty.
  [[nodiscard]] Report MakeReport(bool running) const;

 private:
  Session& session_;
  std::vector<std::string> command_;
  uint64_t started_ns_;
  uint64_t killed_programs_ = 0;  // that the user was told of
  std::deque<ProcessReport> ended_;
};

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_WATCH_H_
