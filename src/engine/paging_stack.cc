#include "engine/paging_stack.h"

#include <cerrno>

#include "engine/storage_options.h"
#include "os/mapping.h"
#include "os/thread.h"

namespace uzswap {

void PagingStack::Init(const Parts& parts, const Watermarks& watermarks) {
  parts_ = parts;
  watermarks_ = watermarks;
}

Result<void> PagingStack::OpenUserFaults() {
  RelaxedCounter* const unknown = &parts_.member->statistics().unknown_errnos;
  user_fault_.CountUnknownIn(unknown);
  release_fault_.CountUnknownIn(unknown);
  Result<void> opened = user_fault_.Open(os::LinuxUserFault::Events::kAll);
  if (!opened.ok()) return opened;
  opened = release_fault_.Open(os::LinuxUserFault::Events::kNone);
  if (opened.ok()) parts_.broker->Tie();
  return opened;
}

void PagingStack::SetWatermarks(const Watermarks& watermarks) {
  watermarks_ = watermarks;
  if (active_) pager_.SetWatermarks(watermarks);
}

Pager::Parts PagingStack::MakeParts() {
  Pager::Parts parts;
  parts.port = &user_fault_;
  parts.release_port = &release_fault_;
  parts.address_space = &address_space_;
  parts.store = &storage_.store();
  parts.statistics = &parts_.member->statistics();
  parts.headroom = &headroom_;
  parts.watermarks = watermarks_;
  parts.callback_argument = this;
  parts.wake_daemon = [](void* self) { static_cast<PagingStack*>(self)->parts_.waker->Wake(); };
  parts.refresh_headroom = [](void* self) {
    static_cast<PagingStack*>(self)->parts_.meter->Refresh();
  };
  parts.page_poisoned = [](void* self, uint64_t address, int error) {
    static_cast<PagingStack*>(self)->parts_.notices->PoisonedPage(address, error);
  };
  parts.lock_stalled = [](void* self) { static_cast<PagingStack*>(self)->MovePagerHere(); };
  parts.relief_comes = [](void* self) {
    auto* stack = static_cast<PagingStack*>(self);
    return stack->storage_.writeback().shrinking() ||
           os::MonotonicNanoseconds() < stack->unsharing_until_ns_.load(std::memory_order_relaxed);
  };
  return parts;
}

void PagingStack::NoteUnshared() {
  unsharing_until_ns_.store(os::MonotonicNanoseconds() + kUnsharingNs, std::memory_order_relaxed);
}

Result<void> PagingStack::Activate() {
  Result<void> done = OpenUserFaults();
  if (!done.ok()) return done;
  Session& session = parts_.member->session();
  const Options options = session.options();
  const Bytes dictionary(session.dictionary().size());
  done =
      storage_.Init(StorageOptionsFor(options, parts_.arena, dictionary, session.wear_account()));
  if (!done.ok()) return done;
  if (storage_.backing_error()) {
    parts_.notices->Backing(BackingTrouble::kUnusable, *storage_.backing_error());
  }
  sharing_.Init(*parts_.meter, address_space_);
  storage_.writeback().SetSharing(&sharing_);
  ShareSpace(options, options.pool_limit);
  done = daemon_context_.Init(storage_.cache());
  if (!done.ok()) return done;
  done = InitLearning(options);
  if (!done.ok()) return done;
  done = pager_.Init(MakeParts());
  if (!done.ok()) return done;
  done = StartServing();
  if (!done.ok()) return done;
  active_ = true;
  return {};
}

// The bounds of pools and files are the tree's. A pool without a bound of its own is bounded with
// the rest of the memory.
void PagingStack::ShareSpace(const Options& options, Bytes pools) {
  if (pools != Bytes(0)) {
    pool_space_.Bind(*parts_.member, pools, storage_.cache().gate().reservation());
  }
  if (options.backing_size != Bytes(0) && storage_.writes()) {
    file_space_.Bind(*parts_.member, options.backing_size, storage_.backing()->space());
  }
}

Result<void> PagingStack::InitLearning(const Options& options) {
  return learning_.Init({.member = parts_.member,
                         .cache = &storage_.cache(),
                         .dictionaries = &storage_.dictionaries(),
                         .trainer = {.member = parts_.member,
                                     .meter = parts_.meter,
                                     .headroom = &headroom_,
                                     .waker = parts_.waker}},
                        *CodecById(FirstCodecOf(options.codec)));
}

PageCounts PagingStack::CountPages() {
  const Pager::Snapshot snapshot = pager_.TakeSnapshot();
  return {snapshot.resident.raw(), snapshot.staged, snapshot.populated,
          storage_.arena().frames_populated().raw()};
}

void PagingStack::ForgetInChild() {
  storage_is_child_ = pager_is_rebuilt_ = pager_real_time_ = false;
  pager_thread_.store(0, std::memory_order_relaxed);
  pager_.ResetAfterFork();
  learning_.ResetInChild();
  user_fault_.Forget();
  release_fault_.Forget();
  address_space_.Forget();
}

static_assert(os::kKeptMax == os::kFilesReadMax);

os::KeptDescriptors PagingStack::descriptors_for_child() const {
  os::KeptDescriptors kept = os::kKeepNothing;
  if (!for_child_) return kept;
  for (size_t i = 0; i < os::kKeptMax; ++i) kept[i] = for_child_->file[i].fd();
  return kept;
}

os::InheritedFiles PagingStack::AdoptForChild() const {
  os::InheritedFiles files;
  for (size_t i = 0; for_child_ && i < os::kFilesReadMax; ++i) {
    if (!for_child_->file[i].is_open()) continue;
    os::BackingFile kept = os::BackingFile::AdoptFd(static_cast<int>(os::kKeptDescriptor + i));
    if (!kept.IsSameFile(for_child_->file[i])) {
      kept.Forget();  // something else has the number
      continue;
    }
    files.file[i] = std::move(kept);
  }
  return files;
}

bool PagingStack::NoteChildFile(const Result<void>& opened) {
  Statistics& counts = parts_.member->statistics();
  if (opened.ok()) {
    counts.child_files.Add();
    counts.unlocked_keys.Set(os::LockSecrets());
    return false;
  }
  counts.child_files_refused.Add();
  const int error = opened.error().errno_value;
  return error == ENFILE || error == EMFILE || error == ENOSPC || error == ENOMEM;
}

Result<void> PagingStack::BecomeChild() {
  Result<void> done = OpenUserFaults();
  if (!done.ok()) return done;
  storage_.BecomeChild(AdoptForChild());
  storage_is_child_ = true;
  done = pager_.RebuildInChild(MakeParts());
  if (!done.ok()) return done;
  pager_is_rebuilt_ = true;
  return StartServing();
}

Result<void> PagingStack::RestoreInChild(os::InheritedFiles files) {
  // Closing them ends the registration of every range.
  parts_.broker->Unguard();
  user_fault_.Close();
  release_fault_.Close();
  if (!storage_is_child_) storage_.BecomeChild(std::move(files));
  Pager::Parts parts = MakeParts();
  parts.port = &direct_;
  parts.release_port = &direct_;
  const Result<void> done =
      pager_is_rebuilt_ ? pager_.RestoreAll(parts) : pager_.RestoreInChild(parts);
  if (!done.ok()) return done;
  storage_.Trim();
  active_ = false;
  return {};
}

// The pager's thread is the last: if it cannot be started, nothing serves, and RestoreInChild can
// follow.
Result<void> PagingStack::StartServing() {
  parts_.member->statistics().unlocked_keys.Set(os::LockSecrets());
  Result<uint32_t> done =
      os::StartServiceThread(WriterMain, this, os::ServiceHome::kCaller, "uzswap-writer");
  if (!done.ok()) return done.error();
  learning_.Start();
  done = os::StartServiceThread(PagerMain, this, os::ServiceHome::kCaller, "uzswap-pager");
  if (!done.ok()) return done.error();
  return {};
}

// The fault handler belongs on the processor of the thread that faults: waking another one costs
// more than everything else. Which one that is, is asked from time to time, not at every fault.
void PagingStack::PagerMain(void* self) {
  auto* stack = static_cast<PagingStack*>(self);
  os::SetUrgency(os::Urgency::kPreferred);
  // Relaxed: see MovePagerHere.
  stack->pager_thread_.store(os::ThreadNumber(), std::memory_order_relaxed);
  constexpr uint32_t kFaultsBetweenLooks = 64;
  int processor = -1;
  uint32_t since = kFaultsBetweenLooks;
  while (true) {
    const uint32_t thread = stack->pager_.ServeOnce(stack->parts_.growth->TimeoutMs());
    stack->parts_.growth->CheckLate();
    if (thread == 0) continue;
    if (stack->pager_moved_.load(std::memory_order_relaxed)) {
      stack->pager_moved_.store(false, std::memory_order_relaxed);
      processor = -1;
      since = kFaultsBetweenLooks;
    }
    if (++since < kFaultsBetweenLooks) continue;
    since = 0;
    const int now = stack->parts_.tasks->ProcessorOf(thread);
    if (now < 0 || now == processor) continue;
    processor = now;
    os::PinToProcessor(processor);
  }
}

// A thread waits for the pager's lock, so its processor is about to be free. If the pager thread
// holds the lock, it continues there at once; with the next fault it returns to the program's
// processor. Relaxed: the worst that an old value does is that it continues where it was.
void PagingStack::MovePagerHere() {
  const uint32_t pager = pager_thread_.load(std::memory_order_relaxed);
  if (pager == 0 || pager == os::ThreadNumber()) return;
  if (!os::PinToCallersProcessor(pager)) return;
  pager_moved_.store(true, std::memory_order_relaxed);
  parts_.member->statistics().pager_rescues.Add();
}

void PagingStack::SetPagerUrgency(bool real_time) {
  if (real_time == pager_real_time_) return;
  // 0: its thread has not begun.
  const uint32_t pager = pager_thread_.load(std::memory_order_relaxed);
  if (pager == 0) return;
  pager_real_time_ = real_time;
  os::SetUrgencyOf(pager, real_time ? os::Urgency::kRealTime : os::Urgency::kPreferred);
  if (real_time) parts_.member->statistics().contentions.Add();
}

// The broker is asked here, because the daemon has no time when the program outgrows its limit.
void PagingStack::WriterMain(void* self) {
  auto* stack = static_cast<PagingStack*>(self);
  os::SetUrgency(os::Urgency::kPreferred);
  stack->parts_.broker->Guard(stack->user_fault_.descriptor());
  stack->storage_.writeback().Run(os::MonotonicNanoseconds);
}

}  // namespace uzswap
