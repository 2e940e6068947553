#include "engine/robust_lists.h"

#include <algorithm>

namespace uzswap {
namespace {

// struct robust_list_head of the kernel.
struct ListHead {
  uint64_t next;
  int64_t futex_offset;
  uint64_t pending;
};

constexpr uint64_t kFutexBytes = 4;
constexpr uint64_t kPriorityInheritance = 1;  // in the lowest bit of a pointer to an entry

}  // namespace

void RobustLists::PinPage(uint64_t page, RangeSink& sink) {
  const bool known = std::find(pages_, pages_ + count_, page) != pages_ + count_;
  if (!known && count_ == kPinsMax) {
    ++refused_;
    return;
  }
  // Also when it is known: another mapping may be there by now.
  sink.PinResident({page, page + kPageSize});
  if (!known) pages_[count_++] = page;
  // It may be swapped out: the read brings it in, and it stays.
  uint8_t byte = 0;
  static_cast<void>(read_(page, &byte, sizeof(byte)));
}

void RobustLists::PinEntry(uint64_t entry, int64_t offset, RangeSink& sink) {
  const uint64_t futex = entry + static_cast<uint64_t>(offset);
  const uint64_t bytes[] = {entry, entry + sizeof(uint64_t) - 1, futex, futex + kFutexBytes - 1};
  uint64_t last = 0;
  for (const uint64_t byte : bytes) {
    const uint64_t page = RoundDownToPage(byte);
    if (page != last) PinPage(page, sink);
    last = page;
  }
}

size_t RobustLists::Pin(uint64_t head, RangeSink& sink) {
  ListHead list{};
  if (!read_(head, &list, sizeof(list))) return 0;
  const uint64_t pending = list.pending & ~kPriorityInheritance;
  if (pending != 0) PinEntry(pending, list.futex_offset, sink);
  size_t count = 0;
  for (uint64_t next = list.next; count < kEntriesMax; ++count) {
    const uint64_t entry = next & ~kPriorityInheritance;
    if (entry == head || entry == 0) break;
    PinEntry(entry, list.futex_offset, sink);
    if (!read_(entry, &next, sizeof(next))) break;
  }
  return count;
}

}  // namespace uzswap
