#include "library/context_pool.h"

#include <functional>
#include <thread>

namespace uzswap {

// The lock outlives the scope inside the Lease, which the analysis cannot follow.
ContextPool::Lease::~Lease() UZ_NO_THREAD_SAFETY_ANALYSIS {
  if (mutex_ != nullptr) mutex_->Unlock();
}

Result<void> ContextPool::Init(CompressedCache& cache) {
  MutexLock lock(slots_[0].mutex);
  const Result<void> done = slots_[0].context.emplace().Init(cache);
  if (done.ok()) {
    cache_ = &cache;
  } else {
    slots_[0].context.reset();
  }
  return done;
}

ContextPool::Lease ContextPool::Take() UZ_NO_THREAD_SAFETY_ANALYSIS {
  const size_t own = std::hash<std::thread::id>{}(std::this_thread::get_id()) % kContexts;
  for (size_t i = 0; i < kContexts; ++i) {
    Slot& slot = slots_[(own + i) % kContexts];
    if (!slot.mutex.TryLock()) continue;
    if (slot.context) return {&slot.mutex, &*slot.context};
    if (slot.context.emplace().Init(*cache_).ok()) return {&slot.mutex, &*slot.context};
    slot.context.reset();
    slot.mutex.Unlock();
    break;
  }
  slots_[0].mutex.Lock();
  return {&slots_[0].mutex, &*slots_[0].context};
}

void ContextPool::Clear() {
  for (Slot& slot : slots_) {
    MutexLock lock(slot.mutex);
    slot.context.reset();
  }
}

}  // namespace uzswap
