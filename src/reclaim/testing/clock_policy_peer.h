// ClockPolicyPeer: what tests may do to a ClockPolicy beside its public methods.
#ifndef UZSWAP_RECLAIM_TESTING_CLOCK_POLICY_PEER_H_
#define UZSWAP_RECLAIM_TESTING_CLOCK_POLICY_PEER_H_

#include <algorithm>
#include <cstdint>

#include "reclaim/clock_policy.h"

namespace uzswap {

class ClockPolicyPeer {
 public:
  // The hand stands on this address, and no page is protected.
  static void Aim(ClockPolicy& policy, uint64_t address) {
    policy.hand_ = address;
    policy.until_jump_ = ClockPolicy::kRunBetweenJumps;
    std::fill(policy.recent_, policy.recent_ + ClockPolicy::kProtected, PageIndex());
    const RegisteredRange* range = policy.table_.Find(address);
    if (range != nullptr) policy.SetAge(range->IndexOf(address), ClockPolicy::kOldest);
  }
};

}  // namespace uzswap

#endif  // UZSWAP_RECLAIM_TESTING_CLOCK_POLICY_PEER_H_
