#include "vm/page_table.h"

#include <cerrno>
#include <cstring>
#include <utility>

namespace uzswap {
namespace {

// Room to grow: half as much again, and at least 2 MiB of program memory.
constexpr uint64_t CapacityFor(uint64_t pages) { return pages + pages / 2 + 512; }

}  // namespace

Result<void> PageTable::Init(Relocation* relocation) {
  relocation_ = relocation;
  auto words = os::VirtualArray<PageEntry>::Create(kPagesMax, "the page table");
  if (!words.ok()) return words.error();
  auto regions = os::VirtualArray<Region>::Create(kRegionsMax, "the region table");
  if (!regions.ok()) return regions.error();
  auto extents = os::VirtualArray<Extent>::Create(2 * kRegionsMax, "the extent table");
  if (!extents.ok()) return extents.error();
  words_ = std::move(words).value();
  regions_ = std::move(regions).value();
  free_ = std::move(extents).value();
  free_[0] = {0, static_cast<uint32_t>(kPagesMax)};
  free_count_ = 1;
  return {};
}

size_t PageTable::IndexFrom(uint64_t address) const {
  size_t low = 0;
  size_t high = count_;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (regions_[middle].end <= address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

const Region* PageTable::Find(uint64_t address) const {
  const size_t index = IndexFrom(address);
  if (index == count_ || !regions_[index].Contains(address)) return nullptr;
  return &regions_[index];
}

const Region* PageTable::FindByNumber(PageIndex number) {
  for (size_t i = 0; i < count_; ++i) {
    const size_t index = (last_by_number_ + i) % count_;
    const Region& region = regions_[index];
    if (number < region.first || number - region.first >= region.pages()) continue;
    last_by_number_ = index;
    return &region;
  }
  return nullptr;
}

void PageTable::InsertAt(size_t index, const Region& region) {
  UZ_CHECK_LT(count_, kRegionsMax);
  memmove(&regions_[index] + 1, &regions_[index], (count_ - index) * sizeof(Region));
  regions_[index] = region;
  ++count_;
}

void PageTable::EraseAt(size_t index) {
  --count_;
  memmove(&regions_[index], &regions_[index] + 1, (count_ - index) * sizeof(Region));
}

bool PageTable::Grow(size_t index, uint64_t new_end) {
  Region& region = regions_[index];
  const uint64_t pages = (new_end - region.start) >> kPageShift;
  if (pages > region.capacity) {
    Extent extent;
    if (!AllocateExtent(CapacityFor(pages), &extent)) return false;
    for (uint64_t i = 0; i < region.pages(); ++i) {
      const auto from = static_cast<PageIndex>(region.first + i);
      const auto to = static_cast<PageIndex>(extent.first + i);
      words_[to] = words_[from];
      words_[from] = PageEntry();
      relocation_->WordMoved(from, to, words_[to]);
    }
    FreeExtent({region.first, region.capacity});
    region.first = extent.first;
    region.capacity = extent.count;
  }
  bytes_ += new_end - region.end;
  region.end = new_end;
  return true;
}

Result<void> PageTable::Add(uint64_t start, uint64_t end) {
  UZ_CHECK(start < end && start % kPageSize == 0 && end % kPageSize == 0);
  const size_t index = IndexFrom(start);
  UZ_CHECK(index == count_ || end <= regions_[index].start);
  if (index > 0 && regions_[index - 1].end == start && Grow(index - 1, end)) return {};
  if (count_ == kRegionsMax) return Error{ENOSPC, "the region table"};
  Extent extent;
  if (!AllocateExtent(CapacityFor((end - start) >> kPageShift), &extent)) {
    return Error{ENOSPC, "the page table"};
  }
  InsertAt(index, {start, end, extent.first, extent.count});
  bytes_ += end - start;
  return {};
}

bool PageTable::SplitAt(uint64_t address) {
  const size_t index = IndexFrom(address);
  if (index == count_ || regions_[index].start >= address) return true;
  if (count_ == kRegionsMax) return false;
  Region upper = regions_[index];
  const auto lower_pages = static_cast<uint32_t>((address - upper.start) >> kPageShift);
  regions_[index].end = address;
  regions_[index].capacity = lower_pages;
  upper.start = address;
  upper.first += lower_pages;
  upper.capacity -= lower_pages;
  InsertAt(index + 1, upper);
  return true;
}

void PageTable::Remove(uint64_t start, uint64_t end) {
  // A full table cannot split: the part that should go stays, as Untracked pages of addresses
  // that the program no longer has. Nobody can touch them.
  if (!SplitAt(start) || !SplitAt(end)) return;
  const size_t index = IndexFrom(start);
  while (index < count_ && regions_[index].start < end) {
    const Region region = regions_[index];
    for (uint64_t i = 0; i < region.pages(); ++i) words_[region.first + i].Clear();
    FreeExtent({region.first, region.capacity});
    bytes_ -= region.end - region.start;
    EraseAt(index);
  }
}

Result<void> PageTable::Move(uint64_t start, uint64_t end, uint64_t target) {
  if (!SplitAt(start) || !SplitAt(end)) return Error{ENOSPC, "the region table"};
  // Source and target never overlap, so what was moved is not found again.
  for (size_t index = IndexFrom(start); index < count_ && regions_[index].start < end;
       index = IndexFrom(start)) {
    Region region = regions_[index];
    EraseAt(index);
    const uint64_t length = region.end - region.start;
    region.start = target + (region.start - start);
    region.end = region.start + length;
    const size_t place = IndexFrom(region.start);
    UZ_CHECK(place == count_ || region.end <= regions_[place].start);
    InsertAt(place, region);
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
  uint64_t numbers = 0;
  for (size_t i = 0; i < count_; ++i) {
    const Region& region = regions_[i];
    UZ_CHECK_LT(region.start, region.end);
    UZ_CHECK_LE(region.pages(), region.capacity);
    if (i > 0) UZ_CHECK_LE(regions_[i - 1].end, region.start);
    bytes += region.end - region.start;
    numbers += region.capacity;
  }
  UZ_CHECK_EQ(bytes, bytes_);
  for (size_t i = 0; i < free_count_; ++i) {
    numbers += free_[i].count;
    if (i > 0) UZ_CHECK_LT(uint64_t{free_[i - 1].first} + free_[i - 1].count, free_[i].first);
  }
  UZ_CHECK_EQ(numbers, kPagesMax);
}

}  // namespace uzswap
