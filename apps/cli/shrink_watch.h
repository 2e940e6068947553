// ShrinkWatch: whether a run that was asked to use less memory gets there.
//
//   what it holds     usage, pools ──┬── both at what is wanted ────────────> kReached
//                                    ├── neither has fallen for kPatienceNs ─> kStuck
//                                    └── otherwise ─────────────────────────> kGoesOn
//
// There is no deadline for the whole: a large run takes long to write its pages, and each
// kPatienceNs of it is at least kProgressMin of progress. Whoever does not want to wait that long
// ends the command, and nothing is changed.
//
// Pure; the caller provides the time.
#ifndef UZSWAP_APPS_CLI_SHRINK_WATCH_H_
#define UZSWAP_APPS_CLI_SHRINK_WATCH_H_

#include <cstdint>

#include "base/units.h"

namespace uzswap::cli {

// What a run holds, or shall hold at most.
struct Held {
  Bytes usage;
  Bytes pools;  // a part of the usage

  [[nodiscard]] bool Within(const Held& most) const {
    return usage <= most.usage && pools <= most.pools;
  }
};

class ShrinkWatch {
 public:
  static constexpr uint64_t kPatienceNs = 3'000'000'000;
  // Less is what any program does by itself.
  static constexpr Bytes kProgressMin{256 << 10};

  enum class State : uint8_t { kGoesOn, kReached, kStuck };

  ShrinkWatch(const Held& to, uint64_t now_ns) : to_(to), progress_ns_(now_ns) {}

  State Note(const Held& held, uint64_t now_ns) {
    if (held.Within(to_)) return State::kReached;
    const bool usage_fell = Fell(held.usage, to_.usage, least_.usage);
    const bool pools_fell = Fell(held.pools, to_.pools, least_.pools);
    if (usage_fell || pools_fell) progress_ns_ = now_ns;
    return now_ns - progress_ns_ >= kPatienceNs ? State::kStuck : State::kGoesOn;
  }

 private:
  // What falls below its aim is no progress: the other has to fall.
  static bool Fell(Bytes now, Bytes to, Bytes& least) {
    if (now > least || (least - now).raw() < kProgressMin.raw()) return false;
    const bool counts = least > to;
    least = now;
    return counts;
  }

  Held to_;
  Held least_{Bytes(UINT64_MAX), Bytes(UINT64_MAX)};
  uint64_t progress_ns_;
};

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_SHRINK_WATCH_H_
