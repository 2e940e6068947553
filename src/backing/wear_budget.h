// WearBudget: how many bytes may still be written in this period (flash wears out).
//
//   available
//   bytes |\        |\         Tick fills the bucket by bytes * elapsed / period, up to one
//         | \  ____/| \____    period's worth; Charge empties it and may overdraw it once, by
//         |  \/     |          the request that crossed the line
//
// Not synchronised: the writer's. The clock is the caller's, so tests bring their own.
#ifndef UZSWAP_BACKING_WEAR_BUDGET_H_
#define UZSWAP_BACKING_WEAR_BUDGET_H_

#include <algorithm>
#include <cstdint>

namespace uzswap {

class WearBudget {
 public:
  void Limit(uint64_t bytes, uint64_t period_ns, uint64_t now_ns) {
    bytes_ = bytes;
    period_ns_ = std::max<uint64_t>(period_ns, 1);
    filled_ns_ = now_ns;
    available_ = static_cast<int64_t>(bytes);
  }
  void Tick(uint64_t now_ns) {
    if (bytes_ == 0 || now_ns <= filled_ns_) return;
    const uint64_t elapsed = std::min(now_ns - filled_ns_, period_ns_);
    const double gain = static_cast<double>(bytes_) * static_cast<double>(elapsed) /
                        static_cast<double>(period_ns_);
    if (gain < 1) return;  // wait until a whole byte is due, or slow ticks would lose it
    available_ = std::min(available_ + static_cast<int64_t>(gain), static_cast<int64_t>(bytes_));
    filled_ns_ = now_ns;
  }
  [[nodiscard]] bool Allows() const { return bytes_ == 0 || available_ > 0; }
  void Charge(uint64_t bytes) {
    if (bytes_ != 0) available_ -= static_cast<int64_t>(bytes);
  }
  [[nodiscard]] int64_t available() const { return available_; }

 private:
  uint64_t bytes_ = 0;  // 0: no limit
  uint64_t period_ns_ = 1;
  uint64_t filled_ns_ = 0;
  int64_t available_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_BACKING_WEAR_BUDGET_H_
