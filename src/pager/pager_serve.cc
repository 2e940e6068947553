// Serving: passes over the faults that wait, and the work between passes that needs no lock.
#include <algorithm>

#include "os/thread.h"
#include "pager/pager.h"

namespace uzswap {

using os::UserFaultEvent;

uint32_t Pager::ServeOnce(int timeout_ms) {
  parts_.port->WaitReadable(timeout_ms);
  return ServeWaiting();
}

uint32_t Pager::ServeWaiting() {
  uint32_t thread = 0;
  while (true) {
    Work work;
    mutex_.Lock();
    const Resolution pass = ServeLocked(&thread);
    const bool elsewhere = working_;
    const bool has_work = !elsewhere && BeginWork(pass, &work);
    mutex_.Unlock();
    if (has_work) {
      DoWork(&work);
      continue;
    }
    switch (pass) {
      case Resolution::kResolved:
        return thread;
      case Resolution::kNeedsRead:
      case Resolution::kNeedsReclaim:
        // The thread that works serves what is left.
        if (elsewhere) return thread;
        os::YieldProcessor();
        break;
      case Resolution::kNeedsMemory:
        parts_.statistics->throttled_waits.Add();
        parts_.port->WaitReadable(kThrottleMs);
        break;
      case Resolution::kNeedsEvent:
        // A thread of the program is between announcing a change of its mappings and queueing
        // the event: let it run.
        parts_.statistics->retries.Add();
        os::YieldProcessor();
        break;
    }
  }
}

size_t Pager::ReadMessages() {
  size_t total = 0;
  FaultQueue::Messages messages;
  while (queue_.Read(map_.port(), os::MonotonicNanoseconds(), &messages)) {
    for (size_t i = 0; i < messages.count; ++i) map_.events().Apply(messages.events[i]);
    total += messages.read;
    if (messages.read < FaultQueue::kReadBatch) break;
  }
  return total;
}

Resolution Pager::ServeLocked(uint32_t* last_thread) {
  while (true) {
    const size_t read = ReadMessages();
    if (read != 0 && parts_.refresh_headroom != nullptr) {
      parts_.refresh_headroom(parts_.callback_argument);
    }
    const Resolution needs = ServePass(last_thread);
    if (read != 0) continue;
    if (needs == Resolution::kResolved) Balance();
    return needs;
  }
}

Resolution Pager::ServePass(uint32_t* last_thread) {
  Resolution needs = Resolution::kResolved;
  swap_in_.BeginPass();
  for (FaultQueue::Pass pass(queue_); ParkedFault* parked = pass.Next();) {
    if (rescued_count_ == kRescuedMax) {
      pass.Keep();  // until the next rescue
      continue;
    }
    const Resolution answer = Answer(parked);
    if (answer == Resolution::kResolved) {
      *last_thread = parked->fault.thread;
      if (rescuing_) rescued_[rescued_count_++] = RoundDownToPage(parked->fault.start);
    } else {
      pass.Keep();
    }
    needs = std::max(needs, answer);
  }
  return needs;
}

Resolution Pager::Answer(ParkedFault* parked) {
  const UserFaultEvent& fault = parked->fault;
  serving_.reclaim_rounds = parked->reclaim_rounds;
  const Resolution answer =
      handler_.Resolve(fault.start, fault.write ? Access::kWrite : Access::kRead, serving_);
  if (answer == Resolution::kResolved) {
    parts_.statistics->faults.Add();
    parts_.statistics->fault_ns.Record(os::MonotonicNanoseconds() - parked->read_ns);
  } else if (answer == Resolution::kNeedsMemory) {
    parked->reclaim_rounds = 0;  // after the wait it helps again
  }
  return answer;
}

// After the faults: keeps enough pages staged that the daemon always finds some to store. They are
// isolated here, on the processor of the thread that faulted: a MOVE from another processor would
// interrupt it.
void Pager::Balance() {
  const Watermarks& watermarks = parts_.watermarks;
  const int64_t headroom = parts_.headroom->Get();
  if (headroom > watermarks.room_high) return;
  Evictor& evictor = reclaimer_.evictor();
  const StagingFrames& frames = reclaimer_.frames();
  if (frames.staged_count() < watermarks.inactive && !evictor.last_sweep_failed()) {
    evictor.Isolate(kIsolateBatch);
  }
  if (headroom < watermarks.room_low && frames.staged_count() > 0) {
    parts_.wake_daemon(parts_.callback_argument);
  }
}

bool Pager::BeginWork(Resolution pass, Work* work) {
  Evictor& evictor = reclaimer_.evictor();
  *work = Work();
  if (pass == Resolution::kNeedsReclaim) {
    work->reclaim = true;
    work->sink = &reclaimer_.sink();
    const size_t faults = queue_.count();
    parts_.statistics->direct_reclaims.Add(faults);
    if (reclaimer_.frames().staged_count() == 0 && !evictor.last_sweep_failed()) {
      evictor.Isolate(kIsolateBatch);
    }
    evictor.BeginStore(kReclaimForFault * faults, &work->stores);
    queue_.NoteReclaim(work->stores.count == 0);
    working_ = true;
  } else {
    // Nothing is read ahead while a fault waits or a thread forks.
    swap_in_.Begin(pass == Resolution::kResolved && !evictor.frozen(), &work->reads);
    working_ = work->reads.count > 0;
  }
  return working_;
}

void Pager::DoWork(Work* work) {
  if (work->reclaim) {
    // A thread waits for its page meanwhile.
    Evictor::Store(*work->sink, work_context_, &work->stores, Evictor::KeptOnDisk::kLeave);
  } else {
    swap_in_.Read(work_context_, &work->reads);
  }
  MutexLock lock(mutex_);
  if (work->reclaim) {
    reclaimer_.evictor().FinishStore(work->stores);
    reclaimer_.evictor().ReleaseFrames(kReleaseForFault);
  } else {
    swap_in_.Finish(work->reads);
  }
  working_ = false;
}

}  // namespace uzswap
