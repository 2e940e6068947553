#include "vm/range_registrar.h"

#include <utility>

namespace uzswap {

Result<void> RangeRegistrar::Init(const Parts& parts) {
  parts_ = parts;
  auto probe = os::Mapping::Create(Bytes(kPageSize), "the probe page");
  if (!probe.ok()) return probe.error();
  probe_ = std::move(probe).value();
  return {};
}

Result<void> RangeRegistrar::RegisterProbe() {
  return parts_.port->Register(reinterpret_cast<uint64_t>(probe_.data()), probe_.size());
}

bool RangeRegistrar::NothingPending() {
  const auto probe = reinterpret_cast<uint64_t>(probe_.data());
  return parts_.port->Zero(probe).outcome != os::PortOutcome::kRetry;
}

bool RangeRegistrar::Adopt(AddressRange range) {
  bool added = false;
  for (uint64_t at = range.start; at < range.end;) {
    const size_t position = parts_.table->PositionFrom(at);
    const bool known = position < parts_.table->count();
    const uint64_t next_start = known ? parts_.table->at(position).start : UINT64_MAX;
    const uint64_t next_end = known ? parts_.table->at(position).end : UINT64_MAX;
    if (next_start > at) {
      if (!added && (!NothingPending() || !IsWhole(range))) return false;
      added |= AdoptGap({at, next_start < range.end ? next_start : range.end});
    }
    at = next_end;
  }
  return added;
}

// No mapping extends beyond either end. It may have changed since its range was listed.
bool RangeRegistrar::IsWhole(AddressRange range) {
  os::AddressSpace& space = *parts_.address_space;
  os::MapsEntry entry;
  if (!space.Find(range.start, &entry) || entry.start != range.start) return false;
  if (entry.end == range.end) return true;
  return entry.end < range.end && space.Find(range.end - kPageSize, &entry) &&
         entry.end == range.end;
}

bool RangeRegistrar::AdoptGap(AddressRange gap) {
  if (os::IsOwnRange(gap)) return false;
  // A mapping that does not fit the tables is not registered: the kernel keeps serving it.
  if (!parts_.table->Add(gap).ok()) {
    parts_.statistics->refused_pages.Add();
    return false;
  }
  if (!parts_.port->Register(gap.start, gap.size().raw()).ok()) {
    // Unmapped meanwhile, or of a kind that the kernel does not register, or somebody else's.
    parts_.table->Remove(gap);
    parts_.statistics->refused_pages.Add();
    return false;
  }
  MarkPresent(gap);
  if (!NothingPending()) {
    // The mapping may have come here by a remap whose event is pending, or be about to leave.
    parts_.events->ForgetRange(gap);
    return false;
  }
  parts_.statistics->adoptions.Add();
  return true;
}

// From here on no page can appear that uzswap does not know: missing pages are populated by us,
// and we hold the lock. A page that is present becomes Resident, the rest is Untracked.
void RangeRegistrar::MarkPresent(AddressRange range) {
  // Where the walk ends early the range was unmapped meanwhile; its event is pending.
  os::PresentWalk walk(*parts_.address_space, range.start, range.end);
  for (os::PresentRun run; walk.Next(&run);) {
    const RegisteredRange* found = parts_.table->Find(run.start);
    UZ_CHECK(found != nullptr && run.end <= found->end);
    const PageIndex first = found->IndexOf(run.start);
    const uint64_t pages = (run.end - run.start) >> kPageShift;
    for (uint64_t page = 0; page < pages; ++page) {
      parts_.table->Transition(first + page, PageState::kResident);
    }
  }
}

// MADV_FREE leaves pages present, and the program has used them again. A page of a mapping that has
// just been replaced can be among them: its event is pending, so it is not isolated, and the event
// discards it.
uint64_t RangeRegistrar::TrackAgain(DiscardWatch& discards) {
  uint64_t tracked = 0;
  discards.ForEachSettled([this, &tracked](AddressRange settled) {
    os::PresentWalk walk(*parts_.address_space, settled.start, settled.end);
    for (os::PresentRun run; walk.Next(&run);) {
      parts_.table->ForEachPage({run.start, run.end}, [this, &tracked](PageIndex index) {
        if (parts_.table->entry(index).state() != PageState::kUntracked) return;
        tracked += parts_.table->Transition(index, PageState::kResident) ? 1 : 0;
      });
    }
  });
  discards.ClearClosed();
  return tracked;
}

Result<void> RangeRegistrar::RegisterInChild() {
  os::AddressSpace& space = *parts_.address_space;
  PageTable& table = *parts_.table;
  os::MapsEntry entry;
  bool mapped = space.FindOnward(0, &entry);
  if (!mapped) return Error{0, "the list of the child's mappings cannot be read"};
  bool replaced = false;
  bool lost = false;
  uint64_t at = 0;
  while (true) {
    const size_t position = table.PositionFrom(at);
    if (position == table.count()) break;
    const RegisteredRange& range = table.at(position);
    const uint64_t start = at > range.start ? at : range.start;
    while (mapped && entry.end <= start) mapped = space.FindOnward(start, &entry);
    // Up to where the same answer holds: mapped everywhere, or nowhere.
    const bool there = mapped && entry.start <= start;
    const uint64_t edge = there ? entry.end : mapped ? entry.start : UINT64_MAX;
    at = edge < range.end ? edge : range.end;
    const bool ours = there && entry.anonymous && !entry.shared;
    if (ours && parts_.port->Register(start, at - start).ok()) {
      // MADV_WIPEONFORK: what the parent has stored is not the child's.
      if (entry.wiped) parts_.events->DiscardRange({start, at});
      replaced |= CheckPresentInChild({start, at});
    } else {
      // MADV_DONTFORK, or unmapped while the parent forked.
      lost |= HasSwappedOut({start, at});
      parts_.events->ForgetRange({start, at});
    }
  }
  if (replaced && lost) {
    Panic(__FILE__, __LINE__, "a mapping was moved onto another one during a fork; fork again");
  }
  return {};
}

bool RangeRegistrar::HasSwappedOut(AddressRange range) {
  bool found = false;
  parts_.table->ForEachTracked(range, [this, &found](PageIndex index) {
    found |= parts_.table->entry(index).swapped_out();
  });
  return found;
}

// A page that the child has faulted in is its own. A page with content that the parent maps too was
// there at the fork. So it belongs to a mapping that replaced the known one, and whose event nobody
// has read: a thread that unmaps sleeps until its event is read, and meanwhile another thread may
// use the addresses again. If that was mremap, pages that are swapped out belong to the new
// mapping, and are still entered at the old addresses, which are unmapped: their content would be
// lost.
bool RangeRegistrar::CheckPresentInChild(AddressRange range) {
  os::AddressSpace& space = *parts_.address_space;
  uint64_t early = 0;
  os::PresentWalk walk(space, range.start, range.end);
  for (os::PresentRun run; walk.Next(&run);) {
    for (uint64_t address = run.start; address < run.end; address += kPageSize) {
      if (!parts_.table->EntryOf(address).swapped_out()) continue;
      if (space.SharedContent(address)) {
        parts_.statistics->fork_ranges_replaced.Add();
        parts_.events->DiscardRange(range);
        MarkPresent(range);
        return true;
      }
      early = address;
    }
  }
  if (early == 0) return false;
  PanicOperands(__FILE__, __LINE__, "a forked child touched a page before uzswap could serve it",
                early, 0);
}

}  // namespace uzswap
