// Watermarks: the marks between which reclaim works, and how often memory must be looked at.
//
//   0                 adopt                          target        limit
//   |------------------|------------------------------|--------------|
//        plain memory     mappings in care, growing     reserve: for growth that nobody
//                                                       announces between two looks
//
//   headroom = target - (what the tree of processes holds). Below zero pages must go.
//
// The kernel does not tell of new mappings, so between two looks a program can grow by what it
// can touch in that time: the interval follows from the headroom and the fastest growth seen.
// Pure arithmetic: any thread.
#ifndef UZSWAP_RECLAIM_WATERMARKS_H_
#define UZSWAP_RECLAIM_WATERMARKS_H_

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "base/units.h"

namespace uzswap {

struct Watermarks {
  Bytes limit;
  Bytes target;         // what reclaim aims at
  Bytes adopt;          // usage at which mappings are taken into care
  PageCount frames;     // capacity of the swap cache
  size_t inactive = 0;  // pages that wait, uncompressed, for a second chance
  // Room that is kept for the faults to come, in pages: below low the keeper makes room, up to
  // high. A fault that finds less than minus `overdraft` compresses pages itself.
  int64_t room_low = 0;
  int64_t room_high = 0;
  int64_t overdraft = 0;
};

// A thread first-touches at 2.4 to 2.7 GB/s on the project's kind of machine, and there are two.
inline constexpr uint64_t kGrowthBytesPerMs = 6 << 20;
inline constexpr uint64_t kIntervalMinNs = 500'000;
inline constexpr uint64_t kIntervalMaxNs = 50'000'000;

constexpr Watermarks WatermarksFor(Bytes limit) {
  constexpr uint64_t kMiB = 1 << 20;
  const uint64_t raw = limit.raw();
  Watermarks levels;
  levels.limit = limit;
  levels.target = Bytes(raw - std::min(raw / 16, 2 * kMiB + raw / 128));
  levels.adopt = Bytes(raw - std::max(raw / 4, std::min(raw / 2, 24 * kMiB)));
  const uint64_t pages = raw >> kPageShift;
  levels.frames = PageCount(std::clamp<uint64_t>(pages / 4, 1024, 1 << 20));
  levels.inactive = std::clamp<uint64_t>(pages / 24, 64, 1 << 14);
  levels.room_low = static_cast<int64_t>(std::clamp<uint64_t>(pages / 256, 32, 1024));
  levels.room_high = 2 * levels.room_low;
  levels.overdraft = static_cast<int64_t>((raw - levels.target.raw()) >> kPageShift) / 4;
  return levels;
}

// How long the next look may wait when `headroom_bytes` are left (negative: none).
constexpr uint64_t PollIntervalNs(int64_t headroom_bytes) {
  if (headroom_bytes <= 0) return kIntervalMinNs;
  const uint64_t ns = static_cast<uint64_t>(headroom_bytes) * 1'000 / kGrowthBytesPerMs * 1'000;
  return std::clamp(ns, kIntervalMinNs, kIntervalMaxNs);
}

// Pages that may still be taken from the kernel before something must go. The keeper sets it
// at each look; the pager counts down in between. Any thread; a hint that orders nothing.
class Headroom {
 public:
  void Set(int64_t pages) { pages_.store(pages, std::memory_order_relaxed); }
  void Take(int64_t pages) { pages_.fetch_sub(pages, std::memory_order_relaxed); }
  void Give(int64_t pages) { pages_.fetch_add(pages, std::memory_order_relaxed); }
  [[nodiscard]] int64_t Get() const { return pages_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> pages_{0};
};

static_assert(WatermarksFor(Bytes(100 << 20)).target.raw() > (96 << 20));
static_assert(WatermarksFor(Bytes(8 << 20)).adopt.raw() == (4 << 20));
static_assert(PollIntervalNs(6 << 20) == 1'000'000);

}  // namespace uzswap

#endif  // UZSWAP_RECLAIM_WATERMARKS_H_
