#include "os/pagemap.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <span>

#include "base/check.h"
#include "os/uffd_abi.h"

namespace uzswap::os {
namespace {

// Bits of an entry: Documentation/admin-guide/mm/pagemap.rst.
constexpr uint64_t kMappedOnce = uint64_t{1} << 56;
constexpr uint64_t kPresent = uint64_t{1} << 63;

// A scan that reports the runs of [start, end). The caller says which pages.
abi::PagemapScan ScanOf(uint64_t start, uint64_t end, std::span<abi::PagemapRegion> runs) {
  abi::PagemapScan scan{};
  scan.size = sizeof(scan);
  scan.start = start;
  scan.end = end;
  scan.vector = reinterpret_cast<uint64_t>(runs.data());
  scan.vector_length = runs.size();
  return scan;
}

}  // namespace

Result<void> PagemapReader::Open() {
  Result<void> opened = file_.Open("/proc/self/pagemap", NeededFile::kPagemap);
  if (!opened.ok()) return opened;
  uint64_t walked = 0;
  PresentRun run;
  Result<size_t> probe = Present(kPageSize, 2 * kPageSize, &run, 1, &walked);
  if (!probe.ok()) return Error{probe.error().errno_value, "PAGEMAP_SCAN (Linux 6.7)"};
  return {};
}

Result<size_t> PagemapReader::Present(uint64_t start, uint64_t end, PresentRun* runs,
                                      size_t capacity, uint64_t* walked) const {
  constexpr size_t kRunsMax = 64;
  abi::PagemapRegion regions[kRunsMax];
  abi::PagemapScan scan =
      ScanOf(start, end, std::span(regions).first(capacity < kRunsMax ? capacity : kRunsMax));
  scan.category_anyof_mask = abi::kPageIsPresent | abi::kPageIsSwapped;
  scan.return_mask = abi::kPageIsPresent | abi::kPageIsSwapped;
  const long got = syscall(SYS_ioctl, file_.descriptor(), abi::kPagemapScan, &scan);
  if (got < 0) return Error{errno, "PAGEMAP_SCAN"};
  for (long i = 0; i < got; ++i) runs[i] = {regions[i].start, regions[i].end};
  *walked = scan.walk_end;
  return static_cast<size_t>(got);
}

std::optional<uint64_t> PagemapReader::EntryOf(uint64_t address) const {
  uint64_t entry = 0;
  const auto at = static_cast<long>((address >> kPageShift) * sizeof(entry));
  const long got = syscall(SYS_pread64, file_.descriptor(), &entry, sizeof(entry), at);
  if (got != sizeof(entry)) return {};
  return entry;
}

std::optional<bool> PagemapReader::MappedOnce(uint64_t address) const {
  const std::optional<uint64_t> entry = EntryOf(address);
  if (!entry) return {};
  return (*entry & kMappedOnce) != 0 && (*entry & kPresent) != 0;
}

// The zero page is excluded: its entry looks like one of a shared page.
bool PagemapReader::SharedContent(uint64_t address) const {
  abi::PagemapRegion region;
  const uint64_t page = RoundDownToPage(address);
  abi::PagemapScan scan = ScanOf(page, page + kPageSize, {&region, 1});
  scan.category_inverted = abi::kPageIsPfnZero;
  scan.category_mask = abi::kPageIsPresent | abi::kPageIsPfnZero;
  scan.return_mask = abi::kPageIsPresent;
  if (syscall(SYS_ioctl, file_.descriptor(), abi::kPagemapScan, &scan) != 1) return false;
  const uint64_t entry = EntryOf(address).value_or(0);
  return (entry & kPresent) != 0 && (entry & kMappedOnce) == 0;
}

PageSharing PagemapReader::SharingOf(uint64_t start, uint64_t end) const {
  uint64_t entries[kEntriesMax];
  const uint64_t pages = (end - start) >> kPageShift;
  UZ_CHECK(pages <= kEntriesMax);
  const auto at = static_cast<long>((start >> kPageShift) * sizeof(uint64_t));
  const long got = syscall(SYS_pread64, file_.descriptor(), entries, pages * sizeof(uint64_t), at);
  PageSharing sharing;
  if (got < 0) return sharing;
  for (const uint64_t entry : std::span(entries).first(static_cast<size_t>(got) / 8)) {
    if ((entry & kPresent) == 0) continue;
    ++sharing.present;
    if ((entry & kMappedOnce) != 0) ++sharing.mapped_once;
  }
  return sharing;
}

}  // namespace uzswap::os
