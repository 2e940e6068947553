#include "engine/live_fork_port.h"

#include "os/program_watch.h"
#include "os/thread.h"
#include "reclaim/watermarks.h"

namespace uzswap {

void LiveForkPort::ListThreads() {
  if (!active()) return;
  // Before the roots of the fork are touched: these stay resident.
  MakeRoom();
  parts_.scanner->RefreshThreads();
}

void LiveForkPort::MakeRoom() {
  Session& session = parts_.member->session();
  const Bytes keep = WorkingSetMin(parts_.paging->watermarks().share_of, session.LiveCount());
  const Pager::Snapshot pages = parts_.paging->pager().TakeSnapshot();
  const int64_t evict = room_.Ask({.now_ns = os::MonotonicNanoseconds(),
                                   .resident_pages = static_cast<int64_t>(pages.resident.raw()),
                                   .headroom_pages = parts_.paging->headroom().Get(),
                                   .keep_pages = static_cast<int64_t>(PagesWithin(keep).raw()),
                                   .lasting_children = statistics().lasting_children.Get()});
  if (evict > 0) StoreBeforeFork(*parts_.reclaim, evict);
}

void LiveForkPort::Freeze() {
  last_sleep_.reset();
  if (!active()) return;
  parts_.urgency->Lower();
  parts_.paging->learning().Pause();
  parts_.paging->storage().Pause();
  parts_.paging->pager().Freeze();
}

void LiveForkPort::Rescue(uint32_t thread) {
  // The forking thread may have been killed.
  if (parts_.watch->Gone()) {
    parts_.broker->Unguard();
    os::EndProcess();
  }
  if (!active()) return;
  // Two looks: the holder of a lock that it got only just now runs, and gives it up by itself. Then
  // the thread would fork while pages are served.
  const std::optional<uint64_t> sleep = parts_.scanner->tasks().FutexSleep(thread);
  const bool slept = sleep && sleep == last_sleep_;
  last_sleep_ = sleep;
  parts_.paging->pager().RescueFrozen(thread, slept);
}

void LiveForkPort::Thaw() {
  if (!active()) return;
  parts_.paging->pager().Thaw();
  parts_.paging->storage().Resume();
  parts_.paging->learning().Resume();
  parts_.paging->pager().ServeWaiting();
}

const uint64_t* LiveForkPort::thread_hints(size_t* count) {
  *count = parts_.scanner->thread_count();
  return parts_.scanner->thread_hints();
}

Residence LiveForkPort::Where(uint64_t address) {
  return parts_.paging->pager().ResidenceOf(address);
}

Residence LiveForkPort::WhereFrozen(uint64_t address) {
  return parts_.paging->pager().ResidenceOfFrozen(address);
}

}  // namespace uzswap
