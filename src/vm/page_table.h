// PageTable: which addresses of the program are registered, and the entry of every page of them.
//
//      program:   [ range A )        [ range B )[ range C )
//                  |   |   |            |
//      entries:  ..e0  e1  e2 ...     ..e7 ...                     one PageEntry for each page
//                  ^ first = 0          ^ first = 7
//
// A RegisteredRange is a range of addresses with an extent of indices in the table. The index of a
// page does not depend on its address: a remap changes the start of the range and nothing else,
// and a fork changes nothing. An extent is larger than its range, so that a heap grows in place.
// When the range outgrows it, the entries move to a larger extent (amortised, like a vector) and
// the observer gets the new indices.
//
// Invariants: ranges are sorted, not empty and do not overlap; extents do not overlap; entries
// outside ranges are all zero; resident_pages() is the number of entries in state Resident.
//
// Not synchronised: the owner's lock guards it. Never allocates from the heap. Every call that is
// not const invalidates RegisteredRange pointers, except the changes of one entry.
#ifndef UZSWAP_VM_PAGE_TABLE_H_
#define UZSWAP_VM_PAGE_TABLE_H_

#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "base/units.h"
#include "os/virtual_array.h"
#include "vm/page_entry.h"

namespace uzswap {

struct RegisteredRange {
  uint64_t start = 0;
  uint64_t end = 0;
  PageIndex first;        // of the page at `start`
  uint32_t capacity = 0;  // pages that the extent has room for, from `first` on

  [[nodiscard]] uint64_t pages() const { return (end - start) >> kPageShift; }
  [[nodiscard]] bool Contains(uint64_t address) const { return start <= address && address < end; }
  // Requires: Contains(address).
  [[nodiscard]] PageIndex IndexOf(uint64_t address) const {
    UZ_DCHECK(Contains(address));
    return first + ((address - start) >> kPageShift);
  }
  // Requires: `index` belongs to the range.
  [[nodiscard]] uint64_t AddressOf(PageIndex index) const {
    UZ_DCHECK(index >= first && index - first < pages());
    return start + ((index - first) << kPageShift);
  }
};

class PageTable {
 public:
  static constexpr size_t kRangesMax = 60000;           // below vm.max_map_count
  static constexpr size_t kPagesMax = size_t{1} << 28;  // a tebibyte of program memory

  // Called when the entry of a page moves from one index to another, before the call ends.
  class Observer {
   public:
    virtual void EntryMoved(PageIndex from, PageIndex to, const PageEntry& entry) = 0;

   protected:
    ~Observer() = default;
  };

  // Once. Fails with the errno of mmap.
  Result<void> Init(Observer* observer);

  // --- Ranges ---
  [[nodiscard]] size_t count() const { return count_; }
  [[nodiscard]] const RegisteredRange& at(size_t position) const {
    UZ_DCHECK_LT(position, count_);
    return ranges_[position];
  }
  // The range that holds `address`, or nullptr.
  [[nodiscard]] const RegisteredRange* Find(uint64_t address) const;
  // The position of the first range that ends beyond `address`; count() if there is none.
  [[nodiscard]] size_t PositionFrom(uint64_t address) const;
  // The range whose extent holds `index`, or nullptr. Linear, but it starts at the last result.
  [[nodiscard]] const RegisteredRange* FindByIndex(PageIndex index);

  // Adds a range whose pages are Untracked. It joins the range that ends where it starts.
  // Requires: no overlap. Fails with ENOSPC when the tables are full.
  Result<void> Add(AddressRange range);
  // Removes the addresses, and splits ranges at its edges.
  // Requires: the entries of these pages are Untracked.
  void Remove(AddressRange range);
  // What was at `range` is now at `target`; pages keep their indices.
  // Requires: the target overlaps no range. Fails with ENOSPC when the table is full.
  Result<void> Move(AddressRange range, uint64_t target);

  // The sum of the sizes of all ranges.
  [[nodiscard]] Bytes bytes() const { return Bytes(bytes_); }
  // Calls visit(PageIndex) for each registered page of the range, upwards. `visit` may change
  // entries, not ranges.
  template <typename Visitor>
  void ForEachPage(AddressRange range, Visitor&& visit) const;

  // --- Entries ---
  [[nodiscard]] const PageEntry& entry(PageIndex index) const { return entries_[index.raw()]; }
  // The entry of `address`, or nullptr if it is not registered.
  [[nodiscard]] const PageEntry* EntryOf(uint64_t address) const {
    const RegisteredRange* range = Find(address);
    return range == nullptr ? nullptr : &entry(range->IndexOf(address));
  }
  // The only function that changes the state of a page. A forbidden step is a bug.
  void Transition(PageIndex index, PageState to, uint64_t payload = 0) {
    PageEntry& entry = entries_[index.raw()];
    resident_ -= entry.state() == PageState::kResident ? 1 : 0;
    resident_ += to == PageState::kResident ? 1 : 0;
    entry.Transition(to, payload);
  }
  void SetPolicyBits(PageIndex index, uint8_t bits) { entries_[index.raw()].SetPolicyBits(bits); }
  void Pin(PageIndex index) { entries_[index.raw()].Pin(); }
  void MarkPoisoned(PageIndex index) { entries_[index.raw()].MarkPoisoned(); }
  [[nodiscard]] PageCount resident_pages() const { return PageCount(resident_); }

  // Checks order, overlap, extents, the sum of sizes and the count of resident pages.
  void Audit() const;

 private:
  struct Extent {
    uint32_t first = 0;
    uint32_t count = 0;
  };

  // Splits the range that holds `address` strictly inside, so that one begins there.
  bool SplitAt(uint64_t address);
  void InsertAt(size_t position, const RegisteredRange& range);
  void EraseAt(size_t position);
  bool Grow(size_t position, uint64_t new_end);
  bool AllocateExtent(uint64_t pages, Extent* extent);
  void FreeExtent(Extent extent);

  os::VirtualArray<PageEntry> entries_;
  os::VirtualArray<RegisteredRange> ranges_;
  os::VirtualArray<Extent> free_;  // sorted by first, never adjacent
  size_t count_ = 0;
  size_t free_count_ = 0;
  uint64_t bytes_ = 0;
  uint64_t resident_ = 0;
  size_t last_found_ = 0;
  Observer* observer_ = nullptr;
};

template <typename Visitor>
void PageTable::ForEachPage(AddressRange wanted, Visitor&& visit) const {
  for (size_t i = PositionFrom(wanted.start); i < count_ && at(i).start < wanted.end; ++i) {
    const RegisteredRange& range = at(i);
    const uint64_t from = range.start > wanted.start ? range.start : wanted.start;
    const uint64_t to = range.end < wanted.end ? range.end : wanted.end;
    const PageIndex first = range.IndexOf(from);
    const uint64_t pages = (to - from) >> kPageShift;
    for (uint64_t page = 0; page < pages; ++page) visit(first + page);
  }
}

}  // namespace uzswap

#endif  // UZSWAP_VM_PAGE_TABLE_H_
