// ThreadShard: a small number that stays with a thread, for picking its share of sharded state.
//
// Threads are numbered as they first ask; `ThreadShard() % n` spreads them evenly over n shards
// and always gives one thread the same shard, so that its locks and lists stay in its own
// processor's cache. It is a hint about locality only: any thread may use any shard.
#ifndef UZSWAP_BASE_THREAD_SHARD_H_
#define UZSWAP_BASE_THREAD_SHARD_H_

#include <atomic>
#include <cstdint>

namespace uzswap {

namespace internal {
inline std::atomic<uint32_t> g_next_thread_shard{0};        // only counts: relaxed
inline constinit thread_local uint32_t t_thread_shard = 0;  // 0: not numbered yet
}  // namespace internal

inline uint32_t ThreadShard() {
  uint32_t& mine = internal::t_thread_shard;
  if (__builtin_expect(mine == 0, 0)) {
    mine = internal::g_next_thread_shard.fetch_add(1, std::memory_order_relaxed) + 1;
  }
  return mine - 1;
}

}  // namespace uzswap

#endif  // UZSWAP_BASE_THREAD_SHARD_H_
