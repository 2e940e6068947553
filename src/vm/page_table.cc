#include "vm/page_table.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace uzswap {
namespace {

constexpr size_t kRoomAtFirst = 1024;

// Room to grow: half as much again, and at least 2 MiB of program memory.
constexpr uint64_t CapacityFor(uint64_t pages) { return pages + pages / 2 + 512; }

// An array with the elements of `array` and twice its room.
template <typename T>
bool Double(os::VirtualArray<T>* array, size_t count, const char* what) {
  auto larger = os::VirtualArray<T>::Create(2 * array->capacity(), what);
  if (!larger.ok()) return false;
  memcpy(static_cast<void*>(larger.value().data()), array->data(), count * sizeof(T));
  *array = std::move(larger).value();
  return true;
}

}  // namespace

Result<void> PageTable::Init() {
  Result<void> done = entries_.Init();
  if (!done.ok()) return done;
  auto ranges =
      os::VirtualArray<RegisteredRange>::Create(kRoomAtFirst, "the table of registered ranges");
  if (!ranges.ok()) return ranges.error();
  auto extents = os::VirtualArray<Extent>::Create(kRoomAtFirst + 1, "the extent table");
  if (!extents.ok()) return extents.error();
  ranges_ = std::move(ranges).value();
  free_ = std::move(extents).value();
  free_[0] = {0, kPagesMax};
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

bool PageTable::EnsureRoom() {
  if (count_ == ranges_.capacity() && !Double(&ranges_, count_, "the table of registered ranges")) {
    return false;
  }
  // Free extents lie between those of ranges.
  return free_.capacity() > count_ + 2 || Double(&free_, free_count_, "the extent table");
}

void PageTable::InsertAt(size_t index, const RegisteredRange& range) {
  UZ_CHECK_LT(count_, ranges_.capacity());
  memmove(&ranges_[index] + 1, &ranges_[index], (count_ - index) * sizeof(RegisteredRange));
  ranges_[index] = range;
  ++count_;
}

void PageTable::EraseAt(size_t index, size_t ranges) {
  if (ranges == 0) return;
  count_ -= ranges;
  memmove(&ranges_[index], &ranges_[index] + ranges, (count_ - index) * sizeof(RegisteredRange));
}

Result<void> PageTable::Add(AddressRange range) {
  UZ_CHECK(range.start < range.end);
  UZ_CHECK(range.start % kPageSize == 0 && range.end % kPageSize == 0);
  const size_t index = PositionFrom(range.start);
  UZ_CHECK(index == count_ || range.end <= ranges_[index].start);
  if (refuse_ranges_) return Error{ENOMEM, "the table of registered ranges"};
  const uint64_t pages = range.pages().raw();
  uint64_t capacity = CapacityFor(pages);
  if (index > 0 && ranges_[index - 1].end == range.start) {
    RegisteredRange& before = ranges_[index - 1];
    if (before.pages() + pages <= before.capacity) {
      before.end = range.end;
      bytes_ += range.size().raw();
      return {};
    }
    // Something that grows: each range of it has room for as much again as the one before.
    capacity = std::max(capacity, 2 * before.pages());
  }
  if (!EnsureRoom()) return Error{ENOMEM, "the table of registered ranges"};
  Extent extent;
  if (!AllocateExtent(capacity, &extent) && !AllocateExtent(pages, &extent)) {
    return Error{ENOSPC, "the page table"};
  }
  InsertAt(index, {range.start, range.end, PageIndex(extent.first), extent.count});
  bytes_ += range.size().raw();
  return {};
}

bool PageTable::SplitAt(uint64_t address) {
  const size_t index = PositionFrom(address);
  if (index == count_ || ranges_[index].start >= address) return true;
  if (!EnsureRoom()) return false;
  RegisteredRange upper = ranges_[index];
  const uint64_t lower_pages = (address - upper.start) >> kPageShift;
  ranges_[index].end = address;
  ranges_[index].capacity = lower_pages;
  upper.start = address;
  upper.first = upper.first + lower_pages;
  upper.capacity -= lower_pages;
  InsertAt(index + 1, upper);
  return true;
}

void PageTable::Remove(AddressRange removed) {
  // Without memory nothing is split. The part that should go stays, as Untracked pages of addresses
  // that the program no longer has. Nobody can touch them.
  if (!SplitAt(removed.start) || !SplitAt(removed.end)) return;
  const size_t index = PositionFrom(removed.start);
  size_t end = index;
  for (; end < count_ && ranges_[end].start < removed.end; ++end) {
    const RegisteredRange& range = ranges_[end];
    ForEachTracked({range.start, range.end}, [this](PageIndex page) {
      UZ_CHECK(entry(page).state() == PageState::kUntracked);
      static_cast<void>(entries_.Set(page, PageEntry()));
    });
    FreeExtent({range.first.raw(), range.capacity});
    bytes_ -= range.end - range.start;
  }
  EraseAt(index, end - index);
}

Result<void> PageTable::Move(AddressRange source, uint64_t target) {
  if (!SplitAt(source.start) || !SplitAt(source.end))
    return Error{ENOMEM, "the table of registered ranges"};
  // Source and target never overlap, so what was moved is not found again.
  for (size_t index = PositionFrom(source.start);
       index < count_ && ranges_[index].start < source.end; index = PositionFrom(source.start)) {
    RegisteredRange range = ranges_[index];
    EraseAt(index, 1);
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
    *extent = {free_[i].first, pages};
    free_[i].first += pages;
    free_[i].count -= pages;
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

PageTable::ResidentLook PageTable::LookForResident(const RegisteredRange& range,
                                                   PageIndex from) const {
  ResidentLook look;
  look.stopped = std::min(range.first + range.pages(), from + kLookPages);
  look.page = entries_.NextResident(from, look.stopped, &look.blocks);
  return look;
}

bool PageTable::Store(PageIndex index, PageEntry entry) {
  if (entries_.Set(index, entry)) return true;
  ++refused_;
  return false;
}

bool PageTable::Transition(PageIndex index, PageState to, uint64_t payload) {
  PageEntry entry = entries_.Get(index);
  const PageState before = entry.state();
  entry.Transition(to, payload);
  if (!Store(index, entry)) {
    // Only a new entry needs memory.
    UZ_CHECK(before == PageState::kUntracked);
    return false;
  }
  resident_ -= before == PageState::kResident ? 1 : 0;
  resident_ += to == PageState::kResident ? 1 : 0;
  return true;
}

void PageTable::SetPolicyBits(PageIndex index, uint8_t bits) {
  PageEntry entry = entries_.Get(index);
  if (entry.empty()) return;
  entry.SetPolicyBits(bits);
  UZ_CHECK(entries_.Set(index, entry));
}

bool PageTable::Pin(PageIndex index) {
  PageEntry entry = entries_.Get(index);
  entry.Pin();
  return Store(index, entry);
}

void PageTable::Change(PageIndex index, void (PageEntry::*change)()) {
  PageEntry entry = entries_.Get(index);
  (entry.*change)();
  UZ_CHECK(entries_.Set(index, entry));
}

void PageTable::MarkPoisoned(PageIndex index) { Change(index, &PageEntry::MarkPoisoned); }

void PageTable::MarkShared(PageIndex index) { Change(index, &PageEntry::MarkShared); }

void PageTable::DropKeptSlot(PageIndex index) { Change(index, &PageEntry::DropKeptSlot); }

void PageTable::Audit() const {
  entries_.Audit();
  uint64_t bytes = 0;
  uint64_t tracked = 0;
  uint64_t resident = 0;
  for (size_t i = 0; i < count_; ++i) {
    const RegisteredRange& range = ranges_[i];
    UZ_CHECK_LT(range.start, range.end);
    UZ_CHECK_LE(range.pages(), range.capacity);
    if (i > 0) UZ_CHECK_LE(ranges_[i - 1].end, range.start);
    bytes += range.end - range.start;
    ForEachTracked({range.start, range.end}, [&](PageIndex index) {
      ++tracked;
      resident += entry(index).state() == PageState::kResident ? 1 : 0;
    });
  }
  UZ_CHECK_EQ(bytes, bytes_);
  UZ_CHECK_EQ(tracked, entries_.count());
  UZ_CHECK_EQ(resident, resident_);
  AuditExtents();
}

// Used and free extents add up to all indices.
void PageTable::AuditExtents() const {
  uint64_t indices = 0;
  for (size_t i = 0; i < count_; ++i) indices += ranges_[i].capacity;
  for (size_t i = 0; i < free_count_; ++i) {
    indices += free_[i].count;
    if (i > 0) UZ_CHECK_LT(free_[i - 1].first + free_[i - 1].count, free_[i].first);
  }
  UZ_CHECK_EQ(indices, kPagesMax);
}

}  // namespace uzswap
