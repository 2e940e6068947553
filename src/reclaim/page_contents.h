// PageContents: changes the state of a page together with what holds its content.
//
//   entry          frame            slot           account
//   Staged         Staged, owned    -              -
//   InFlight       Storing, owned   -              -
//   Compressed     -                allocated      stored
//   SameFilled     -                -              stored
//
// Each call is one row to another row of this table, and the only code that changes more than one
// of these columns. So an Audit() of entries against frames holds after every call.
//
// A frame in state Storing can lose its owner: the page was touched (its content was copied out) or
// discarded. The thread that stored it finds this in FinishStore: a lost race, an ordinary outcome.
//
// All calls under the owner's lock. Nothing allocates.
#ifndef UZSWAP_RECLAIM_PAGE_CONTENTS_H_
#define UZSWAP_RECLAIM_PAGE_CONTENTS_H_

#include <cstdint>

#include "base/statistics.h"
#include "reclaim/staging_frames.h"
#include "reclaim/store_sink.h"
#include "swap/page_account.h"
#include "vm/mapping_events.h"
#include "vm/page_table.h"

namespace uzswap {

// Called when a swap slot is freed: its content has no owner from here on.
class SlotObserver {
 public:
  virtual void SlotFreed(SwapSlot slot) = 0;

 protected:
  ~SlotObserver() = default;
};

enum class FinishOutcome : uint8_t {
  kStored,          // the entry names the stored content, the frame is ToFree
  kLostRace,        // the page changed meanwhile: what was stored is freed, the frame is ToFree
  kIncompressible,  // Staged again
  kNoSpace,         // Staged again
};

class PageContents final : public PageDiscarder {
 public:
  // All outlive this. `context` is used under the lock only.
  struct Parts {
    PageTable* table = nullptr;
    StagingFrames* frames = nullptr;
    StoreSink* sink = nullptr;
    CacheContext* context = nullptr;
    Statistics* statistics = nullptr;
    SlotObserver* observer = nullptr;  // may be nullptr
  };

  void Init(const Parts& parts);

  // Resident -> Staged: moved into an Empty frame.
  void NoteIsolated(PageIndex index, FrameId frame);
  // Resident -> Untracked: the kernel has no page there.
  void NoteVanished(PageIndex index);
  // Staged -> Resident: moved back, the frame is Empty.
  void NoteReturned(PageIndex index);
  // Staged or InFlight -> Resident: copied, the frame is ToFree or has no owner.
  void NoteCopiedBack(PageIndex index);
  // Untracked, Compressed or SameFilled -> Resident: populated by a copy or the zero page.
  void NotePopulated(PageIndex index);
  // Staged -> InFlight for the oldest frame. An invalid id if nothing is staged.
  FrameId BeginStore();
  FinishOutcome FinishStore(FrameId frame, const StoredPage& stored);
  // Any state -> Untracked.
  void Discard(PageIndex index) override;

  // In a forked child: its account begins with the pages that the parent had stored.
  void CountInherited();
  // Checks that entries and frames name each other. Costly.
  void Audit() const;

 private:
  void FreeSlot(SwapSlot slot);

  Parts parts_;
  PageAccount account_;
};

}  // namespace uzswap

#endif  // UZSWAP_RECLAIM_PAGE_CONTENTS_H_
