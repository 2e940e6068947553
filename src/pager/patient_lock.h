// PatientLock: takes the pager's lock for the reclaim daemon, and helps a holder that gets no
// processor.
//
//   free ───────────────────────────────> taken
//   held ──yield, for up to 4 ms──┬─────> taken
//                                 └─ stalled(argument), once ── wait ──> taken
//
// The pager thread is tied to the processor of the thread that faults. If that thread enters the
// kernel for long (a read of many megabytes) while the pager holds the lock, the pager cannot run,
// although other processors may be idle. The callback lets it run elsewhere (paging_stack.h).
//
// Any engine thread. Nothing allocates.
#ifndef UZSWAP_PAGER_PATIENT_LOCK_H_
#define UZSWAP_PAGER_PATIENT_LOCK_H_

#include <cstdint>

#include "base/mutex.h"
#include "os/thread.h"

namespace uzswap {

struct StallCallback {
  void (*stalled)(void* argument) = nullptr;  // may be null; must not take a lock
  void* argument = nullptr;
};

// A holder that lost its processor to the program gets it back after one tick of the scheduler, at
// most 4 ms, unless the program is in the kernel.
inline constexpr uint64_t kLockPatienceNs = 4'000'000;

inline void LockPatiently(Mutex& mutex, const StallCallback& callback) UZ_ACQUIRE(mutex) {
  if (mutex.TryLock()) return;
  const uint64_t begin = os::MonotonicNanoseconds();
  do {
    os::YieldProcessor();
    if (mutex.TryLock()) return;
  } while (os::MonotonicNanoseconds() - begin < kLockPatienceNs);
  if (callback.stalled != nullptr) callback.stalled(callback.argument);
  mutex.Lock();
}

class UZ_SCOPED_CAPABILITY PatientLock {
 public:
  PatientLock(Mutex& mutex, const StallCallback& callback) UZ_ACQUIRE(mutex) : mutex_(mutex) {
    LockPatiently(mutex, callback);
  }
  ~PatientLock() UZ_RELEASE() { mutex_.Unlock(); }
  PatientLock(const PatientLock&) = delete;
  PatientLock& operator=(const PatientLock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace uzswap

#endif  // UZSWAP_PAGER_PATIENT_LOCK_H_
