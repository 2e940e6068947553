// Service threads: threads of uzswap that the program and its C library do not know.
//
//   StartServiceThread   clone(2) with the program's memory and signal dispositions, but with its
//                        own descriptor table, or that of the calling service thread
//
//      +-------+-----------------+------------------------+------------+-------+
//      | guard | stack           | static TLS, all zeroes | descriptor | guard |
//      +-------+-----------------+------------------------+------------+-------+
//                                                         ^ thread pointer
//
// pthread_create is not used. It allocates on the program's heap. It also makes the C library of a
// single-threaded program switch to locks and atomics, which makes that program slower.
//
// The thread pointer of a service thread points to zeroes; only the stack protector's canary is
// copied. So a service thread may use uzswap's initial-exec thread-locals and syscall(2). It must
// not use any other part of the C library that has per-thread state. All signals are blocked in it.
// It ends with the process.
//
// fork does not copy service threads. The child starts its own.
#ifndef UZSWAP_OS_THREAD_H_
#define UZSWAP_OS_THREAD_H_

#include <cstdint>

#include "base/result.h"

namespace uzswap::os {

enum class DescriptorTable : uint8_t {
  kOwn,     // a new table, empty or with one descriptor of the caller
  kShared,  // the caller's table; the caller must be a service thread
};

// `body(argument)` must not return before the process ends. `name` has at most 15 characters.
// With kOwn, the caller's descriptor `keep` is open in the new table as kKeptDescriptor.
inline constexpr int kKeptDescriptor = 3;
Result<void> StartServiceThread(void (*body)(void*), void* argument, DescriptorTable table,
                                const char* name, int keep = -1);

// For a forked child, which has the memory of the parent's service threads but not the threads.
// Frees their entries for the child's own service threads. Requires: the caller is the only thread.
void ForgetServiceThreads();

// Runs the calling thread on `processor` only. A failure is ignored: this is an optimisation.
void PinToProcessor(int processor);

// Asks the kernel to prefer the calling thread to the program's threads, if that is permitted. If
// reclaim runs too late, memory usage exceeds the limit. A failure is ignored.
void PreferThisThread();

void YieldProcessor();

// Sleeps while *word == expected, until it is woken or `timeout_ns` has passed. May return early.
void FutexWait(const void* word, uint32_t expected, uint64_t timeout_ns);
void FutexWake(const void* word, int count);

uint64_t MonotonicNanoseconds();

// The thread id of the calling thread (gettid).
uint32_t ThreadNumber();

}  // namespace uzswap::os

#endif  // UZSWAP_OS_THREAD_H_
