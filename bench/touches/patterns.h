// Patterns: the order in which a thread touches its units.
//
//   random      uniform over all units
//   sequential  in the order of addresses, again and again
//   loop        in a scattered order that is the same in each pass
//   zipf        some units far more often than others; which ones these are changes slowly
//   phase       uniform over a window of 40 %, and one touch in twenty anywhere; the window jumps
//   eight
//               times
//
// Thread t of n has the units t, t + n, t + 2n ...; in `sequential` it has one contiguous part.
#ifndef UZSWAP_BENCH_TOUCHES_PATTERNS_H_
#define UZSWAP_BENCH_TOUCHES_PATTERNS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace uzswap::touches {

// A share of all units: `first`, `first + step`, ... `count` of them.
struct Share {
  uint64_t first;
  uint64_t step;
  uint64_t count;
};

class Pattern {
 public:
  virtual ~Pattern() = default;
  // The next unit to touch.
  virtual uint64_t Next() = 0;
};

// A bijection of [0, count) that looks random and needs no memory: a Feistel network whose results
// outside of the range are put in again.
class Scatter {
 public:
  Scatter(uint64_t count, uint64_t seed);
  [[nodiscard]] uint64_t operator()(uint64_t index) const;

 private:
  static constexpr int kRounds = 4;

  uint64_t count_;
  int half_bits_;
  uint64_t keys_[kRounds];
};

const std::vector<std::string>& PatternNames();

// The pattern of thread `thread` of `threads`, which makes `touches` touches. Null if there is no
// pattern of this name.
std::unique_ptr<Pattern> MakePattern(const std::string& name, uint64_t units, uint64_t thread,
                                     uint64_t threads, uint64_t touches, uint64_t seed);

}  // namespace uzswap::touches

#endif  // UZSWAP_BENCH_TOUCHES_PATTERNS_H_
