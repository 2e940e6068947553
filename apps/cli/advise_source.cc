#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>

#include "advise.h"
#include "os/uffd_abi.h"

namespace uzswap::cli {
namespace {

class Descriptor {
 public:
  explicit Descriptor(const std::string& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

// Only on a terminal, and once per percent.
class Progress {
 public:
  explicit Progress(uint64_t total) : total_(total), shown_(isatty(STDERR_FILENO) != 0) {}
  ~Progress() {
    if (shown_) fputs("\r             \r", stderr);
  }
  void At(uint64_t done) {
    if (!shown_ || total_ == 0 || done * 100 / total_ == percent_) return;
    percent_ = done * 100 / total_;
    fprintf(stderr, "\rreading %2llu %%", static_cast<unsigned long long>(percent_));
    fflush(stderr);
  }

 private:
  uint64_t total_;
  bool shown_;
  uint64_t percent_ = UINT64_MAX;
};

// Which of `there` pages to take so that at most `wanted` are evenly spread, in groups of
// neighbours: units are made of them. Requires: wanted is a multiple of kUnitPages, or all.
uint64_t Spread(uint64_t i, uint64_t there, uint64_t wanted) {
  if (there <= wanted) return i;
  const uint64_t groups_there = there / kUnitPages;
  const uint64_t groups_wanted = wanted / kUnitPages;
  return i / kUnitPages * groups_there / groups_wanted * kUnitPages + i % kUnitPages;
}

Refusal CannotRead(uint32_t pid, int error, const std::string& command) {
  const std::string process = "process " + std::to_string(pid);
  if (error == ENOENT || error == ESRCH) return {kCannotDo, "there is no " + process, ""};
  return {kCannotDo, "the memory of " + process + " may not be read: " + strerror(error),
          "sudo uzswap " + command + " " + std::to_string(pid) +
              " (or as its owner, where kernel.yama.ptrace_scope is 0 and no security module"
              " forbids it)"};
}

std::string NameOf(uint32_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
  std::string name;
  std::getline(file, name);
  return "process " + std::to_string(pid) + (name.empty() ? "" : " (" + name + ")");
}

struct Range {
  uint64_t start;
  uint64_t end;
};

// Private, writable, and without a file: memory that can be swapped.
std::vector<Range> AnonymousRanges(uint32_t pid) {
  std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
  std::vector<Range> ranges;
  for (std::string line; std::getline(maps, line);) {
    std::istringstream words(line);
    std::string addresses;
    std::string access;
    std::string offset;
    std::string device;
    uint64_t inode = 1;
    words >> addresses >> access >> offset >> device >> inode;
    if (inode != 0 || access.size() != 4 || access.substr(0, 2) != "rw" || access[3] != 'p') {
      continue;
    }
    Range range{};
    range.start = std::stoull(addresses, nullptr, 16);
    range.end = std::stoull(addresses.substr(addresses.find('-') + 1), nullptr, 16);
    ranges.push_back(range);
  }
  return ranges;
}

void AddPages(uint64_t start, uint64_t end, std::vector<uint64_t>& pages) {
  for (uint64_t at = start; at < end; at += kPageSize) pages.push_back(at);
}

// Finds present pages with one system call per range, because programs reserve terabytes. False
// if the kernel has no such call (before 6.7).
bool ScanPresent(const Descriptor& pagemap, const Range& range, std::vector<uint64_t>& present) {
  os::abi::PagemapRegion regions[256];
  os::abi::PagemapScan scan{};
  scan.size = sizeof(scan);
  scan.start = range.start;
  scan.end = range.end;
  scan.vector = reinterpret_cast<uint64_t>(regions);
  scan.vector_length = std::size(regions);
  scan.category_anyof_mask = os::abi::kPageIsPresent;
  scan.return_mask = os::abi::kPageIsPresent;
  while (scan.start < range.end) {
    const int got = ioctl(pagemap.fd(), os::abi::kPagemapScan, &scan);
    if (got < 0) return false;
    for (int i = 0; i < got; ++i) AddPages(regions[i].start, regions[i].end, present);
    if (scan.walk_end <= scan.start) break;
    scan.start = scan.walk_end;
  }
  return true;
}

void ReadPresent(const Descriptor& pagemap, const Range& range, std::vector<uint64_t>& present) {
  constexpr uint64_t kPresent = uint64_t{1} << 63;
  std::vector<uint64_t> entries(4096);
  for (uint64_t at = range.start; at < range.end;) {
    const uint64_t pages = std::min<uint64_t>(entries.size(), (range.end - at) >> kPageShift);
    const auto offset = static_cast<off_t>((at >> kPageShift) * sizeof(uint64_t));
    const ssize_t got = pread(pagemap.fd(), entries.data(), pages * sizeof(uint64_t), offset);
    if (got <= 0) return;
    const uint64_t count = static_cast<uint64_t>(got) / sizeof(uint64_t);
    for (uint64_t i = 0; i < count; ++i) {
      if ((entries[i] & kPresent) != 0) present.push_back(at + (i << kPageShift));
    }
    at += count << kPageShift;
  }
}

// The addresses of pages that are in memory now. Reading those causes no fault.
std::vector<uint64_t> PresentPages(const Descriptor& pagemap, const std::vector<Range>& ranges) {
  std::vector<uint64_t> present;
  for (const Range& range : ranges) {
    const size_t before = present.size();
    if (ScanPresent(pagemap, range, present)) continue;
    present.resize(before);
    ReadPresent(pagemap, range, present);
  }
  return present;
}

// Appends the pages that can be read. A page that is no longer present is left out.
void Append(const Descriptor& from, uint64_t offset, std::vector<std::byte>& to) {
  const size_t size = to.size();
  to.resize(size + kPageSize);
  const ssize_t got = pread(from.fd(), to.data() + size, kPageSize, static_cast<off_t>(offset));
  if (got != static_cast<ssize_t>(kPageSize)) to.resize(size);
}

}  // namespace

OrRefusal<PageSample> ReadPagesFile(const std::string& path) {
  const Descriptor file(path);
  struct stat status {};
  if (file.fd() < 0 || fstat(file.fd(), &status) != 0) {
    return Refusal{kCannotDo, "'" + path + "' cannot be read: " + strerror(errno), ""};
  }
  PageSample sample;
  sample.source = path;
  sample.pages_there = static_cast<uint64_t>(status.st_size) / kPageSize;
  if (!S_ISREG(status.st_mode) || sample.pages_there == 0 ||
      static_cast<uint64_t>(status.st_size) % kPageSize != 0) {
    return Refusal{kCannotDo, "'" + path + "' does not consist of whole pages of 4,096 bytes",
                   "give a file of raw pages; tools/make_dumps.py makes such files"};
  }
  const uint64_t wanted = std::min(sample.pages_there, kFileSample);
  Progress progress(wanted);
  sample.bytes.reserve(wanted * kPageSize);
  for (uint64_t i = 0; i < wanted; ++i) {
    Append(file, Spread(i, sample.pages_there, wanted) * kPageSize, sample.bytes);
    progress.At(i);
  }
  return sample;
}

OrRefusal<PageSample> ReadPagesOfProcess(uint32_t pid, const char* command) {
  const std::string folder = "/proc/" + std::to_string(pid);
  const Descriptor memory(folder + "/mem");
  if (memory.fd() < 0) return CannotRead(pid, errno, command);
  const Descriptor pagemap(folder + "/pagemap");
  if (pagemap.fd() < 0) return CannotRead(pid, errno, command);
  const std::vector<uint64_t> present = PresentPages(pagemap, AnonymousRanges(pid));
  PageSample sample;
  sample.source = NameOf(pid);
  sample.pages_there = present.size();
  const uint64_t wanted = std::min<uint64_t>(present.size(), kProcessSample);
  Progress progress(wanted);
  sample.bytes.reserve(wanted * kPageSize);
  for (uint64_t i = 0; i < wanted; ++i) {
    Append(memory, present[Spread(i, present.size(), wanted)], sample.bytes);
    progress.At(i);
  }
  if (sample.count() == 0) {
    return Refusal{kCannotDo, sample.source + " has no anonymous page that can be read", ""};
  }
  return sample;
}

}  // namespace uzswap::cli
