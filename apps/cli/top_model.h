// TopModel: what `uzswap top` shows, from two looks at the runs of this machine.
//
//   FindRuns() ── look n ──┐
//                          ├──> rates of each process (by its identity), histories of its stall
//   FindRuns() ── look n+1 ┘
//
//   stall   time of the faults that have ended since the last look, divided by the time between
//           the looks. Threads that wait at the same time add up, and a long fault counts when it
//           ends: it can exceed 100 %.
//
// A process that is new has no rates before the next look. One thread; no system call; exceptions
// only from allocation.
#ifndef UZSWAP_APPS_CLI_TOP_MODEL_H_
#define UZSWAP_APPS_CLI_TOP_MODEL_H_

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "ps_command.h"

namespace uzswap::cli {

enum class TopOrder : uint8_t { kUsed, kStall, kFaults, kPool, kPid };
inline constexpr size_t kTopOrders = 5;
const char* Name(TopOrder order);

struct TopRates {
  double faults = 0;  // a second
  double stall = 0;   // 1: one thread waits all the time
};

struct TopProcess {
  PsProcess now;
  std::optional<TopRates> rates;
  std::vector<double> history;  // of the stall, oldest first
};

struct TopRun {
  uint32_t runner = 0;
  uint64_t limit = 0;
  uint64_t usage = 0;
  std::string backing;
  std::vector<TopProcess> processes;
};

class TopModel {
 public:
  static constexpr size_t kHistoryMax = 60;

  // Takes a look that was made at `now_ns`, of a clock that does not jump.
  void Update(const PsReport& report, uint64_t now_ns);
  void SetOrder(TopOrder order);
  [[nodiscard]] TopOrder order() const { return order_; }

  // By the number of the runner; the processes of each by the order, largest first (pid: smallest).
  [[nodiscard]] const std::vector<TopRun>& runs() const { return runs_; }
  [[nodiscard]] uint32_t other_versions() const { return other_versions_; }
  [[nodiscard]] uint32_t unreadable() const { return unreadable_; }
  [[nodiscard]] size_t process_count() const;

 private:
  struct Seen {
    uint64_t faults = 0;
    uint64_t fault_ns = 0;
    std::deque<double> history;
    uint64_t look = 0;  // the number of the last look that saw it
  };
  // PID namespace, pid, start time, name: during an exec two records have all but the name.
  using Key = std::tuple<uint64_t, uint32_t, uint64_t, std::string>;

  TopProcess ShowProcess(const PsProcess& process, double seconds);
  void Sort();

  TopOrder order_ = TopOrder::kUsed;
  std::vector<TopRun> runs_;
  std::map<Key, Seen> seen_;
  uint64_t looks_ = 0;
  uint64_t looked_ns_ = 0;
  uint32_t other_versions_ = 0;
  uint32_t unreadable_ = 0;
};

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_TOP_MODEL_H_
