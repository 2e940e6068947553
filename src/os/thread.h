// Service threads: threads of ours that the program and its C library do not know.
//
//   StartServiceThread   clone(2) with the program's memory and signal dispositions, but a
//                        descriptor table of its own, or that of the service thread that calls
//
//      +-------+-----------------+------------------------+------------+-------+
//      | guard | stack           | static TLS, all zeroes | descriptor | guard |
//      +-------+-----------------+------------------------+------------+-------+
//                                                         ^ thread pointer
//
// pthread_create will not do: it allocates on the program's heap, and makes the C library of a
// single-threaded program believe in threads, which costs that program locks and atomics it
// did not pay before. A service thread has a thread pointer over zeroes with only the stack
// protector's canary copied, so it may use initial-exec thread-locals of ours and the plain
// system call wrapper, and nothing else of the C library that keeps state per thread. All
// signals are blocked in it. It ends with the process.
//
// After fork the child has none of them; it starts its own.
#ifndef UZSWAP_OS_THREAD_H_
#define UZSWAP_OS_THREAD_H_

#include <cstdint>

#include "base/result.h"

namespace uzswap::os {

enum class DescriptorTable : uint8_t {
  kOwn,     // a new, empty one, but for one descriptor on request
  kShared,  // the caller's: only from another service thread
};

// `body(argument)` must not return before the process ends. `name` is at most 15 characters.
// With kOwn, the caller's descriptor `keep` is open in the new table too, as kKeptDescriptor.
inline constexpr int kKeptDescriptor = 3;
Result<void> StartServiceThread(void (*body)(void*), void* argument, DescriptorTable table,
                                const char* name, int keep = -1);

// In a forked child, which has inherited the memory of service threads but none of them: makes
// room for its own. Requires: the only thread.
void ForgetServiceThreads();

// Runs the calling thread on `processor` only. Failure is ignored: it is an optimisation.
void PinToProcessor(int processor);

// Asks for the calling thread to be preferred over the program's, where that is permitted: what
// is not served in time is memory over the limit. Failure is ignored.
void PreferThisThread();

void YieldProcessor();

// Sleeps while *word == expected, until woken or `timeout_ns` is over. May wake spuriously.
void FutexWait(const void* word, uint32_t expected, uint64_t timeout_ns);
void FutexWake(const void* word, int count);

uint64_t MonotonicNanoseconds();

// The number of the calling thread.
uint32_t ThreadNumber();

}  // namespace uzswap::os

#endif  // UZSWAP_OS_THREAD_H_
