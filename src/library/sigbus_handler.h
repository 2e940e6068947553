// SigbusHandler: finds the region of a SIGBUS, and passes all other signals on.
//
//   SIGBUS ──> handler ── address in a region ──> FaultReceiver::OnFault ── answered ──> return
//                 │                                        └── not answered ─┐
//                 └── any other ───────────────────────────────────────────────> the action before
//
// The handler runs with all signals blocked: the handler of another signal could touch a region
// too, and the kernel ends a process that causes SIGBUS while it is blocked.
//
// The list of receivers is read by the handler without a lock: a slot's receiver is written before
// its range, and removed after it. Remove requires that no thread touches the range any more.
#ifndef UZSWAP_LIBRARY_SIGBUS_HANDLER_H_
#define UZSWAP_LIBRARY_SIGBUS_HANDLER_H_

#include <cstdint>

#include "base/result.h"
#include "base/units.h"

namespace uzswap {

// What answers the faults of a range of addresses.
class FaultReceiver {
 public:
  // In the faulting thread, in a signal handler. False: the signal is not answered.
  virtual bool OnFault(uint64_t address, bool write) = 0;

 protected:
  ~FaultReceiver() = default;
};

// Installs the handler if it is not installed. Fails with ENOMEM if there are too many ranges, or
// with the errno of sigaction. Any thread.
Result<void> AddFaultReceiver(AddressRange range, FaultReceiver* receiver);
void RemoveFaultReceiver(FaultReceiver* receiver);

// As Region::HandleSignal.
bool HandleSigbus(const void* information, const void* context);

}  // namespace uzswap

#endif  // UZSWAP_LIBRARY_SIGBUS_HANDLER_H_
