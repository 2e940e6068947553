// LeasePool: a context for each caller of the storage stack, from any thread.
//
//     | lock, context | lock, context | ...      at most kContexts
//          made by Init     made when first used
//
// A thread takes the first free one, beginning with that of its number: so threads keep theirs, and
// do not wait for each other as long as there are no more of them than contexts.
//
// Context: constructed without arguments, then Init(CompressedCache&), which fails with an errno.
#ifndef UZSWAP_SWAP_LEASE_POOL_H_
#define UZSWAP_SWAP_LEASE_POOL_H_

#include <array>
#include <optional>

#include "base/mutex.h"
#include "base/result.h"
#include "base/thread_annotations.h"
#include "cache/compressed_cache.h"
#include "os/thread.h"

namespace uzswap {

template <typename Context>
class LeasePool {
 public:
  static constexpr size_t kContexts = 32;

  // A context and its lock, until the end of the scope.
  class [[nodiscard]] Lease {
   public:
    Lease(Lease&& other) noexcept : mutex_(other.mutex_), context_(other.context_) {
      other.mutex_ = nullptr;
    }
    Lease& operator=(Lease&&) = delete;
    // The lock outlives the scope inside the Lease, which the analysis cannot follow.
    ~Lease() UZ_NO_THREAD_SAFETY_ANALYSIS {
      if (mutex_ != nullptr) mutex_->Unlock();
    }

    Context& operator*() const { return *context_; }

   private:
    friend class LeasePool;
    Lease(Mutex* mutex, Context* context) : mutex_(mutex), context_(context) {}

    Mutex* mutex_;
    Context* context_;
  };

  // Once. The cache outlives the pool, or the last call of Clear. Fails with the errno of mmap.
  Result<void> Init(CompressedCache& cache) {
    MutexLock lock(contexts_[0].mutex);
    const Result<void> done = contexts_[0].context.emplace().Init(cache);
    if (done.ok()) {
      cache_ = &cache;
    } else {
      contexts_[0].context.reset();
    }
    return done;
  }
  [[nodiscard]] bool usable() const { return cache_ != nullptr; }
  // If all are taken, or there is no memory for another one, the caller waits for the first.
  Lease Take() UZ_NO_THREAD_SAFETY_ANALYSIS {
    static thread_local const size_t own = os::ThreadNumber() % kContexts;
    for (size_t i = 0; i < kContexts; ++i) {
      LockedContext& locked = contexts_[(own + i) % kContexts];
      if (!locked.mutex.TryLock()) continue;
      if (locked.context) return {&locked.mutex, &*locked.context};
      if (locked.context.emplace().Init(*cache_).ok()) return {&locked.mutex, &*locked.context};
      locked.context.reset();
      locked.mutex.Unlock();
      break;
    }
    contexts_[0].mutex.Lock();
    return {&contexts_[0].mutex, &*contexts_[0].context};
  }
  // Ends all contexts. Requires: none is taken.
  void Clear() {
    for (LockedContext& locked : contexts_) {
      MutexLock lock(locked.mutex);
      locked.context.reset();
    }
  }

 private:
  struct LockedContext {
    Mutex mutex{LockRank::kLibraryContext};
    std::optional<Context> context UZ_GUARDED_BY(mutex);
  };

  CompressedCache* cache_ = nullptr;
  std::array<LockedContext, kContexts> contexts_;
};

}  // namespace uzswap

#endif  // UZSWAP_SWAP_LEASE_POOL_H_
