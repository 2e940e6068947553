// LatencyHistogram: counts durations in nanoseconds in log-linear buckets. Histograms can be
// merged.
//
//   Each power of two is divided into 8 equal buckets. The error of a quantile is at most 1/8.
//
//     0 1 2 ... 7 | 8 9 ... 15 | 16 18 ... 30 | 32 36 ... 60 | ... up to 2^40 ns (18 minutes)
//
// Any thread may record and any thread may read. It is valid when all its bytes are zero, so it can
// be in memory shared between processes. Source: G. Tene, HdrHistogram, with three significant
// bits.
#ifndef UZSWAP_BASE_HISTOGRAM_H_
#define UZSWAP_BASE_HISTOGRAM_H_

#include <bit>
#include <cstdint>

#include "base/counter.h"

namespace uzswap {

class LatencyHistogram {
 public:
  static constexpr int kStepBits = 3;
  static constexpr int kSteps = 1 << kStepBits;
  static constexpr int kOctaves = 38;
  static constexpr int kBuckets = kOctaves * kSteps;

  static constexpr int BucketOf(uint64_t ns) {
    if (ns < kSteps) return static_cast<int>(ns);
    const int octave = std::bit_width(ns) - 1 - kStepBits;  // 0 for 8..15
    const int step = static_cast<int>((ns >> octave) & (kSteps - 1));
    const int bucket = (octave + 1) * kSteps + step;
    return bucket < kBuckets ? bucket : kBuckets - 1;
  }
  // The smallest value of `bucket`.
  static constexpr uint64_t LowerBound(int bucket) {
    if (bucket < kSteps) return static_cast<uint64_t>(bucket);
    const int octave = bucket / kSteps - 1;
    return static_cast<uint64_t>(kSteps + bucket % kSteps) << octave;
  }

  void Record(uint64_t ns) {
    buckets_[BucketOf(ns)].Add();
    sum_.Add(ns);
    max_.RaiseTo(ns);
  }
  void Merge(const LatencyHistogram& other) {
    for (int i = 0; i < kBuckets; ++i) buckets_[i].Add(other.buckets_[i].Get());
    sum_.Add(other.sum_.Get());
    max_.RaiseTo(other.max_.Get());
  }
  // Requires: no thread records meanwhile. Threads may read.
  void Clear() {
    for (RelaxedCounter& bucket : buckets_) bucket.Set(0);
    sum_.Set(0);
    max_.Set(0);
  }
  [[nodiscard]] uint64_t Count() const {
    uint64_t count = 0;
    for (const RelaxedCounter& bucket : buckets_) count += bucket.Get();
    return count;
  }
  // Records in the buckets below the one of `ns`: all below `ns` if it is a power of two.
  [[nodiscard]] uint64_t CountBelow(uint64_t ns) const {
    uint64_t count = 0;
    for (int i = 0; i < BucketOf(ns); ++i) count += buckets_[i].Get();
    return count;
  }
  // Of all durations.
  [[nodiscard]] uint64_t Sum() const { return sum_.Get(); }
  [[nodiscard]] uint64_t Max() const { return max_.Get(); }
  // At least `permille` thousandths of all records are in the bucket of this value or below it.
  // 0 when empty.
  [[nodiscard]] uint64_t Quantile(uint64_t permille) const {
    const uint64_t count = Count();
    const uint64_t rank = (count * permille + 999) / 1000;
    uint64_t seen = 0;
    for (int i = 0; i < kBuckets; ++i) {
      seen += buckets_[i].Get();
      if (seen >= rank && seen > 0) return LowerBound(i);
    }
    return 0;
  }

 private:
  RelaxedCounter buckets_[kBuckets];
  RelaxedCounter sum_;
  RelaxedCounter max_;
};

static_assert(LatencyHistogram::BucketOf(7) == 7 && LatencyHistogram::BucketOf(8) == 8);
static_assert(LatencyHistogram::LowerBound(LatencyHistogram::BucketOf(16)) == 16);
static_assert(LatencyHistogram::LowerBound(LatencyHistogram::BucketOf(1000)) == 960);

}  // namespace uzswap

#endif  // UZSWAP_BASE_HISTOGRAM_H_
