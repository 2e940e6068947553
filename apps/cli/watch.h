// Watch: the runner's view of its session. Buries the dead, keeps their records, makes reports.
//
// Only the newest kRecordsMax records are kept: a build starts thousands of processes. The
// account of the tree loses nothing by that.
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

  // Marks and folds what has ended, and prints what the processes have to say.
  void Sweep();
  // Nothing about the end is filled in while `running`.
  [[nodiscard]] Report MakeReport(bool running) const;

 private:
  Session& session_;
  std::vector<std::string> command_;
  uint64_t started_ns_;
  std::deque<ProcessReport> ended_;
};

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_WATCH_H_
