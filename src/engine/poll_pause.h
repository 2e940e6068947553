// PollPause: how long the reclaim daemon sleeps between two looks.
//
//   headroom ──PollIntervalNs──> interval ──> quiet for 100 looks? ──no──> interval
//                                                      │yes
//                                                      └─> at least 2 ms; 10 ms for a small process
//                                                          that is not managed
//
//   reclaim makes no progress, quiet at this look ──> at least 10 ms
//   reclaim makes no progress, at all ──────────────> at least 8 times what the look took, 2 ms at
//                                                     most
//
// A process is quiet while it neither faults nor grows. It is looked at less often then, but never
// so rarely that it could outgrow the headroom in between. When reclaim makes no progress, the
// limit is exceeded already, and a look finds that out again by a sweep over the page table: an
// idle process leaves the processor to those that run, and any process most of it: the engine can
// have a higher priority than the program that could free memory if it ran. Plain arithmetic; one
// thread.
#ifndef UZSWAP_ENGINE_POLL_PAUSE_H_
#define UZSWAP_ENGINE_POLL_PAUSE_H_

#include <algorithm>
#include <cstdint>

#include "base/units.h"
#include "reclaim/watermarks.h"

namespace uzswap {

class PollPause {
 public:
  static constexpr int kQuietLooks = 100;
  static constexpr uint64_t kQuietNs = 2'000'000;
  static constexpr uint64_t kSmallQuietNs = 10'000'000;
  static constexpr uint64_t kFruitlessQuietNs = 10'000'000;
  static constexpr uint64_t kWastedTimes = 8;
  static constexpr uint64_t kWastedMaxNs = 2'000'000;

  struct Snapshot {
    int64_t headroom_pages;
    uint64_t faults;  // as counted now
    uint64_t resident_bytes;
    bool small = false;      // an unmanaged process of few pages
    bool fruitless = false;  // reclaim has made no progress for a while
    uint64_t wasted_ns = 0;  // what this look took, if reclaim makes no progress
  };

  uint64_t Next(const Snapshot& snapshot) {
    const uint64_t interval =
        PollIntervalNs(snapshot.headroom_pages * static_cast<int64_t>(kPageSize));
    const bool quiet = snapshot.faults == faults_ && snapshot.resident_bytes == resident_bytes_;
    quiet_looks_ = quiet ? quiet_looks_ + 1 : 0;
    faults_ = snapshot.faults;
    resident_bytes_ = snapshot.resident_bytes;
    const uint64_t least =
        std::max(interval, std::min(snapshot.wasted_ns * kWastedTimes, kWastedMaxNs));
    if (quiet && snapshot.fruitless) return std::max(least, kFruitlessQuietNs);
    if (quiet_looks_ <= kQuietLooks) return least;
    return std::max(least, snapshot.small ? kSmallQuietNs : kQuietNs);
  }

 private:
  int quiet_looks_ = 0;
  uint64_t faults_ = 0;
  uint64_t resident_bytes_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_POLL_PAUSE_H_
