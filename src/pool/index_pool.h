// IndexPool: small numbers given out and taken back, without a table of its own.
//
//     shard 0   9 -> 4 -> 17        free numbers, chained through the elements they name
//     shard 1   23 -> 2
//     fresh     64 ...              numbers never given out yet, taken in batches
//
// The elements are the caller's; it says where the link of one lies (`Links`: a callable from a
// number to std::atomic<uint64_t>&, unused while the number is out). Numbers run from 1 to
// capacity - 1. Each thread takes from and returns to its shard; an empty shard is filled
// from the fresh ones, then from the other shards.
//
// Any thread may call anything. Holds one lock of rank kHandleTable at a time.
#ifndef UZSWAP_POOL_INDEX_POOL_H_
#define UZSWAP_POOL_INDEX_POOL_H_

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "base/mutex.h"
#include "base/thread_shard.h"
#include "base/units.h"

namespace uzswap {

class IndexPool {
 public:
  // Before first use.
  void Init(uint64_t capacity) { capacity_ = capacity; }

  // 0 if every number is out.
  template <typename Links>
  [[nodiscard]] uint32_t Take(const Links& link_of);
  template <typename Links>
  void Put(uint32_t index, const Links& link_of);

  // One above the highest number ever given out.
  [[nodiscard]] uint64_t touched() const {
    return std::min(fresh_.load(std::memory_order_relaxed), capacity_);
  }

 private:
  static constexpr uint32_t kShards = 8;
  static constexpr uint32_t kBatch = 64;

  struct alignas(kCacheLineSize) Shard {
    Mutex mutex{LockRank::kHandleTable};
    uint32_t head UZ_GUARDED_BY(mutex) = 0;
    uint32_t fresh_next UZ_GUARDED_BY(mutex) = 0;
    uint32_t fresh_end UZ_GUARDED_BY(mutex) = 0;
  };

  template <typename Links>
  uint32_t TakeFrom(Shard& shard, const Links& link_of);

  Shard shards_[kShards];
  std::atomic<uint64_t> fresh_{1};  // only claims numbers: relaxed
  uint64_t capacity_ = 0;
};

template <typename Links>
uint32_t IndexPool::Take(const Links& link_of) {
  const uint32_t mine = ThreadShard();
  for (uint32_t i = 0; i < kShards; ++i) {
    const uint32_t index = TakeFrom(shards_[(mine + i) % kShards], link_of);
    if (index != 0) return index;
  }
  return 0;
}

template <typename Links>
uint32_t IndexPool::TakeFrom(Shard& shard, const Links& link_of) {
  MutexLock lock(shard.mutex);
  if (shard.head != 0) {
    const uint32_t index = shard.head;
    shard.head = static_cast<uint32_t>(link_of(index).load(std::memory_order_relaxed));
    return index;
  }
  if (shard.fresh_next == shard.fresh_end) {
    if (fresh_.load(std::memory_order_relaxed) >= capacity_) return 0;
    const uint64_t first = fresh_.fetch_add(kBatch, std::memory_order_relaxed);
    if (first >= capacity_) return 0;
    shard.fresh_next = static_cast<uint32_t>(first);
    shard.fresh_end = static_cast<uint32_t>(std::min(first + kBatch, capacity_));
  }
  return shard.fresh_next++;
}

template <typename Links>
void IndexPool::Put(uint32_t index, const Links& link_of) {
  Shard& shard = shards_[ThreadShard() % kShards];
  MutexLock lock(shard.mutex);
  link_of(index).store(shard.head, std::memory_order_relaxed);
  shard.head = index;
}

}  // namespace uzswap

#endif  // UZSWAP_POOL_INDEX_POOL_H_
