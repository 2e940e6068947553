// UnregisteredGrowth: when the program has grown so much outside registered ranges that its
// mappings should be scanned.
//
// A page of the program is resident in a registered range, or in none, or in a frame of ours. What
// the kernel counts beyond registered pages and frames is not registered yet. Part of it never is
// (stacks, file mappings that were written to), so growth counts, from the least that was seen.
//
// Plain arithmetic; one thread.
#ifndef UZSWAP_ENGINE_UNREGISTERED_GROWTH_H_
#define UZSWAP_ENGINE_UNREGISTERED_GROWTH_H_

#include <cstdint>

#include "base/units.h"
#include "engine/reclaim_port.h"

namespace uzswap {

class UnregisteredGrowth {
 public:
  static constexpr int64_t kScanPages = 64;  // growth that asks for a scan

  static int64_t Pages(Bytes anonymous, const PageCounts& pages) {
    return static_cast<int64_t>(PagesWithin(anonymous).raw()) -
           static_cast<int64_t>(pages.resident + pages.staging_populated + pages.pool_populated);
  }

  // `unregistered` is counted now. If no scan is due, the least count is kept.
  bool AsksForScan(int64_t unregistered) {
    if (unregistered >= least_ + kScanPages) return true;
    if (unregistered < least_) least_ = unregistered;
    return false;
  }
  // After a scan, with what is still not registered.
  void Scanned(int64_t unregistered) { least_ = unregistered; }

 private:
  int64_t least_ = 0;  // seen since the last scan
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_UNREGISTERED_GROWTH_H_
