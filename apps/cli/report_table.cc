#include <algorithm>
#include <fmt/format.h>

#include "base/units.h"
#include "report.h"

namespace uzswap::cli {
namespace {

double MiB(uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

std::string Duration(uint64_t ns) {
  if (ns < 1000) return fmt::format("{} ns", ns);
  if (ns < 1'000'000) return fmt::format("{:.1f} µs", static_cast<double>(ns) / 1e3);
  if (ns < 1'000'000'000) return fmt::format("{:.1f} ms", static_cast<double>(ns) / 1e6);
  return fmt::format("{:.2f} s", static_cast<double>(ns) / 1e9);
}

// 1234567 as 1,234,567.
std::string Grouped(uint64_t count) {
  if (count < 1000) return std::to_string(count);
  return fmt::format("{},{:03}", Grouped(count / 1000), count % 1000);
}

std::string Row(const char* label, const std::string& value, const std::string& remark = "") {
  const std::string line = fmt::format("  {:<14}{:>14}   {}", label, value, remark);
  return line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
}

std::string Size(uint64_t bytes) { return fmt::format("{:.1f} MiB", MiB(bytes)); }

std::string EndOf(const Report& report) {
  if (report.signal != 0) return fmt::format("killed by signal {}", report.signal);
  return fmt::format("ended with status {}", report.exit_status);
}

std::string RatioRow(const Figures& total) {
  const std::optional<double> ratio = CompressionRatio(total);
  if (!ratio) return Row("ratio", "-", "the pool held nothing at the end");
  return Row(
      "ratio", fmt::format("{:.2f}", *ratio),
      fmt::format("{} compressed, in frames of {} at the end",
                  Size(total[Figure::compressed_bytes]), Size(total[Figure::pool_total_size])));
}

std::string DiskRow(const Figures& total) {
  const uint64_t pages = total[Figure::zswpwb];
  if (pages == 0) return "";
  return Row("written back", Grouped(pages),
             fmt::format("{} read again, {} written", Grouped(total[Figure::backing_reads]),
                         Size(total[Figure::backing_written_bytes])));
}

uint64_t Difference(uint64_t from, uint64_t what) { return from > what ? from - what : 0; }

// Faults on pages that were compressed or on disk.
uint64_t StoredFaults(const Figures& total) {
  return Difference(
      total[Figure::faults],
      total[Figure::faults_zero] + total[Figure::swapcache_hits] + total[Figure::faults_spurious]);
}

// Why the program faulted.
std::string CauseRow(const Figures& total) {
  if (total[Figure::faults] == 0) return "";
  return Row(
      "", Grouped(StoredFaults(total)),
      fmt::format(
          "of stored pages, {} not compressed yet, {} first touches, {} on pages that were present",
          Grouped(total[Figure::swapcache_hits]), Grouped(total[Figure::faults_zero]),
          Grouped(total[Figure::faults_spurious])));
}

// Threads that fault at the same time wait at the same time: the sum can exceed the run time.
std::string TimeRow(const Report& report) {
  const uint64_t waited = report.total.fault_ns.sum;
  if (waited == 0 || report.wall_seconds <= 0) return "";
  const double share = 100 * static_cast<double>(waited) / 1e9 / report.wall_seconds;
  return Row("time in faults", Duration(waited),
             fmt::format("{:.1f} % of the run, of all threads together", share));
}

// What a person would change. At most one line. First touches cost time under any limit.
std::string AdviceRow(const Report& report) {
  const Figures& total = report.total;
  const uint64_t limit = report.options.limit.raw();
  if (report.processes_unmanaged != 0) return "";
  if (total[Figure::zswpout] == 0) {
    // Reclaim begins a little below the limit.
    const uint64_t peak = total[Figure::resident_bytes_peak];
    const uint64_t enough = std::max(kLimitMin.raw(), peak + peak / 4);
    if (peak == 0 || enough > limit / 2) return "";
    return Row("advice", "",
               fmt::format("the limit was not reached: {} would be enough", Size(enough)));
  }
  constexpr double kMuch = 0.5;
  const auto faults = static_cast<double>(total[Figure::faults]);
  const auto stored = static_cast<double>(StoredFaults(total));
  const double waited = faults == 0 ? 0 : static_cast<double>(total.fault_ns.sum) * stored / faults;
  if (report.wall_seconds < 1 || waited / 1e9 < kMuch * report.wall_seconds) return "";
  return Row("advice", "", "much time is lost to faults: a larger --limit helps");
}

std::string ShareOfLimit(const Report& report, uint64_t bytes) {
  const auto limit = static_cast<double>(report.options.limit.raw());
  return fmt::format("{:.1f} % of the limit", 100 * static_cast<double>(bytes) / limit);
}

std::string BackingRows(const Report& report) {
  const Options& options = report.options;
  std::string text;
  if (options.pool_limit != Bytes(0)) {
    text += Row("pool limit", Size(options.pool_limit.raw()),
                ShareOfLimit(report, options.pool_limit.raw()));
  }
  if (options.backing[0] == '\0') return text;
  std::string remark = options.backing;
  if (options.encrypt) remark += ", encrypted";
  if (options.write_limit != Bytes(0)) {
    remark += fmt::format(", at most {}{} written", Size(options.write_limit.raw()),
                          PeriodSuffix(options.write_period_s));
  }
  const uint64_t bound = options.backing_size.raw();
  return text + Row("backing", bound == 0 ? "no bound" : Size(bound), remark);
}

}  // namespace

std::string ToTable(const Report& report) {
  const Figures& total = report.total;
  const std::string name = report.command.empty() ? "" : report.command.front();
  std::string text =
      fmt::format("uzswap: {} {} after {:.2f} s\n", name, EndOf(report), report.wall_seconds);
  text += Row("limit", Size(report.options.limit.raw()),
              fmt::format("{}, {}", Name(report.options.codec), Name(report.options.pool)));
  text += BackingRows(report);
  text += Row("peak resident", Size(total[Figure::resident_bytes_peak]),
              ShareOfLimit(report, total[Figure::resident_bytes_peak]));
  text += Row("peak pool", Size(total[Figure::pool_total_size_peak]));
  text += Row("metadata", Size(total[Figure::metadata_bytes]),
              "of peak resident: uzswap's tables, buffers and stacks at the end");
  text += RatioRow(total);
  text += Row("pages out", Grouped(total[Figure::zswpout]),
              fmt::format("{} same-filled at the end", Grouped(total[Figure::same_filled_pages])));
  text +=
      Row("pages in", Grouped(total[Figure::zswpin]),
          fmt::format("{} given back before compression", Grouped(total[Figure::swapcache_hits])));
  text += DiskRow(total);
  text += Row("faults", Grouped(total[Figure::faults]),
              fmt::format("p50 {}, p99 {}, max {}", Duration(total.fault_ns.p50),
                          Duration(total.fault_ns.p99), Duration(total.fault_ns.max)));
  text += CauseRow(total);
  text += TimeRow(report);
  text += Row("processes", Grouped(report.processes_seen),
              report.processes_unmanaged == 0
                  ? ""
                  : fmt::format("{} more were not managed", report.processes_unmanaged));
  if (total[Figure::limit_exceeded] != 0) {
    text += Row("over limit", Grouped(total[Figure::limit_exceeded]), "times, see the warning");
  }
  text += AdviceRow(report);
  return text;
}

}  // namespace uzswap::cli
