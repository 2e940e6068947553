// Guard: what the broker holds for one engine process, so that its death cannot harm the program.
//
//   engine process ── connection ──> broker: pidfd of the program, its userfaultfd
//
//   connection    program        memory      the broker
//   closed        has ended      -           forgets it
//   closed        lives          not in use  forgets it: the program called exec
//   closed        lives          in use      kills the program, and keeps the userfaultfd until the
//                                            program has ended
//
// If the last descriptor of a userfaultfd is closed, its ranges are not registered any more, and
// pages that are swapped out read as zeroes. The broker's descriptor prevents this: until the
// program has ended, a thread that touches such a page waits.
//
// An engine process that ends because its program is gone says so first (kUnguard).
#ifndef UZSWAP_BROKER_GUARD_H_
#define UZSWAP_BROKER_GUARD_H_

#include <utility>

#include "os/broker_port.h"

namespace uzswap {

struct Guard {
  int program = -1;  // pidfd
  int memory = -1;   // userfaultfd

  [[nodiscard]] bool complete() const { return program >= 0 && memory >= 0; }
  void Close(os::BrokerPort& port) {
    if (const int pidfd = std::exchange(program, -1); pidfd >= 0) port.Close(pidfd);
    if (const int userfaultfd = std::exchange(memory, -1); userfaultfd >= 0)
      port.Close(userfaultfd);
  }
};

}  // namespace uzswap

#endif  // UZSWAP_BROKER_GUARD_H_
