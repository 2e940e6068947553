#include "top_model.h"

#include <algorithm>

namespace uzswap::cli {
namespace {

// Counters of a process begin again at zero when another program runs in it.
uint64_t Growth(uint64_t now, uint64_t before) { return now >= before ? now - before : now; }

double KeyOf(const TopProcess& process, TopOrder order) {
  switch (order) {
    case TopOrder::kUsed:
      return static_cast<double>(process.now.usage);
    case TopOrder::kStall:
      return process.rates ? process.rates->stall : 0;
    case TopOrder::kFaults:
      return process.rates ? process.rates->faults : 0;
    case TopOrder::kPool:
      return static_cast<double>(process.now.figures[Figure::pool_total_size]);
    case TopOrder::kPid:
      return -static_cast<double>(process.now.pid);
  }
  return 0;
}

}  // namespace

const char* Name(TopOrder order) {
  switch (order) {
    case TopOrder::kUsed:
      return "used";
    case TopOrder::kStall:
      return "stall";
    case TopOrder::kFaults:
      return "faults";
    case TopOrder::kPool:
      return "pool";
    case TopOrder::kPid:
      return "pid";
  }
  return "";
}

void TopModel::Update(const PsReport& report, uint64_t now_ns) {
  const double seconds = looks_ == 0 ? 0 : static_cast<double>(now_ns - looked_ns_) / 1e9;
  ++looks_;
  looked_ns_ = now_ns;
  other_versions_ = report.other_versions;
  unreadable_ = report.unreadable;
  runs_.clear();
  for (const PsRun& run : report.runs) {
    TopRun& shown = runs_.emplace_back(TopRun{run.runner, run.limit, run.usage, run.backing, {}});
    for (const PsProcess& process : run.processes) {
      shown.processes.push_back(ShowProcess(process, seconds));
    }
  }
  std::erase_if(seen_, [this](const auto& entry) { return entry.second.look != looks_; });
  Sort();
}

TopProcess TopModel::ShowProcess(const PsProcess& process, double seconds) {
  TopProcess shown{process, std::nullopt, {}};
  const auto [entry, is_new] =
      seen_.try_emplace({process.identity.pid_namespace, process.identity.pid,
                         process.identity.start_time, process.name});
  Seen& seen = entry->second;
  // A program that has executed itself: its former image has a record too.
  if (seen.look == looks_) return shown;
  const uint64_t faults = process.figures[Figure::faults];
  const uint64_t fault_ns = process.figures.fault_ns.sum;
  if (!is_new && seconds > 0) {
    shown.rates = TopRates{static_cast<double>(Growth(faults, seen.faults)) / seconds,
                           static_cast<double>(Growth(fault_ns, seen.fault_ns)) / 1e9 / seconds};
    seen.history.push_back(shown.rates->stall);
    if (seen.history.size() > kHistoryMax) seen.history.pop_front();
  }
  seen.faults = faults;
  seen.fault_ns = fault_ns;
  seen.look = looks_;
  shown.history.assign(seen.history.begin(), seen.history.end());
  return shown;
}

void TopModel::SetOrder(TopOrder order) {
  order_ = order;
  Sort();
}

void TopModel::Sort() {
  for (TopRun& run : runs_) {
    std::stable_sort(run.processes.begin(), run.processes.end(),
                     [this](const TopProcess& a, const TopProcess& b) {
                       return KeyOf(a, order_) > KeyOf(b, order_);
                     });
  }
}

size_t TopModel::process_count() const {
  size_t count = 0;
  for (const TopRun& run : runs_) count += run.processes.size();
  return count;
}

}  // namespace uzswap::cli
