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
  levels_ = LevelsFor(session_->options().limit);
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
  store_.Init(&pool_.pool(), &pool_.arena(), &statistics());
  Result<void> done = OpenPorts();
  if (done.ok()) done = pager_.RebuildInChild(MakeParts());
  if (done.ok()) {
    done = os::StartServiceThread(PagerMain, this, os::DescriptorTable::kShared, "uzswap-pager");
  }
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
  parts.drain_port = &drain_port_;
  parts.address_space = &address_space_;
  parts.store = &store_;
  parts.statistics = &statistics();
  parts.headroom = &headroom_;
  parts.codec = CodecByName(Name(session_->options().codec));
  parts.levels = levels_;
  parts.wake_keeper = WakeKeeper;
  parts.wake_context = this;
  return parts;
}

Result<void> Engine::Activate() {
  const Options options = session_->options();
  Result<void> done = OpenPorts();
  if (!done.ok()) return done;
  done = pool_.Init(options.pool, options.limit);
  if (!done.ok()) return done;
  store_.Init(&pool_.pool(), &pool_.arena(), &statistics());
  const Pager::Parts parts = MakeParts();
  done = context_.Init(*parts.codec);
  if (!done.ok()) return done;
  done = pager_.Init(parts);
  if (!done.ok()) return done;
  done = os::StartServiceThread(PagerMain, this, os::DescriptorTable::kShared, "uzswap-pager");
  if (!done.ok()) return done;
  active_ = true;
  return {};
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

void Engine::WakeKeeper(void* self) {
  auto* engine = static_cast<Engine*>(self);
  // Relaxed: the keeper takes the pager's lock before it looks at anything.
  if (engine->wake_.exchange(1, std::memory_order_relaxed) == 0) os::FutexWake(&engine->wake_, 1);
}

}  // namespace uzswap
