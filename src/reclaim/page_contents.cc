#include "reclaim/page_contents.h"

namespace uzswap {

void PageContents::Init(const Parts& parts) {
  parts_ = parts;
  account_.Attach(parts.statistics);
}

void PageContents::NoteIsolated(PageIndex index, FrameId frame) {
  parts_.frames->NoteStaged(frame, index);
  parts_.table->Transition(index, PageState::kStaged, frame.raw());
}

void PageContents::NoteVanished(PageIndex index) {
  parts_.table->Transition(index, PageState::kUntracked);
}

void PageContents::NoteReturned(PageIndex index) {
  parts_.frames->NoteMovedBack(parts_.table->entry(index).frame());
  parts_.table->Transition(index, PageState::kResident);
}

void PageContents::NoteCopiedBack(PageIndex index) {
  const PageEntry entry = parts_.table->entry(index);
  if (entry.state() == PageState::kStaged) {
    parts_.frames->NoteDropped(entry.frame());
  } else {
    parts_.frames->SetOwner(entry.frame(), PageIndex());
  }
  parts_.table->Transition(index, PageState::kResident);
}

void PageContents::NotePopulated(PageIndex index) {
  const PageEntry entry = parts_.table->entry(index);
  parts_.table->Transition(index, PageState::kResident);
  if (entry.state() == PageState::kUntracked) return;
  const bool same_filled = entry.state() == PageState::kSameFilled;
  if (!same_filled) FreeSlot(entry.slot());
  account_.NoteLoaded(same_filled);
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
    if (stored.as == StoredAs::kSlot) FreeSlot(stored.slot);
    parts_.statistics->lost_races.Add();
    parts_.frames->NoteStored(frame);
    return FinishOutcome::kLostRace;
  }
  UZ_CHECK_EQ(parts_.table->entry(owner).frame(), frame);
  switch (stored.as) {
    case StoredAs::kSlot:
      parts_.table->Transition(owner, PageState::kCompressed, stored.slot.raw());
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
      break;
    case PageState::kStaged:
      parts_.frames->NoteDropped(entry.frame());
      break;
    case PageState::kInFlight:
      parts_.frames->SetOwner(entry.frame(), PageIndex());
      break;
    case PageState::kCompressed:
      FreeSlot(entry.slot());
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

void PageContents::CountInherited() {
  parts_.table->ForEachTracked({0, UINT64_MAX}, [this](PageIndex index) {
    const PageState state = parts_.table->entry(index).state();
    const bool same_filled = state == PageState::kSameFilled;
    if (same_filled || state == PageState::kCompressed) account_.NoteStored(same_filled);
  });
}

void PageContents::Audit() const {
  parts_.frames->Audit();
  size_t staged = 0;
  parts_.table->ForEachTracked({0, UINT64_MAX}, [this, &staged](PageIndex index) {
    const PageEntry entry = parts_.table->entry(index);
    if (entry.state() != PageState::kStaged && entry.state() != PageState::kInFlight) return;
    UZ_CHECK_EQ(parts_.frames->owner(entry.frame()), index);
    staged += entry.state() == PageState::kStaged ? 1 : 0;
  });
  UZ_CHECK_EQ(staged, parts_.frames->staged_count());
}

}  // namespace uzswap
