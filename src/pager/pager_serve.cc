// Serving: reading messages, trying what waits again and again, and what to do in between.
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
    ReadList reads;
    mutex_.Lock();
    const Pass pass = ServeLocked(&thread);
    const bool elsewhere = reading_;
    if (!elsewhere) BeginReads(pass, &reads);
    mutex_.Unlock();
    if (reads.count > 0) {
      DoReads(reads);
      continue;
    }
    switch (pass) {
      case Pass::kFinished:
        return thread;
      case Pass::kMustRead:
        // Whoever reads serves what is left.
        if (elsewhere) return thread;
        break;
      case Pass::kMustWait:
        parts_.statistics->throttled_waits.Add();
        parts_.port->WaitReadable(kThrottleMs);
        break;
      case Pass::kEventDue:
        // A thread of the program is between announcing a change of its mappings and queueing
        // the event: let it get there.
        parts_.statistics->retries.Add();
        os::YieldProcessor();
        break;
    }
  }
}

Pager::Pass Pager::ServeLocked(uint32_t* last_thread) {
  while (true) {
    const size_t read = ReadLocked();
    Pass pass = Pass::kFinished;
    size_t kept = 0;
    wanted_.count = 0;
    for (size_t i = 0; i < parked_count_; ++i) {
      Parked parked = parked_[i];
      const bool may_wait = parked.read == ReadState::kTried || rescuing_;
      load_from_ = may_wait ? LoadFrom::kAnywhere : LoadFrom::kMemory;
      const Served served = ServeFault(parked.fault);
      if (served != Served::kDone) {
        if (served == Served::kRead && parked.read == ReadState::kNone) {
          parked.read = ReadState::kWanted;
        }
        parked_[kept++] = parked;
        pass = std::max(pass, PassAfter(served));
        continue;
      }
      *last_thread = parked.fault.thread;
      parts_.statistics->faults.Add();
      parts_.statistics->fault_ns.Record(os::MonotonicNanoseconds() - parked.read_ns);
    }
    parked_count_ = kept;
    if (read != 0) continue;
    if (pass == Pass::kFinished) BalanceLocked();
    return pass;
  }
}

Pager::Pass Pager::PassAfter(Served served) {
  switch (served) {
    case Served::kDone:
      return Pass::kFinished;
    case Served::kThrottled:
      return Pass::kMustWait;
    case Served::kLater:
      return Pass::kEventDue;
    case Served::kRead:
      return Pass::kMustRead;
  }
  return Pass::kFinished;
}

size_t Pager::ReadLocked() {
  size_t total = 0;
  while (parked_count_ + kReadBatch <= kParkedMax) {
    UserFaultEvent events[kReadBatch];
    const size_t count = parts_.port->Read(events);
    if (count == 0) break;
    total += count;
    const uint64_t now = os::MonotonicNanoseconds();
    for (size_t i = 0; i < count; ++i) {
      if (events[i].kind == UserFaultEvent::Kind::kPageFault) {
        parked_[parked_count_++] = {.fault = events[i], .read_ns = now};
      } else {
        ApplyEvent(events[i]);
      }
    }
    if (count < kReadBatch) break;
  }
  return total;
}

}  // namespace uzswap
