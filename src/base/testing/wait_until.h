// WaitUntil: a test waits for another thread, but never for ever.
//
// The predicate is evaluated again and again; the processor is yielded between two evaluations.
// A test that waits asserts the result, so that a missed deadline fails with the condition's name:
//
//   EXPECT_TRUE(WaitUntil([&] { return store.in_flight() > 0; })) << "nothing was submitted";
#ifndef UZSWAP_BASE_TESTING_WAIT_UNTIL_H_
#define UZSWAP_BASE_TESTING_WAIT_UNTIL_H_

#include <chrono>
#include <thread>

namespace uzswap {

// True as soon as `predicate` holds; false if it does not hold when the deadline has passed.
template <typename Predicate>
[[nodiscard]] bool WaitUntil(Predicate&& predicate,
                             std::chrono::milliseconds deadline = std::chrono::seconds(30)) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  while (!predicate()) {
    if (std::chrono::steady_clock::now() >= end) return predicate();
    std::this_thread::yield();
  }
  return true;
}

}  // namespace uzswap

#endif  // UZSWAP_BASE_TESTING_WAIT_UNTIL_H_
