#include "swap/swap_slots.h"

#include <utility>

namespace uzswap {

Result<void> SwapSlots::Init(uint32_t capacity) {
  auto slots = os::VirtualArray<SwapSlot>::Reserve(capacity, "swap slots");
  if (!slots.ok()) return slots.error();
  MutexLock lock(mutex_);
  free_ = std::move(slots).value();
  return {};
}

SwapSlot SwapSlots::Allocate() {
  MutexLock lock(mutex_);
  if (free_count_ > 0) return free_[--free_count_];
  // A slot is given out only if there is room to note that it was freed.
  if (never_used_ == free_.capacity() || !free_.Reach(size_t{never_used_} + 1)) return {};
  return SwapSlot(never_used_++);
}

void SwapSlots::Free(SwapSlot slot) {
  MutexLock lock(mutex_);
  UZ_CHECK_LT(slot.raw(), never_used_);
  UZ_CHECK_LT(free_count_, never_used_);
  free_[free_count_++] = slot;
}

uint32_t SwapSlots::in_use() {
  MutexLock lock(mutex_);
  return never_used_ - free_count_;
}

}  // namespace uzswap
