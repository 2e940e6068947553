// DiscardWatch: discarded ranges whose pages may still be present, until it is certain why.
//
// A REMOVE event stands for MADV_DONTNEED or for MADV_FREE, and it is sent before the kernel does
// the work. The pages become Untracked at once (vm/mapping_events.h). After MADV_DONTNEED they go,
// and the next touch is a fault, which tracks the page again. After MADV_FREE they stay present,
// and the program can use them again without a fault. A page that is present and Untracked is
// managed again, but only when the call that discarded it has certainly ended: a page that is
// isolated before the kernel drops it would come back with content that the program has discarded.
//
//     REMOVE --Note--> open --Close--> closed --(every thread has left madvise)--> Settled, Clear
//
// Closed: noted before Close. The thread that closes then waits until each thread of the program
// that existed at that moment was seen outside madvise (engine/discard_fence.h). What was noted
// since is open, and excluded: ForEachSettled visits the closed ranges without the open ones.
//
// There is room for kRangesMax ranges of each kind. Beyond that ranges are joined with what lies
// between them: open ranges that are too large only delay, and closed ones only cost a look at more
// pages. The owner's lock guards everything; nothing allocates.
#ifndef UZSWAP_VM_DISCARD_WATCH_H_
#define UZSWAP_VM_DISCARD_WATCH_H_

#include <algorithm>
#include <cstddef>

#include "base/units.h"

namespace uzswap {

class DiscardWatch {
 public:
  static constexpr size_t kRangesMax = 128;

  // The range was discarded; the call may not have ended.
  void Note(AddressRange range) {
    for (size_t i = 0; i < open_count_; ++i) {
      if (range.start <= open_[i].end && open_[i].start <= range.end) {
        open_[i] = Hull(open_[i], range);
        return;
      }
    }
    if (open_count_ < kRangesMax) {
      open_[open_count_++] = range;
    } else {
      open_[kRangesMax - 1] = Hull(open_[kRangesMax - 1], range);
    }
  }
  // False: there is nothing to close, or what was closed before is not settled yet.
  bool Close() {
    if (closed_count_ > 0 || open_count_ == 0) return false;
    std::copy(open_, open_ + open_count_, closed_);
    closed_count_ = open_count_;
    open_count_ = 0;
    return true;
  }
  // Calls visit(AddressRange) for every part of a closed range that is in no open one.
  template <typename Visitor>
  void ForEachSettled(Visitor&& visit) const {
    for (size_t i = 0; i < closed_count_; ++i) {
      for (uint64_t at = closed_[i].start; at < closed_[i].end;) {
        const AddressRange part = SettledFrom(at, closed_[i].end);
        if (!part.empty()) visit(part);
        at = part.end;
      }
    }
  }
  void ClearClosed() { closed_count_ = 0; }

  [[nodiscard]] size_t closed_count() const { return closed_count_; }

 private:
  static AddressRange Hull(AddressRange a, AddressRange b) {
    return {std::min(a.start, b.start), std::max(a.end, b.end)};
  }
  // From `at` to the next border. Empty, with `end` behind it, if `at` is in an open range.
  [[nodiscard]] AddressRange SettledFrom(uint64_t at, uint64_t end) const {
    for (size_t i = 0; i < open_count_; ++i) {
      if (open_[i].Contains(at)) {
        const uint64_t behind = std::min(open_[i].end, end);
        return {behind, behind};
      }
    }
    for (size_t i = 0; i < open_count_; ++i) {
      if (open_[i].start > at) end = std::min(end, open_[i].start);
    }
    return {at, end};
  }

  AddressRange open_[kRangesMax];
  AddressRange closed_[kRangesMax];
  size_t open_count_ = 0;
  size_t closed_count_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_VM_DISCARD_WATCH_H_
