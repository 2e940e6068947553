// RelaxedCounter: a statistic. Many writers, any reader, no ordering with anything.
//
// Plain data, so that it can live in memory shared between processes and start from zeroes.
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
  // Raises the value to `value` if it is lower: for peaks.
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
