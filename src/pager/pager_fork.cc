// Fork: a consistent copy for the child, and how the child registers its memory again.
#include "os/thread.h"
#include "pager/pager.h"

namespace uzswap {

void Pager::Freeze() {
  LockPatiently(mutex_, OnStall());
  // Threads that store or read work in the cache without the lock: let them finish first.
  reclaimer_.evictor().SetFrozen(true);
  while (reclaimer_.evictor().storing() != 0 || working_) {
    mutex_.Unlock();
    os::YieldProcessor();
    mutex_.Lock();
  }
  reclaimer_.contents().BeginSharing();
}

bool Pager::EndSharing() {
  PatientLock lock(mutex_, OnStall());
  return reclaimer_.contents().EndSharing(kEndSharingLooks);
}

void Pager::Thaw() {
  ApplyDeferred();
  reclaimer_.evictor().SetFrozen(false);
  mutex_.Unlock();
}

void Pager::ApplyDeferred() {
  for (size_t i = 0; i < deferred_.count(); ++i) map_.events().Apply(deferred_.at(i));
  deferred_.Clear();
}

void Pager::RescueFrozen(uint32_t thread, bool lock_wait) {
  FaultQueue::Messages messages;
  bool woke = false;
  while (deferred_.HasRoom(FaultQueue::kReadBatch) &&
         queue_.Read(map_.port(), os::MonotonicNanoseconds(), &messages)) {
    for (size_t i = 0; i < messages.count; ++i) deferred_.Add(messages.events[i]);
    woke |= messages.count > 0;
  }
  if (queue_.count() == 0) return;
  if (!queue_.Holds(thread)) {
    // A thread whose event was read runs now, and may give up the lock: then the other one forks.
    if (!lock_wait || woke) return;
  }
  // The thread waits for a page, or for a lock whose holder may wait for a page: it is not inside
  // fork, and everything may change. A thread that this serves is woken when the change is
  // complete. If the thread gets the lock from one that runs, and reaches fork meanwhile, the child
  // finds this mark in its copy.
  rescuing_ = true;
  map_.port().HoldWakes(true);
  serving_.may_wait = false;
  ApplyDeferred();
  ServeWhileFrozen();
  serving_.may_wait = true;
  map_.port().HoldWakes(false);
  rescuing_ = false;
  for (size_t i = 0; i < rescued_count_; ++i) map_.port().Wake(rescued_[i], kPageSize);
  rescued_count_ = 0;
}

void Pager::ServeWhileFrozen() {
  // Only what waits now: a served thread that faults again must not prolong this, because the
  // thread that forks may get its lock at any moment. The next rescue reads the rest.
  uint32_t served = 0;
  while (true) {
    const Resolution pass = ServePass(&served);
    Work work;
    if (pass == Resolution::kResolved || !BeginWork(pass, &work)) return;
    mutex_.Unlock();
    DoWork(&work);
    mutex_.Lock();
  }
}

Residence Pager::Locate(uint64_t address) {
  const RegisteredRange* range = map_.table().Find(address);
  if (range == nullptr) return Residence::kNotRegistered;
  const PageEntry entry = map_.table().PeekEntry(range->IndexOf(address));
  return entry.swapped_out() ? Residence::kSwappedOut : Residence::kInProgram;
}

Residence Pager::ResidenceOf(uint64_t address) {
  MutexLock lock(mutex_);
  return Locate(address);
}

// The daemon holds the lock for the caller and does nothing meanwhile.
Residence Pager::ResidenceOfFrozen(uint64_t address) UZ_NO_THREAD_SAFETY_ANALYSIS {
  return Locate(address);
}

Result<void> Pager::RebuildInChild(const Parts& parts) {
  MutexLock lock(mutex_);
  UseParts(parts);
  if (rescuing_) {
    Panic(__FILE__, __LINE__, "forked while the pager was serving another thread; fork again");
  }
  // The waiting threads stayed behind, and so did their faults. What the deferred events reported
  // is true of the child's memory too.
  queue_.Clear();
  rescued_count_ = 0;
  swap_in_.Reset();
  reclaimer_.evictor().SetFrozen(false);
  reclaimer_.contents().CountInherited();
  parts_.statistics->pool_total_size.Set(parts_.store->PoolBytes().raw());
  ApplyDeferred();
  // The rest will not be reported here. Displaced pages are unmapped below, like everything that
  // is not mapped.
  map_.events().ForgetPending();
  const Result<void> done = RegisterOwn();
  if (!done.ok()) return done;
  return map_.registrar().RegisterInChild();
}

}  // namespace uzswap
