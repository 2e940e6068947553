// Events: what the program does to its mappings, and mappings that come into care.
#include <cerrno>

#include "os/mapping.h"
#include "os/thread.h"
#include "pager/pager.h"

namespace uzswap {

using os::UserFaultEvent;

namespace {

// Pages whose addresses are in use again, while the event that tells where they went is still to
// come, keep their words at these addresses, which no program has.
constexpr uint64_t kLimbo = uint64_t{1} << 62;

}  // namespace

void Pager::ApplyEvent(const UserFaultEvent& event) {
  SettleLateEvents();
  switch (event.kind) {
    case UserFaultEvent::Kind::kUnmap:
      parts_.statistics->unmap_events.Add();
      ApplyUnmap(event.start, event.end);
      return;
    case UserFaultEvent::Kind::kRemove:
      // The pages may still be there when we read this. They become Untracked all the same,
      // so that none of them is taken away, and brought back, after the program dropped it.
      parts_.statistics->remove_events.Add();
      DiscardRange(event.start, event.end);
      return;
    case UserFaultEvent::Kind::kRemap:
      parts_.statistics->remap_events.Add();
      ApplyRemap(event.start, event.end, event.target);
      return;
    case UserFaultEvent::Kind::kPageFault:
      break;
  }
  Panic(__FILE__, __LINE__, "a page fault is not an event");
}

// An answer other than kRetry proves that everything was told: nothing is owed, and pages whose
// whereabouts nobody told have gone with their mapping.
void Pager::SettleLateEvents() {
  if (!witness_.TakeProof()) return;
  owed_.Clear();
  if (regions_.IndexFrom(kLimbo) < regions_.count()) ForgetRange(kLimbo, UINT64_MAX);
}

void Pager::ApplyUnmap(uint64_t start, uint64_t end) {
  for (uint64_t at = start; at < end;) {
    const OwedUnmaps::Piece piece = owed_.Pay(at, end);
    if (!piece.owed) ForgetFormer(at, piece.end);
    at = piece.end;
  }
}

void Pager::ForgetFormer(uint64_t start, uint64_t end) {
  for (uint64_t at = start; at < end;) {
    const FormerPiece former = FormerFrom(at, end);
    const uint64_t base = former.in_limbo ? kLimbo : 0;
    ForgetRange(base + at, base + former.end);
    at = former.end;
  }
}

void Pager::ApplyRemap(uint64_t start, uint64_t end, uint64_t target) {
  // What lay at the target has gone, but where to, nobody told yet.
  const uint64_t target_end = target + (end - start);
  const size_t occupied = regions_.IndexFrom(target);
  if (occupied < regions_.count() && regions_.at(occupied).start < target_end) {
    const size_t limbo = regions_.IndexFrom(kLimbo + target);
    if (limbo < regions_.count() && regions_.at(limbo).start < kLimbo + target_end) {
      Panic(__FILE__, __LINE__, "too many changes of one range at once: events out of order");
    }
    MoveRange(target, target_end, kLimbo + target);
  }
  for (uint64_t at = start; at < end;) {
    const FormerPiece former = FormerFrom(at, end);
    const uint64_t base = former.in_limbo ? kLimbo : 0;
    MoveRange(base + at, base + former.end, target + (at - start));
    at = former.end;
  }
  owed_.Add(start, end);
}

// The longest piece from `start` on of which an event speaks alike: of pages in limbo, which it
// then concerns, or of those in the map.
Pager::FormerPiece Pager::FormerFrom(uint64_t start, uint64_t end) {
  const size_t index = regions_.IndexFrom(kLimbo + start);
  if (index == regions_.count()) return {end, false};
  const Region& region = regions_.at(index);
  const bool in_limbo = region.start <= kLimbo + start;
  const uint64_t edge = (in_limbo ? region.end : region.start) - kLimbo;
  return {edge < end ? edge : end, in_limbo};
}

void Pager::MoveRange(uint64_t start, uint64_t end, uint64_t target) {
  const Result<void> moved = regions_.Move(start, end, target);
  if (!moved.ok()) Panic(__FILE__, __LINE__, "a remapped range does not fit the region table");
}

void Pager::ForgetRange(uint64_t start, uint64_t end) {
  DiscardRange(start, end);
  regions_.Remove(start, end);
}

void Pager::DiscardRange(uint64_t start, uint64_t end) {
  for (size_t i = regions_.IndexFrom(start); i < regions_.count(); ++i) {
    const Region& region = regions_.at(i);
    if (region.start >= end) break;
    const uint64_t from = region.start > start ? region.start : start;
    const uint64_t to = region.end < end ? region.end : end;
    const PageIndex first = region.NumberOf(from);
    const uint64_t pages = (to - from) >> kPageShift;
    for (uint64_t page = 0; page < pages; ++page) {
      Discard(first + static_cast<PageIndex>(page));
    }
  }
}

void Pager::Discard(PageIndex number) {
  PageEntry& word = regions_.word(number);
  Statistics& statistics = *parts_.statistics;
  switch (word.state()) {
    case PageState::kUntracked:
      return;
    case PageState::kResident:
      --resident_;
      break;
    case PageState::kStaged:
      frames_.NoteDropped(word.frame());
      break;
    case PageState::kInFlight:
      frames_.SetOwner(word.frame(), kNoOwner);
      break;
    case PageState::kCompressed:
      parts_.store->Free(context_, word.slot());
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
  for (int i = 0; i < kAdoptTries; ++i) {
    mutex_.Lock();
    // What the program unmapped before the mapping list was read must leave the map first.
    ReadLocked();
    const bool added = AdoptLocked(start, end);
    const bool quiet = NothingAnnounced();
    const bool waiting = parked_count_ > 0;
    mutex_.Unlock();
    if (waiting) ServeWaiting();
    if (added || quiet) return added;
    os::YieldProcessor();
  }
  return false;
}

// Asks for what is there already: the kernel says so, unless it has something to tell first.
bool Pager::NothingAnnounced() {
  const auto sentinel = reinterpret_cast<uint64_t>(sentinel_.data());
  return parts_.port->Zero(sentinel).outcome != os::PortOutcome::kRetry;
}

bool Pager::AdoptLocked(uint64_t start, uint64_t end) {
  bool added = false;
  uint64_t at = start;
  while (at < end) {
    const size_t index = regions_.IndexFrom(at);
    const uint64_t next_start = index < regions_.count() ? regions_.at(index).start : UINT64_MAX;
    const uint64_t next_end = index < regions_.count() ? regions_.at(index).end : UINT64_MAX;
    if (next_start > at) {
      // Registering splits mappings at the ends of the range, and the program's next mremap of
      // what was one mapping would fail. So only whole ones, and only when no region of ours
      // can be there that has gone.
      if (!added && (!NothingAnnounced() || !IsWhole(start, end))) return false;
      added |= AdoptGap(at, next_start < end ? next_start : end);
    }
    at = next_end;
  }
  return added;
}

// No mapping reaches over either end. It may have changed since its range was listed.
bool Pager::IsWhole(uint64_t start, uint64_t end) {
  os::MapsEntry entry;
  if (!parts_.address_space->Find(start, &entry) || entry.start != start) return false;
  if (entry.end == end) return true;
  return entry.end < end && parts_.address_space->Find(end - kPageSize, &entry) && entry.end == end;
}

bool Pager::AdoptGap(uint64_t start, uint64_t end) {
  if (os::IsOwnRange(start, end - start)) return false;
  // A mapping that does not fit the tables is not registered: it stays the kernel's.
  if (!regions_.Add(start, end).ok()) {
    parts_.statistics->refused_pages.Add();
    return false;
  }
  if (!parts_.port->Register(start, end - start).ok()) {
    // Gone meanwhile, or of a kind the kernel does not register, or somebody else's.
    regions_.Remove(start, end);
    parts_.statistics->refused_pages.Add();
    return false;
  }
  MarkPresent(start, end);
  if (!NothingAnnounced()) {
    // It may have come there by a remap that is still to be told, or be about to leave.
    ForgetRange(start, end);
    return false;
  }
  parts_.statistics->adoptions.Add();
  return true;
}

// No page can appear behind our back from here on: missing pages are ours to supply, and we
// hold the lock. A page that is there becomes Resident; the rest is Untracked.
void Pager::MarkPresent(uint64_t start, uint64_t end) {
  // Where it ends early the range was unmapped meanwhile; the event is on its way.
  os::PresentWalk walk(*parts_.address_space, start, end);
  for (os::PresentRun run; walk.Next(&run);) {
    const Region* region = regions_.Find(run.start);
    UZ_CHECK(region != nullptr && run.end <= region->end);
    const PageIndex first = region->NumberOf(run.start);
    const uint64_t pages = (run.end - run.start) >> kPageShift;
    for (uint64_t page = 0; page < pages; ++page) {
      regions_.word(first + static_cast<PageIndex>(page)).Transition(PageState::kResident);
    }
    resident_ += pages;
  }
}

}  // namespace uzswap
