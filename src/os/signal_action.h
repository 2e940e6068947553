// SignalAction: the handler of SIGBUS, and what it is told.
//
// One handler for the process. Any thread; the functions for handlers are safe in them.
#ifndef UZSWAP_OS_SIGNAL_ACTION_H_
#define UZSWAP_OS_SIGNAL_ACTION_H_

#include <cstdint>

#include "base/result.h"

namespace uzswap::os {

// What the kernel tells of a SIGBUS.
struct BusError {
  uint64_t address = 0;
  bool missing = false;  // a touch of an address, not a memory error, and not sent by a process
  bool write = true;     // where the processor does not tell, a write
};
// `information` is a siginfo_t, `context` a ucontext_t.
BusError ReadBusError(const void* information, const void* context);

// Called for each SIGBUS, with all signals blocked. False: not answered.
using BusErrorHandler = bool (*)(const void* information, const void* context);

// Once. What `handler` does not answer is passed on to the action that was installed before: a
// handler is called; otherwise the process ends as it would without uzswap. Fails with the errno of
// sigaction.
Result<void> InstallBusErrorHandler(BusErrorHandler handler);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_SIGNAL_ACTION_H_
