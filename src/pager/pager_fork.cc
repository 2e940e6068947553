// Fork: a consistent copy for the child, and the child's way back into care.
#include "os/thread.h"
#include "pager/pager.h"

namespace uzswap {

using os::UserFaultEvent;

void Pager::Freeze() {
  mutex_.Lock();
  // Compressors and readers in flight work in the cache without the lock: let them land first.
  forking_ = true;
  while (compressing_ != 0 || reading_) {
    mutex_.Unlock();
    os::YieldProcessor();
    mutex_.Lock();
  }
}

void Pager::Thaw() {
  ApplyDeferred();
  forking_ = false;
  mutex_.Unlock();
}

void Pager::ApplyDeferred() {
  for (size_t i = 0; i < deferred_count_; ++i) ApplyEvent(deferred_[i]);
  deferred_count_ = 0;
}

void Pager::RescueFrozen(uint32_t thread, bool lock_wait) {
  bool found = false;
  while (parked_count_ + kReadBatch <= kParkedMax && deferred_count_ + kReadBatch <= kDeferredMax) {
    UserFaultEvent events[kReadBatch];
    const size_t count = parts_.port->Read(events);
    if (count == 0) break;
    const uint64_t now = os::MonotonicNanoseconds();
    for (size_t i = 0; i < count; ++i) {
      if (events[i].kind != UserFaultEvent::Kind::kPageFault) {
        deferred_[deferred_count_++] = events[i];
        continue;
      }
      parked_[parked_count_++] = {.fault = events[i], .read_ns = now};
    }
  }
  for (size_t i = 0; i < parked_count_; ++i) found |= parked_[i].fault.thread == thread;
  if (parked_count_ == 0 || (!found && !lock_wait)) return;
  // It waits for us, or for a lock whose holder may wait for us: it is not inside fork, and
  // everything may move. Should it get the lock from somebody else, and reach fork while we
  // still work, the child finds this mark in its copy.
  rescuing_ = true;
  ApplyDeferred();
  uint32_t served = 0;
  while (ServeLocked(&served) != Pass::kFinished) os::YieldProcessor();
  rescuing_ = false;
}

bool Pager::IsAwayHere(uint64_t address) {
  const Region* region = regions_.Find(address);
  if (region == nullptr) return false;
  const PageState state = regions_.word(region->NumberOf(address)).state();
  return state != PageState::kResident && state != PageState::kUntracked;
}

bool Pager::IsAway(uint64_t address) {
  MutexLock lock(mutex_);
  return IsAwayHere(address);
}

// The keeper holds the lock for the caller and does nothing meanwhile.
bool Pager::IsAwayFrozen(uint64_t address) UZ_NO_THREAD_SAFETY_ANALYSIS {
  return IsAwayHere(address);
}

bool Pager::InCare(uint64_t address) {
  MutexLock lock(mutex_);
  return regions_.Find(address) != nullptr;
}

bool Pager::InCareFrozen(uint64_t address) UZ_NO_THREAD_SAFETY_ANALYSIS {
  return regions_.Find(address) != nullptr;
}

// The child's account begins with what it was born with: stored, and neither loaded nor
// invalidated yet.
void Pager::CountInChild() {
  Statistics& statistics = *parts_.statistics;
  for (size_t i = 0; i < regions_.count(); ++i) {
    const Region& region = regions_.at(i);
    for (uint64_t page = 0; page < region.pages(); ++page) {
      const PageEntry& word = regions_.word(region.first + static_cast<PageIndex>(page));
      const bool same_filled = word.state() == PageState::kSameFilled;
      if (!same_filled && word.state() != PageState::kCompressed) continue;
      statistics.zswpout.Add();
      statistics.stored_pages.Add();
      if (same_filled) statistics.same_filled_pages.Add();
    }
  }
  statistics.pool_total_size.Set(parts_.store->PoolBytes().raw());
}

Result<void> Pager::RebuildInChild(const Parts& parts) {
  MutexLock lock(mutex_);
  UseParts(parts);
  if (rescuing_) {
    Panic(__FILE__, __LINE__, "forked while the pager was serving another thread; fork again");
  }
  // The waiting threads stayed behind, and so did their faults; what the events told is true
  // of the child's memory too.
  parked_count_ = 0;
  ahead_.count = 0;
  forking_ = false;
  CountInChild();
  ApplyDeferred();
  // Nor will they tell the rest. Pages in limbo are unmapped below, like all that is not mapped.
  owed_.Clear();
  const Result<void> done = RegisterOwn();
  if (!done.ok()) return done;

  os::MapsEntry entry;
  bool mapped = parts_.address_space->FindOnward(0, &entry);
  if (!mapped) return Error{0, "the list of the child's mappings cannot be read"};
  uint64_t at = 0;
  while (true) {
    const size_t index = regions_.IndexFrom(at);
    if (index == regions_.count()) return {};
    const Region& region = regions_.at(index);
    const uint64_t start = at > region.start ? at : region.start;
    while (mapped && entry.end <= start) {
      mapped = parts_.address_space->FindOnward(start, &entry);
    }
    // Up to where the same answer holds: mapped all along, or not mapped at all.
    const bool here = mapped && entry.start <= start;
    const uint64_t edge = here ? entry.end : mapped ? entry.start : UINT64_MAX;
    at = edge < region.end ? edge : region.end;
    if (here && parts_.port->Register(start, at - start).ok()) {
      // Wiped by fork: what the parent has stored is not the child's.
      if (entry.wiped) DiscardRange(start, at);
      AbortIfTouchedEarly(start, at);
    } else {
      // Kept from children by the parent, or unmapped while it forked.
      DiscardRange(start, at);
      regions_.Remove(start, at);
    }
  }
}

// A page that is here although its content is in our keeping was touched before we could
// serve: the child has read zeroes.
void Pager::AbortIfTouchedEarly(uint64_t start, uint64_t end) {
  os::PresentWalk walk(*parts_.address_space, start, end);
  for (os::PresentRun run; walk.Next(&run);) {
    for (uint64_t address = run.start; address < run.end; address += kPageSize) {
      if (!IsAwayHere(address)) continue;
      PanicOperands(__FILE__, __LINE__,
                    "a forked child touched a page before uzswap could serve it", address, 0);
    }
  }
}

}  // namespace uzswap
