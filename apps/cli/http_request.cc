#include "http_request.h"

#include <algorithm>
#include <optional>

namespace uzswap::cli {
namespace {

using State = HttpRequest::State;

constexpr std::string_view kAccept = "accept:";
constexpr std::string_view kOpenMetrics = "application/openmetrics-text";

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool EqualsIgnoringCase(char a, char b) { return Lower(a) == Lower(b); }

bool BeginsWith(std::string_view text, std::string_view with) {
  return text.size() >= with.size() &&
         std::equal(with.begin(), with.end(), text.begin(), EqualsIgnoringCase);
}

bool Contains(std::string_view text, std::string_view part) {
  return std::search(text.begin(), text.end(), part.begin(), part.end(), EqualsIgnoringCase) !=
         text.end();
}

// The text before the next line end, which is removed too. Nothing if there is no line end.
std::optional<std::string_view> TakeLine(std::string_view& text) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool IsToken(std::string_view word) {
  return !word.empty() &&
         std::all_of(word.begin(), word.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

// "METHOD PATH HTTP/1.x". False if it is something else.
bool ParseFirstLine(std::string_view line, HttpRequest& request) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return false;
  request.method = line.substr(0, first);
  std::string_view path = line.substr(first + 1, last - first - 1);
  path = path.substr(0, path.find('?'));
  request.path = path;
  return IsToken(request.method) && path.starts_with('/') &&
         path.find(' ') == std::string_view::npos && line.substr(last + 1).starts_with("HTTP/1.");
}

}  // namespace

HttpRequest ParseHttp(std::string_view text) {
  HttpRequest request;
  const State unfinished = text.size() >= HttpRequest::kMaxBytes ? State::kBad : State::kIncomplete;
  // So that it does not matter in which parts the text has come.
  text = text.substr(0, HttpRequest::kMaxBytes);
  const std::optional<std::string_view> first = TakeLine(text);
  if (!first) {
    request.state = unfinished;
    return request;
  }
  if (!ParseFirstLine(*first, request)) {
    request.state = State::kBad;
    return request;
  }
  while (const std::optional<std::string_view> line = TakeLine(text)) {
    if (line->empty()) {
      request.state = State::kComplete;
      return request;
    }
    if (BeginsWith(*line, kAccept) && Contains(*line, kOpenMetrics)) request.open_metrics = true;
  }
  request.state = unfinished;
  return request;
}

}  // namespace uzswap::cli
