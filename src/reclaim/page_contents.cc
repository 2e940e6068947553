#include "reclaim/page_contents.h"

#include <algorithm>
#include <utility>

namespace uzswap {

void PageContents::Init(const Parts& parts) {
  parts_ = parts;
  account_.Attach(parts.statistics);
}

void PageContents::NoteIsolated(PageIndex index, FrameId frame) {
  parts_.frames->NoteStaged(frame, index, parts_.table->entry(index).kept_slot());
  parts_.table->Transition(index, PageState::kStaged, frame.raw());
}

void PageContents::NoteVanished(PageIndex index) { Discard(index); }

void PageContents::NoteReturned(PageIndex index) {
  const FrameId frame = parts_.table->entry(index).frame();
  NoteTouched(index, frame);
  parts_.frames->NoteMovedBack(frame);
}

void PageContents::NoteCopiedBack(PageIndex index) {
  const PageEntry entry = parts_.table->entry(index);
  NoteTouched(index, entry.frame());
  if (entry.state() == PageState::kStaged) {
    parts_.frames->NoteDropped(entry.frame());
  } else {
    parts_.frames->SetOwner(entry.frame(), PageIndex());
  }
}

void PageContents::NoteTouched(PageIndex index, FrameId frame) {
  SwapSlot kept = parts_.frames->TakeKeptSlot(frame);
  if (!keeps_shared_) FreeKeptSlot(std::exchange(kept, SwapSlot()));
  NoteResident(index, kept);
}

void PageContents::NoteResident(PageIndex index, SwapSlot kept) {
  parts_.table->Transition(index, PageState::kResident, PageEntry::PayloadKeeping(kept));
}

void PageContents::NotePopulated(PageIndex index) {
  const PageEntry entry = parts_.table->entry(index);
  const bool compressed = entry.state() == PageState::kCompressed;
  const bool keeps = compressed && entry.shared() && keeps_shared_;
  NoteResident(index, keeps ? entry.slot() : SwapSlot());
  if (entry.state() == PageState::kUntracked) return;
  if (keeps) {
    NoteKept(1);
    if (parts_.observer != nullptr) parts_.observer->SlotFreed(entry.slot());
  } else if (compressed) {
    FreeStored(entry);
  }
  account_.NoteLoaded(!compressed);
}

FrameId PageContents::BeginStore() {
  const FrameId frame = parts_.frames->TakeOldest();
  if (frame.valid()) {
    parts_.table->Transition(parts_.frames->owner(frame), PageState::kInFlight, frame.raw());
  }
  return frame;
}

FinishOutcome PageContents::FinishStore(FrameId frame, const StoredPage& stored) {
  const PageIndex owner = parts_.frames->owner(frame);
  if (!owner.valid()) {
    // The slot of an unchanged page belongs to the page, not to this store.
    if (stored.as == StoredAs::kSlot) FreeSlot(stored.slot);
    parts_.statistics->lost_races.Add();
    parts_.frames->NoteStored(frame);
    return FinishOutcome::kLostRace;
  }
  UZ_CHECK_EQ(parts_.table->entry(owner).frame(), frame);
  const SwapSlot kept = parts_.frames->TakeKeptSlot(frame);
  if (stored.as != StoredAs::kUnchanged) FreeKeptSlot(kept);
  switch (stored.as) {
    case StoredAs::kSlot:
      parts_.table->Transition(owner, PageState::kCompressed, stored.slot.raw());
      ++not_shared_;
      break;
    case StoredAs::kUnchanged:
      UZ_CHECK_EQ(stored.slot, kept);
      parts_.table->Transition(owner, PageState::kCompressed, kept.raw());
      parts_.table->MarkShared(owner);
      NoteKept(-1);
      parts_.statistics->unchanged_pages.Add();
      break;
    case StoredAs::kSameFilled:
      parts_.table->Transition(owner, PageState::kSameFilled, stored.pattern);
      break;
    case StoredAs::kIncompressible:
    case StoredAs::kNoSpace:
      parts_.table->Transition(owner, PageState::kStaged, frame.raw());
      parts_.frames->NoteStoreFailed(frame);
      return stored.as == StoredAs::kNoSpace ? FinishOutcome::kNoSpace
                                             : FinishOutcome::kIncompressible;
  }
  account_.NoteStored(stored.as == StoredAs::kSameFilled);
  parts_.frames->NoteStored(frame);
  return FinishOutcome::kStored;
}

void PageContents::Discard(PageIndex index) {
  const PageEntry entry = parts_.table->entry(index);
  switch (entry.state()) {
    case PageState::kUntracked:
      return;
    case PageState::kResident:
      FreeKeptSlot(entry.kept_slot());
      break;
    case PageState::kStaged:
      FreeKeptSlot(parts_.frames->TakeKeptSlot(entry.frame()));
      parts_.frames->NoteDropped(entry.frame());
      break;
    case PageState::kInFlight:
      FreeKeptSlot(parts_.frames->TakeKeptSlot(entry.frame()));
      parts_.frames->SetOwner(entry.frame(), PageIndex());
      break;
    case PageState::kCompressed:
      FreeStored(entry);
      account_.NoteInvalidated(false);
      break;
    case PageState::kSameFilled:
      account_.NoteInvalidated(true);
      break;
  }
  parts_.table->Transition(index, PageState::kUntracked);
}

void PageContents::FreeSlot(SwapSlot slot) {
  parts_.sink->Free(*parts_.context, slot);
  if (parts_.observer != nullptr) parts_.observer->SlotFreed(slot);
}

void PageContents::FreeStored(PageEntry entry) {
  not_shared_ -= entry.shared() ? 0 : 1;
  FreeSlot(entry.slot());
}

SwapSlot PageContents::KeptSlotOf(PageEntry entry) const {
  switch (entry.state()) {
    case PageState::kResident:
      return entry.kept_slot();
    case PageState::kStaged:
    case PageState::kInFlight:
      return parts_.frames->kept_slot(entry.frame());
    case PageState::kUntracked:
    case PageState::kCompressed:
    case PageState::kSameFilled:
      break;
  }
  return {};
}

void PageContents::FreeKeptSlot(SwapSlot slot) {
  if (!slot.valid()) return;
  FreeSlot(slot);
  NoteKept(-1);
}

void PageContents::NoteKept(int64_t change) {
  kept_ += static_cast<uint64_t>(change);
  parts_.statistics->kept_pages.Set(kept_);
}

void PageContents::BeginSharing() {
  keeps_shared_ = true;
  ended_to_ = 0;
  // Forks follow each other quickly; a mark that is set again would copy the table for the child.
  if (not_shared_ == 0) return;
  parts_.table->ForEachTracked({0, UINT64_MAX}, [this](PageIndex index) {
    const PageEntry entry = parts_.table->entry(index);
    if (entry.state() != PageState::kCompressed || entry.shared()) return;
    parts_.table->MarkShared(index);
    --not_shared_;
  });
}

bool PageContents::EndSharing(size_t looks_max) {
  keeps_shared_ = false;
  const PageTable& table = *parts_.table;
  size_t looks = 0;
  while (kept_ > 0) {
    const size_t position = table.PositionFrom(ended_to_);
    if (position == table.count()) break;
    if (looks >= looks_max) return false;
    const RegisteredRange& range = table.at(position);
    const uint64_t from = std::max(ended_to_, range.start);
    const PageTable::ResidentLook look = table.LookForResident(range, range.IndexOf(from));
    looks += 1 + look.blocks;
    const uint64_t pages = (look.page.valid() ? look.page + 1 : look.stopped) - range.first;
    ended_to_ = range.start + (pages << kPageShift);
    if (!look.page.valid()) continue;
    const SwapSlot kept = table.entry(look.page).kept_slot();
    if (!kept.valid()) continue;
    parts_.table->DropKeptSlot(look.page);
    FreeKeptSlot(kept);
  }
  ended_to_ = 0;
  return true;
}

void PageContents::CountInherited() {
  NoteKept(0);
  parts_.table->ForEachTracked({0, UINT64_MAX}, [this](PageIndex index) {
    const PageEntry entry = parts_.table->entry(index);
    const PageState state = entry.state();
    const bool same_filled = state == PageState::kSameFilled;
    if (same_filled || state == PageState::kCompressed) account_.NoteStored(same_filled);
  });
}

void PageContents::Audit() const {
  parts_.frames->Audit();
  size_t staged = 0;
  uint64_t not_shared = 0;
  uint64_t kept = 0;
  parts_.table->ForEachTracked({0, UINT64_MAX}, [&, this](PageIndex index) {
    const PageEntry entry = parts_.table->entry(index);
    not_shared += entry.state() == PageState::kCompressed && !entry.shared() ? 1 : 0;
    kept += KeptSlotOf(entry).valid() ? 1 : 0;
    if (entry.state() != PageState::kStaged && entry.state() != PageState::kInFlight) return;
    UZ_CHECK_EQ(parts_.frames->owner(entry.frame()), index);
    staged += entry.state() == PageState::kStaged ? 1 : 0;
  });
  UZ_CHECK_EQ(staged, parts_.frames->staged_count());
  UZ_CHECK_EQ(not_shared, not_shared_);
  UZ_CHECK_EQ(kept, kept_);
}

}  // namespace uzswap
