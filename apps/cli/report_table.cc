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
  const uint64_t stored = total[Figure::stored_pages] * kPageSize;
  const uint64_t held = total[Figure::pool_total_size];
  if (stored == 0 || held == 0) return Row("ratio", "-", "nothing was stored at the end");
  return Row("ratio",
             fmt::format("{:.2f}", static_cast<double>(stored) / static_cast<double>(held)),
             fmt::format("{} stored in {} at the end", Size(stored), Size(held)));
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
  text += Row("faults", Grouped(total[Figure::faults]),
              fmt::format("p50 {}, p99 {}, max {}", Duration(total.fault_ns.p50),
                          Duration(total.fault_ns.p99), Duration(total.fault_ns.max)));
  text += Row("processes", Grouped(report.processes_seen),
              report.processes_unmanaged == 0
                  ? ""
                  : fmt::format("{} more were not managed", report.processes_unmanaged));
  if (total[Figure::limit_exceeded] != 0) {
    text += Row("over limit", Grouped(total[Figure::limit_exceeded]), "times, see the warning");
  }
  return text;
}

}  // namespace uzswap::cli
