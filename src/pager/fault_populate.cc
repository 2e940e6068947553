// Answers with content: pages are filled in the thread's scratch memory and copied to the program.
// They are pages from the kernel, never frames that held something else.
#include <algorithm>
#include <cstring>

#include "pager/fault_handler.h"
#include "pager/fault_queue.h"

namespace uzswap {

using os::PortOutcome;
using os::PortResult;

Resolution FaultHandler::Populate(const Fault& fault, size_t window) {
  const bool first_touch = EntryOf(fault.index).state() == PageState::kUntracked;
  if (first_touch && fault.access == Access::kRead && window == 1) return PopulateZero(fault);
  const Resolution room = RoomFor(fault);
  if (room != Resolution::kResolved) return room;

  // Readahead uses what headroom there is.
  const auto spare = static_cast<size_t>(std::max<int64_t>(parts_.headroom->Get(), 0));
  const size_t count = RunLength(fault, std::min(window, 1 + spare));
  const FilledRun filled = FillRun(fault, count);
  if (filled.stopped == LoadedPage::kOnDisk) RequestReads(fault, filled, count);
  if (filled.count == 0) {
    return filled.stopped == LoadedPage::kLost ? Poison(fault, filled.error)
                                               : Resolution::kNeedsRead;
  }
  const std::byte* pages = fault.thread.scratch.data();
  PortResult result = port().Copy(fault.address, pages, filled.count << kPageShift);
  if (result.outcome == PortOutcome::kGone && filled.count > 1) {
    // The border of two mappings can lie in the run, and no call crosses it.
    result = port().Copy(fault.address, pages, kPageSize);
  }
  const size_t done = result.done_bytes >> kPageShift;
  Reclaimer& reclaimer = *parts_.reclaimer;
  for (size_t i = 0; i < done; ++i) {
    reclaimer.contents().NotePopulated(fault.index + i);
    if (i > 0) reclaimer.policy().OnReadahead(fault.index + i);
  }
  readahead_.NoteEnd(fault.address + (done == 0 ? 1 : done) * kPageSize);
  if (done == 0) return Conclude(fault, result.outcome);
  reclaimer.policy().OnFault(fault.index);
  parts_.headroom->Take(static_cast<int64_t>(done));
  if (first_touch) parts_.statistics->faults_zero.Add();
  parts_.statistics->readahead_pages.Add(done - 1);
  return Resolution::kResolved;
}

// A read of a page that was never written: the shared zero page costs no memory.
Resolution FaultHandler::PopulateZero(const Fault& fault) {
  const PortResult result = port().Zero(fault.address);
  if (result.outcome != PortOutcome::kDone) return Conclude(fault, result.outcome);
  parts_.reclaimer->contents().NotePopulated(fault.index);
  parts_.reclaimer->policy().OnFault(fault.index);
  readahead_.NoteEnd(fault.address + kPageSize);
  parts_.statistics->faults_zero.Add();
  return Resolution::kResolved;
}

// Beyond the overdraft a fault helps to reclaim, once. Far beyond it the daemon is behind: the
// fault helps in bounded rounds while this is so, and then waits if the writer is about to free
// memory.
Resolution FaultHandler::RoomFor(const Fault& fault) {
  const int64_t headroom = parts_.headroom->Get();
  if (headroom >= -parts_.overdraft || !fault.thread.may_wait) return Resolution::kResolved;
  const bool reclaim_gains = parts_.reclaimer->evictor().StoringGains();
  const bool far = headroom < -2 * parts_.overdraft;
  const int rounds_max = far ? FaultQueue::kReclaimRoundsMax : 1;
  if (fault.thread.reclaim_rounds < rounds_max && reclaim_gains) return Resolution::kNeedsReclaim;
  const bool wait =
      far && parts_.relief_comes != nullptr && parts_.relief_comes(parts_.callback_argument);
  return wait ? Resolution::kNeedsMemory : Resolution::kResolved;
}

// How many pages, from the fault on, can be populated in the same way, at most `window`.
size_t FaultHandler::RunLength(const Fault& fault, size_t window) {
  const bool first_touch = EntryOf(fault.index).state() == PageState::kUntracked;
  size_t count = 1;
  while (count < window && fault.address + count * kPageSize < fault.range.end) {
    const PageState next = EntryOf(fault.index + count).state();
    const bool alike = first_touch
                           ? next == PageState::kUntracked
                           : next == PageState::kCompressed || next == PageState::kSameFilled;
    if (!alike) break;
    ++count;
  }
  return count;
}

// Stops at the first page that is not in memory: readahead is not worth a wait.
FaultHandler::FilledRun FaultHandler::FillRun(const Fault& fault, size_t count) {
  FilledRun run;
  for (; run.count < count; ++run.count) {
    const PageEntry entry = EntryOf(fault.index + run.count);
    std::byte* page = fault.thread.scratch.data() + run.count * kPageSize;
    // A copy over a poisoned page succeeds, and would bring it back without SIGBUS.
    run.stopped =
        entry.poisoned() ? LoadedPage::kLost : Fill(entry, fault.thread, page, &run.error);
    if (run.stopped != LoadedPage::kLoaded) break;
  }
  return run;
}

LoadedPage FaultHandler::Fill(const PageEntry& entry, ThreadContext& thread, std::byte* page,
                              int* error) {
  switch (entry.state()) {
    case PageState::kUntracked:
      memset(page, 0, kPageSize);
      return LoadedPage::kLoaded;
    case PageState::kSameFilled:
      FillPageWithWord(entry.pattern(), {page, kPageSize});
      return LoadedPage::kLoaded;
    case PageState::kCompressed:
      break;
    case PageState::kResident:
    case PageState::kStaged:
    case PageState::kInFlight:
      Panic(__FILE__, __LINE__, "a page is filled whose content is elsewhere");
  }
  const SwapIn::Found found = parts_.swap_in->Find(entry.slot());
  if (found.held == SwapIn::Held::kLoaded) {
    memcpy(page, found.page, kPageSize);
    return LoadedPage::kLoaded;
  }
  if (found.held == SwapIn::Held::kFailed) {
    *error = found.error;
    return LoadedPage::kLost;
  }
  const LoadedPage loaded =
      parts_.store->Load(thread.cache, entry.slot(), PageBytes(page, kPageSize), LoadFrom::kMemory);
  *error = thread.cache.last_error();
  return loaded;
}

// The run stopped at a page on disk. If it is the page of the fault, the fault waits for it. What
// follows is read ahead.
void FaultHandler::RequestReads(const Fault& fault, const FilledRun& run, size_t count) {
  if (run.count == 0) parts_.swap_in->Request(EntryOf(fault.index).slot());
  for (size_t i = std::max<size_t>(run.count, 1); i < count; ++i) {
    const PageEntry entry = EntryOf(fault.index + i);
    if (entry.state() != PageState::kCompressed) continue;
    if (!parts_.swap_in->RequestAhead(entry.slot())) break;
  }
}

// The content of the page cannot be read back. Its entry stays as it is until the program discards
// or unmaps the page; a thread that touches it gets SIGBUS.
Resolution FaultHandler::Poison(const Fault& fault, int error) {
  // Reported first: the thread that the poison wakes can end the process before anything else.
  if (!EntryOf(fault.index).poisoned()) {
    parts_.map->table().MarkPoisoned(fault.index);
    parts_.statistics->poisoned_pages.Add();
    if (parts_.page_poisoned != nullptr) {
      parts_.page_poisoned(parts_.callback_argument, fault.address, error);
    }
  }
  const PortResult result = port().Poison(fault.address);
  switch (result.outcome) {
    case PortOutcome::kDone:
      return Resolution::kResolved;
    case PortOutcome::kExists:
      // The fault of another thread was answered in the same way.
      Wake(fault.address);
      return Resolution::kResolved;
    case PortOutcome::kRefused:
      PanicOperands(__FILE__, __LINE__,
                    "a page cannot be read back, and this kernel cannot raise SIGBUS for it",
                    fault.address, static_cast<uint64_t>(error));
    case PortOutcome::kRetry:
    case PortOutcome::kGone:
    case PortOutcome::kBusy:
    case PortOutcome::kNoMemory:
      return Conclude(fault, result.outcome);
  }
  return Resolution::kResolved;
}

}  // namespace uzswap
