// Reads: pages that come back from the backing store, and what happens when one cannot.
//
// A fault whose page is on disk stays parked. Its slot is read ahead into the cache's frames
// without the lock, together with those of other faults, and then the fault is served as if the
// page had always been in memory. Pages ahead of a walking thread follow a few at a time, after all
// faults that wait have been served.
#include "pager/pager.h"

namespace uzswap {

using os::PortOutcome;
using os::PortResult;

// Stops at the first page that is not in memory: a run that was asked for ahead of the program
// is not worth waiting for.
Pager::FilledRun Pager::FillRun(PageIndex first, size_t count) {
  FilledRun run;
  LoadFrom from = load_from_;
  for (; run.count < count; ++run.count) {
    const PageEntry& word = regions_.word(first + static_cast<PageIndex>(run.count));
    run.stopped = Fill(word, scratch_.data() + run.count * kPageSize, from);
    if (run.stopped != LoadedPage::kLoaded) break;
    from = LoadFrom::kMemory;
  }
  if (run.stopped != LoadedPage::kOnDisk) return run;
  if (run.count == 0) static_cast<void>(wanted_.Add(regions_.word(first).slot()));
  for (size_t i = run.count == 0 ? 1 : run.count; i < count; ++i) {
    const PageEntry& word = regions_.word(first + static_cast<PageIndex>(i));
    if (word.state() == PageState::kCompressed && !ahead_.Add(word.slot())) break;
  }
  return run;
}

void Pager::BeginReads(Pass pass, ReadList* reads) {
  if (pass == Pass::kMustRead) {
    *reads = wanted_;
    wanted_.count = 0;
    MarkReads(ReadState::kWanted, ReadState::kUnderWay, reads->count);
  } else if (pass == Pass::kFinished && ahead_.count > 0 && !forking_) {
    // A few side by side: a fault that comes meanwhile waits for hardly more than one.
    while (ahead_.count > 0 && reads->count < kAheadMax) {
      static_cast<void>(reads->Add(ahead_.TakeFirst()));
    }
  }
  reading_ = reads->count > 0;
}

// A slot may be given up, or given to another page, meanwhile: then nothing is read, or
// something that somebody may want.
void Pager::DoReads(const ReadList& reads) {
  parts_.store->Prefetch(read_context_, {reads.slots, reads.count});
  MutexLock lock(mutex_);
  MarkReads(ReadState::kUnderWay, ReadState::kTried, parked_count_);
  reading_ = false;
}

void Pager::MarkReads(ReadState from, ReadState to, size_t most) {
  for (size_t i = 0; i < parked_count_ && most > 0; ++i) {
    if (parked_[i].read != from) continue;
    parked_[i].read = to;
    --most;
  }
}

// The page's content cannot be had. Its word stays as it is until the program discards or unmaps
// the page; whoever touches it gets SIGBUS.
Pager::Served Pager::Lose(PageIndex number, uint64_t address) {
  // Told first: the thread that the poison wakes may end the process before anything else is done.
  PageEntry& word = regions_.word(number);
  if (!word.lost()) {
    word.MarkLost();
    parts_.statistics->lost_pages.Add();
    if (parts_.page_lost != nullptr) {
      parts_.page_lost(parts_.callback_context, address, context_.last_error());
    }
  }
  const PortResult result = parts_.port->Poison(address);
  switch (result.outcome) {
    case PortOutcome::kDone:
      return Served::kDone;
    case PortOutcome::kExists:
      // Another thread's fault was answered with the same bad news.
      parts_.port->Wake(address, kPageSize);
      parts_.statistics->faults_spurious.Add();
      return Served::kDone;
    case PortOutcome::kRefused:
      PanicOperands(__FILE__, __LINE__,
                    "a page cannot be read back, and this kernel cannot raise SIGBUS for it",
                    address, static_cast<uint64_t>(context_.last_error()));
    case PortOutcome::kRetry:
    case PortOutcome::kGone:
    case PortOutcome::kBusy:
    case PortOutcome::kNoMemory:
      return Conclude(number, address, result.outcome);
  }
  return Served::kDone;
}

// Far beyond the room there is, while the writer is about to make some.
bool Pager::MustWait() {
  if (rescuing_ || parts_.relief_comes == nullptr) return false;
  if (parts_.headroom->Get() >= -2 * parts_.levels.overdraft) return false;
  return parts_.relief_comes(parts_.callback_context);
}

}  // namespace uzswap
