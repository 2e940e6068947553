// IndexPool: allocates and frees small numbers. It has no table of its own.
//
//     shard 0   9 -> 4 -> 17        free numbers, linked through the elements that they name
//     shard 1   23 -> 2
//     fresh     512 ...             numbers that were never allocated; taken in batches
//
// The caller owns the elements. It tells where the link of an element is (`Links`: a callable from
// a number to std::atomic<uint64_t>&, which the caller does not use while the number is free).
// Numbers run from 1 to capacity - 1. The owner's table may grow (`Reach`: a callable that makes
// the elements below a number usable, and returns false if it cannot). Any thread may call it at
// any time, under a lock of rank kHandleTable.
//
// Each thread takes numbers from its shard and returns them to its shard. A shard without free
// numbers takes, in this order:
//   1. the whole chain of a shard that has plenty. Otherwise, if one thread takes numbers and
//      another returns them, they would pile up in one shard, and the table would grow without
//      need;
//   2. a batch of fresh numbers;
//   3. the remaining numbers of other shards.
//
// Batches begin at multiples of kBatch. A batch covers whole pages if the element size is a
// multiple of 8 bytes. So threads that fill a table at the same time share no cache line. When such
// a thread reads its elements in order, the hardware prefetcher does not cross into another
// thread's batch.
//
// Any thread may call any function. It holds one lock of rank kHandleTable at a time.
#ifndef UZSWAP_POOL_INDEX_POOL_H_
#define UZSWAP_POOL_INDEX_POOL_H_

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <utility>

#include "base/mutex.h"
#include "base/thread_shard.h"
#include "base/units.h"

namespace uzswap {

class IndexPool {
 public:
  static constexpr uint32_t kBatch = 512;
  static constexpr uint32_t kPlenty = 256;

  // Call before the first use.
  void Init(uint64_t capacity) { capacity_ = capacity; }

  // 0 if no number is free.
  template <typename Links, typename Reach>
  [[nodiscard]] uint32_t Take(const Links& link_of, const Reach& reach);
  template <typename Links>
  void Put(uint32_t index, const Links& link_of);

  // One more than the highest number that was ever allocated. All elements below it are reached.
  [[nodiscard]] uint64_t touched() const {
    return std::min(fresh_.load(std::memory_order_acquire), capacity_);
  }

 private:
  static constexpr uint32_t kShards = 8;

  struct Chain {
    uint32_t head = 0;
    uint32_t tail = 0;  // undefined if head is 0
    uint32_t length = 0;
  };
  struct alignas(kCacheLineSize) Shard {
    Mutex mutex{LockRank::kHandleTable};
    Chain free UZ_GUARDED_BY(mutex);
    uint32_t fresh_next UZ_GUARDED_BY(mutex) = 0;
    uint32_t fresh_end UZ_GUARDED_BY(mutex) = 0;
  };

  // Takes from the shard's chain or from the rest of its batch.
  template <typename Links>
  uint32_t TakeFrom(Shard& shard, const Links& link_of);
  // Each of these adds numbers to the shard, if it can.
  template <typename Links>
  void TakeOverChain(uint32_t mine, const Links& link_of);
  template <typename Reach>
  void TakeBatch(Shard& shard, const Reach& reach);
  // Updates the shard's bit in plenty_. The bit has hysteresis, so it changes rarely.
  void NotePlenty(const Shard& shard) UZ_REQUIRES(shard.mutex);

  Shard shards_[kShards];
  // Bit n: shard n has kPlenty free numbers. Written under that shard's mutex, read by others as a
  // hint.
  alignas(kCacheLineSize) std::atomic<uint32_t> plenty_{0};
  // Release and acquire: who sees a number below it also sees that it was reached. Number 0 of the
  // first batch is not used.
  std::atomic<uint64_t> fresh_{0};
  uint64_t capacity_ = 0;
};

template <typename Links, typename Reach>
uint32_t IndexPool::Take(const Links& link_of, const Reach& reach) {
  const uint32_t mine = ThreadShard() % kShards;
  if (const uint32_t index = TakeFrom(shards_[mine], link_of); index != 0) return index;
  TakeOverChain(mine, link_of);
  TakeBatch(shards_[mine], reach);
  for (uint32_t i = 0; i < kShards; ++i) {
    const uint32_t index = TakeFrom(shards_[(mine + i) % kShards], link_of);
    if (index != 0) return index;
  }
  return 0;
}

template <typename Links>
uint32_t IndexPool::TakeFrom(Shard& shard, const Links& link_of) {
  MutexLock lock(shard.mutex);
  if (shard.free.head == 0) {
    return shard.fresh_next != shard.fresh_end ? shard.fresh_next++ : 0;
  }
  const uint32_t index = shard.free.head;
  shard.free.head = static_cast<uint32_t>(link_of(index).load(std::memory_order_relaxed));
  --shard.free.length;
  if (shard.free.length == kPlenty / 2) NotePlenty(shard);
  return index;
}

template <typename Links>
void IndexPool::Put(uint32_t index, const Links& link_of) {
  Shard& shard = shards_[ThreadShard() % kShards];
  MutexLock lock(shard.mutex);
  link_of(index).store(shard.free.head, std::memory_order_relaxed);
  if (shard.free.head == 0) shard.free.tail = index;
  shard.free.head = index;
  ++shard.free.length;
  if (shard.free.length == kPlenty) NotePlenty(shard);
}

template <typename Links>
void IndexPool::TakeOverChain(uint32_t mine, const Links& link_of) {
  const uint32_t others = plenty_.load(std::memory_order_relaxed) & ~(1u << mine);
  if (others == 0) return;
  Shard& other = shards_[std::countr_zero(others)];
  Chain found;
  {
    MutexLock lock(other.mutex);
    found = std::exchange(other.free, Chain{});
    NotePlenty(other);
  }
  if (found.head == 0) return;
  Shard& shard = shards_[mine];
  MutexLock lock(shard.mutex);
  // Another thread of this shard may have returned numbers meanwhile.
  if (shard.free.head != 0) {
    link_of(found.tail).store(shard.free.head, std::memory_order_relaxed);
    found.tail = shard.free.tail;
  }
  shard.free = {found.head, found.tail, found.length + shard.free.length};
  NotePlenty(shard);
}

template <typename Reach>
void IndexPool::TakeBatch(Shard& shard, const Reach& reach) {
  MutexLock lock(shard.mutex);
  if (shard.free.head != 0 || shard.fresh_next != shard.fresh_end) return;
  uint64_t first = fresh_.load(std::memory_order_relaxed);
  do {
    if (first >= capacity_ || !reach(std::min(first + kBatch, capacity_))) return;
  } while (!fresh_.compare_exchange_weak(first, first + kBatch, std::memory_order_release,
                                         std::memory_order_relaxed));
  shard.fresh_next = static_cast<uint32_t>(std::max<uint64_t>(first, 1));
  shard.fresh_end = static_cast<uint32_t>(std::min(first + kBatch, capacity_));
}

inline void IndexPool::NotePlenty(const Shard& shard) {
  const uint32_t bit = 1u << (&shard - shards_);
  if (shard.free.length >= kPlenty) plenty_.fetch_or(bit, std::memory_order_relaxed);
  if (shard.free.length <= kPlenty / 2) plenty_.fetch_and(~bit, std::memory_order_relaxed);
}

}  // namespace uzswap

#endif  // UZSWAP_POOL_INDEX_POOL_H_
