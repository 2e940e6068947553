// Faults: from the message to the page that is there.
#include <cstring>

#include "pager/pager.h"

namespace uzswap {

using os::PortOutcome;
using os::PortResult;
using os::UserFaultEvent;

Pager::Served Pager::ServeFault(const UserFaultEvent& fault) {
  const uint64_t address = fault.start;
  const Region* region = regions_.Find(address);
  if (region == nullptr) return ServeUnknown(fault);
  const Served served = ServeKnown(*region, fault);
  if (served == Served::kDone) NoteRecent(region->NumberOf(address));
  return served;
}

// The region map stays as it is meanwhile.
Pager::Served Pager::ServeKnown(const Region& region, const UserFaultEvent& fault) {
  const uint64_t address = fault.start;
  const PageIndex number = region.NumberOf(address);
  switch (regions_.word(number).state()) {
    case PageState::kResident:
      return ServeResident(address);
    case PageState::kStaged:
      return ReturnCached(region, address, streams_.Window(address));
    case PageState::kInFlight:
      return CopyBack(number, address);
    case PageState::kUntracked:
    case PageState::kCompressed:
    case PageState::kSameFilled:
      return Supply(region, address, fault.write, streams_.Window(address));
  }
  Panic(__FILE__, __LINE__, "a page word holds no state");
}

// A registered mapping that no event announced: one that grew in place.
Pager::Served Pager::ServeUnknown(const UserFaultEvent& fault) {
  const auto frames_start = reinterpret_cast<uint64_t>(frames_.memory().data());
  if (fault.start >= frames_start && fault.start - frames_start < frames_.memory().size()) {
    Panic(__FILE__, __LINE__, "the engine touched a hole in its own swap cache");
  }
  os::MapsEntry entry;
  if (parts_.address_space->Find(fault.start, &entry) && entry.anonymous && !entry.shared) {
    if (AdoptLocked(entry.start, entry.end)) return Served::kLater;  // found next time
    // It grew beyond what the tables hold. We have nothing of it, so zeroes are right.
    const PortOutcome outcome = parts_.port->Zero(fault.start).outcome;
    if (outcome == PortOutcome::kRetry) return Served::kLater;
    if (outcome == PortOutcome::kDone) return Served::kDone;
  }
  // The mapping has gone, or became one that is not ours: whoever waits must look again.
  parts_.port->Wake(fault.start, kPageSize);
  parts_.statistics->faults_spurious.Add();
  return Served::kDone;
}

// We believe the page to be there. Either another thread's fault was answered already, or the
// program discarded it (then it must read as zero).
Pager::Served Pager::ServeResident(uint64_t address) {
  const PortResult result = parts_.port->Zero(address);
  switch (result.outcome) {
    case PortOutcome::kRetry:
      return Served::kLater;
    case PortOutcome::kDone:
      parts_.statistics->faults_zero.Add();
      return Served::kDone;
    case PortOutcome::kExists:
    case PortOutcome::kGone:
    case PortOutcome::kBusy:
    case PortOutcome::kRefused:
    case PortOutcome::kNoMemory:
      parts_.port->Wake(address, kPageSize);
      parts_.statistics->faults_spurious.Add();
      return Served::kDone;
  }
  return Served::kDone;
}

// The second chance: the content still is in its frame. A walking thread gets the frames
// behind it too, when they stand together.
Pager::Served Pager::ReturnCached(const Region& region, uint64_t address, size_t window) {
  const PageIndex number = region.NumberOf(address);
  const FrameId frame = regions_.word(number).frame();
  size_t count = 1;
  while (count < window && address + count * kPageSize < region.end) {
    const PageEntry& next = regions_.word(number + static_cast<PageIndex>(count));
    if (next.state() != PageState::kStaged) break;
    if (next.frame().raw() != frame.raw() + count) break;
    ++count;
  }
  const PortResult result = MoveFromFrames(*parts_.port, address, frame, count);
  const size_t done = result.done_bytes >> kPageShift;
  for (size_t i = 0; i < done; ++i) {
    PageEntry& word = regions_.word(number + static_cast<PageIndex>(i));
    frames_.NoteMovedBack(FrameId(frame.raw() + static_cast<uint32_t>(i)));
    word.Transition(PageState::kResident);
    if (i == 0) {
      word.Reward();
    } else {
      word.SetHeat(0);
    }
    ++resident_;
  }
  streams_.NoteEnd(address + (done == 0 ? 1 : done) * kPageSize);
  if (done > 0) {
    parts_.statistics->swapcache_hits.Add();
    parts_.statistics->readahead_pages.Add(done - 1);
    return Served::kDone;
  }
  if (result.outcome == PortOutcome::kBusy || result.outcome == PortOutcome::kRefused) {
    return CopyBack(number, address);
  }
  return Conclude(number, address, result.outcome);
}

// For a frame that must stay where it is: a compressor reads it, or it is shared with a child,
// or the program's mapping takes no moved pages.
Pager::Served Pager::CopyBack(PageIndex number, uint64_t address) {
  PageEntry& word = regions_.word(number);
  const FrameId frame = word.frame();
  const PortResult result = parts_.port->Copy(address, frames_.data(frame), kPageSize);
  if (result.outcome != PortOutcome::kDone) return Conclude(number, address, result.outcome);
  parts_.headroom->Take(1);
  if (word.state() == PageState::kStaged) {
    frames_.NoteDropped(frame);
  } else {
    frames_.SetOwner(frame, kNoOwner);
  }
  word.Transition(PageState::kResident);
  word.Reward();
  ++resident_;
  parts_.statistics->swapcache_hits.Add();
  return Served::kDone;
}

// How many pages from `address` on can be supplied alike, at most `window`.
size_t Pager::RunLength(const Region& region, uint64_t address, size_t window) {
  const PageIndex number = region.NumberOf(address);
  const bool fresh = regions_.word(number).state() == PageState::kUntracked;
  size_t count = 1;
  while (count < window && address + count * kPageSize < region.end) {
    const PageState next = regions_.word(number + static_cast<PageIndex>(count)).state();
    const bool alike = fresh ? next == PageState::kUntracked
                             : next == PageState::kCompressed || next == PageState::kSameFilled;
    if (!alike) break;
    ++count;
  }
  return count;
}

LoadedPage Pager::Fill(const PageEntry& word, std::byte* page, LoadFrom from) {
  switch (word.state()) {
    case PageState::kUntracked:
      memset(page, 0, kPageSize);
      return LoadedPage::kLoaded;
    case PageState::kSameFilled:
      FillPage((uint64_t{word.pattern()} << 32) | word.pattern(), {page, kPageSize});
      return LoadedPage::kLoaded;
    case PageState::kCompressed:
      return parts_.store->Load(context_, word.slot(), PageBytes(page, kPageSize), from);
    case PageState::kResident:
    case PageState::kStaged:
    case PageState::kInFlight:
      break;
  }
  Panic(__FILE__, __LINE__, "a page was to be filled that has its content elsewhere");
}

void Pager::NoteSupplied(PageIndex number, uint8_t heat) {
  PageEntry& word = regions_.word(number);
  Statistics& statistics = *parts_.statistics;
  if (word.state() != PageState::kUntracked) {
    statistics.zswpin.Add();
    statistics.stored_pages.Sub();
    if (word.state() == PageState::kCompressed) {
      parts_.store->Free(context_, word.slot());
    } else {
      statistics.same_filled_pages.Sub();
    }
  }
  word.Transition(PageState::kResident);
  word.SetHeat(heat);
  ++resident_;
}

// With pages from the kernel, never with frames of ours that held something else.
Pager::Served Pager::Supply(const Region& region, uint64_t address, bool write, size_t window) {
  const PageIndex number = region.NumberOf(address);
  const bool fresh = regions_.word(number).state() == PageState::kUntracked;
  if (fresh && !write && window == 1) return SupplyZero(number, address);

  // Changes other pages' words, never this one's, and not the region map.
  if (parts_.headroom->Get() < -parts_.levels.overdraft) DirectReclaim();
  if (MustWait()) return Served::kThrottled;
  // Pages ahead of the program are for when there is room.
  const int64_t room = parts_.headroom->Get();
  const size_t spare = room > 0 ? static_cast<size_t>(room) : 0;
  const size_t count = RunLength(region, address, window < 1 + spare ? window : 1 + spare);
  const FilledRun filled = FillRun(number, count);
  if (filled.count == 0) {
    return filled.stopped == LoadedPage::kLost ? Lose(number, address) : Served::kRead;
  }
  PortResult result = parts_.port->Copy(address, scratch_.data(), filled.count << kPageShift);
  if (result.outcome == PortOutcome::kGone && filled.count > 1) {
    // The border of two mappings may lie in the run, and no call reaches across.
    result = parts_.port->Copy(address, scratch_.data(), kPageSize);
  }
  const size_t done = result.done_bytes >> kPageShift;
  for (size_t i = 0; i < done; ++i) {
    NoteSupplied(number + static_cast<PageIndex>(i), i == 0 ? 1 : 0);
  }
  streams_.NoteEnd(address + (done == 0 ? 1 : done) * kPageSize);
  if (done == 0) return Conclude(number, address, result.outcome);
  parts_.headroom->Take(static_cast<int64_t>(done));
  if (fresh) parts_.statistics->faults_zero.Add();
  parts_.statistics->readahead_pages.Add(done - 1);
  return Served::kDone;
}

// A read of a page never seen: the shared zero page costs no memory until it is written to.
Pager::Served Pager::SupplyZero(PageIndex number, uint64_t address) {
  const PortResult result = parts_.port->Zero(address);
  if (result.outcome != PortOutcome::kDone) return Conclude(number, address, result.outcome);
  NoteSupplied(number, 1);
  streams_.NoteEnd(address + kPageSize);
  parts_.statistics->faults_zero.Add();
  return Served::kDone;
}

// A page could not be supplied, and its word is unchanged.
Pager::Served Pager::Conclude(PageIndex number, uint64_t address, PortOutcome outcome) {
  const PageState state = regions_.word(number).state();
  switch (outcome) {
    case PortOutcome::kRetry:
      return Served::kLater;
    case PortOutcome::kNoMemory:
      parts_.statistics->retries.Add();
      return Served::kLater;
    case PortOutcome::kExists:
      // Where we hold nothing, whatever is there is right. Where we hold the content, two
      // pages claim one place, and which one the program has read is unknowable.
      if (state == PageState::kUntracked) break;
      PanicOperands(__FILE__, __LINE__,
                    "a page that was taken away is in the program's memory again", address,
                    static_cast<uint64_t>(state));
    case PortOutcome::kGone:
      break;
    case PortOutcome::kBusy:
    case PortOutcome::kRefused:
    case PortOutcome::kDone:
      PanicOperands(__FILE__, __LINE__, "a page can neither be moved nor copied", address,
                    static_cast<uint64_t>(state));
  }
  parts_.port->Wake(address, kPageSize);
  parts_.statistics->faults_spurious.Add();
  return Served::kDone;
}

// After the faults: keeps enough pages on probation that the compressor always finds some. The
// moving is done here, on the processor of the thread that faulted: from any other each MOVE
// would interrupt it.
void Pager::BalanceLocked() {
  const Watermarks& levels = parts_.levels;
  const int64_t room = parts_.headroom->Get();
  if (room > levels.room_high) return;
  if (frames_.cached_count() < levels.inactive && !sweep_failed_) TakeLocked(kTakeBatch);
  if (room < levels.room_low && frames_.cached_count() > 0) {
    parts_.wake_keeper(parts_.callback_context);
  }
}

}  // namespace uzswap
