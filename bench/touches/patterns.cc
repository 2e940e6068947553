#include "touches/patterns.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/rng.h"

namespace uzswap::touches {
namespace {

constexpr double kTheta = 0.99;
// Zipf: the hot set moves 32 times, each time by a 256th of the units.
constexpr uint64_t kZipfMoves = 32;
constexpr uint64_t kZipfStepOf = 256;
constexpr uint64_t kPhases = 8;
constexpr uint64_t kWindowPercent = 40;
constexpr uint64_t kAnywhereOneIn = 20;

uint64_t UnitOf(const Share& share, uint64_t index) { return share.first + index * share.step; }

class Random : public Pattern {
 public:
  Random(Share share, uint64_t seed) : share_(share), rng_(seed) {}
  uint64_t Next() override { return UnitOf(share_, rng_.Below(share_.count)); }

 private:
  Share share_;
  Rng rng_;
};

class Sequential : public Pattern {
 public:
  explicit Sequential(Share share) : share_(share) {}
  uint64_t Next() override { return UnitOf(share_, at_++ % share_.count); }

 private:
  Share share_;
  uint64_t at_ = 0;
};

class Loop : public Pattern {
 public:
  Loop(Share share, uint64_t seed) : share_(share), scatter_(share.count, seed) {}
  uint64_t Next() override { return UnitOf(share_, scatter_(at_++ % share_.count)); }

 private:
  Share share_;
  Scatter scatter_;
  uint64_t at_ = 0;
};

// Source of the generator: J. Gray and others, Quickly Generating Billion-Record Synthetic
// Databases, 1994.
class Zipf : public Pattern {
 public:
  Zipf(Share share, uint64_t touches, uint64_t seed)
      : share_(share),
        scatter_(share.count, seed),
        rng_(seed + 1),
        every_(std::max<uint64_t>(touches / kZipfMoves, 1)) {
    for (uint64_t rank = 1; rank <= share.count; ++rank) {
      zeta_ += 1 / std::pow(static_cast<double>(rank), kTheta);
    }
    const double two = 1 + std::pow(0.5, kTheta);
    eta_ = (1 - std::pow(2.0 / static_cast<double>(share.count), 1 - kTheta)) / (1 - two / zeta_);
  }
  uint64_t Next() override {
    const uint64_t moved = done_++ / every_ * std::max<uint64_t>(share_.count / kZipfStepOf, 1);
    return UnitOf(share_, scatter_((Rank() + moved) % share_.count));
  }

 private:
  uint64_t Rank() {
    const double uniform = static_cast<double>(rng_.Next() >> 11) * 0x1p-53;
    const double scaled = uniform * zeta_;
    if (scaled < 1) return 0;
    if (scaled < 1 + std::pow(0.5, kTheta)) return 1;
    const double rank =
        static_cast<double>(share_.count) * std::pow(eta_ * uniform - eta_ + 1, 1 / (1 - kTheta));
    return std::min(static_cast<uint64_t>(rank), share_.count - 1);
  }

  Share share_;
  Scatter scatter_;
  Rng rng_;
  uint64_t every_;
  uint64_t done_ = 0;
  double zeta_ = 0;
  double eta_ = 0;
};

class Phase : public Pattern {
 public:
  Phase(Share share, uint64_t touches, uint64_t seed)
      : share_(share),
        rng_(seed),
        every_(std::max<uint64_t>(touches / kPhases, 1)),
        window_(std::max<uint64_t>(share.count * kWindowPercent / 100, 1)) {}
  uint64_t Next() override {
    const uint64_t phase = done_++ / every_;
    if (rng_.OneIn(kAnywhereOneIn)) return UnitOf(share_, rng_.Below(share_.count));
    // Each window begins a window further, so half of the windows overlap with an earlier one.
    const uint64_t index = phase * window_ + rng_.Below(window_);
    return UnitOf(share_, index % share_.count);
  }

 private:
  Share share_;
  Rng rng_;
  uint64_t every_;
  uint64_t window_;
  uint64_t done_ = 0;
};

uint64_t Mix(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

Share ShareOf(bool contiguous, uint64_t units, uint64_t thread, uint64_t threads) {
  if (!contiguous) return {thread, threads, (units - thread + threads - 1) / threads};
  const uint64_t first = units * thread / threads;
  return {first, 1, units * (thread + 1) / threads - first};
}

}  // namespace

Scatter::Scatter(uint64_t count, uint64_t seed)
    : count_(count), half_bits_(std::max(static_cast<int>(std::bit_width(count - 1) + 1) / 2, 1)) {
  Rng rng(seed);
  for (uint64_t& key : keys_) key = rng.Next();
}

uint64_t Scatter::operator()(uint64_t index) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  do {
    uint64_t left = index >> half_bits_;
    uint64_t right = index & mask;
    for (const uint64_t key : keys_) {
      const uint64_t next = left ^ (Mix(right ^ key) & mask);
      left = right;
      right = next;
    }
    index = left << half_bits_ | right;
  } while (index >= count_);
  return index;
}

const std::vector<std::string>& PatternNames() {
  static const std::vector<std::string> names = {"random", "sequential", "loop", "zipf", "phase"};
  return names;
}

std::unique_ptr<Pattern> MakePattern(const std::string& name, uint64_t units, uint64_t thread,
                                     uint64_t threads, uint64_t touches, uint64_t seed) {
  const Share share = ShareOf(name == "sequential", units, thread, threads);
  const uint64_t own_seed = seed * 1000 + thread;
  if (name == "random") return std::make_unique<Random>(share, own_seed);
  if (name == "sequential") return std::make_unique<Sequential>(share);
  if (name == "loop") return std::make_unique<Loop>(share, own_seed);
  if (name == "zipf") return std::make_unique<Zipf>(share, touches, own_seed);
  if (name == "phase") return std::make_unique<Phase>(share, touches, own_seed);
  return nullptr;
}

}  // namespace uzswap::touches
