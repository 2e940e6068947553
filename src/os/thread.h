// Service threads: tasks of uzswap that the program and its C library do not know.
//
//   StartServiceThread   clone(2) with the program's memory
//
//      home       process                 descriptors    signals, root, user, filters, limits
//      kSibling   one of its own          own table      own: copied from the program
//      kProgram   the program's           own table      the program's
//      kCaller    that of the caller, which is a service thread: everything is shared with it
//
//      +-------+-----------------+------------------------+------------+-------+
//      | guard | stack           | static TLS, all zeroes | descriptor | guard |
//      +-------+-----------------+------------------------+------------+-------+
//                                                         ^ thread pointer
//
// A sibling is not in the program's thread group. So the program's exit, exec, chroot, setuid and
// seccomp filters do not reach it, the program does not see it in /proc/self/task, and wait does
// not report it. It must end itself when the program ends or execs (os/program_watch.h). Its parent
// is a process that has ended, so it is reparented as the children of a daemon are.
//
// pthread_create is not used. It allocates on the program's heap. It also makes the C library of a
// single-threaded program switch to locks and atomics, which makes that program slower.
//
// The thread pointer of a service thread points to zeroes; only the stack protector's canary is
// copied. So a service thread may use uzswap's initial-exec thread-locals and syscall(2). It must
// not use any other part of the C library that has per-thread state. All signals are blocked in it,
// except those of its own faults (SIGSEGV, SIGBUS, SIGILL, SIGFPE) in a process beside the program.
//
// fork does not copy service threads. The child starts its own.
#ifndef UZSWAP_OS_THREAD_H_
#define UZSWAP_OS_THREAD_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/result.h"

namespace uzswap::os {

enum class ServiceHome : uint8_t {
  kSibling,  // a new process
  kProgram,  // the program's process
  kCaller,   // the caller's process; the caller must be a service thread
};

// `body(argument)` must not return before the process ends. `name` has at most 15 characters. With
// kSibling and kProgram the descriptor table is new and empty, except that the caller's descriptor
// `keep[i]`, if it is not -1, is open in it as kKeptDescriptor + i. With kSibling the caller waits
// until the process exists. Returns the id of the new process, or 0 without one.
inline constexpr int kKeptDescriptor = 3;
inline constexpr size_t kKeptMax = 4;
using KeptDescriptors = std::array<int, kKeptMax>;
inline constexpr KeptDescriptors kKeepNothing = {-1, -1, -1, -1};
Result<uint32_t> StartServiceThread(void (*body)(void*), void* argument, ServiceHome home,
                                    const char* name, const KeptDescriptors& keep = kKeepNothing);

// For a forked child, which has the memory of the parent's service threads but not the threads.
// Frees their entries for the child's own service threads. Requires: the caller is the only thread.
void ForgetServiceThreads();

// Runs the calling thread on `processor` only. A failure is ignored: this is an optimisation.
void PinToProcessor(int processor);
// Moves `thread`, a service thread, to the processor that the caller runs on, and keeps it there.
// False if the kernel refuses.
bool PinToCallersProcessor(uint32_t thread);

// How soon a service thread must run once it can. If reclaim runs too late, memory usage exceeds
// the limit; if the pager does, the program waits. See
// docs/decisions/0034-real-time-until-active.md.
enum class Urgency : uint8_t {
  kOrdinary,   // as the program's threads
  kPreferred,  // nice value -10
  kRealTime,   // the lowest real-time priority; where that is refused, the nice value
};
// For the calling thread. The threads that it creates start with the same urgency. What the kernel
// refuses is ignored.
void SetUrgency(Urgency urgency);
// For another service thread, by its id.
void SetUrgencyOf(uint32_t thread, Urgency urgency);

// Until the end of the scope the calling thread is a real-time thread, if it is an ordinary one and
// the kernel permits it. So a service thread that it starts has a processor at once; it decides for
// itself what it is then. Does nothing unless `wanted`.
class RealTimeScope {
 public:
  explicit RealTimeScope(bool wanted);
  ~RealTimeScope();
  RealTimeScope(const RealTimeScope&) = delete;
  RealTimeScope& operator=(const RealTimeScope&) = delete;

 private:
  bool changed_ = false;
};

// How often the calling thread lost its processor to another thread.
uint64_t InvoluntarySwitches();

// For a loop that waits for another processor.
inline void SpinPause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  __asm__ volatile("" ::: "memory");
#endif
}

// Lets others run. A real-time thread yields to real-time threads only, so it sleeps for 50 µs.
void YieldProcessor();

// Blocks every signal in the calling thread, those of the C library included. Returns what was
// blocked before, one bit for each signal.
uint64_t BlockSignals();
void RestoreSignals(uint64_t blocked);

// No signal arrives in the calling thread until the end of the scope.
class BlockedSignals {
 public:
  BlockedSignals() : before_(BlockSignals()) {}
  ~BlockedSignals() { RestoreSignals(before_); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  uint64_t before_;
};

// The id of the calling process (getpid).
uint32_t ProcessNumber();

// Sleeps while *word == expected, until it is woken or `timeout_ns` has passed. May return early.
void FutexWait(const void* word, uint32_t expected, uint64_t timeout_ns);
void FutexWake(const void* word, int count);
// May return early.
inline void SleepFor(uint64_t ns) {
  const uint32_t nobody_wakes = 0;
  FutexWait(&nobody_wakes, 0, ns);
}

uint64_t MonotonicNanoseconds();
// Of a processor that the calling thread has used. A system call.
uint64_t ThreadNanoseconds();

// The thread id of the calling thread (gettid).
uint32_t ThreadNumber();

}  // namespace uzswap::os

#endif  // UZSWAP_OS_THREAD_H_
