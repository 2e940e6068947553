// Slower: makes the deadlines of tests longer on a slow machine, for example an emulated one.
//
//   UZSWAP_TEST_SLOWNESS   multiplies every deadline; the scripts in tests/ read it too
//
// For deadlines only: what a test expects stays the same. It is not a constant expression:
//
//   const uint32_t kDeadlineMs = Slower(60'000);
#ifndef UZSWAP_BASE_TESTING_SLOWNESS_H_
#define UZSWAP_BASE_TESTING_SLOWNESS_H_

#include <cstdint>
#include <cstdlib>

namespace uzswap {

// At least `duration`, which may have any unit and must be far from overflowing.
template <typename Duration>
[[nodiscard]] Duration Slower(Duration duration) {
  const char* text = std::getenv("UZSWAP_TEST_SLOWNESS");
  const double slowness = text != nullptr ? std::strtod(text, nullptr) : 1;
  return duration * static_cast<int>(slowness < 1 ? 1 : slowness + 0.999);
}

}  // namespace uzswap

#endif  // UZSWAP_BASE_TESTING_SLOWNESS_H_
