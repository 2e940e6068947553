// Contiguous ranges: empties any run of frames of an arena while the arena is in use.
//
//     before   | free | pool | free | pool | pool | free |     some frames are free, some in use
//     during   | iso  | pool | iso  | pool | pool | iso  |     nothing can be allocated here
//     after    | iso  | iso  | iso  | iso  | iso  | iso  |     the contents were moved elsewhere
//
// ReclaimRange first isolates every free frame of the range. Then it asks the owner of each
// remaining frame to move the content to a frame outside the range. It makes a bounded number of
// passes: a pin or an operation in progress refuses one pass and has usually ended by the next. A
// frame that its owner frees meanwhile is isolated, and not reused.
//
// The result has either the whole range or nothing. If it has the range (complete()), the caller
// can Discard it, which returns the memory to the kernel in one call, or keep it empty until it
// drops the range. If it has nothing, the report has a count for each reason and the first few
// frames that remained. A reader waits at most for the copy of one frame.
//
// Several ranges can be reclaimed at the same time if they do not overlap. Threads: as in
// FrameArena. The idea is that of the kernel's contiguous memory allocator: isolate, migrate, test.
// The production caller is BlockReclaimer (frame/block_reclaimer.h).
#ifndef UZSWAP_FRAME_FRAME_RANGE_H_
#define UZSWAP_FRAME_FRAME_RANGE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "base/units.h"

namespace uzswap {

class FrameArena;

// Why a frame could not be emptied.
enum class RangeLeft : uint8_t {
  kNothing,    // it was emptied
  kPinned,     // pinned in every pass
  kBusy,       // in transition in every pass, or in another range
  kUnmovable,  // has no owner, or its owner does not move it
  kNoSpace,    // no suitable frame outside the range was free
};

// The use of a range of frames. A frame that is neither in use nor idle has no memory.
struct RangeUsage {
  PageCount in_use;  // isolated frames included
  PageCount idle;    // free, and the kernel still holds memory for them
};

struct ReclaimRangeOptions {
  // Move contents only to frames for which the kernel already holds memory. Then the arena's memory
  // shrinks by what the range releases.
  bool populated_targets_only = false;
  // Passes over the range before the reclaim is abandoned. After a pass without progress the caller
  // yields the processor once, so that a thread that holds a pin can finish.
  uint32_t passes_max = 200;
};

struct RangeReport {
  static constexpr size_t kLeftMax = 8;
  struct Left {
    FrameId frame;
    RangeLeft why = RangeLeft::kNothing;
  };

  uint32_t free_before = 0;  // free at the start
  uint32_t moved = 0;        // migrated
  uint32_t freed_meanwhile = 0;
  uint32_t passes = 0;
  // Of the last pass:
  uint32_t left_pinned = 0;
  uint32_t left_busy = 0;
  uint32_t left_unmovable = 0;
  uint32_t left_no_space = 0;
  Left left[kLeftMax];

  [[nodiscard]] uint32_t left_total() const {
    return left_pinned + left_busy + left_unmovable + left_no_space;
  }
};

// An empty range of frames. Move-only. The destructor makes the frames free.
class [[nodiscard]] IsolatedRange {
 public:
  IsolatedRange() = default;
  IsolatedRange(IsolatedRange&& other) noexcept { *this = std::move(other); }
  IsolatedRange& operator=(IsolatedRange&& other) noexcept {
    std::swap(arena_, other.arena_);
    std::swap(first_, other.first_);
    std::swap(count_, other.count_);
    return *this;
  }
  ~IsolatedRange() { End(false); }

  [[nodiscard]] bool empty() const { return arena_ == nullptr; }
  [[nodiscard]] FrameId first() const { return first_; }
  [[nodiscard]] PageCount count() const { return PageCount(count_); }
  // Returns the memory to the kernel with one call. The frames become free and cold. Returns how
  // many of them had memory.
  PageCount Discard() { return End(true); }

 private:
  friend class FrameArena;
  IsolatedRange(FrameArena* arena, FrameId first, uint64_t count)
      : arena_(arena), first_(first), count_(count) {}
  PageCount End(bool discard);

  FrameArena* arena_ = nullptr;
  FrameId first_;
  uint64_t count_ = 0;
};

struct [[nodiscard]] ReclaimRangeResult {
  RangeReport report;
  IsolatedRange range;
  [[nodiscard]] bool complete() const { return !range.empty(); }
};

}  // namespace uzswap

#endif  // UZSWAP_FRAME_FRAME_RANGE_H_
