// PagemapReader: which pages of a range are present, and which of them other processes map too.
//
// By PAGEMAP_SCAN, and by the entries of /proc/self/pagemap. The calling thread opens the file in
// its own descriptor table, and it stays open. All queries are const and keep no state: any thread
// of that table. Nothing is allocated.
#ifndef UZSWAP_OS_PAGEMAP_H_
#define UZSWAP_OS_PAGEMAP_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/result.h"
#include "base/units.h"
#include "os/procfs.h"

namespace uzswap::os {

struct PresentRun {
  uint64_t start = 0;
  uint64_t end = 0;
};

// Pages of a range.
struct PageSharing {
  uint64_t present = 0;
  uint64_t mapped_once = 0;  // present, and no other process maps them
};

class PagemapReader {
 public:
  static constexpr uint64_t kEntriesMax = 64;

  Result<void> Open();
  void Close() { file_.Close(); }
  void Forget() { file_.Forget(); }
  // Finds the runs of pages in [start, end) that are present or swapped by the kernel, at most
  // `capacity` runs. `*walked` is where the scan stopped; continue there. Fails with the errno of
  // PAGEMAP_SCAN.
  Result<size_t> Present(uint64_t start, uint64_t end, PresentRun* runs, size_t capacity,
                         uint64_t* walked) const;
  // True if the page is present and no other process maps it. Nothing if the file cannot be read.
  [[nodiscard]] std::optional<bool> MappedOnce(uint64_t address) const;
  // True if the page is present, is not the zero page, and another process maps it too. False, too,
  // if the file cannot be read.
  [[nodiscard]] bool SharedContent(uint64_t address) const;
  // How the pages of [start, end) are mapped. Requires: at most kEntriesMax pages. A file that
  // cannot be read counts nothing.
  [[nodiscard]] PageSharing SharingOf(uint64_t start, uint64_t end) const;

 private:
  [[nodiscard]] std::optional<uint64_t> EntryOf(uint64_t address) const;

  ProcFile file_;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_PAGEMAP_H_
