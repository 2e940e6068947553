// WearBudget: how many bytes may still be written in this period (flash wears out).
//
//   available
//   bytes |\        |\         Tick fills the bucket by bytes * elapsed / period, up to one
//         | \  ____/| \____    period's worth; Charge empties it and may overdraw it once, by
//         |  \/     |          the request that crossed the line
//
// Several budgets may share an account, in one process or in shared memory. Then they use one
// bucket, and all must have the same limit. Each budget belongs to one writer; writers that run
// at the same time may overdraw the bucket by one request each. The caller provides the time.
#ifndef UZSWAP_BACKING_WEAR_BUDGET_H_
#define UZSWAP_BACKING_WEAR_BUDGET_H_

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "base/wear_account.h"

namespace uzswap {

class WearBudget {
 public:
  // `account` must outlive the budget; with nullptr the budget has its own. 0 bytes: no limit.
  void Limit(uint64_t bytes, uint64_t period_ns, uint64_t now_ns, WearAccount* account = nullptr) {
    bytes_ = bytes;
    period_ns_ = std::max<uint64_t>(period_ns, 1);
    account_ = account != nullptr ? account : &own_;
    if (account == nullptr) own_.filled_ns.store(0, std::memory_order_relaxed);
    uint64_t unopened = 0;
    if (account_->filled_ns.compare_exchange_strong(unopened, std::max<uint64_t>(now_ns, 1),
                                                    std::memory_order_relaxed)) {
      account_->available.store(static_cast<int64_t>(bytes), std::memory_order_relaxed);
    }
  }
  void Tick(uint64_t now_ns) {
    uint64_t filled = account_->filled_ns.load(std::memory_order_relaxed);
    if (bytes_ == 0 || now_ns <= filled) return;
    const uint64_t elapsed = std::min(now_ns - filled, period_ns_);
    const double gain = static_cast<double>(bytes_) * static_cast<double>(elapsed) /
                        static_cast<double>(period_ns_);
    if (gain < 1) return;  // wait until a whole byte is due, or slow ticks would lose it
    // Only the budget that moves the time forward adds the bytes.
    if (!account_->filled_ns.compare_exchange_strong(filled, now_ns, std::memory_order_relaxed)) {
      return;
    }
    const int64_t room = static_cast<int64_t>(bytes_) - available();
    account_->available.fetch_add(std::min(static_cast<int64_t>(gain), room),
                                  std::memory_order_relaxed);
  }
  [[nodiscard]] bool limited() const { return bytes_ != 0; }
  [[nodiscard]] bool Allows() const { return bytes_ == 0 || available() > 0; }
  void Charge(uint64_t bytes) {
    if (bytes_ == 0) return;
    account_->available.fetch_sub(static_cast<int64_t>(bytes), std::memory_order_relaxed);
  }
  [[nodiscard]] int64_t available() const {
    return account_->available.load(std::memory_order_relaxed);
  }

 private:
  uint64_t bytes_ = 0;  // 0: no limit
  uint64_t period_ns_ = 1;
  WearAccount own_{};
  WearAccount* account_ = &own_;
};

}  // namespace uzswap

#endif  // UZSWAP_BACKING_WEAR_BUDGET_H_
