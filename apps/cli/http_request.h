// HttpRequest: the first line and the Accept header of an HTTP request, for the metrics server.
//
//   "GET /metrics HTTP/1.1\r\nHost: ...\r\nAccept: application/openmetrics-text\r\n\r\n"
//    │
//    ├─ kIncomplete   read more
//    ├─ kBad          answer 400 and close: not HTTP, or larger than kMaxBytes
//    └─ kComplete     method, path without its query, and whether OpenMetrics is accepted
//
// A request with a body is complete at the end of its headers: the body is never read, because the
// connection is closed after the answer. Pure: no system call, no allocation. Fuzzed.
#ifndef UZSWAP_APPS_CLI_HTTP_REQUEST_H_
#define UZSWAP_APPS_CLI_HTTP_REQUEST_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace uzswap::cli {

struct HttpRequest {
  enum class State : uint8_t { kIncomplete, kBad, kComplete };
  static constexpr size_t kMaxBytes = 8 << 10;

  State state = State::kIncomplete;
  std::string_view method;  // in the text that was parsed
  std::string_view path;
  bool open_metrics = false;
};

HttpRequest ParseHttp(std::string_view text);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_HTTP_REQUEST_H_
