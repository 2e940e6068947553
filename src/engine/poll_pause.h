// PollPause: how long the reclaim daemon sleeps between two looks.
//
//   headroom ──PollIntervalNs──> interval ──> quiet for 100 looks? ──no──> interval
//                                                      │yes
//                                                      └─> at least 2 ms; 10 ms for a small process
//                                                          that is not managed
//
// A process is quiet while it neither faults nor grows. It is looked at less often then, but never
// so seldom that it could outgrow the headroom in between. Plain arithmetic; one thread.
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

  // `faults` and `resident_bytes` as counted now; `small`: an unmanaged process of few pages.
  uint64_t Next(int64_t headroom_pages, uint64_t faults, uint64_t resident_bytes, bool small) {
    const uint64_t interval = PollIntervalNs(headroom_pages * static_cast<int64_t>(kPageSize));
    const bool quiet = faults == faults_ && resident_bytes == resident_bytes_;
    quiet_looks_ = quiet ? quiet_looks_ + 1 : 0;
    faults_ = faults;
    resident_bytes_ = resident_bytes;
    if (quiet_looks_ <= kQuietLooks) return interval;
    return std::max(interval, small ? kSmallQuietNs : kQuietNs);
  }

 private:
  int quiet_looks_ = 0;
  uint64_t faults_ = 0;
  uint64_t resident_bytes_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_POLL_PAUSE_H_
