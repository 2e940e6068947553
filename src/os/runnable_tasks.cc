#include "os/runnable_tasks.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <span>

namespace uzswap::os {
namespace {

constexpr uint32_t kNumberMax = 1 << 20;

// Takes a number from the front of `text`.
std::optional<uint32_t> TakeNumber(std::string_view& text) {
  uint32_t value = 0;
  size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
    value = value * 10 + static_cast<uint32_t>(text[digits++] - '0');
    if (value > kNumberMax) return std::nullopt;
  }
  if (digits == 0) return std::nullopt;
  text.remove_prefix(digits);
  return value;
}

// What is at the start of the file, or nothing.
std::string_view ReadStart(const ProcFile& file, std::span<char> buffer) {
  const long got = syscall(SYS_pread64, file.descriptor(), buffer.data(), buffer.size(), 0L);
  return {buffer.data(), got > 0 ? static_cast<size_t>(got) : 0};
}

}  // namespace

std::optional<uint32_t> ParseRunnable(std::string_view line) {
  constexpr int kFieldsBefore = 3;
  for (int field = 0; field < kFieldsBefore; ++field) {
    const size_t space = line.find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    line.remove_prefix(space + 1);
  }
  const std::optional<uint32_t> runnable = TakeNumber(line);
  if (line.empty() || line.front() != '/') return std::nullopt;
  return runnable;
}

std::optional<uint32_t> ParseListSize(std::string_view list) {
  uint32_t size = 0;
  while (true) {
    const std::optional<uint32_t> first = TakeNumber(list);
    if (!first) return std::nullopt;
    std::optional<uint32_t> last = first;
    if (!list.empty() && list.front() == '-') {
      list.remove_prefix(1);
      last = TakeNumber(list);
      if (!last || *last < *first) return std::nullopt;
    }
    size += *last - *first + 1;
    if (list.empty() || list.front() != ',') return size;
    list.remove_prefix(1);
  }
}

bool RunnableTasks::Open() {
  char text[256];
  ProcFile online;
  if (!online.OpenDirectly("/sys/devices/system/cpu/online").ok()) return false;
  const std::optional<uint32_t> processors = ParseListSize(ReadStart(online, text));
  if (!processors || !file_.OpenDirectly("/proc/loadavg").ok()) return false;
  processors_ = *processors;
  return true;
}

std::optional<uint32_t> RunnableTasks::Count() const {
  if (file_.descriptor() < 0) return std::nullopt;
  char text[128];
  return ParseRunnable(ReadStart(file_, text));
}

}  // namespace uzswap::os
