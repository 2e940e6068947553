// MetricsExport: the figures of a run for a monitoring system, as `--metrics` asks.
//
//   file      written at the start, then once a second, removed at the end, so that nobody collects
//             the figures of a run that has ended
//   socket    see metrics_server.h
//
// A counter that is lower than before is reported as it was: a process that has ended is not seen
// for a moment, and a decrease would mean to a server that the counter began again at zero.
//
// If the file cannot be written later, that is reported once, and tried again every second.
// One object, on the runner's only thread.
#ifndef UZSWAP_APPS_CLI_METRICS_EXPORT_H_
#define UZSWAP_APPS_CLI_METRICS_EXPORT_H_

#include <poll.h>
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "metrics_server.h"
#include "stats_file.h"
#include "watch.h"

namespace uzswap::cli {

class MetricsExport {
 public:
  // `text` is the value of --metrics.
  static OrRefusal<MetricsExport> Open(const std::string& text);
  MetricsExport(MetricsExport&&) = default;
  MetricsExport& operator=(MetricsExport&&) = delete;
  // Removes the file, if it is still the one that was written last.
  ~MetricsExport();
  // Of the file, without links. Empty if there is none.
  [[nodiscard]] std::string file() const { return file_ ? file_->path() : ""; }

  // What Serve waits for.
  void AddTo(std::vector<pollfd>& set, uint64_t now_ns) const;
  void Serve(Watch& watch, uint64_t now_ns);
  // Once a second, after a sweep. Returns a sentence for the user, or an empty string.
  std::string WriteFile(const Watch& watch);

 private:
  MetricsExport() = default;
  std::string Render(const Watch& watch, MetricsFormat format);

  std::optional<StatsFile> file_;
  std::unique_ptr<MetricsServer> server_;
  Figures highest_;   // of the counters
  dev_t device_ = 0;  // of the file that was written last
  ino_t inode_ = 0;
  bool reported_ = false;
};

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_METRICS_EXPORT_H_
