// Fuzz target: requests to the metrics server.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "http_request.h"

namespace {

using uzswap::cli::HttpRequest;
using uzswap::cli::ParseHttp;

bool LiesIn(std::string_view part, std::string_view text) {
  return part.data() >= text.data() && part.data() + part.size() <= text.data() + text.size();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const HttpRequest whole = ParseHttp(text);
  UZ_CHECK(size < HttpRequest::kMaxBytes || whole.state != HttpRequest::State::kIncomplete);
  if (whole.state != HttpRequest::State::kComplete) return 0;
  UZ_CHECK(LiesIn(whole.method, text) && LiesIn(whole.path, text));
  // What follows the headers changes nothing, and what comes in parts is the same request.
  for (size_t i = 0; i < size; ++i) {
    const HttpRequest part = ParseHttp(text.substr(0, i));
    if (part.state == HttpRequest::State::kIncomplete) continue;
    UZ_CHECK(part.state == HttpRequest::State::kComplete);
    UZ_CHECK(part.path == whole.path && part.open_metrics == whole.open_metrics);
    break;
  }
  return 0;
}
