// ContextPool: a CacheContext for whoever calls the library, from any thread.
//
//     | lock, context | lock, context | ...      at most kContexts
//          made by Init     made when first used
//
// A thread takes the first free one, beginning with that of its shard: so threads keep theirs, and
// do not wait for each other as long as there are no more of them than contexts.
#ifndef UZSWAP_LIBRARY_CONTEXT_POOL_H_
#define UZSWAP_LIBRARY_CONTEXT_POOL_H_

#include <array>
#include <optional>

#include "base/mutex.h"
#include "base/result.h"
#include "base/thread_annotations.h"
#include "cache/cache_context.h"

namespace uzswap {

class ContextPool {
 public:
  static constexpr size_t kContexts = 32;

  // A context and its lock, until the end of the scope.
  class [[nodiscard]] Lease {
   public:
    Lease(Lease&& other) noexcept : mutex_(other.mutex_), context_(other.context_) {
      other.mutex_ = nullptr;
    }
    Lease& operator=(Lease&&) = delete;
    ~Lease();

    CacheContext& operator*() const { return *context_; }

   private:
    friend class ContextPool;
    Lease(Mutex* mutex, CacheContext* context) : mutex_(mutex), context_(context) {}

    Mutex* mutex_;
    CacheContext* context_;
  };

  // Once. The cache outlives the pool, or the last call of Clear. Fails with the errno of mmap.
  Result<void> Init(CompressedCache& cache);
  [[nodiscard]] bool usable() const { return cache_ != nullptr; }
  // Without memory for another context the caller waits for the first one.
  Lease Take();
  // Ends all contexts. Requires: none is taken.
  void Clear();

 private:
  struct Slot {
    Mutex mutex{LockRank::kLibraryContext};
    std::optional<CacheContext> context UZ_GUARDED_BY(mutex);
  };

  CompressedCache* cache_ = nullptr;
  std::array<Slot, kContexts> slots_;
};

}  // namespace uzswap

#endif  // UZSWAP_LIBRARY_CONTEXT_POOL_H_
