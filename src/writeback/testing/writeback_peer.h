// WritebackPeer: what tests and benchmarks may do to a Writeback beside its public methods.
#ifndef UZSWAP_WRITEBACK_TESTING_WRITEBACK_PEER_H_
#define UZSWAP_WRITEBACK_TESTING_WRITEBACK_PEER_H_

#include "writeback/writeback.h"

namespace uzswap {

class WritebackPeer {
 public:
  // Does what the writer's thread does when it is idle. Requires: there is a store.
  static void CleanStore(Writeback& writeback) {
    writeback.CleanStore(writeback.cache_->gate().calls());
  }
  static uint32_t PendingUnits(const Writeback& writeback) { return writeback.pending_.count(); }
};

}  // namespace uzswap

#endif  // UZSWAP_WRITEBACK_TESTING_WRITEBACK_PEER_H_
