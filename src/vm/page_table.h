// PageTable: which addresses of the program are registered, and the entry of every page of them.
//
//      program:   [ range A )        [ range B )[ range C )
//                  |   |   |            |
//      indices:  ..0   1   2 ...     ..7 ...                      one for each page
//                  |       |            |
//      entries:    e0      e2           e7                        one for each page that is tracked
//
// A RegisteredRange is a range of addresses with an extent of indices. The index of a page does not
// depend on its address and never changes: a remap changes the start of the range and nothing else,
// and a fork changes nothing. An extent is larger than its range, so that a heap grows in place.
// What does not fit the extent any more gets a range of its own, with an extent that is larger
// still: a growing heap has few ranges.
//
// Entries are sparse (vm/entry_store.h): a range costs nothing by its size, and an entry exists
// only for a page whose state is not Untracked, or that is pinned. Loops over ranges skip what has
// no entry. A page that gets no entry because there is no memory stays Untracked: it stays in the
// program, unmanaged, and is counted (refused()).
//
// Invariants: ranges are sorted, not empty and do not overlap; extents do not overlap; there are no
// entries outside ranges; resident_pages() is the number of entries in state Resident.
//
// Not synchronised: the owner's lock guards it, for readers too. Never allocates from the heap.
// Every call that is not const invalidates RegisteredRange pointers, except the changes of one
// entry.
//
// Size: forty methods, because ranges and the entries of their pages are one table for its
// users.
#ifndef UZSWAP_VM_PAGE_TABLE_H_
#define UZSWAP_VM_PAGE_TABLE_H_

#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "base/units.h"
#include "os/virtual_array.h"
#include "vm/entry_store.h"
#include "vm/page_entry.h"

namespace uzswap {

struct RegisteredRange {
  uint64_t start = 0;
  uint64_t end = 0;
  PageIndex first;        // of the page at `start`
  uint64_t capacity = 0;  // pages that the extent has room for, from `first` on

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
  // Four pebibytes of indices: more than any address space holds.
  static constexpr uint64_t kPagesMax = EntryStore::kIndices;

  // Once. Fails with the errno of mmap.
  Result<void> Init();

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
  // The range that holds `index`, or nullptr. Linear, but it starts at the last result.
  [[nodiscard]] const RegisteredRange* FindByIndex(PageIndex index);

  // Adds a range whose pages are Untracked. It joins the range that ends where it starts, if its
  // extent has room. Requires: no overlap. Fails with ENOSPC when the indices are used up, and with
  // ENOMEM when there is no memory for another range.
  Result<void> Add(AddressRange range);
  // Removes the addresses, and splits ranges at its edges.
  // Requires: the entries of these pages are Untracked.
  void Remove(AddressRange range);
  // What was at `range` is now at `target`; pages keep their indices.
  // Requires: the target overlaps no range. Fails with ENOMEM when there is no memory for another
  // range.
  Result<void> Move(AddressRange range, uint64_t target);

  // The sum of the sizes of all ranges.
  [[nodiscard]] Bytes bytes() const { return Bytes(bytes_); }
  // Calls visit(PageIndex) for each registered page of the range, upwards. For short ranges.
  // `visit` may change entries, not ranges.
  template <typename Visitor>
  void ForEachPage(AddressRange range, Visitor&& visit) const;
  // The same for the pages that have an entry. Absent entries cost nothing.
  template <typename Visitor>
  void ForEachTracked(AddressRange range, Visitor&& visit) const;

