// PageContents: changes the state of a page together with what holds its content.
//
//   entry          frame            slot           account
//   Staged         Staged, owned    -              -
//   InFlight       Storing, owned   -              -
//   Compressed     -                allocated      stored
//   SameFilled     -                -              stored
//
// A page that is loaded from a slot which a forked relative has too keeps it: while the relative
// keeps its own, freeing the slot would free no memory, and storing the page again would need some.
//
//   entry          kept slot in       account
//   Resident       the entry          not stored
//   Staged         the frame          not stored
//   InFlight       the frame          not stored
//
// If the page is stored next and the slot still holds the same content, the slot is its content
// again (StoredAs::kUnchanged). Else the slot is freed. This is the kernel's swap cache, for shared
// slots only, and with the content compared, because nobody says that a page was written to. It is
// also right for a page that was written to and then got its former content back: the counts of
// references of an interpreter do.
//
// Each call is one row to another row of these tables, and the only code that changes more than one
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

// Called when a swap slot is freed, and when its page has been loaded: nobody needs what was read
// from it.
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

  // Before a fork: what is stored now is shared from now on, and kept when it is loaded. Walks over
  // all entries if anything was stored since the last call.
  void BeginSharing();
  // Nothing is shared any more: nothing is kept from now on, and the kept slots are freed. Looks at
  // so many pages at most; false if it has to be called again.
  static constexpr size_t kNoBound = SIZE_MAX;
  bool EndSharing(size_t looks_max = kNoBound);

  // In a forked child: its account begins with the pages that the parent had stored.
  void CountInherited();
  // Checks that entries and frames name each other. Costly.
  void Audit() const;

 private:
  // To Resident, with a slot that the page keeps if it is valid.
  void NoteResident(PageIndex index, SwapSlot kept);
  // The same from Staged or InFlight, with the slot that the frame has.
  void NoteTouched(PageIndex index, FrameId frame);
  void NoteKept(int64_t change);
  // Not valid: the page keeps none.
  [[nodiscard]] SwapSlot KeptSlotOf(PageEntry entry) const;
  void FreeSlot(SwapSlot slot);
  // Of an entry that was Compressed.
  void FreeStored(PageEntry entry);
  // `slot` may be not valid.
  void FreeKeptSlot(SwapSlot slot);

  Parts parts_;
  bool keeps_shared_ = false;
  uint64_t not_shared_ = 0;  // Compressed pages without the mark
  uint64_t kept_ = 0;        // kept slots
  uint64_t ended_to_ = 0;    // the address that EndSharing has come to
  PageAccount account_;
};

}  // namespace uzswap

#endif  // UZSWAP_RECLAIM_PAGE_CONTENTS_H_
