#include "swap/swap_slots.h"

#include <utility>

namespace uzswap {

Result<void> SwapSlots::Init(uint32_t capacity) {
  auto returned = os::VirtualArray<uint32_t>::Create(capacity, "swap slots");
  if (!returned.ok()) return returned.error();
  MutexLock lock(mutex_);
  returned_ = std::move(returned).value();
  return {};
}

uint32_t SwapSlots::Take() {
  MutexLock lock(mutex_);
  if (returned_count_ > 0) return returned_[--returned_count_];
  if (ever_used_ == returned_.capacity()) return kNone;
  return ever_used_++;
}

void SwapSlots::Return(uint32_t slot) {
  MutexLock lock(mutex_);
  UZ_CHECK_LT(slot, ever_used_);
  UZ_CHECK_LT(returned_count_, ever_used_);
  returned_[returned_count_++] = slot;
}

uint32_t SwapSlots::in_use() {
  MutexLock lock(mutex_);
  return ever_used_ - returned_count_;
}

}  // namespace uzswap
