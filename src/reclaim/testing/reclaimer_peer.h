// ReclaimerPeer: the parts of a Reclaimer that only tests look at.
#ifndef UZSWAP_RECLAIM_TESTING_RECLAIMER_PEER_H_
#define UZSWAP_RECLAIM_TESTING_RECLAIMER_PEER_H_

#include "reclaim/reclaimer.h"

namespace uzswap {

class ReclaimerPeer {
 public:
  static ClockPolicy& PolicyOf(Reclaimer& reclaimer) { return reclaimer.policy_; }
};

}  // namespace uzswap

#endif  // UZSWAP_RECLAIM_TESTING_RECLAIMER_PEER_H_
