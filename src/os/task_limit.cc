#include "os/task_limit.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "base/parse_size.h"
#include "os/read_file.h"
#include "os/text_line.h"

namespace uzswap::os {
namespace {

constexpr size_t kPathBytes = 1024;

uint64_t ReadLimit(std::string_view root, std::string_view mount, std::string_view group) {
  TextLine<kPathBytes> path;
  path.Text(root).Text(mount).Text(group).Text("/pids.max");
  char buffer[32];
  const Result<std::string_view> text = ReadSmallFile(path.c_str(), buffer);
  if (!text.ok()) return kNoTaskLimit;
  // "max": no limit.
  return ParseDecimal(text.value().substr(0, text.value().find('\n'))).value_or(kNoTaskLimit);
}

// The smallest limit from the group up to the mount point.
uint64_t SmallestUpTheTree(std::string_view root, std::string_view mount, std::string_view group) {
  uint64_t limit = ReadLimit(root, mount, "");
  while (group.size() > 1) {
    limit = std::min(limit, ReadLimit(root, mount, group));
    group = group.substr(0, group.rfind('/'));
  }
  return limit;
}

// A line "NUMBER:CONTROLLERS:GROUP" of /proc/self/cgroup.
uint64_t LimitOfLine(std::string_view root, std::string_view line) {
  const size_t first = line.find(':');
  const size_t second = line.find(':', first + 1);
  if (first == std::string_view::npos || second == std::string_view::npos) return kNoTaskLimit;
  const std::string_view controllers = line.substr(first + 1, second - first - 1);
  const std::string_view group = line.substr(second + 1);
  if (ListHas(controllers, "pids")) return SmallestUpTheTree(root, "/sys/fs/cgroup/pids", group);
  if (!controllers.empty()) return kNoTaskLimit;
  return std::min(SmallestUpTheTree(root, "/sys/fs/cgroup", group),
                  SmallestUpTheTree(root, "/sys/fs/cgroup/unified", group));
}

// Removes the next number of a line. A text that is no number counts as UINT64_MAX.
uint64_t TakeNumber(std::string_view& text) {
  text.remove_prefix(std::min(text.size(), text.find_first_not_of(' ')));
  const size_t length = std::min(text.size(), text.find_first_of(" \n"));
  const std::optional<uint64_t> number = ParseDecimal(text.substr(0, length));
  text.remove_prefix(length);
  return number.value_or(UINT64_MAX);
}

}  // namespace

uint64_t CgroupTaskLimit(std::string_view root) {
  TextLine<kPathBytes> path;
  path.Text(root).Text("/proc/self/cgroup");
  char buffer[4096];
  const Result<std::string_view> text = ReadSmallFile(path.c_str(), buffer);
  if (!text.ok()) return kNoTaskLimit;
  uint64_t limit = kNoTaskLimit;
  for (std::string_view rest = text.value(); !rest.empty();) {
    const size_t end = rest.find('\n');
    limit = std::min(limit, LimitOfLine(root, rest.substr(0, end)));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  return limit;
}

// A line is "FIRST-INSIDE FIRST-OUTSIDE COUNT", in columns. The first namespace maps all numbers to
// themselves. FIRST-OUTSIDE alone tells nothing: it is a number in the namespace around it.
bool IsFirstNamespace(std::string_view uid_map) {
  if (uid_map.empty()) return true;
  const uint64_t inside = TakeNumber(uid_map);
  const uint64_t outside = TakeNumber(uid_map);
  return inside == 0 && outside == 0 && TakeNumber(uid_map) == UINT32_MAX;
}

uint64_t UserTaskLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NPROC, &limit) != 0) return kNoTaskLimit;
  if (limit.rlim_cur == RLIM_INFINITY) return kNoTaskLimit;
  if (getuid() == 0) {
    char line[128];
    const Result<std::string_view> uid_map = ReadSmallFile("/proc/self/uid_map", line);
    if (IsFirstNamespace(uid_map.ok() ? uid_map.value() : std::string_view())) return kNoTaskLimit;
  }
  return limit.rlim_cur;
}

}  // namespace uzswap::os
