// RelaxedCounter: a statistic. Any thread may write and any thread may read it. It orders no other
// memory access.
//
// It is valid when all its bytes are zero, so it can be in memory shared between processes.
#ifndef UZSWAP_BASE_COUNTER_H_
#define UZSWAP_BASE_COUNTER_H_

#include <atomic>
#include <cstdint>

namespace uzswap {

class RelaxedCounter {
 public:
  void Add(uint64_t amount = 1) { value_.fetch_add(amount, std::memory_order_relaxed); }
  void Sub(uint64_t amount = 1) { value_.fetch_sub(amount, std::memory_order_relaxed); }
  void Set(uint64_t value) { value_.store(value, std::memory_order_relaxed); }
  // Sets the counter to `value` if the counter is lower. For peaks.
  void RaiseTo(uint64_t value) {
    uint64_t seen = value_.load(std::memory_order_relaxed);
    while (seen < value && !value_.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
    }
  }
  [[nodiscard]] uint64_t Get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

}  // namespace uzswap

#endif  // UZSWAP_BASE_COUNTER_H_
