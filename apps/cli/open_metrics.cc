#include "open_metrics.h"

#include <fmt/format.h>
#include <set>
#include <string_view>
#include <utility>

#include "uzswap_build.h"

namespace uzswap::cli {
namespace {

struct Meaning {
  const char* name;
  const char* text;
};

constexpr Meaning kMeanings[] = {
#define UZ_MEANING(name, kind, meaning) {#name, meaning},
    UZ_STATISTICS(UZ_MEANING)
#undef UZ_MEANING
};

// A program's name may have any byte. What is not printable ASCII may not be UTF-8 either.
std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\' || c == '"') {
      escaped += '\\';
      escaped += c;
    } else {
      escaped += c < ' ' || c > '~' ? '?' : c;
    }
  }
  return escaped;
}

std::string BaseName(std::string_view path) {
  return std::string(path.substr(path.find_last_of('/') + 1));
}

std::string Seconds(uint64_t ns) { return fmt::format("{}", static_cast<double>(ns) / 1e9); }

class Writer {
 public:
  Writer(MetricsFormat format, std::string labels) : format_(format), labels_(std::move(labels)) {}

  // The lines before the samples of a family.
  void Family(std::string_view name, std::string_view type, std::string_view help) {
    // OpenMetrics names the family of a counter without its suffix.
    const bool open = format_ == MetricsFormat::kOpenMetrics;
    const std::string suffix = type == "counter" && !open ? "_total" : "";
    text_ += fmt::format("# TYPE uzswap_{}{} {}\n", name, suffix, type);
    text_ += fmt::format("# HELP uzswap_{}{} {}\n", name, suffix, help);
  }
  void Sample(std::string_view name, std::string_view value, std::string_view more_labels = "") {
    text_ += fmt::format("uzswap_{}{{{}{}}} {}\n", name, labels_, more_labels, value);
  }
  void Gauge(std::string_view name, std::string_view value, std::string_view help) {
    Family(name, "gauge", help);
    Sample(name, value);
  }
  void Counter(std::string_view name, std::string_view value, std::string_view help) {
    Family(name, "counter", help);
    Sample(fmt::format("{}_total", name), value);
  }
  std::string Take() {
    if (format_ == MetricsFormat::kOpenMetrics) text_ += "# EOF\n";
    return std::move(text_);
  }

 private:
  MetricsFormat format_;
  std::string labels_;
  std::string text_;
};

void WriteRun(const Report& report, Writer& to) {
  to.Family("build_info", "gauge", "the version of uzswap; the value is always 1");
  to.Sample("build_info", "1",
            fmt::format(",version=\"{}\",codec=\"{}\",pool=\"{}\"", Escaped(kVersion),
                        Name(report.options.codec), Name(report.options.pool)));
  to.Gauge("limit_bytes", std::to_string(report.options.limit.raw()),
           "memory that the processes of the run may use together");
  to.Gauge("pool_limit_bytes", std::to_string(report.options.pool_limit.raw()),
           "memory that their pools may use together; 0: only the limit counts");
  to.Counter("run_seconds", fmt::format("{:.3f}", report.wall_seconds), "time since the run began");
  to.Counter("processes", std::to_string(report.processes_seen), "processes of the run so far");
  to.Gauge("processes_unmanaged", std::to_string(report.processes_unmanaged),
           "processes without uzswap, whose memory the limit does not contain");
}

void WriteFigures(const Figures& figures, Writer& to) {
  for (size_t i = 0; i < kFigureCount; ++i) {
    const std::string value = std::to_string(figures.values[i]);
    if (static_cast<Figure>(i) == Figure::activation_us) {
      to.Gauge("activation_seconds", Seconds(figures.values[i] * 1000),
               "longest time to prepare for the first registration");
    } else if (kFigureNames[i].kind == StatisticKind::kSum) {
      to.Counter(kFigureNames[i].name, value, kMeanings[i].text);
    } else {
      to.Gauge(kFigureNames[i].name, value, kMeanings[i].text);
    }
  }
}

void WriteFaults(const Latency& faults, Writer& to) {
  to.Family("fault_seconds", "histogram",
            "from reading the message of a page fault to populating the page");
  for (size_t i = 0; i < kLatencyBounds; ++i) {
    const uint64_t bound_ns = LatencyBoundNs(i);
    to.Sample("fault_seconds_bucket", std::to_string(faults.up_to[i]),
              fmt::format(",le=\"{}\"", Seconds(bound_ns)));
  }
  const std::string count = std::to_string(faults.count);
  to.Sample("fault_seconds_bucket", count, ",le=\"+Inf\"");
  to.Sample("fault_seconds_count", count);
  to.Sample("fault_seconds_sum", Seconds(faults.sum));
}

void WriteProcesses(const Report& report, Writer& to) {
  struct Row {
    Figure figure;
    const char* name;
    bool counter;
    const char* help;
  };
  constexpr Row kRows[] = {
      {Figure::resident_bytes, "process_resident_bytes", false, "anonymous memory, pool included"},
      {Figure::pool_total_size, "process_pool_bytes", false, "memory of the process's pool"},
      {Figure::stored_pages, "process_stored_pages", false, "pages that are not resident"},
      {Figure::faults, "process_faults", true, "page faults served"},
  };
  for (const Row& row : kRows) {
    to.Family(row.name, row.counter ? "counter" : "gauge", row.help);
    const std::string name = fmt::format("{}{}", row.name, row.counter ? "_total" : "");
    // During an exec the former and the new image have a record each. A series must be one.
    std::set<std::pair<uint32_t, std::string_view>> listed;
    for (const ProcessReport& process : report.processes) {
      if (!process.running || listed.size() >= kMetricsProcessesMax) continue;
      if (!listed.emplace(process.pid, process.name).second) continue;
      to.Sample(name, std::to_string(process.figures[row.figure]),
                fmt::format(",pid=\"{}\",name=\"{}\"", process.pid, Escaped(process.name)));
    }
  }
}

}  // namespace

const char* ContentType(MetricsFormat format) {
  switch (format) {
    case MetricsFormat::kPrometheus:
      return "text/plain; version=0.0.4; charset=utf-8";
    case MetricsFormat::kOpenMetrics:
      return "application/openmetrics-text; version=1.0.0; charset=utf-8";
  }
  return "";
}

std::string ToMetrics(const Report& report, uint32_t runner, MetricsFormat format) {
  const std::string command = report.command.empty() ? "" : BaseName(report.command.front());
  Writer to(format, fmt::format("run=\"{}\",command=\"{}\"", runner, Escaped(command)));
  WriteRun(report, to);
  WriteFigures(report.total, to);
  WriteFaults(report.total.fault_ns, to);
  WriteProcesses(report, to);
  return to.Take();
}

}  // namespace uzswap::cli
