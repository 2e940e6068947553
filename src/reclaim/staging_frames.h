// StagingFrames: the frames of the swap cache, where pages pass between the program and the pool.
//
//            MOVE out                 compressor takes it           stored
//   Empty ------------> Cached ---------------------------> Busy ------------> Spent
//     ^                   |  \__ touched: MOVE back, Empty      \__ lost race: Spent
//     |                   \__ touched, but not movable: Spent
//     +--------- drained to the kernel -------------------------------------- Spent
//
//   Empty    a hole: no memory behind it. Reading it would be a fault on ourselves.
//   Cached   the content of page `owner`, unchanged; on the inactive list, oldest first
//   Busy     the same, but a compressor is reading it without the lock; `owner` may have moved
//            on meanwhile (then it is kNoOwner)
//   Spent    memory whose content lives elsewhere by now; it goes back to the kernel
//
// A spent frame is never filled with something else: a pipe or a socket may still hold a
// reference to the program's page (vmsplice, MSG_ZEROCOPY), which MOVE does not refuse, and
// would see the new content (docs/decisions/0003-no-frame-is-reused.md). Runs matter, because
// one MOVE of many pages costs little more than of one: Empty and Spent frames are kept in
// bitmaps that are searched for runs.
//
// The memory is registered with the pager's userfaultfd context. All calls under the pager's
// lock; nothing allocates. Frame numbers stay valid for ever.
#ifndef UZSWAP_RECLAIM_STAGING_FRAMES_H_
#define UZSWAP_RECLAIM_STAGING_FRAMES_H_

#include <cstddef>
#include <cstdint>

#include "base/bitmap.h"
#include "base/intrusive_list.h"
#include "base/result.h"
#include "base/units.h"
#include "os/virtual_array.h"
#include "vm/page_table.h"

namespace uzswap {

inline constexpr PageIndex kNoOwner = UINT32_MAX;

class StagingFrames {
 public:
  struct Run {
    FrameId first;
    size_t count = 0;
  };

  Result<void> Init(PageCount capacity);

  [[nodiscard]] size_t capacity() const { return capacity_; }
  [[nodiscard]] std::byte* data(FrameId frame) const {
    return memory_.data() + (size_t{frame.raw()} << kPageShift);
  }
  [[nodiscard]] uint64_t AddressOf(FrameId frame) const {
    return reinterpret_cast<uint64_t>(data(frame));
  }
  [[nodiscard]] const os::Mapping& memory() const { return memory_; }

  [[nodiscard]] size_t spent_count() const { return spent_.count(); }
  [[nodiscard]] size_t empty_count() const { return empty_.count(); }
  [[nodiscard]] size_t cached_count() const { return inactive_.size(); }
  // Frames with memory behind them.
  [[nodiscard]] size_t populated_count() const { return capacity_ - empty_.count(); }

  // At most `want` frames that stand together; count 0 when there are none. They keep their
  // state until one of the calls below changes it.
  Run FindEmpty(size_t want) { return ToRun(empty_.FindRun(want)); }
  Run FindSpent(size_t want) { return ToRun(spent_.FindRun(want)); }

  // Empty -> Cached: the page `owner` has been moved in. Joins the young end of the list.
  void NoteCached(FrameId frame, PageIndex owner);
  // Cached -> Empty: moved back to the program.
  void NoteMovedBack(FrameId frame);
  // Spent -> Empty: moved to the drain.
  void NoteDrained(FrameId frame);
  // Cached -> Spent: its content was copied or discarded.
  void NoteDropped(FrameId frame);
  // Busy -> Spent, at the end of a compressor's work.
  void NoteDone(FrameId frame);
  // Busy -> Cached again (nothing could be stored): joins the young end.
  void NoteReturned(FrameId frame);

  // Cached -> Busy for the oldest; an invalid id when nothing is cached.
  FrameId TakeOldest();
  // Makes a Cached frame the youngest.
  void Rejuvenate(FrameId frame);

  [[nodiscard]] PageIndex owner(FrameId frame) const { return frames_[frame.raw()].owner; }
  // Requires: Cached or Busy.
  void SetOwner(FrameId frame, PageIndex owner);

  // Checks that states, bitmaps, list and counts agree.
  void Audit() const;

 private:
  enum class State : uint8_t { kEmpty = 0, kSpent, kCached, kBusy };

  struct Frame {
    ListLink link;
    PageIndex owner = 0;
    State state = State::kEmpty;
  };

  static Run ToRun(Bitmap::Run run) {
    return {FrameId(static_cast<uint32_t>(run.first)), run.count};
  }
  // The one place where a frame changes state.
  void Change(FrameId frame, State from, State to);

  os::Mapping memory_;
  os::VirtualArray<Frame> frames_;
  os::VirtualArray<uint64_t> bits_;
  Bitmap empty_;
  Bitmap spent_;
  IntrusiveList<Frame, &Frame::link> inactive_;  // front is the oldest
  size_t capacity_ = 0;
  size_t busy_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_RECLAIM_STAGING_FRAMES_H_
