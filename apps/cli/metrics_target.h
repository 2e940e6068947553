// MetricsTarget: where `--metrics` puts the figures of a run.
//
//     unix:PATH                a Unix socket; only its user and root may connect
//     HOST:PORT                a TCP port; HOST is an address, [address], localhost, or empty for
//     all a path with a '/'        a file, replaced once a second (node_exporter's textfile
//     collector
//                              reads files that end in .prom)
#ifndef UZSWAP_APPS_CLI_METRICS_TARGET_H_
#define UZSWAP_APPS_CLI_METRICS_TARGET_H_

#include <cstdint>
#include <string>

#include "refusal.h"

namespace uzswap::cli {

struct MetricsTarget {
  enum class Kind : uint8_t { kFile, kUnix, kTcp };

  Kind kind = Kind::kFile;
  std::string path;  // of a file or a socket
  std::string host;  // of kTcp: a numeric address without brackets
  uint16_t port = 0;
};

OrRefusal<MetricsTarget> ParseMetricsTarget(const std::string& text);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_METRICS_TARGET_H_
