// FromEnvironment: a number of a test that an environment variable overrides. Tests only.
//
//   UZSWAP_TEST_SEED   the seed of a random test, to repeat a run
//   UZSWAP_TEST_OPS    its number of operations, for a longer run
//
// A test that uses them prints them:
//
//   const uint64_t seed = SeedFromEnvironment(20240607);
#ifndef UZSWAP_BASE_TESTING_FROM_ENVIRONMENT_H_
#define UZSWAP_BASE_TESTING_FROM_ENVIRONMENT_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace uzswap {

[[nodiscard]] inline uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}

// The seed, which it prints: at once, because the test may end the process.
[[nodiscard]] inline uint64_t SeedFromEnvironment(uint64_t otherwise) {
  const uint64_t seed = FromEnvironment("UZSWAP_TEST_SEED", otherwise);
  std::printf("UZSWAP_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  return seed;
}

}  // namespace uzswap

#endif  // UZSWAP_BASE_TESTING_FROM_ENVIRONMENT_H_
