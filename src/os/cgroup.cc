#include "os/cgroup.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string_view>

#include "base/parse_size.h"
#include "os/read_file.h"

namespace uzswap::os {
namespace {

// Version 1 writes "no limit" as the largest page-aligned number. Older kernels write other numbers
// of that size. No machine has 2^60 bytes.
constexpr uint64_t kUnlimited = uint64_t{1} << 60;

std::string ReadWholeFile(const std::string& path) {
  std::string text;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  char chunk[4096];
  while (true) {
    const ssize_t count = read(fd, chunk, sizeof(chunk));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    text.append(chunk, static_cast<size_t>(count));
  }
  close(fd);
  return text;
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return parts;
}

// mountinfo writes blanks in paths as \040 and the like.
std::string Unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

struct Mount {
  std::string point;
  std::string root;  // the part of the hierarchy that is mounted
};

// Finds the mount of a version by the `type` of its file system and an option it must have.
std::optional<Mount> FindMount(std::string_view mountinfo, std::string_view type,
                               std::string_view option) {
  for (const std::string_view line : Split(mountinfo, '\n')) {
    const size_t dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    const std::vector<std::string_view> left = Split(line.substr(0, dash), ' ');
    const std::vector<std::string_view> right = Split(line.substr(dash + 3), ' ');
    if (left.size() < 5 || right.size() < 3 || right[0] != type) continue;
    if (!option.empty() && !ListHas(right[2], option)) continue;
    return Mount{Unescape(left[4]), Unescape(left[3])};
  }
  return std::nullopt;
}

// The path of the process's cgroup in the hierarchy of `controller`. "" is version 2.
std::optional<std::string> FindPath(std::string_view cgroups, std::string_view controller) {
  for (const std::string_view line : Split(cgroups, '\n')) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const bool found = controller.empty() ? controllers.empty() && line.substr(0, first) == "0"
                                          : ListHas(controllers, controller);
    if (found) return std::string(line.substr(second + 1));
  }
  return std::nullopt;
}

// The path or the root of the mount begins with "/..": one is above the other's namespace.
bool IsHidden(const std::string& path, const Mount& mount) {
  return mount.root.rfind("/..", 0) == 0 || path.rfind("/..", 0) == 0;
}

// The path of the cgroup below the mount point. If the path is not in the mounted part, it belongs
// to a namespace that is not visible here. Then the mount point itself is used.
std::string BelowMount(const std::string& path, const Mount& mount) {
  if (path.find("/..") != std::string::npos) return "";
  if (mount.root == "/") return path == "/" ? "" : path;
  if (path.rfind(mount.root, 0) != 0) return "";
  return path.substr(mount.root.size());
}

void AddNumber(const std::string& file, std::string_view text, std::vector<CgroupLimit>& limits) {
  const std::optional<uint64_t> bytes = ParseDecimal(text.substr(0, text.find_first_of(" \n")));
  if (bytes && *bytes < kUnlimited) limits.push_back({Bytes(*bytes), file});
}

// Reads the files `names` at every level from the process's cgroup up to the mount point.
void WalkUp(const std::string& root, const Mount& mount, std::string below,
            std::initializer_list<const char*> names, std::vector<CgroupLimit>& limits) {
  while (true) {
    for (const char* name : names) {
      const std::string file = mount.point + below + "/" + name;
      AddNumber(file, ReadWholeFile(root + file), limits);
    }
    if (below.empty()) return;
    const size_t slash = below.rfind('/');
    below.resize(slash == std::string::npos ? 0 : slash);
  }
}

void AddHierarchical(const std::string& root, const std::string& file,
                     std::vector<CgroupLimit>& limits) {
  constexpr std::string_view kLabel = "hierarchical_memory_limit ";
  const std::string text = ReadWholeFile(root + file);
  const size_t found = text.find(kLabel);
  if (found == std::string::npos) return;
  std::vector<CgroupLimit> above;
  AddNumber(file, std::string_view(text).substr(found + kLabel.size()), above);
  // It usually repeats the limit of a visible level.
  const CgroupLimit* seen = Tightest(limits);
  if (!above.empty() && (seen == nullptr || above[0].bytes < seen->bytes)) {
    limits.push_back(above[0]);
  }
}

}  // namespace

CgroupLimits FindCgroupLimits(const std::string& root, const std::string& process) {
  CgroupLimits limits;
  const std::string cgroups = ReadWholeFile(root + "/proc/" + process + "/cgroup");
  const std::string mountinfo = ReadWholeFile(root + "/proc/self/mountinfo");

  const std::optional<Mount> unified = FindMount(mountinfo, "cgroup2", "");
  if (const auto path = FindPath(cgroups, ""); path && unified) {
    limits.hidden = IsHidden(*path, *unified);
    WalkUp(root, *unified, BelowMount(*path, *unified), {"memory.max", "memory.high"},
           limits.found);
  }
  const std::optional<Mount> memory = FindMount(mountinfo, "cgroup", "memory");
  if (const auto path = FindPath(cgroups, "memory"); path && memory) {
    limits.hidden = limits.hidden || IsHidden(*path, *memory);
    const std::string below = BelowMount(*path, *memory);
    WalkUp(root, *memory, below, {"memory.limit_in_bytes"}, limits.found);
    AddHierarchical(root, memory->point + below + "/memory.stat", limits.found);
  }
  return limits;
}

const CgroupLimit* Tightest(const std::vector<CgroupLimit>& limits) {
  const CgroupLimit* tightest = nullptr;
  for (const CgroupLimit& limit : limits) {
    if (tightest == nullptr || limit.bytes < tightest->bytes) tightest = &limit;
  }
  return tightest;
}

}  // namespace uzswap::os
