#include "engine/growth_watch.h"

#include <algorithm>

namespace uzswap {

uint64_t GrowthWatch::NextLookNs() const {
  const uint64_t expected = expected_ns_.load(std::memory_order_relaxed);
  if (expected == 0) return UINT64_MAX;
  return std::max(expected + kLateNs, not_before_ns_);
}

int GrowthWatch::TimeoutMs() const {
  const uint64_t at = NextLookNs();
  const uint64_t now = port_->NowNs();
  if (at <= now) return 0;
  const uint64_t ms = (at - now + 999'999) / 1'000'000;
  return static_cast<int>(std::min<uint64_t>(ms, kTimeoutMaxMs));
}

GrowthWatch::Outcome GrowthWatch::CheckLate() {
  const uint64_t begin = port_->NowNs();
  if (begin < NextLookNs()) return Outcome::kNotLate;
  port_->RefreshHeadroom();
  not_before_ns_ = begin + kLateNs;
  if (!growth_.AsksForScan(port_->UnregisteredPages())) return Outcome::kLooked;
  port_->ScanMappings();
  growth_.Scanned(port_->UnregisteredPages());
  const uint64_t end = port_->NowNs();
  not_before_ns_ = end + std::max(kLateNs, kPauseFactor * (end - begin));
  return Outcome::kScanned;
}

}  // namespace uzswap
