// WaitUntil: waits in a test for another thread, with a deadline.
//
// Evaluates the predicate again and again and yields the processor in between. A test must assert
// the result, so that a missed deadline fails with a message:
//
//   EXPECT_TRUE(WaitUntil([&] { return store.in_flight() > 0; })) << "nothing was submitted";
#ifndef UZSWAP_BASE_TESTING_WAIT_UNTIL_H_
#define UZSWAP_BASE_TESTING_WAIT_UNTIL_H_

#include <chrono>
#include <thread>

#include "base/testing/slowness.h"

namespace uzswap {

// The deadline is made longer on a slow machine. Returns true as soon as `predicate` is true.
// Returns false if it is still false at the deadline.
template <typename Predicate>
[[nodiscard]] bool WaitUntil(Predicate&& predicate,
                             std::chrono::milliseconds deadline = std::chrono::seconds(30)) {
  const auto end = std::chrono::steady_clock::now() + Slower(deadline);
  while (!predicate()) {
    if (std::chrono::steady_clock::now() >= end) return predicate();
    std::this_thread::yield();
  }
  return true;
}

}  // namespace uzswap

#endif  // UZSWAP_BASE_TESTING_WAIT_UNTIL_H_
