// Watermarks: between which amounts of memory reclaim works, and how often usage must be measured.
//
//   0                 adopt                          target        limit
//   |------------------|------------------------------|--------------|
//     plain memory       mappings are registered        reserve, for growth between two
//                        with userfaultfd               measurements that no event reports
//
//   headroom = target - (what the tree of processes holds). Below zero pages must be swapped out.
//
// The limit can change while the tree runs (`uzswap set`), and the tree can be asked to use less
// for a while (`uzswap shrink`): then the target is what was asked for, and the limit stays. The
// number of staging frames is that of the limit at which a process became active.
//
//   0                 adopt     shrink_to            target        limit
//   |------------------|-----------|------------------|--------------|
//                                target, while asked
//
// Swapping out a page frees less than it holds, because its compressed copy stays in the pool. When
// pools and tables alone are most of the limit, the limit cannot be kept, and swapping out the rest
// only makes each access a fault (thrashing). So each process keeps a small working set resident:
// the headroom of a process is never less than what it is short of WorkingSetMin. It is a share of
// the limit, or of what the tree is asked to use: else a tree could not shrink far below its limit.
//
// The kernel does not report new mappings. Between two measurements a program can grow by what it
// can touch in that time. So the interval follows from the headroom and from the fastest growth
// that was seen. Pure arithmetic: any thread.
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
  Bytes adopt;          // usage at which mappings are registered
  Bytes share_of;       // what WorkingSetMin is a share of
  PageCount frames;     // number of staging frames
  size_t inactive = 0;  // pages that stay staged, for a second chance
  // Headroom in pages that is kept for faults to come. Below room_low the reclaim daemon works
  // until there is room_high. A fault that finds less than minus `overdraft` has pages stored
  // first.
  int64_t room_low = 0;
  int64_t room_high = 0;
  int64_t overdraft = 0;

  friend bool operator==(const Watermarks&, const Watermarks&) = default;
};

// A thread touches new memory at 2.4 to 2.7 GB/s on the project's kind of machine, and there are
// two processors.
inline constexpr uint64_t kGrowthBytesPerMs = 6 << 20;
inline constexpr uint64_t kIntervalMinNs = 500'000;
inline constexpr uint64_t kIntervalMaxNs = 50'000'000;

// `shrink_to`: what the tree is asked to use for a while; zero, or more than the target: nothing.
constexpr Watermarks WatermarksFor(Bytes limit, Bytes shrink_to = Bytes(0)) {
  constexpr uint64_t kMiB = 1 << 20;
  const uint64_t raw = limit.raw();
  Watermarks marks;
  marks.limit = marks.share_of = limit;
  marks.target = Bytes(raw - std::min(raw / 16, 2 * kMiB + raw / 128));
  marks.adopt = Bytes(raw - std::max(raw / 4, std::min(raw / 2, 24 * kMiB)));
  const uint64_t pages = raw >> kPageShift;
  marks.frames = PageCount(std::clamp<uint64_t>(pages / 4, 1024, 1 << 20));
  marks.inactive = std::clamp<uint64_t>(pages / 24, 64, 1 << 14);
  marks.room_low = static_cast<int64_t>(std::clamp<uint64_t>(pages / 256, 32, 1024));
  marks.room_high = 2 * marks.room_low;
  marks.overdraft = static_cast<int64_t>((raw - marks.target.raw()) >> kPageShift) / 4;
  if (shrink_to != Bytes(0) && shrink_to < marks.target) {
    // Faults need not help before usage exceeds the limit.
    marks.overdraft += static_cast<int64_t>((marks.target - shrink_to).raw() >> kPageShift);
    marks.target = marks.share_of = shrink_to;
    marks.adopt = std::min(marks.adopt, Bytes(shrink_to.raw() / 2));
  }
  return marks;
}

// What each of `processes` keeps resident: 4 MiB, or a 32nd of the limit together if that is more,
// but never more than a quarter of the limit together.
// `limit`: Watermarks::share_of.
constexpr Bytes WorkingSetMin(Bytes limit, uint64_t processes) {
  constexpr uint64_t kEach = 4 << 20;
  const uint64_t share = limit.raw() / std::max<uint64_t>(processes, 1);
  return Bytes(std::min(share / 4, std::max(share / 32, kEach)));
}

// How long the next measurement can wait if `headroom_bytes` are left (negative: none).
constexpr uint64_t PollIntervalNs(int64_t headroom_bytes) {
  if (headroom_bytes <= 0) return kIntervalMinNs;
  const uint64_t ns = static_cast<uint64_t>(headroom_bytes) * 1'000 / kGrowthBytesPerMs * 1'000;
  return std::clamp(ns, kIntervalMinNs, kIntervalMaxNs);
}

// Pages that can still be taken from the kernel before pages must be swapped out. The usage meter
// sets it at each measurement; the pager counts down in between. Any thread. The value orders
// nothing.
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
