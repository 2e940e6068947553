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
//
// Change: any thread, after Limit. Budgets that share an account are all changed; until then each
// goes by its own limit. What is available beyond a lower limit is lost at the next Tick.
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
    Change(bytes, period_ns);
    account_ = account != nullptr ? account : &own_;
    if (account == nullptr) own_.filled_ns.store(0, std::memory_order_relaxed);
    uint64_t unopened = 0;
    if (account_->filled_ns.compare_exchange_strong(unopened, std::max<uint64_t>(now_ns, 1),
                                                    std::memory_order_relaxed)) {
      account_->available.store(static_cast<int64_t>(bytes), std::memory_order_relaxed);
    }
  }
  void Change(uint64_t bytes, uint64_t period_ns) {
    bytes_.store(bytes, std::memory_order_relaxed);
    period_ns_.store(std::max<uint64_t>(period_ns, 1), std::memory_order_relaxed);
  }
  void Tick(uint64_t now_ns) {
    const uint64_t limit = limit_bytes();
    const uint64_t period_ns = period_ns_.load(std::memory_order_relaxed);
    uint64_t filled = account_->filled_ns.load(std::memory_order_relaxed);
    if (now_ns <= filled) return;
    if (limit == 0) {
      // What passes without a limit is not gained when there is one.
      account_->filled_ns.compare_exchange_strong(filled, now_ns, std::memory_order_relaxed);
      return;
    }
    const uint64_t elapsed = std::min(now_ns - filled, period_ns);
    const double gain =
        static_cast<double>(limit) * static_cast<double>(elapsed) / static_cast<double>(period_ns);
    if (gain < 1) return;  // wait until a whole byte is due, or slow ticks would lose it
    // Only the budget that moves the time forward adds the bytes.
    if (!account_->filled_ns.compare_exchange_strong(filled, now_ns, std::memory_order_relaxed)) {
      return;
    }
    const int64_t room = static_cast<int64_t>(limit) - available();
    account_->available.fetch_add(std::min(static_cast<int64_t>(gain), room),
                                  std::memory_order_relaxed);
  }
  [[nodiscard]] bool limited() const { return limit_bytes() != 0; }
  [[nodiscard]] bool Allows() const { return limit_bytes() == 0 || available() > 0; }
  void Charge(uint64_t bytes) {
    if (limit_bytes() == 0) return;
    account_->available.fetch_sub(static_cast<int64_t>(bytes), std::memory_order_relaxed);
  }
  [[nodiscard]] int64_t available() const {
    return account_->available.load(std::memory_order_relaxed);
  }

 private:
  [[nodiscard]] uint64_t limit_bytes() const { return bytes_.load(std::memory_order_relaxed); }

  // Relaxed: for a moment one can be new and the other old.
  std::atomic<uint64_t> bytes_{0};  // 0: no limit
  std::atomic<uint64_t> period_ns_{1};
  WearAccount own_{};
  WearAccount* account_ = &own_;
};

}  // namespace uzswap

#endif  // UZSWAP_BACKING_WEAR_BUDGET_H_
