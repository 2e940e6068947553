// Events: what the program does to its mappings, and mappings that come into care.
#include <cerrno>

#include "os/mapping.h"
#include "pager/pager.h"

namespace uzswap {

using os::UserFaultEvent;

void Pager::ApplyEvent(const UserFaultEvent& event) {
  switch (event.kind) {
    case UserFaultEvent::Kind::kUnmap:
      parts_.statistics->unmap_events.Add();
      DiscardRange(event.start, event.end);
      regions_.Remove(event.start, event.end);
      return;
    case UserFaultEvent::Kind::kRemove:
      // The pages may still be there when we read this. They become Untracked all the same,
      // so that none of them is taken away, and brought back, after the program dropped it.
      parts_.statistics->remove_events.Add();
      DiscardRange(event.start, event.end);
      return;
    case UserFaultEvent::Kind::kRemap: {
      parts_.statistics->remap_events.Add();
      const uint64_t length = event.end - event.start;
      // What lay at the target was unmapped, and that event came first.
      DiscardRange(event.target, event.target + length);
      regions_.Remove(event.target, event.target + length);
      const Result<void> moved = regions_.Move(event.start, event.end, event.target);
      if (!moved.ok()) Panic(__FILE__, __LINE__, "a remapped range does not fit the region table");
      return;
    }
    case UserFaultEvent::Kind::kPageFault:
      break;
  }
  Panic(__FILE__, __LINE__, "a page fault is not an event");
}

void Pager::DiscardRange(uint64_t start, uint64_t end) {
  for (size_t i = regions_.IndexFrom(start); i < regions_.count(); ++i) {
    const Region& region = regions_.at(i);
    if (region.start >= end) break;
    const uint64_t from = region.start > start ? region.start : start;
    const uint64_t to = region.end < end ? region.end : end;
    const PageNumber first = region.NumberOf(from);
    const uint64_t pages = (to - from) >> kPageShift;
    for (uint64_t page = 0; page < pages; ++page) {
      Discard(first + static_cast<PageNumber>(page));
    }
  }
}

void Pager::Discard(PageNumber number) {
  PageWord& word = regions_.word(number);
  Statistics& statistics = *parts_.statistics;
  switch (word.state()) {
    case PageState::kUntracked:
      return;
    case PageState::kResident:
      --resident_;
      break;
    case PageState::kCached:
      frames_.NoteDropped(word.frame());
      break;
    case PageState::kInFlight:
      frames_.SetOwner(word.frame(), kNoOwner);
      break;
    case PageState::kCompressed:
      parts_.store->Free(word.handle());
      statistics.stored_pages.Sub();
      statistics.invalidated_pages.Add();
      break;
    case PageState::kSameFilled:
      statistics.same_filled_pages.Sub();
      statistics.stored_pages.Sub();
      statistics.invalidated_pages.Add();
      break;
  }
  word.Transition(PageState::kUntracked);
}

bool Pager::Adopt(uint64_t start, uint64_t end) {
  mutex_.Lock();
  // What the program unmapped before the mapping list was read must leave the map first.
  ReadLocked();
  const bool added = AdoptLocked(start, end);
  const bool waiting = parked_count_ > 0;
  mutex_.Unlock();
  if (waiting) ServeWaiting();
  return added;
}

bool Pager::AdoptLocked(uint64_t start, uint64_t end) {
  bool added = false;
  uint64_t at = start;
  while (at < end) {
    const size_t index = regions_.IndexFrom(at);
    const uint64_t next_start = index < regions_.count() ? regions_.at(index).start : UINT64_MAX;
    const uint64_t next_end = index < regions_.count() ? regions_.at(index).end : UINT64_MAX;
    if (next_start > at) {
      added |= AdoptGap(at, next_start < end ? next_start : end);
    }
    at = next_end;
  }
  return added;
}

bool Pager::AdoptGap(uint64_t start, uint64_t end) {
  if (os::IsOwnRange(start, end - start)) return false;
  if (!parts_.port->Register(start, end - start).ok()) {
    // Gone meanwhile, or of a kind the kernel does not register, or somebody else's.
    parts_.statistics->refused_pages.Add();
    return false;
  }
  if (!regions_.Add(start, end).ok()) {
    // Registered but not in the map: its faults find it in the mapping list, and give zero
    // pages, which is right as long as nothing is taken from it; and nothing is.
    parts_.statistics->refused_pages.Add();
    return false;
  }
  MarkPresent(start, end);
  parts_.statistics->adoptions.Add();
  return true;
}

// No page can appear behind our back from here on: missing pages are ours to supply, and we
// hold the lock. A page that is there becomes Resident; the rest is Untracked.
void Pager::MarkPresent(uint64_t start, uint64_t end) {
  os::PresentRun runs[64];
  uint64_t at = start;
  while (at < end) {
    uint64_t walked = end;
    const Result<size_t> found = parts_.address_space->Present(at, end, runs, 64, &walked);
    if (!found.ok()) return;  // unmapped meanwhile; the event is on its way
    for (size_t i = 0; i < found.value(); ++i) {
      const Region* region = regions_.Find(runs[i].start);
      UZ_CHECK(region != nullptr && runs[i].end <= region->end);
      const PageNumber first = region->NumberOf(runs[i].start);
      const uint64_t pages = (runs[i].end - runs[i].start) >> kPageShift;
      for (uint64_t page = 0; page < pages; ++page) {
        regions_.word(first + static_cast<PageNumber>(page)).Transition(PageState::kResident);
      }
      resident_ += pages;
    }
    if (walked <= at) return;
    at = walked;
  }
}

}  // namespace uzswap
