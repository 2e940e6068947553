// Deadline: bounds every wait of a test. It is for the broken case only, so it is long: a loaded
// machine must not reach it.
//
// One thread.
#ifndef UZSWAP_APPS_CLI_TESTING_DEADLINE_H_
#define UZSWAP_APPS_CLI_TESTING_DEADLINE_H_

#include <sys/types.h>

#include <chrono>

#include "base/testing/slowness.h"

namespace uzswap::cli::testing {

class Deadline {
 public:
  static constexpr std::chrono::seconds kTestWait{60};

  explicit Deadline(std::chrono::milliseconds wait = kTestWait)
      : end_(std::chrono::steady_clock::now() + Slower(wait)) {}

  // What is left, for poll(2); never negative.
  [[nodiscard]] int left_ms() const;
  // True once a read from `fd` would not block; false if the deadline came first.
  [[nodiscard]] bool AwaitReadable(int fd) const;
  // True once the child has ended, with its status for waitpid's macros; false if the deadline
  // came first: the child is then still there.
  [[nodiscard]] bool AwaitEnd(pid_t child, int* status) const;

 private:
  std::chrono::steady_clock::time_point end_;
};

}  // namespace uzswap::cli::testing

#endif  // UZSWAP_APPS_CLI_TESTING_DEADLINE_H_
