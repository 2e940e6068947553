#include "http_request.h"

#include <gtest/gtest.h>
#include <string>

namespace uzswap::cli {
namespace {

using State = HttpRequest::State;

TEST(HttpRequest, IsCompleteAtTheEndOfItsHeaders) {
  struct Case {
    const char* text;
    State state;
    const char* method;
    const char* path;
    bool open_metrics;
  };
  const Case cases[] = {
      {"GET /metrics HTTP/1.1\r\n\r\n", State::kComplete, "GET", "/metrics", false},
      {"GET /metrics HTTP/1.0\n\n", State::kComplete, "GET", "/metrics", false},
      {"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", State::kComplete, "HEAD", "/", false},
      {"GET /metrics?a=b HTTP/1.1\r\n\r\nbody", State::kComplete, "GET", "/metrics", false},
      {"GET /m HTTP/1.1\r\nAccept: application/openmetrics-text; version=1.0.0,*/*\r\n\r\n",
       State::kComplete, "GET", "/m", true},
      {"GET /m HTTP/1.1\r\nACCEPT:Application/OpenMetrics-Text\r\n\r\n", State::kComplete, "GET",
       "/m", true},
      {"GET /m HTTP/1.1\r\nX-Accept: application/openmetrics-text\r\n\r\n", State::kComplete, "GET",
       "/m", false},
      {"", State::kIncomplete, "", "", false},
      {"GET /metr", State::kIncomplete, "", "", false},
      {"GET /metrics HTTP/1.1\r\n", State::kIncomplete, "GET", "/metrics", false},
      {"GET /metrics HTTP/1.1\r\nHost: a\r\n", State::kIncomplete, "GET", "/metrics", false},
      {"\r\n", State::kBad, "", "", false},
      {"GET\r\n", State::kBad, "", "", false},
      {"GET /\r\n", State::kBad, "", "", false},
      {"GET / HTTP/2.0\r\n", State::kBad, "GET", "/", false},
      {"get / HTTP/1.1\r\n", State::kBad, "get", "/", false},
      {"GET metrics HTTP/1.1\r\n", State::kBad, "GET", "metrics", false},
      {"GET /a b HTTP/1.1\r\n", State::kBad, "GET", "/a b", false},
      {"\x16\x03\x01\x02\n", State::kBad, "", "", false},
  };
  for (const Case& c : cases) {
    const HttpRequest request = ParseHttp(c.text);
    EXPECT_EQ(request.state, c.state) << c.text;
    EXPECT_EQ(request.method, c.method) << c.text;
    EXPECT_EQ(request.path, c.path) << c.text;
    EXPECT_EQ(request.open_metrics, c.open_metrics) << c.text;
  }
}

TEST(HttpRequest, HasALargestSize) {
  std::string text = "GET / HTTP/1.1\r\nA: ";
  text.resize(HttpRequest::kMaxBytes - 1, 'a');
  EXPECT_EQ(ParseHttp(text).state, State::kIncomplete);
  EXPECT_EQ(ParseHttp(text + "a").state, State::kBad);
  EXPECT_EQ(ParseHttp(text + "a\r\n\r\n").state, State::kBad);
  EXPECT_EQ(ParseHttp(std::string(HttpRequest::kMaxBytes, 'G')).state, State::kBad);
  EXPECT_EQ(ParseHttp("GET / HTTP/1.1\r\n\r\n" + text + text).state, State::kComplete);
}

}  // namespace
}  // namespace uzswap::cli
