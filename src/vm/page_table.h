// PageTable: which addresses of the program are in our care, and the number of every page.
//
//      program:   [ region A )        [ region B )[ region C )
//                  |   |   |            |
//      table:    ..w0  w1  w2 ...     ..w7 ...                     one PageEntry a page
//                  ^ first = 0          ^ first = 7
//
// A region is a range of adopted addresses with an extent of numbers in the page table. A
// page's number (its swap entry) does not depend on its address: a remap changes the region's
// start and nothing else, and a fork nothing at all. An extent is somewhat larger than its
// region, so that a heap grows in place; when it no longer fits, the region's words move to a
// larger extent (amortised, like a vector) and the owner is told the new numbers.
//
// Invariants: regions are sorted, not empty, and do not overlap; extents do not overlap; words
// outside regions are all zero. Not synchronised: the pager's lock. Never allocates from the
// heap. A Region pointer is invalidated by every call that is not const.
#ifndef UZSWAP_VM_PAGE_TABLE_H_
#define UZSWAP_VM_PAGE_TABLE_H_

#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "base/units.h"
#include "os/virtual_array.h"
#include "vm/page_entry.h"

namespace uzswap {

// The number of a page's word in the table.
// Until this folder uses the class of base/units.h.
#define PageIndex uint32_t

struct Region {
  uint64_t start = 0;
  uint64_t end = 0;
  PageIndex first = 0;    // of the page at `start`
  uint32_t capacity = 0;  // pages the extent has room for, from `first` on

  [[nodiscard]] uint64_t pages() const { return (end - start) >> kPageShift; }
  [[nodiscard]] bool Contains(uint64_t address) const { return start <= address && address < end; }
  [[nodiscard]] PageIndex NumberOf(uint64_t address) const {
    UZ_DCHECK(Contains(address));
    return first + static_cast<PageIndex>((address - start) >> kPageShift);
  }
  [[nodiscard]] uint64_t AddressOf(PageIndex number) const {
    UZ_DCHECK(number >= first && number - first < pages());
    return start + (uint64_t{number - first} << kPageShift);
  }
};

class PageTable {
 public:
  static constexpr size_t kRegionsMax = 60000;          // below vm.max_map_count
  static constexpr size_t kPagesMax = size_t{1} << 28;  // a tebibyte of program memory

  // Told when the word of a page moves from one number to another, before the move ends.
  class Relocation {
   public:
    virtual void WordMoved(PageIndex from, PageIndex to, const PageEntry& word) = 0;

   protected:
    ~Relocation() = default;
  };

  Result<void> Init(Relocation* relocation);

  [[nodiscard]] size_t count() const { return count_; }
  [[nodiscard]] const Region& at(size_t index) const {
    UZ_DCHECK_LT(index, count_);
    return regions_[index];
  }
  PageEntry& word(PageIndex number) { return words_[number]; }

  // The region that holds `address`, or nullptr.
  [[nodiscard]] const Region* Find(uint64_t address) const;
  // The index of the first region that ends beyond `address`; count() if there is none.
  [[nodiscard]] size_t IndexFrom(uint64_t address) const;
  // The region whose extent holds `number`, or nullptr. Linear but for a memory of the last.
  [[nodiscard]] const Region* FindByNumber(PageIndex number);

  // Adds [start, end), whose pages are Untracked. Joins the region that ends at `start`.
  // Requires: no overlap. Fails with ENOSPC when the tables are full.
  Result<void> Add(uint64_t start, uint64_t end);
  // Takes [start, end) out, splitting regions at its edges.
  // Requires: the words of that range are Untracked.
  void Remove(uint64_t start, uint64_t end);
  // What was at [start, end) is now at `target`; pages keep their numbers.
  // Requires: the target overlaps no region. Fails with ENOSPC when the table is full.
  Result<void> Move(uint64_t start, uint64_t end, uint64_t target);

  [[nodiscard]] Bytes bytes() const { return Bytes(bytes_); }

  // Checks order, overlap, extents and the sum of sizes.
  void Audit() const;

 private:
  struct Extent {
    PageIndex first = 0;
    uint32_t count = 0;
  };

  // Splits the region that holds `address` strictly inside, so that one begins there.
  bool SplitAt(uint64_t address);
  void InsertAt(size_t index, const Region& region);
  void EraseAt(size_t index);
  bool Grow(size_t index, uint64_t new_end);
  bool AllocateExtent(uint64_t pages, Extent* extent);
  void FreeExtent(Extent extent);

  os::VirtualArray<PageEntry> words_;
  os::VirtualArray<Region> regions_;
  os::VirtualArray<Extent> free_;  // sorted by first, never adjacent
  size_t count_ = 0;
  size_t free_count_ = 0;
  uint64_t bytes_ = 0;
  size_t last_by_number_ = 0;
  Relocation* relocation_ = nullptr;
};

}  // namespace uzswap

#endif  // UZSWAP_VM_PAGE_TABLE_H_
