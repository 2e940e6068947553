#include "metrics_target.h"

#include <sys/un.h>

#include <arpa/inet.h>
#include <charconv>
#include <optional>
#include <string_view>

namespace uzswap::cli {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr char kFix[] = "--metrics unix:/run/uzswap.sock, 127.0.0.1:9400 or /var/lib/x/uzswap.prom";

Refusal Unusable(const std::string& text, const std::string& why) {
  return {kCannotDo, "--metrics: '" + text + "' " + why, kFix};
}

std::optional<uint16_t> ParsePort(std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

// An empty string if it is no address.
std::string NumericHost(std::string host) {
  if (host.empty()) return "::";
  if (host == "localhost") return "127.0.0.1";
  if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  in_addr four = {};
  in6_addr six = {};
  const bool numeric =
      inet_pton(AF_INET, host.c_str(), &four) == 1 || inet_pton(AF_INET6, host.c_str(), &six) == 1;
  return numeric ? host : "";
}

OrRefusal<MetricsTarget> ParseTcp(const std::string& text, size_t colon) {
  const std::optional<uint16_t> port = ParsePort(std::string_view(text).substr(colon + 1));
  if (!port) return Unusable(text, "has no port between 1 and 65535 after the colon");
  const std::string host = NumericHost(text.substr(0, colon));
  if (host.empty()) return Unusable(text, "names no address; a host name is not looked up");
  return MetricsTarget{MetricsTarget::Kind::kTcp, "", host, *port};
}

}  // namespace

OrRefusal<MetricsTarget> ParseMetricsTarget(const std::string& text) {
  if (text.starts_with(kUnixPrefix)) {
    const std::string path = text.substr(kUnixPrefix.size());
    if (path.empty()) return Unusable(text, "names no socket");
    if (path.size() >= sizeof(sockaddr_un{}.sun_path)) {
      return Unusable(text, "is longer than the path of a socket may be (107 bytes)");
    }
    return MetricsTarget{MetricsTarget::Kind::kUnix, path, "", 0};
  }
  if (text.find('/') != std::string::npos) {
    return MetricsTarget{MetricsTarget::Kind::kFile, text, "", 0};
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) {
    return Unusable(text, "is neither unix:PATH, HOST:PORT nor the path of a file with a '/'");
  }
  return ParseTcp(text, colon);
}

}  // namespace uzswap::cli
