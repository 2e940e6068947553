#include "top_view.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <string_view>

#include "base/units.h"

namespace uzswap::cli {
namespace {

constexpr char kRowForm[] = "{:>7} {:<14} {:>7} {:>7} {:>5} {:>7} {:>7} {:>7} {:>5} {:>5}";
constexpr size_t kRowColumns = 80;
constexpr size_t kBarColumns = 20;
constexpr std::string_view kLevels = " .:-=+*#";

std::string Printable(std::string_view text, size_t most) {
  std::string printable(text.substr(0, most));
  for (char& each : printable) {
    if (each < ' ' || each > '~') each = '?';
  }
  return printable;
}

// At most seven columns.
std::string Size(uint64_t bytes) {
  constexpr std::string_view kUnits = "KMGT";
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f}{}", value, kUnits[unit]);
}

std::string Count(double value) {
  if (value < 10'000) return fmt::format("{:.0f}", value);
  if (value < 1e6) return fmt::format("{:.1f}k", value / 1e3);
  return fmt::format("{:.1f}M", value / 1e6);
}

std::string Duration(uint64_t ns) {
  if (ns < 1'000'000) return fmt::format("{}us", ns / 1000);
  if (ns < 1'000'000'000) return fmt::format("{}ms", ns / 1'000'000);
  return fmt::format("{}s", ns / 1'000'000'000);
}

std::string Ratio(const Figures& figures) {
  const std::optional<double> ratio = CompressionRatio(figures);
  if (!ratio) return "-";
  return *ratio < 100 ? fmt::format("{:.2f}", *ratio) : fmt::format("{:.0f}", *ratio);
}

std::string Stall(double stall) {
  return stall < 100 ? fmt::format("{:.0f}%", 100 * stall) : ">99x";
}

std::string Bar(uint64_t used, uint64_t limit) {
  const double share = limit == 0 ? 0 : static_cast<double>(used) / static_cast<double>(limit);
  const auto full = static_cast<size_t>(std::lround(std::min(share, 1.0) * kBarColumns));
  return fmt::format("[{}{}] {:.0f} %", std::string(full, '|'),
                     std::string(kBarColumns - full, ' '), 100 * share);
}

// A character for each look; the highest stands for the time of one whole thread.
std::string Graph(const std::vector<double>& history, size_t columns) {
  const size_t count = std::min(history.size(), columns);
  std::string graph;
  for (auto value = history.end() - static_cast<std::ptrdiff_t>(count); value != history.end();
       ++value) {
    const auto highest = static_cast<double>(kLevels.size() - 1);
    auto level = static_cast<size_t>(std::min(*value, 1.0) * highest);
    // What is not nothing is seen.
    if (level == 0 && *value > 0) level = 1;
    graph += kLevels[level];
  }
  return graph;
}

std::string RowOf(const TopProcess& process, size_t columns) {
  const Figures& figures = process.now.figures;
  std::string faults = "-";
  std::string stall = "-";
  if (process.rates) {
    faults = Count(process.rates->faults);
    stall = Stall(process.rates->stall);
  }
  std::string row = fmt::format(kRowForm, process.now.pid, Printable(process.now.name, 14),
                                Size(process.now.usage), Size(figures[Figure::pool_total_size]),
                                Ratio(figures), Size(figures[Figure::stored_pages] * kPageSize),
                                Size(figures[Figure::written_back_bytes]), faults, stall,
                                Duration(figures.fault_ns.p99));
  if (columns > kRowColumns + 1) row += " " + Graph(process.history, columns - kRowColumns - 1);
  return row;
}

std::string Plural(size_t count, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

}  // namespace

std::vector<TopLine> RenderTop(const TopModel& model, const TopScreen& screen) {
  std::vector<TopLine> lines;
  lines.push_back(
      {fmt::format("uzswap top: {}, {}   sorted by {}, every {} s{}   h: help",
                   Plural(model.runs().size(), "run", "runs"),
                   Plural(model.process_count(), "process", "processes"), Name(model.order()),
                   screen.interval_s, screen.paused ? ", paused" : ""),
       TopStyle::kTitle});
  for (const TopRun& run : model.runs()) {
    lines.push_back({"", TopStyle::kRow});
    std::string title = fmt::format("run {}: {} of {} {}", run.runner, Size(run.usage),
                                    Size(run.limit), Bar(run.usage, run.limit));
    if (!run.backing.empty()) title += ", backing " + Printable(run.backing, run.backing.size());
    lines.push_back({title, TopStyle::kRun});
    lines.push_back({fmt::format(kRowForm, "PID", "PROGRAM", "USED", "POOL", "RATIO", "STORED",
                                 "ON DISK", "FAULT/s", "STALL", "P99"),
                     TopStyle::kHeader});
    for (const TopProcess& process : run.processes) {
      lines.push_back({RowOf(process, screen.columns), TopStyle::kRow});
    }
  }
  if (model.runs().empty()) lines.push_back({"no run of uzswap", TopStyle::kNote});
  if (model.other_versions() > 0) {
    lines.push_back(
        {Plural(model.other_versions(), "run", "runs") + " of another version", TopStyle::kNote});
  }
  if (model.runs().empty() && model.unreadable() > 0) {
    lines.push_back({Plural(model.unreadable(), "process", "processes") +
                         " of other users cannot be read; root sees all",
                     TopStyle::kNote});
  }
  for (TopLine& line : lines) line.text.resize(std::min(line.text.size(), screen.columns));
  return lines;
}

std::vector<TopLine> TopHelp() {
  constexpr const char* kText[] = {
      "uzswap top: the runs of uzswap on this machine",
      "",
      "  q F10     end                 M  sort by memory used",
      "  space     stop and continue   S  sort by stall",
      "  + -       interval            F  sort by faults",
      "  up down   scroll              N  sort by process number",
      "  PgUp PgDn Home End            L  sort by pool",
      "  < >       another order       ^L draw again",
      "",
      "  USED      resident memory, pool and tables: what the limit counts",
      "  RATIO     pages in the pool, divided by their compressed sizes",
      "  STORED    pages that are not resident; ON DISK: their compressed bytes in the file",
      "  STALL     time of the faults that ended, of all threads, by the time that passed",
      "  P99       99 of 100 faults were served in this time or less",
      "",
      "  any key: back",
  };
  std::vector<TopLine> lines;
  for (const char* text : kText) lines.push_back({text, TopStyle::kRow});
  lines.front().style = TopStyle::kTitle;
  return lines;
}

}  // namespace uzswap::cli
