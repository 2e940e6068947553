// Which answer a fault gets, and the answers that need no content. fault_populate.cc has the rest.
#include "pager/fault_handler.h"

#include <utility>

namespace uzswap {

using os::PortOutcome;
using os::PortResult;

Result<void> ThreadContext::Init(CompressedCache& compressed_cache) {
  auto memory =
      os::Mapping::Create(Bytes(Readahead::kWindowMax * kPageSize), "a thread's scratch pages");
  if (!memory.ok()) return memory.error();
  scratch = std::move(memory).value();
  scratch.WipeInChildren();
  return cache.Init(compressed_cache);
}

Resolution FaultHandler::Resolve(uint64_t address, Access access, ThreadContext& thread) {
  const RegisteredRange* range = parts_.map->table().Find(address);
  if (range == nullptr) return ResolveUnregistered(address);
  staging_faults_ = 0;
  const Fault fault{*range, address, range->IndexOf(address), access, thread};
  const Resolution resolution = ResolveRegistered(fault);
  if (resolution == Resolution::kResolved) parts_.reclaimer->policy().OnServed(fault.index);
  return resolution;
}

Resolution FaultHandler::ResolveRegistered(const Fault& fault) {
  switch (EntryOf(fault.index).state()) {
    case PageState::kResident:
      return ResolveResident(fault);
    case PageState::kStaged:
      return ReturnStaged(fault, readahead_.Window(fault.address));
    case PageState::kInFlight:
      return CopyBack(fault);
    case PageState::kUntracked:
    case PageState::kCompressed:
    case PageState::kSameFilled:
      return Populate(fault, readahead_.Window(fault.address));
  }
  Panic(__FILE__, __LINE__, "a page entry holds no state");
}

void FaultHandler::Wake(uint64_t address) {
  port().Wake(address, kPageSize);
  parts_.statistics->faults_spurious.Add();
}

// A registered mapping that no event reported: one that grew in place.
Resolution FaultHandler::ResolveUnregistered(uint64_t address) {
  const os::Mapping& frames = parts_.reclaimer->frames().memory();
  const auto frames_start = reinterpret_cast<uint64_t>(frames.data());
  if (address >= frames_start && address - frames_start < frames.size()) {
    return ResolveStagingFrame(address);
  }
  os::MapsEntry entry;
  if (parts_.address_space->Find(address, &entry) && entry.anonymous && !entry.shared) {
    // Found by the next try.
    if (parts_.map->registrar().Adopt({entry.start, entry.end})) return Resolution::kNeedsEvent;
    // It grew beyond what the tables hold. Nothing of it is stored, so zeroes are right.
    const PortOutcome outcome = port().Zero(address).outcome;
    if (outcome == PortOutcome::kRetry) return Resolution::kNeedsEvent;
    if (outcome == PortOutcome::kDone) return Resolution::kResolved;
  }
  // The mapping has gone, or is not ours any more: the thread must look again.
  Wake(address);
  return Resolution::kResolved;
}

// The program's mlockall populates every mapping of the process. It looks at the mapping again
// after each fault, and skips one that is locked on fault: so one fault is enough, and no frame is
// filled. The engine itself never touches an Empty frame.
Resolution FaultHandler::ResolveStagingFrame(uint64_t address) {
  if (++staging_faults_ > kStagingFaultsMax || !parts_.reclaimer->frames().memory().LockOnFault()) {
    Panic(__FILE__, __LINE__, "an Empty staging frame was touched");
  }
  Wake(address);
  return Resolution::kResolved;
}

// The entry says that the page is present. Either the fault of another thread was answered before,
// or the program discarded the page, and then it must read as zero.
Resolution FaultHandler::ResolveResident(const Fault& fault) {
  const PortResult result = port().Zero(fault.address);
  if (result.outcome == PortOutcome::kRetry) return Resolution::kNeedsEvent;
  if (result.outcome == PortOutcome::kDone) {
    parts_.statistics->faults_zero.Add();
  } else {
    Wake(fault.address);
  }
  return Resolution::kResolved;
}

// The content still is in its frame. A thread that scans gets the frames behind it too, if they are
// adjacent.
Resolution FaultHandler::ReturnStaged(const Fault& fault, size_t window) {
  const FrameId frame = EntryOf(fault.index).frame();
  size_t count = 1;
  while (count < window && fault.address + count * kPageSize < fault.range.end) {
    const PageEntry next = EntryOf(fault.index + count);
    if (next.state() != PageState::kStaged) break;
    if (next.frame().raw() != frame.raw() + count) break;
    ++count;
  }
  Reclaimer& reclaimer = *parts_.reclaimer;
  const PortResult result = reclaimer.mover().Return(fault.address, frame, count);
  const size_t done = result.done_bytes >> kPageShift;
  for (size_t i = 0; i < done; ++i) {
    reclaimer.contents().NoteReturned(fault.index + i);
    if (i > 0) reclaimer.policy().OnReadahead(fault.index + i);
  }
  readahead_.NoteEnd(fault.address + (done == 0 ? 1 : done) * kPageSize);
  if (done > 0) {
    reclaimer.policy().OnRefault(fault.index);
    parts_.statistics->swapcache_hits.Add();
    parts_.statistics->readahead_pages.Add(done - 1);
    return Resolution::kResolved;
  }
  if (result.outcome == PortOutcome::kBusy || result.outcome == PortOutcome::kRefused) {
    return CopyBack(fault);
  }
  return Conclude(fault, result.outcome);
}

// For a frame that must stay where it is: a thread compresses it, or it is shared with a child, or
// the program's mapping accepts no moved pages.
Resolution FaultHandler::CopyBack(const Fault& fault) {
  Reclaimer& reclaimer = *parts_.reclaimer;
  const std::byte* frame = reclaimer.frames().data(EntryOf(fault.index).frame());
  const PortResult result = port().Copy(fault.address, frame, kPageSize);
  if (result.outcome != PortOutcome::kDone) return Conclude(fault, result.outcome);
  parts_.headroom->Take(1);
  reclaimer.contents().NoteCopiedBack(fault.index);
  reclaimer.policy().OnRefault(fault.index);
  parts_.statistics->swapcache_hits.Add();
  return Resolution::kResolved;
}

Resolution FaultHandler::Conclude(const Fault& fault, PortOutcome outcome) {
  const PageState state = EntryOf(fault.index).state();
  switch (outcome) {
    case PortOutcome::kRetry:
      return Resolution::kNeedsEvent;
    case PortOutcome::kNoMemory:
      parts_.statistics->retries.Add();
      return Resolution::kNeedsEvent;
    case PortOutcome::kExists:
      // If we hold no content, whatever is there is right. If we hold content, there are two
      // pages for one address, and it is unknown which one the program has read.
      if (state == PageState::kUntracked) break;
      PanicOperands(__FILE__, __LINE__,
                    "a page that is swapped out is present in the program's memory", fault.address,
                    static_cast<uint64_t>(state));
    case PortOutcome::kGone:
      break;
    case PortOutcome::kBusy:
    case PortOutcome::kRefused:
    case PortOutcome::kDone:
      PanicOperands(__FILE__, __LINE__, "a page can neither be moved nor copied", fault.address,
                    static_cast<uint64_t>(state));
  }
  Wake(fault.address);
  return Resolution::kResolved;
}

}  // namespace uzswap
