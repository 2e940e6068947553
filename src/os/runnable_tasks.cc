#include "os/runnable_tasks.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <span>

#include "base/parse_size.h"
#include "os/read_file.h"

namespace uzswap::os {
namespace {

constexpr uint32_t kNumberMax = 1 << 20;

std::optional<uint32_t> ParseNumber(std::string_view text) {
  const std::optional<uint64_t> value = ParseDecimal(text);
  if (!value || *value > kNumberMax) return std::nullopt;
  return static_cast<uint32_t>(*value);
}

constexpr size_t kLineBytes = 128;

// Empty if the file cannot be read.
std::string_view ReadLine(const ProcFile& file, std::span<char, kLineBytes> text) {
  if (file.descriptor() < 0) return {};
  const long got = syscall(SYS_pread64, file.descriptor(), text.data(), text.size(), 0L);
  return {text.data(), got <= 0 ? 0 : static_cast<size_t>(got)};
}

}  // namespace

std::optional<uint32_t> ParseRunnable(std::string_view line) {
  constexpr int kFieldsBefore = 3;
  for (int field = 0; field < kFieldsBefore; ++field) {
    const size_t space = line.find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    line.remove_prefix(space + 1);
  }
  const size_t slash = line.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  return ParseNumber(line.substr(0, slash));
}

std::optional<uint64_t> ParseIdleNs(std::string_view line) {
  constexpr uint64_t kStepNs = 10'000'000;
  constexpr size_t kHundredths = 2;
  const size_t space = line.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  line = line.substr(space + 1, line.find('\n') - space - 1);
  const size_t point = line.find('.');
  if (point == std::string_view::npos || line.size() - point - 1 != kHundredths)
    return std::nullopt;
  const std::optional<uint64_t> seconds = ParseDecimal(line.substr(0, point));
  const std::optional<uint64_t> hundredths = ParseDecimal(line.substr(point + 1));
  if (!seconds || !hundredths || *seconds >= UINT64_MAX / (100 * kStepNs)) return std::nullopt;
  return (*seconds * 100 + *hundredths) * kStepNs;
}

std::optional<uint32_t> ParseListSize(std::string_view list) {
  list = list.substr(0, list.find('\n'));
  uint32_t size = 0;
  while (true) {
    const size_t comma = list.find(',');
    const std::string_view item = list.substr(0, comma);
    const size_t dash = item.find('-');
    const std::optional<uint32_t> first = ParseNumber(item.substr(0, dash));
    const std::optional<uint32_t> last =
        dash == std::string_view::npos ? first : ParseNumber(item.substr(dash + 1));
    if (!first || !last || *last < *first) return std::nullopt;
    size += *last - *first + 1;
    if (comma == std::string_view::npos) return size;
    list.remove_prefix(comma + 1);
  }
}

bool RunnableTasks::Open() {
  char text[256];
  const Result<std::string_view> online = ReadSmallFile("/sys/devices/system/cpu/online", text);
  if (!online.ok()) return false;
  const std::optional<uint32_t> processors = ParseListSize(online.value());
  if (!processors || !file_.OpenDirectly("/proc/loadavg").ok()) return false;
  processors_ = *processors;
  static_cast<void>(uptime_.OpenDirectly("/proc/uptime"));
  return true;
}

std::optional<uint32_t> RunnableTasks::Count() const {
  char text[kLineBytes];
  return ParseRunnable(ReadLine(file_, text));
}

std::optional<uint64_t> RunnableTasks::IdleNs() const {
  char text[kLineBytes];
  return ParseIdleNs(ReadLine(uptime_, text));
}

}  // namespace uzswap::os
