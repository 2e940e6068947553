// StagingFrames: the frames between the program and the compressed pool.
//
//            MOVE in                 begin to store               stored
//   Empty ------------> Staged ---------------------> Storing ------------> ToFree
//     ^                   |  \__ fault: MOVE back -> Empty   \__ lost race -> ToFree
//     |                   \__ fault, cannot be moved: copied -> ToFree
//     +--------- released to the kernel ---------------------------------- ToFree
//
//   Empty    no memory is behind the frame. A read of it would fault in the engine itself.
//   Staged   holds the unchanged content of page `owner`; on the inactive list, oldest first
//   Storing  the same, but a thread compresses it without the lock. `owner` is not valid if the
//            page changed meanwhile
//   ToFree   memory whose content lives elsewhere; it is released to the kernel
//
// A frame in state ToFree is never filled again. A pipe or a socket can still hold a reference to
// the program's page (vmsplice, MSG_ZEROCOPY), which UFFDIO_MOVE does not refuse, and would see the
// new content (docs/decisions/0003-no-frame-is-reused.md). One MOVE of many pages costs little
// more than a MOVE of one, so Empty and ToFree frames are kept in bitmaps that find runs.
//
// The memory is registered with the userfaultfd of the program's mappings. The owner's lock guards
// everything; nothing allocates after Init. A FrameId is always valid.
#ifndef UZSWAP_RECLAIM_STAGING_FRAMES_H_
#define UZSWAP_RECLAIM_STAGING_FRAMES_H_

#include <cstddef>
#include <cstdint>

#include "base/bitmap.h"
#include "base/intrusive_list.h"
#include "base/result.h"
#include "base/units.h"
#include "os/virtual_array.h"

namespace uzswap {

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

  [[nodiscard]] size_t to_free_count() const { return to_free_.count(); }
  [[nodiscard]] size_t staged_count() const { return inactive_.size(); }
  // Frames with memory behind them.
  [[nodiscard]] size_t populated_count() const { return capacity_ - empty_.count(); }

  // At most `want` adjacent frames; count 0 if there are none. Their state does not change.
  Run FindEmpty(size_t want) { return ToRun(empty_.FindRun(want)); }
  Run FindToFree(size_t want) { return ToRun(to_free_.FindRun(want)); }

  // Empty -> Staged: page `owner` has been moved in, and keeps the slot `kept` if that is valid. It
  // becomes the youngest of the list.
  void NoteStaged(FrameId frame, PageIndex owner, SwapSlot kept);
  // Staged -> Empty: moved back to the program.
  void NoteMovedBack(FrameId frame);
  // Staged -> ToFree: its content was copied or discarded.
  void NoteDropped(FrameId frame);
  // Staged -> Storing for the oldest. An invalid id if nothing is staged.
  FrameId TakeOldest();
  // Storing -> ToFree: the content is stored, or nobody wants it any more.
  void NoteStored(FrameId frame);
  // Storing -> Staged: it could not be stored. It becomes the youngest.
  void NoteStoreFailed(FrameId frame);
  // ToFree -> Empty: released to the kernel.
  void NoteReleased(FrameId frame);

  [[nodiscard]] PageIndex owner(FrameId frame) const { return frames_[frame.raw()].owner; }
  // Requires: Staged or Storing.
  void SetOwner(FrameId frame, PageIndex owner);
  // The slot that the owner keeps (vm/page_entry.h). Not valid: none.
  [[nodiscard]] SwapSlot kept_slot(FrameId frame) const { return frames_[frame.raw()].kept; }
  // The caller takes over the slot. A frame without an owner keeps none.
  [[nodiscard]] SwapSlot TakeKeptSlot(FrameId frame);

  // Checks that states, bitmaps, list and counts agree.
  void Audit() const;

 private:
  enum class State : uint8_t { kEmpty = 0, kToFree, kStaged, kStoring };

  struct Frame {
    ListLink link;
    PageIndex owner;
    SwapSlot kept;
    State state = State::kEmpty;
  };

  static Run ToRun(Bitmap::Run run) {
    return {FrameId(static_cast<uint32_t>(run.first)), run.count};
  }
  // The only function that changes the state of a frame.
  void Change(FrameId frame, State from, State to);

  os::Mapping memory_;
  os::VirtualArray<Frame> frames_;
  os::VirtualArray<uint64_t> bits_;
  Bitmap empty_;
  Bitmap to_free_;
  IntrusiveList<Frame, &Frame::link> inactive_;  // front is the oldest
  size_t capacity_ = 0;
  size_t storing_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_RECLAIM_STAGING_FRAMES_H_
