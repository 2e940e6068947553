#include "engine/engine.h"

#include <cerrno>
#include <cstring>

#include "os/program_stderr.h"
#include "os/thread.h"

namespace uzswap {

Result<void> Engine::Start(Session session, const char* program_name,
                           uint64_t default_stack_bytes) {
  session_.emplace(std::move(session));
  default_stack_bytes_ = default_stack_bytes;
  strncpy(name_, program_name, sizeof(name_) - 1);
  levels_ = WatermarksFor(session_->options().limit);
  Result<void> found = fork_roots_.Find();
  if (!found.ok()) return found;
  slot_ = session_->Claim(name_);
  if (!slot_) return Error{0, "the session's table of processes is full"};
  return os::StartServiceThread(KeeperMain, this, os::DescriptorTable::kOwn, "uzswap-keeper");
}

void Engine::Say(std::string_view line) {
  if (!session_ || !session_->Say(line)) os::WriteToProgramStderr(line);
}

void Engine::KeeperMain(void* self) {
  auto* engine = static_cast<Engine*>(self);
  os::PreferThisThread();
  engine->BeginKeeping();
  engine->Keep();
}

// The first thing a keeper does, in a new process and in a forked child alike: its descriptor
// table is empty.
void Engine::BeginKeeping() {
  Result<void> opened = memory_.Open();
  // All of /proc now: later the program may have changed its root or given up its rights.
  if (opened.ok()) opened = share_.Open();
  if (opened.ok()) opened = address_space_.Open();
  if (opened.ok()) opened = adopter_.Open(default_stack_bytes_);
  if (!opened.ok()) GiveUp("/proc cannot be read", opened.error());
  if (child_) BeginAsChild();
  // Release: whoever sees it sees the ports.
  ready_.store(1, std::memory_order_release);
  os::FutexWake(&ready_, 1);
}

// A process beyond the session's table is managed all the same; nobody sees what it holds.
void Engine::BeginAsChild() {
  child_ = false;
  slot_ = session_->Claim(name_);
  if (!active_) return;
  cache_.BecomeChild(for_child_ && for_child_->is_open()
                         ? os::BackingFile::AdoptFd(os::kKeptDescriptor)
                         : os::BackingFile());
  forget_reported_ = true;
  asked_pool_bytes_ = 0;
  Result<void> done = OpenPorts();
  if (done.ok()) done = pager_.RebuildInChild(MakeParts());
  if (done.ok()) done = StartServing();
  if (!done.ok()) GiveUp("a forked child cannot be served", done.error());
}

Result<void> Engine::OpenPorts() {
  Result<void> opened = port_.Open(os::LinuxUserFault::Events::kAll);
  if (!opened.ok()) return opened;
  return drain_port_.Open(os::LinuxUserFault::Events::kNone);
}

Pager::Parts Engine::MakeParts() {
  Pager::Parts parts;
  parts.port = &port_;
  parts.release_port = &drain_port_;
  parts.address_space = &address_space_;
  parts.store = &cache_.store();
  parts.statistics = &statistics();
  parts.headroom = &headroom_;
  parts.watermarks = levels_;
  parts.wake_daemon = WakeKeeper;
  parts.page_poisoned = PageLost;
  parts.relief_comes = [](void* self) {
    return static_cast<Engine*>(self)->cache_.writeback().shrinking();
  };
  parts.callback_argument = this;
  return parts;
}

Result<void> Engine::Activate() {
  Result<void> done = OpenPorts();
  if (!done.ok()) return done;
  done = cache_.Init(session_->options(), session_->wear_account());
  if (!done.ok()) return done;
  if (cache_.backing_error()) {
    WarnBacking("the backing store cannot be used", *cache_.backing_error());
  }
  done = context_.Init(cache_.cache());
  if (!done.ok()) return done;
  done = pager_.Init(MakeParts());
  if (!done.ok()) return done;
  done = StartServing();
  if (!done.ok()) return done;
  active_ = true;
  return {};
}

Result<void> Engine::StartServing() {
  const Result<void> done =
      os::StartServiceThread(PagerMain, this, os::DescriptorTable::kShared, "uzswap-pager");
  if (!done.ok()) return done;
  return os::StartServiceThread(WriterMain, this, os::DescriptorTable::kShared, "uzswap-writer");
}

void Engine::GiveUp(const char* what, Error error) {
  PanicOperands(__FILE__, __LINE__, what, static_cast<uint64_t>(error.errno_value), 0);
}

// The handler belongs on the processor of the thread that faults: waking another one costs
// more than all the rest. Where that is, is looked up now and then, not at every fault.
void Engine::PagerMain(void* self) {
  auto* engine = static_cast<Engine*>(self);
  os::PreferThisThread();
  constexpr uint32_t kFaultsBetweenLooks = 64;
  int processor = -1;
  uint32_t since = kFaultsBetweenLooks;
  while (true) {
    const uint32_t thread = engine->pager_.ServeOnce(-1);
    if (thread == 0 || ++since < kFaultsBetweenLooks) continue;
    since = 0;
    const int now = os::ProcessorOfThread(thread);
    if (now < 0 || now == processor) continue;
    processor = now;
    os::PinToProcessor(processor);
  }
}

void Engine::WriterMain(void* self) {
  static_cast<Engine*>(self)->cache_.writeback().Run(os::MonotonicNanoseconds);
}

void Engine::WakeKeeper(void* self) {
  auto* engine = static_cast<Engine*>(self);
  // Relaxed: the keeper takes the pager's lock before it looks at anything.
  if (engine->wake_.exchange(1, std::memory_order_relaxed) == 0) os::FutexWake(&engine->wake_, 1);
}

}  // namespace uzswap
