// Region: one private anonymous mapping, a model of each of its pages, and operations on it.
//
// After every operation mapping and model agree, whatever the pager does. A region belongs to one
// thread. A forked child has its own copy of mapping and model.
#ifndef UZSWAP_TESTS_SYSTEM_CHURN_REGION_H_
#define UZSWAP_TESTS_SYSTEM_CHURN_REGION_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "system/churn/pattern.h"

namespace uzswap::churn {

// What a forked child sees of it.
enum class ForkMode : uint8_t { kCopy, kWipe, kAbsent };

struct Range {
  uint32_t first = 0;
  uint32_t count = 0;
};

class Region {
 public:
  // Maps `pages` fresh zero pages.
  Region(uint32_t id, uint32_t pages, Rng& rng);
  // Uses memory from another source (brk) that reads as zeroes; the destructor does not unmap it.
  Region(uint32_t id, std::byte* base, uint32_t pages, Rng& rng);
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  ~Region();

  [[nodiscard]] uint32_t id() const { return id_; }
  [[nodiscard]] uint32_t pages() const { return static_cast<uint32_t>(models_.size()); }
  [[nodiscard]] std::byte* base() const { return base_; }
  [[nodiscard]] std::byte* At(uint32_t page) const { return base_ + size_t{page} * kPageBytes; }
  [[nodiscard]] ForkMode fork_mode() const { return fork_mode_; }
  [[nodiscard]] Range RandomRange(uint32_t pages_max);

  // Content.
  void Write(Range range);
  void Patch(Range range);  // a few bytes in each page, at odd offsets
  void Verify(Range range, const char* where) const;
  void VerifyAll(const char* where) const { Verify({0, pages()}, where); }
  // Content that a system call writes (read, pipe, io_uring): Expect sets the version to find.
  uint32_t NextVersion() { return ++version_; }
  void Expect(Range range, uint32_t version);
  [[nodiscard]] uint64_t ExpectedWord(uint32_t page, size_t word) const;
  // In a forked child: checks what the fork mode demands.
  void VerifyInChild() const;

  // The mapping.
  void DontNeed(Range range);
  void Free(Range range);       // MADV_FREE, then written anew
  void Advise(Range range);     // hints that may not change a byte
  void Grow(uint32_t pages);    // mremap, may move
  void Shrink(uint32_t pages);  // mremap in place
  void Move(bool leave_old);    // mremap to another address; MREMAP_DONTUNMAP if leave_old
  void MoveAway(Range range);   // a part moves away, is checked and changed, and returns
  void Replace(Range range, bool unmap_first);  // mmap MAP_FIXED over it: zeroes
  void ProtectRead(Range range);                // read-only, checked, and back
  void ProtectNone(Range range);                // inaccessible and back
  void Barrier(Range range);  // written through a SIGSEGV handler, as collectors do
  void Lock(Range range);     // mlock, checked, munlock
  void SetForkMode(ForkMode mode);

  // For brk: gives the last pages back or takes more behind the end; the caller moved the break.
  void Truncate(uint32_t pages) { models_.resize(pages); }
  void Extend(uint32_t pages) { models_.resize(models_.size() + pages); }
  [[nodiscard]] bool is_mapping() const { return owned_; }

 private:
  void WritePage(uint32_t page, uint32_t version);
  void SetZero(Range range);

  uint32_t id_;
  std::byte* base_;
  std::vector<PageModel> models_;
  Rng& rng_;
  uint32_t version_ = 0;
  ForkMode fork_mode_ = ForkMode::kCopy;
  bool owned_ = true;
};

// Installs the handler behind Barrier(); once a process.
void InstallBarrierHandler();

}  // namespace uzswap::churn

#endif  // UZSWAP_TESTS_SYSTEM_CHURN_REGION_H_
