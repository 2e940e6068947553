// DaemonWaker: the reclaim daemon's sleep, and how others end it.
//
//   0 ──Wake──> 1 ──(the daemon has slept)──> 0
//
// A Wake that comes before the sleep is kept: the sleep then ends at once. Wake: any thread, under
// any lock; it never blocks. Sleep: the daemon.
#ifndef UZSWAP_ENGINE_DAEMON_WAKER_H_
#define UZSWAP_ENGINE_DAEMON_WAKER_H_

#include <atomic>
#include <cstdint>

#include "os/program_watch.h"
#include "os/thread.h"

namespace uzswap {

class DaemonWaker {
 public:
  void Wake() {
    // Relaxed: the daemon takes a lock, or reads with acquire, before it looks at anything.
    if (woken_.exchange(1, std::memory_order_relaxed) == 0) os::FutexWake(&woken_, 1);
  }
  void Sleep(uint64_t ns, os::ProgramWatch& watch) {
    if (woken_.load(std::memory_order_relaxed) == 0) watch.Wait(woken_, 0, ns);
    woken_.store(0, std::memory_order_relaxed);
  }
  // In a forked child. Requires: the only thread.
  void ResetInChild() { woken_.store(0, std::memory_order_relaxed); }

 private:
  std::atomic<uint32_t> woken_{0};
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_DAEMON_WAKER_H_
