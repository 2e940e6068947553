// Rng: a fast random number generator with a seed, for tests, benchmarks and fault injection. Not
// for secrets. Source: xoshiro256**, seeded by splitmix64 (D. Blackman, S. Vigna, 2018).
#ifndef UZSWAP_BASE_RNG_H_
#define UZSWAP_BASE_RNG_H_

#include <bit>
#include <cstdint>

#include "base/check.h"

namespace uzswap {

class Rng {
 public:
  explicit constexpr Rng(uint64_t seed) {
    for (uint64_t& word : state_) {
      seed += 0x9e3779b97f4a7c15u;
      uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
      word = z ^ (z >> 31);
    }
  }
  constexpr uint64_t Next() {
    const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }
  // Uniform in [0, bound). Requires: bound > 0. The bias is less than bound / 2^64.
  constexpr uint64_t Below(uint64_t bound) {
    UZ_DCHECK(bound > 0);
    return static_cast<uint64_t>((static_cast<Wide>(Next()) * bound) >> 64);
  }
  constexpr bool OneIn(uint64_t n) { return Below(n) == 0; }

 private:
  __extension__ typedef unsigned __int128 Wide;

  uint64_t state_[4] = {};
};

}  // namespace uzswap

#endif  // UZSWAP_BASE_RNG_H_
