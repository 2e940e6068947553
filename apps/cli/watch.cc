#include "watch.h"

#include <time.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <utility>

namespace uzswap::cli {
namespace {

uint64_t NowNs() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

ProcessReport RecordOf(const Session::RecordView& record, bool running) {
  return {record.process.pid, record.name.c_str(), running, Copy(record.statistics)};
}

void ClearGauges(Figures& figures) {
  for (size_t i = 0; i < kFigureCount; ++i) {
    if (kFigureNames[i].kind == StatisticKind::kGauge) figures.values[i] = 0;
  }
}

void AddGauges(const Figures& from, Figures& into) {
  for (size_t i = 0; i < kFigureCount; ++i) {
    if (kFigureNames[i].kind == StatisticKind::kGauge) into.values[i] += from.values[i];
  }
}

}  // namespace

Watch::Watch(Session& session, std::vector<std::string> command)
    : session_(session), command_(std::move(command)), started_ns_(NowNs()) {}

void Watch::Sweep() {
  session_.TakeMessages([](std::string_view line) {
    std::fwrite(line.data(), 1, line.size(), stderr);
    std::fflush(stderr);
  });
  const uint64_t killed = session_.broker_counters().killed_programs.Get();
  if (killed != killed_programs_) {
    killed_programs_ = killed;
    std::fputs(
        "uzswap: the process of an engine was killed; its program was ended, because its memory"
        " would have been wrong\n  fix: do not kill processes with the name uzswap-reclaim\n",
        stderr);
    std::fflush(stderr);
  }
  session_.MarkDead();
  session_.FoldDead([this](const Session::RecordView& record) {
    ended_.push_back(RecordOf(record, false));
    if (ended_.size() > kRecordsMax) ended_.pop_front();
  });
}

Report Watch::MakeReport(bool running) const {
  Report report;
  report.command = command_;
  report.options = session_.options();
  report.running = running;
  report.wall_seconds = static_cast<double>(NowNs() - started_ns_) / 1e9;
  report.processes.assign(ended_.begin(), ended_.end());

  report.at_exit = Copy(session_.exited());
  Figures gauges;
  auto total = std::make_unique<Statistics>();
  FoldStatistics(session_.exited(), *total);
  session_.VisitLive([&](const Session::RecordView& record) {
    report.processes.push_back(RecordOf(record, true));
    AddGauges(report.processes.back().figures, gauges);
    FoldStatistics(record.statistics, *total);
  });
  report.total = Copy(*total);
  if (running) {
    ClearGauges(report.total);
    AddGauges(gauges, report.total);
  }
  const auto raise = [&](Figure figure, Bytes peak) {
    report.total[figure] = std::max(report.total[figure], peak.raw());
  };
  raise(Figure::resident_bytes_peak, session_.TreeUsagePeak());
  raise(Figure::pool_total_size_peak, session_.TreePoolPeak());
  report.processes_seen = session_.ClaimCount();
  report.processes_unmanaged = session_.RefusedClaims() + session_.UnmanagedCount();
  const BrokerCounters& broker = session_.broker_counters();
#define UZ_REPORT_COUNTER(name) report.broker.emplace_back(#name, broker.name.Get());
  UZ_BROKER_COUNTERS(UZ_REPORT_COUNTER)
#undef UZ_REPORT_COUNTER
  return report;
}

}  // namespace uzswap::cli
