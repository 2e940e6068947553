#include "metrics_export.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace uzswap::cli {
namespace {

void KeepHighest(uint64_t& value, uint64_t& highest) {
  highest = std::max(highest, value);
  value = highest;
}

void KeepHighest(Figures& figures, Figures& highest) {
  for (size_t i = 0; i < kFigureCount; ++i) {
    if (kFigureNames[i].kind != StatisticKind::kSum) continue;
    KeepHighest(figures.values[i], highest.values[i]);
  }
  Latency& faults = figures.fault_ns;
  KeepHighest(faults.count, highest.fault_ns.count);
  KeepHighest(faults.sum, highest.fault_ns.sum);
  for (size_t i = 0; i < kLatencyBounds; ++i) {
    KeepHighest(faults.up_to[i], highest.fault_ns.up_to[i]);
  }
}

OrRefusal<StatsFile> OpenFile(const std::string& path) {
  struct stat status = {};
  // A pipe would be waited for.
  const bool exists = stat(path.c_str(), &status) == 0;
  if (exists && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) {
    return Refusal{kCannotDo, "--metrics: '" + path + "' is not a regular file",
                   "name a file, as in --metrics /tmp/uzswap.prom"};
  }
  return StatsFile::Open(path, "--metrics");
}

}  // namespace

OrRefusal<MetricsExport> MetricsExport::Open(const std::string& text) {
  const auto parsed = ParseMetricsTarget(text);
  if (const Refusal* refusal = RefusalOf(parsed)) return *refusal;
  const auto& target = std::get<MetricsTarget>(parsed);
  MetricsExport made;
  if (target.kind == MetricsTarget::Kind::kFile) {
    auto file = OpenFile(target.path);
    if (const Refusal* refusal = RefusalOf(file)) return *refusal;
    made.file_.emplace(std::get<StatsFile>(std::move(file)));
    return made;
  }
  auto server = MetricsServer::Listen(target);
  if (const Refusal* refusal = RefusalOf(server)) return *refusal;
  made.server_ = std::get<std::unique_ptr<MetricsServer>>(std::move(server));
  return made;
}

MetricsExport::~MetricsExport() {
  struct stat status = {};
  if (inode_ == 0 || !file_ || stat(file_->path().c_str(), &status) != 0) return;
  if (status.st_dev == device_ && status.st_ino == inode_) unlink(file_->path().c_str());
}

std::string MetricsExport::Render(const Watch& watch, MetricsFormat format) {
  Report report = watch.MakeReport(true);
  KeepHighest(report.total, highest_);
  return ToMetrics(report, static_cast<uint32_t>(getpid()), format);
}

void MetricsExport::AddTo(std::vector<pollfd>& set, uint64_t now_ns) const {
  if (server_) server_->AddTo(set, now_ns);
}

void MetricsExport::Serve(Watch& watch, uint64_t now_ns) {
  if (!server_) return;
  const auto render = [&](MetricsFormat format) {
    // Folds what has ended, so that nothing is missing between the living and the ended.
    watch.Sweep();
    return Render(watch, format);
  };
  server_->Serve(render, now_ns);
}

std::string MetricsExport::WriteFile(const Watch& watch) {
  if (!file_) return "";
  const int failure = file_->Write(Render(watch, MetricsFormat::kPrometheus));
  struct stat status = {};
  if (failure == 0 && stat(file_->path().c_str(), &status) == 0) {
    device_ = status.st_dev;
    inode_ = status.st_ino;
  }
  if (failure == 0 || std::exchange(reported_, true)) return "";
  return "--metrics: '" + file_->path() + "' could not be written: " + strerror(failure);
}

}  // namespace uzswap::cli
