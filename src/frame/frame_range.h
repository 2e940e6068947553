// Contiguous ranges: emptying any run of frames of an arena while it is in use.
//
//     before   | free | pool | free | pool | pool | free |     some free, some used
//     during   | iso  | pool | iso  | pool | pool | iso  |     nobody can allocate here any more
//     after    | iso  | iso  | iso  | iso  | iso  | iso  |     contents moved elsewhere
//
// ReclaimRange first takes every free frame of the range out of circulation, then asks the owner
// of each remaining frame to move its content to a frame outside, for a bounded number of passes:
// a reader's pin or an operation in flight refuses one pass and is usually gone in the next.
// A frame that its owner frees meanwhile is isolated, not reused.
//
// The result either holds the whole range (complete(): the caller may Discard it, giving it to
// the kernel in one call, or keep it empty until it drops the range), or nothing, with a
// count for each reason and the first few frames that stayed. Readers never wait for it longer
// than for the copy of one frame.
//
// Several ranges may be reclaimed at once if they do not overlap. The idea is that of the
// kernel's contiguous memory allocator: isolate, migrate, test. The production caller is
// BlockReclaimer (frame/block_reclaimer.h).
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
  kNothing,    // it could
  kPinned,     // pinned in every pass
  kBusy,       // in transition in every pass, or in somebody else's range
  kUnmovable,  // has no owner, or one that will not move it
  kNoSpace,    // no suitable frame outside the range was free
};

// What a range of frames holds. A frame that is neither in use nor idle has no memory.
struct RangeUsage {
  PageCount in_use;  // isolated frames included
  PageCount idle;    // free, and the kernel still holds memory for them
};

struct ReclaimRangeOptions {
  // Move contents only to frames that the kernel holds memory for already. Then the arena's
  // memory shrinks by what the range releases.
  bool populated_targets_only = false;
  // Passes over the range before the reclaim is abandoned. A pass without progress yields the
  // processor once, so that a thread that holds a pin can finish.
  uint32_t passes_max = 200;
};

struct RangeReport {
  static constexpr size_t kLeftMax = 8;
  struct Left {
    FrameId frame;
    RangeLeft why = RangeLeft::kNothing;
  };

  uint32_t free_before = 0;  // were free at the start
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

// An empty range of frames. Move-only; the frames become free when it goes.
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
  // Gives the memory to the kernel with one call; the frames become free (cold) ones. Returns how
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