  // --- Entries ---
  [[nodiscard]] PageEntry entry(PageIndex index) const { return entries_.Get(index); }
  // The same, and changes nothing: for a thread that reads while the owner of the lock holds still.
  [[nodiscard]] PageEntry PeekEntry(PageIndex index) const { return entries_.Peek(index); }
  // The entry of `address`; the empty one if it is not registered.
  [[nodiscard]] PageEntry EntryOf(uint64_t address) const {
    const RegisteredRange* range = Find(address);
    return range == nullptr ? PageEntry() : entry(range->IndexOf(address));
  }
  // Pages with an entry.
  [[nodiscard]] PageCount tracked_pages() const { return PageCount(entries_.count()); }
  // The first page of the range at or above `from` that has an entry. Not valid: there is none.
  [[nodiscard]] PageIndex NextTracked(const RegisteredRange& range, PageIndex from) const {
    return entries_.Next(from, range.first + range.pages());
  }
  // The first Resident page of the range at or above `from`, among the next kLookPages: a bounded
  // amount of work.
  static constexpr uint64_t kLookPages = 64 * EntryStore::kBlockPages;
  struct ResidentLook {
    PageIndex page;     // not valid: there is none before `stopped`
    PageIndex stopped;  // at most the end of the range
    size_t blocks = 0;  // of entries that it looked into
  };
  [[nodiscard]] ResidentLook LookForResident(const RegisteredRange& range, PageIndex from) const;
  // How many blocks of entries there are.
  [[nodiscard]] uint64_t entry_blocks() const { return entries_.block_count(); }
  // Page number `n` of all that have an entry. Requires: n < tracked_pages().
  [[nodiscard]] PageIndex NthTracked(uint64_t n) const { return entries_.Nth(n); }

  // The only function that changes the state of a page. A forbidden step is a bug. False: the page
  // has no entry, and there is no memory for one. It stays Untracked.
  bool Transition(PageIndex index, PageState to, uint64_t payload = 0);
  // A page without an entry has no policy bits.
  void SetPolicyBits(PageIndex index, uint8_t bits);
  // False as Transition.
  bool Pin(PageIndex index);
  void MarkPoisoned(PageIndex index);
  void MarkShared(PageIndex index);
  void DropKeptSlot(PageIndex index);
  [[nodiscard]] PageCount resident_pages() const { return PageCount(resident_); }
  // How often there was no memory for an entry.
  [[nodiscard]] uint64_t refused() const { return refused_; }

  // Checks order, overlap, extents, the sum of sizes, entries and the count of resident pages.
  void Audit() const;

 private:
  friend class PageTablePeer;

  struct Extent {
    uint64_t first = 0;
    uint64_t count = 0;
  };

  bool Store(PageIndex index, PageEntry entry);
  // Requires: the page has an entry.
  void Change(PageIndex index, void (PageEntry::*change)());
  // Splits the range that holds `address` strictly inside, so that one begins there.
  bool SplitAt(uint64_t address);
  // Makes room for another range, and another free extent.
  bool EnsureRoom();
  void InsertAt(size_t position, const RegisteredRange& range);
  void EraseAt(size_t position, size_t ranges);
  bool AllocateExtent(uint64_t pages, Extent* extent);
  void FreeExtent(Extent extent);
  void AuditExtents() const;

  EntryStore entries_;
  os::VirtualArray<RegisteredRange> ranges_;
  os::VirtualArray<Extent> free_;  // sorted by first, never adjacent; at most one more than ranges
  size_t count_ = 0;
  size_t free_count_ = 0;
  uint64_t bytes_ = 0;
  uint64_t resident_ = 0;
  uint64_t refused_ = 0;
  size_t last_found_ = 0;
  bool refuse_ranges_ = false;  // set by tests only
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

template <typename Visitor>
void PageTable::ForEachTracked(AddressRange wanted, Visitor&& visit) const {
  for (size_t i = PositionFrom(wanted.start); i < count_ && at(i).start < wanted.end; ++i) {
    const RegisteredRange& range = at(i);
    const uint64_t from = range.start > wanted.start ? range.start : wanted.start;
    const uint64_t to = range.end < wanted.end ? range.end : wanted.end;
    const PageIndex end = range.IndexOf(from) + ((to - from) >> kPageShift);
    PageIndex index = entries_.Next(range.IndexOf(from), end);
    for (; index.valid(); index = entries_.Next(index + 1, end)) visit(index);
  }
}

}  // namespace uzswap

#endif  // UZSWAP_VM_PAGE_TABLE_H_
