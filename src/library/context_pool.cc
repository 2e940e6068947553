#include "library/context_pool.h"

#include <functional>
#include <thread>

namespace uzswap {

// The lock outlives the scope inside the Lease, which the analysis cannot follow.
ContextPool::Lease::~Lease() UZ_NO_THREAD_SAFETY_ANALYSIS {
  if (mutex_ != nullptr) mutex_->Unlock();
}

ContextPool::Lease ContextPool::Take() UZ_NO_THREAD_SAFETY_ANALYSIS {
  const size_t own = std::hash<std::thread::id>{}(std::this_thread::get_id()) % kContexts;
  Slot* taken = nullptr;
  for (size_t i = 0; i < kContexts && taken == nullptr; ++i) {
    Slot& slot = slots_[(own + i) % kContexts];
    if (slot.mutex.TryLock()) taken = &slot;
  }
  if (taken == nullptr) {
    taken = &slots_[own];
    taken->mutex.Lock();
  }
  if (!taken->context) {
    taken->context.emplace();
    if (!taken->context->Init(*cache_).ok()) taken->context.reset();
  }
  return {&taken->mutex, taken->context ? &*taken->context : nullptr};
}

void ContextPool::Clear() {
  for (Slot& slot : slots_) {
    MutexLock lock(slot.mutex);
    slot.context.reset();
  }
}

}  // namespace uzswap
