// WearAccount: how many bytes may still be written to a device in this period.
//
// The WearBudget of a process (backing/wear_budget.h) uses one account. The account of a tree of
// processes is in the session's shared memory. A process without a session has its own account.
#ifndef UZSWAP_BASE_WEAR_ACCOUNT_H_
#define UZSWAP_BASE_WEAR_ACCOUNT_H_

#include <atomic>
#include <cstdint>

namespace uzswap {

// All zeroes: the account is not open yet. All accesses are relaxed: the values order no other
// memory access.
struct WearAccount {
  std::atomic<int64_t> available;
  std::atomic<uint64_t> filled_ns;  // `available` was refilled for the time up to this; 0: not open
};

}  // namespace uzswap

#endif  // UZSWAP_BASE_WEAR_ACCOUNT_H_
