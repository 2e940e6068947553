#include "ps_command.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "figures_json.h"
#include "find_sessions.h"
#include "refusal.h"
#include "session/session.h"

namespace uzswap::cli {
namespace {

PsRun RunOf(uint32_t runner, const Session& session) {
  PsRun run;
  run.runner = runner;
  const Options options = session.options();
  run.limit = options.limit.raw();
  run.usage = session.TreeUsage().raw();
  run.backing.assign(options.backing, strnlen(options.backing, sizeof(options.backing)));
  session.VisitLive([&run](const Session::RecordView& view) {
    run.processes.push_back({view.process, view.process.pid, std::string(view.name.view()),
                             view.usage.raw(), Copy(view.statistics)});
  });
  std::sort(run.processes.begin(), run.processes.end(),
            [](const PsProcess& a, const PsProcess& b) { return a.pid < b.pid; });
  return run;
}

// Names come from other users: nothing in them may move the cursor of a terminal.
std::string Printable(std::string text) {
  for (char& each : text) {
    if (static_cast<unsigned char>(each) < ' ' || each == 0x7f) each = '?';
  }
  return text;
}

std::string Size(uint64_t bytes) {
  return fmt::format("{:.1f}M", static_cast<double>(bytes) / (1 << 20));
}

std::string Ratio(const Figures& figures) {
  const std::optional<double> ratio = CompressionRatio(figures);
  return ratio ? fmt::format("{:.2f}", *ratio) : "-";
}

constexpr char kRow[] = "{:>8}  {:<16} {:>9} {:>9} {:>9} {:>6} {:>9} {:>10} {:>9}\n";

std::string RowOf(const PsProcess& process) {
  const Figures& figures = process.figures;
  return fmt::format(kRow, process.pid, Printable(process.name.substr(0, 16)), Size(process.usage),
                     Size(figures[Figure::resident_bytes]), Size(figures[Figure::pool_total_size]),
                     Ratio(figures), Size(figures[Figure::written_back_bytes]),
                     figures[Figure::faults], fmt::format("{}us", figures.fault_ns.p50 / 1000));
}

}  // namespace

PsReport FindRuns(const std::string& proc) {
  const FoundSessions found = FindSessions(proc);
  PsReport report;
  for (const FoundSession& each : found.sessions) {
    report.runs.push_back(RunOf(each.holder(), each.session));
  }
  report.other_versions = found.other_versions;
  report.unreadable = found.unreadable;
  return report;
}

std::string ToTable(const PsReport& report) {
  std::string text;
  for (const PsRun& run : report.runs) {
    text += fmt::format("run {}: {} of {} used", run.runner, Size(run.usage), Size(run.limit));
    if (!run.backing.empty()) text += fmt::format(", backing {}", Printable(run.backing));
    text += '\n';
    text += fmt::format(kRow, "PID", "PROGRAM", "USED", "RESIDENT", "POOL", "RATIO", "ON DISK",
                        "FAULTS", "MEDIAN");
    for (const PsProcess& process : run.processes) text += RowOf(process);
    text += '\n';
  }
  if (report.runs.empty()) text += "no run of uzswap\n";
  if (report.other_versions > 0) {
    text += fmt::format("{} of another version of uzswap\n", report.other_versions);
  }
  if (report.runs.empty() && report.unreadable > 0) {
    text += fmt::format("{} processes of other users were not looked at\n  fix: run this as root\n",
                        report.unreadable);
  }
  return text;
}

std::string ToJson(const PsReport& report) {
  nlohmann::ordered_json runs = nlohmann::ordered_json::array();
  for (const PsRun& run : report.runs) {
    nlohmann::ordered_json processes = nlohmann::ordered_json::array();
    for (const PsProcess& process : run.processes) {
      nlohmann::ordered_json one = {
          {"pid", process.pid}, {"name", process.name}, {"usage", process.usage}};
      AddFigures(process.figures, one);
      processes.push_back(std::move(one));
    }
    runs.push_back({{"runner", run.runner},
                    {"limit", run.limit},
                    {"usage", run.usage},
                    {"backing", run.backing},
                    {"processes", std::move(processes)}});
  }
  const nlohmann::ordered_json all = {{"runs", std::move(runs)},
                                      {"other_versions", report.other_versions}};
  // A program may have any bytes for a name.
  return all.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

int PsCommand(const PsRequest& request) {
  const PsReport report = FindRuns();
  const std::string text = request.json ? ToJson(report) : ToTable(report);
  fputs(text.c_str(), stdout);
  return fflush(stdout) == 0 ? 0 : kCannotDo;
}

}  // namespace uzswap::cli
