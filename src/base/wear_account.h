// WearAccount: the bytes that may still be written to a device in this period, as shared memory.
//
// A process's WearBudget (backing/wear_budget.h) draws on one account. The session keeps the
// account of a tree of processes in its shared memory; a single process has one of its own.
#ifndef UZSWAP_BASE_WEAR_ACCOUNT_H_
#define UZSWAP_BASE_WEAR_ACCOUNT_H_

#include <atomic>
#include <cstdint>

namespace uzswap {

// All zeroes is an account nobody has opened. Relaxed throughout: the figures order nothing.
struct WearAccount {
  std::atomic<int64_t> available;
  std::atomic<uint64_t> filled_ns;  // the bucket is full up to this time; 0: not opened
};

}  // namespace uzswap

#endif  // UZSWAP_BASE_WEAR_ACCOUNT_H_
