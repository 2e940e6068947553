#include "vm/page_table.h"

#include <cerrno>
#include <cstring>
#include <utility>

namespace uzswap {
namespace {

// Room to grow: half as much again, and at least 2 MiB of program memory.
constexpr uint64_t CapacityFor(uint64_t pages) { return pages + pages / 2 + 512; }

}  // namespace

Result<void> PageTable::Init(Observer* observer) {
  observer_ = observer;
  auto entries = os::VirtualArray<PageEntry>::Create(kPagesMax, "the page table");
  if (!entries.ok()) return entries.error();
  auto ranges =
      os::VirtualArray<RegisteredRange>::Create(kRangesMax, "the table of registered ranges");
  if (!ranges.ok()) return ranges.error();
  auto extents = os::VirtualArray<Extent>::Create(2 * kRangesMax, "the extent table");
  if (!extents.ok()) return extents.error();
  entries_ = std::move(entries).value();
  ranges_ = std::move(ranges).value();
  free_ = std::move(extents).value();
  free_[0] = {0, static_cast<uint32_t>(kPagesMax)};
  free_count_ = 1;
  return {};
}

size_t PageTable::PositionFrom(uint64_t address) const {
  size_t low = 0;
  size_t high = count_;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (ranges_[middle].end <= address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

const RegisteredRange* PageTable::Find(uint64_t address) const {
  const size_t position = PositionFrom(address);
  if (position == count_ || !ranges_[position].Contains(address)) return nullptr;
  return &ranges_[position];
}

const RegisteredRange* PageTable::FindByIndex(PageIndex index) {
  for (size_t i = 0; i < count_; ++i) {
    const size_t position = (last_found_ + i) % count_;
    const RegisteredRange& range = ranges_[position];
    if (index < range.first || index - range.first >= range.pages()) continue;
    last_found_ = position;
    return &range;
  }
  return nullptr;
}

void PageTable::InsertAt(size_t index, const RegisteredRange& range) {
  UZ_CHECK_LT(count_, kRangesMax);
  memmove(&ranges_[index] + 1, &ranges_[index], (count_ - index) * sizeof(RegisteredRange));
  ranges_[index] = range;
  ++count_;
}

void PageTable::EraseAt(size_t index) {
  --count_;
  memmove(&ranges_[index], &ranges_[index] + 1, (count_ - index) * sizeof(RegisteredRange));
}

bool PageTable::Grow(size_t index, uint64_t new_end) {
  RegisteredRange& range = ranges_[index];
  const uint64_t pages = (new_end - range.start) >> kPageShift;
  if (pages > range.capacity) {
    Extent extent;
    if (!AllocateExtent(CapacityFor(pages), &extent)) return false;
    for (uint64_t i = 0; i < range.pages(); ++i) {
      const PageIndex from = range.first + i;
      const PageIndex to = PageIndex(extent.first) + i;
      entries_[to.raw()] = entries_[from.raw()];
      entries_[from.raw()] = PageEntry();
      observer_->EntryMoved(from, to, entries_[to.raw()]);
    }
    FreeExtent({range.first.raw(), range.capacity});
    range.first = PageIndex(extent.first);
    range.capacity = extent.count;
  }
  bytes_ += new_end - range.end;
  range.end = new_end;
  return true;
}

Result<void> PageTable::Add(AddressRange range) {
  UZ_CHECK(range.start < range.end);
  UZ_CHECK(range.start % kPageSize == 0 && range.end % kPageSize == 0);
  const size_t index = PositionFrom(range.start);
  UZ_CHECK(index == count_ || range.end <= ranges_[index].start);
  if (index > 0 && ranges_[index - 1].end == range.start && Grow(index - 1, range.end)) return {};
  if (count_ == kRangesMax) return Error{ENOSPC, "the table of registered ranges"};
  Extent extent;
  if (!AllocateExtent(CapacityFor(range.pages().raw()), &extent)) {
    return Error{ENOSPC, "the page table"};
  }
  InsertAt(index, {range.start, range.end, PageIndex(extent.first), extent.count});
  bytes_ += range.size().raw();
  return {};
}

bool PageTable::SplitAt(uint64_t address) {
  const size_t index = PositionFrom(address);
  if (index == count_ || ranges_[index].start >= address) return true;
  if (count_ == kRangesMax) return false;
  RegisteredRange upper = ranges_[index];
  const auto lower_pages = static_cast<uint32_t>((address - upper.start) >> kPageShift);
  ranges_[index].end = address;
  ranges_[index].capacity = lower_pages;
  upper.start = address;
  upper.first = upper.first + lower_pages;
  upper.capacity -= lower_pages;
  InsertAt(index + 1, upper);
  return true;
}

void PageTable::Remove(AddressRange removed) {
  // A full table cannot split. The part that should go stays, as Untracked pages of addresses
  // that the program no longer has. Nobody can touch them.
  if (!SplitAt(removed.start) || !SplitAt(removed.end)) return;
  const size_t index = PositionFrom(removed.start);
  while (index < count_ && ranges_[index].start < removed.end) {
    const RegisteredRange range = ranges_[index];
    for (uint64_t i = 0; i < range.pages(); ++i) entries_[(range.first + i).raw()].Clear();
    FreeExtent({range.first.raw(), range.capacity});
    bytes_ -= range.end - range.start;
    EraseAt(index);
  }
}

Result<void> PageTable::Move(AddressRange source, uint64_t target) {
  if (!SplitAt(source.start) || !SplitAt(source.end))
    return Error{ENOSPC, "the table of registered ranges"};
  // Source and target never overlap, so what was moved is not found again.
  for (size_t index = PositionFrom(source.start);
       index < count_ && ranges_[index].start < source.end; index = PositionFrom(source.start)) {
    RegisteredRange range = ranges_[index];
    EraseAt(index);
    const uint64_t length = range.end - range.start;
    range.start = target + (range.start - source.start);
    range.end = range.start + length;
    const size_t position = PositionFrom(range.start);
    UZ_CHECK(position == count_ || range.end <= ranges_[position].start);
    InsertAt(position, range);
  }
  return {};
}

bool PageTable::AllocateExtent(uint64_t pages, Extent* extent) {
  for (size_t i = 0; i < free_count_; ++i) {
    if (free_[i].count < pages) continue;
    *extent = {free_[i].first, static_cast<uint32_t>(pages)};
    free_[i].first += static_cast<uint32_t>(pages);
    free_[i].count -= static_cast<uint32_t>(pages);
    if (free_[i].count == 0) {
      --free_count_;
      memmove(&free_[i], &free_[i] + 1, (free_count_ - i) * sizeof(Extent));
    }
    return true;
  }
  return false;
}

void PageTable::FreeExtent(Extent extent) {
  if (extent.count == 0) return;
  size_t i = 0;
  while (i < free_count_ && free_[i].first < extent.first) ++i;
  const bool joins_next = i < free_count_ && extent.first + extent.count == free_[i].first;
  const bool joins_previous = i > 0 && free_[i - 1].first + free_[i - 1].count == extent.first;
  if (joins_previous && joins_next) {
    free_[i - 1].count += extent.count + free_[i].count;
    --free_count_;
    memmove(&free_[i], &free_[i] + 1, (free_count_ - i) * sizeof(Extent));
  } else if (joins_previous) {
    free_[i - 1].count += extent.count;
  } else if (joins_next) {
    free_[i].first = extent.first;
    free_[i].count += extent.count;
  } else {
    UZ_CHECK_LT(free_count_, free_.capacity());
    memmove(&free_[i] + 1, &free_[i], (free_count_ - i) * sizeof(Extent));
    free_[i] = extent;
    ++free_count_;
  }
}

void PageTable::Audit() const {
  uint64_t bytes = 0;
  uint64_t indices = 0;
  uint64_t resident = 0;
  for (size_t i = 0; i < count_; ++i) {
    const RegisteredRange& range = ranges_[i];
    UZ_CHECK_LT(range.start, range.end);
    UZ_CHECK_LE(range.pages(), range.capacity);
    if (i > 0) UZ_CHECK_LE(ranges_[i - 1].end, range.start);
    bytes += range.end - range.start;
    indices += range.capacity;
    for (uint64_t page = 0; page < range.pages(); ++page) {
      resident += entry(range.first + page).state() == PageState::kResident ? 1 : 0;
    }
  }
  UZ_CHECK_EQ(bytes, bytes_);
  UZ_CHECK_EQ(resident, resident_);
  for (size_t i = 0; i < free_count_; ++i) {
    indices += free_[i].count;
    if (i > 0) UZ_CHECK_LT(uint64_t{free_[i - 1].first} + free_[i - 1].count, free_[i].first);
  }
  UZ_CHECK_EQ(indices, kPagesMax);
}

}  // namespace uzswap
