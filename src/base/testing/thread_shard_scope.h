// ThreadShardIdentity: a simulated thread. ThreadShardScope: the scope in which the calling thread
// acts as it. For tests and benchmarks. One real thread can act as several threads step by step,
// and a test can decide which real threads share a shard.
#ifndef UZSWAP_BASE_TESTING_THREAD_SHARD_SCOPE_H_
#define UZSWAP_BASE_TESTING_THREAD_SHARD_SCOPE_H_

#include <cstdint>
#include <utility>

#include "base/thread_shard.h"

namespace uzswap {

class ThreadShardIdentity {
 public:
  explicit ThreadShardIdentity(uint32_t number) : state_{number + 1, 0, 0} {}
  // Requires: no scope of this identity is active.
  [[nodiscard]] uint32_t number() const { return state_.number - 1; }

 private:
  friend class ThreadShardScope;
  internal::ThreadShardState state_;
};

class ThreadShardScope {
 public:
  explicit ThreadShardScope(ThreadShardIdentity& identity) : identity_(identity) {
    std::swap(identity_.state_, internal::t_thread_shard);
  }
  ~ThreadShardScope() { std::swap(identity_.state_, internal::t_thread_shard); }
  ThreadShardScope(const ThreadShardScope&) = delete;
  ThreadShardScope& operator=(const ThreadShardScope&) = delete;

 private:
  ThreadShardIdentity& identity_;
};

}  // namespace uzswap

#endif  // UZSWAP_BASE_TESTING_THREAD_SHARD_SCOPE_H_
