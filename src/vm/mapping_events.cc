#include "vm/mapping_events.h"

namespace uzswap {

using os::UserFaultEvent;

namespace {

// Displaced pages have their addresses plus this. No program has such addresses.
constexpr uint64_t kDisplaced = uint64_t{1} << 62;

constexpr AddressRange Shift(AddressRange range, bool displaced) {
  const uint64_t base = displaced ? kDisplaced : 0;
  return {base + range.start, base + range.end};
}

bool HasPages(const PageTable& table, AddressRange range) {
  const size_t position = table.PositionFrom(range.start);
  return position < table.count() && table.at(position).start < range.end;
}

}  // namespace

void MappingEvents::Apply(const UserFaultEvent& event) {
  SettleLateEvents();
  const AddressRange range{event.start, event.end};
  switch (event.kind) {
    case UserFaultEvent::Kind::kUnmap:
      parts_.statistics->unmap_events.Add();
      ApplyUnmap(range);
      return;
    case UserFaultEvent::Kind::kRemove:
      // The pages can still be present now. They become Untracked anyway, so that none of them
      // is isolated, and brought back after the program dropped it.
      parts_.statistics->remove_events.Add();
      DiscardRange(range);
      discards_.Note(range);
      return;
    case UserFaultEvent::Kind::kRemap:
      parts_.statistics->remap_events.Add();
      ApplyRemap(range, event.target);
      return;
    case UserFaultEvent::Kind::kPageFault:
      break;
  }
  Panic(__FILE__, __LINE__, "a page fault is not an event");
}

// An answer other than kRetry proves that every change was reported: no unmap event is pending,
// and displaced pages that no event mentioned have gone with their mapping.
void MappingEvents::SettleLateEvents() {
  if (!parts_.port->TakeQuietProof()) return;
  pending_.Clear();
  if (parts_.table->PositionFrom(kDisplaced) < parts_.table->count()) {
    ForgetRange({kDisplaced, UINT64_MAX});
  }
}

void MappingEvents::ApplyUnmap(AddressRange range) {
  const bool is_former = HasFormerPages(range);
  for (uint64_t at = range.start; at < range.end;) {
    const PendingUnmaps::Piece piece = pending_.Match({at, range.end});
    if (!piece.pending) ForgetFormer({at, piece.end}, is_former);
    at = piece.end;
  }
}

// Has the range pages, displaced or not, that were there before the remaps that have not returned?
// If not, the event is one of the new owner. That is so after MREMAP_DONTUNMAP, which has returned
// without the event that would tell.
bool MappingEvents::HasFormerPages(AddressRange range) const {
  if (HasPages(*parts_.table, Shift(range, true))) return true;
  for (uint64_t at = range.start; at < range.end;) {
    const PendingUnmaps::Piece piece = pending_.Landed({at, range.end});
    if (!piece.pending && HasPages(*parts_.table, {at, piece.end})) return true;
    at = piece.end;
  }
  return false;
}

void MappingEvents::ForgetFormer(AddressRange range, bool spare_landed) {
  for (uint64_t at = range.start; at < range.end;) {
    const FormerPiece former = FormerFrom({at, range.end});
    const AddressRange piece = Shift({at, former.end}, former.displaced);
    if (spare_landed && !former.displaced) {
      ForgetAllButLanded(piece);
    } else {
      ForgetRange(piece);
    }
    at = former.end;
  }
}

void MappingEvents::ForgetAllButLanded(AddressRange range) {
  for (uint64_t at = range.start; at < range.end;) {
    const PendingUnmaps::Piece piece = pending_.Landed({at, range.end});
    if (!piece.pending) ForgetRange({at, piece.end});
    at = piece.end;
  }
}

void MappingEvents::ApplyRemap(AddressRange source, uint64_t target) {
  // What the table has at the target has gone, but its own event was not read yet.
  const AddressRange landing{target, target + source.size().raw()};
  if (HasPages(*parts_.table, landing)) {
    if (HasPages(*parts_.table, Shift(landing, true))) {
      Panic(__FILE__, __LINE__, "too many changes of one range at once: events out of order");
    }
    MoveRange(landing, Shift(landing, true).start);
  }
  for (uint64_t at = source.start; at < source.end;) {
    const FormerPiece former = FormerFrom({at, source.end});
    MoveRange(Shift({at, former.end}, former.displaced), target + (at - source.start));
    at = former.end;
  }
  pending_.Add(source, target);
}

// The longest piece, from the start on, of which an event makes one statement: it concerns
// displaced pages where there are any, else the pages in the table.
MappingEvents::FormerPiece MappingEvents::FormerFrom(AddressRange range) const {
  const AddressRange displaced = Shift(range, true);
  const size_t position = parts_.table->PositionFrom(displaced.start);
  if (position == parts_.table->count()) return {range.end, false};
  const RegisteredRange& found = parts_.table->at(position);
  const bool is_displaced = found.start <= displaced.start;
  const uint64_t edge = (is_displaced ? found.end : found.start) - kDisplaced;
  return {edge < range.end ? edge : range.end, is_displaced};
}

void MappingEvents::MoveRange(AddressRange source, uint64_t target) {
  const Result<void> moved = parts_.table->Move(source, target);
  if (!moved.ok()) Panic(__FILE__, __LINE__, "a remapped range does not fit the page table");
}

void MappingEvents::ForgetRange(AddressRange range) {
  DiscardRange(range);
  parts_.table->Remove(range);
}

void MappingEvents::DiscardRange(AddressRange range) {
  parts_.table->ForEachTracked(range,
                               [this](PageIndex index) { parts_.discarder->Discard(index); });
}

}  // namespace uzswap
