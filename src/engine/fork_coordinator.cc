#include "engine/fork_coordinator.h"

#include "os/thread.h"

namespace uzswap {
namespace {

// Waits are woken; this only bounds how long a lost wake-up would last.
constexpr uint64_t kWaitNs = 1'000'000'000;

}  // namespace

void ForkCoordinator::Init(ForkPort& port, const ForkRoots& roots) {
  port_ = &port;
  roots_ = &roots;
}

void ForkCoordinator::Change(ForkState from, ForkState to) {
  UZ_CHECK(IsForkTransition(from, to));
  auto expected = static_cast<uint32_t>(from);
  // Release: the other side sees what was written before it got the turn.
  const bool changed = state_.compare_exchange_strong(
      expected, static_cast<uint32_t>(to), std::memory_order_acq_rel, std::memory_order_relaxed);
  UZ_CHECK(changed);
  os::FutexWake(&state_, 1);
}

// --- The reclaim daemon ---

ForkCoordinator::Turn ForkCoordinator::ServeOnce() {
  switch (state()) {
    case ForkState::kIdle:
    case ForkState::kListed:
    case ForkState::kThawed:
      return Turn::kNotOurs;
    case ForkState::kListRequested:
      port_->ListThreads();
      Change(ForkState::kListRequested, ForkState::kListed);
      return Turn::kServed;
    case ForkState::kFreezeRequested:
      port_->Freeze();
      Change(ForkState::kFreezeRequested, ForkState::kFrozen);
      return Turn::kServed;
    case ForkState::kFrozen:
      return Turn::kHolding;
    case ForkState::kThawRequested:
      port_->Thaw();
      Change(ForkState::kThawRequested, ForkState::kThawed);
      return Turn::kServed;
  }
  return Turn::kNotOurs;
}

void ForkCoordinator::Serve() {
  constexpr auto kFrozen = static_cast<uint32_t>(ForkState::kFrozen);
  while (true) {
    switch (ServeOnce()) {
      case Turn::kNotOurs:
        return;
      case Turn::kServed:
        break;
      case Turn::kHolding:
        os::FutexWait(&state_, kFrozen, kRescueAfterNs);
        if (state() != ForkState::kFrozen) break;
        port_->statistics().fork_rescues.Add();
        port_->Rescue(forking_thread_.load(std::memory_order_relaxed));
        break;
    }
  }
}

void ForkCoordinator::NoteDaemonReady() {
  ready_.store(1, std::memory_order_release);
  os::FutexWake(&ready_, 1);
}

// --- The forking thread ---

void ForkCoordinator::Request(ForkState request) {
  Change(state(), request);
  port_->WakeDaemon();
}

void ForkCoordinator::RequestAndWait(ForkState request, ForkState answer) {
  Request(request);
  while (state() != answer) os::FutexWait(&state_, static_cast<uint32_t>(request), kWaitNs);
}

void ForkCoordinator::ForEachRoot(ForkRoots::Visit visit, void* argument) {
  size_t count = 0;
  const uint64_t* threads = port_->thread_hints(&count);
  roots_->ForEach(threads, count, visit, argument);
  const auto frame = reinterpret_cast<uint64_t>(__builtin_frame_address(0));
  ForkRoots::ForEachOfStack(frame, visit, argument);
}

void ForkCoordinator::TouchRoots() {
  ForEachRoot(
      [](void* self, uint64_t address) {
        ForkPort& port = *static_cast<ForkCoordinator*>(self)->port_;
        const Residence where = port.Where(address);
        if (where == Residence::kSwappedOut) {
          // The fault is served like any other.
          *reinterpret_cast<const volatile char*>(address);
          port.NoteBroughtIn();
        }
        return where != Residence::kNotRegistered;
      },
      this);
}

bool ForkCoordinator::RootsStayed() {
  struct Check {
    ForkPort* port;
    bool stayed = true;
  } check{port_};
  ForEachRoot(
      [](void* raw, uint64_t address) {
        auto* state = static_cast<Check*>(raw);
        const Residence where = state->port->WhereFrozen(address);
        state->stayed &= where != Residence::kSwappedOut;
        return where == Residence::kInProgram;
      },
      &check);
  return check.stayed;
}

void ForkCoordinator::Prepare() {
  mutex_.Lock();
  forking_thread_.store(os::ThreadNumber(), std::memory_order_relaxed);
  for (int i = 0;; ++i) {
    RequestAndWait(ForkState::kListRequested, ForkState::kListed);
    if (port_->active()) TouchRoots();
    RequestAndWait(ForkState::kFreezeRequested, ForkState::kFrozen);
    if (!port_->active()) return;
    const bool stayed = RootsStayed();
    if (stayed || i == kTriesMax) {
      if (!stayed) port_->statistics().fork_roots_given_up.Add();
      port_->OpenForChild();
      return;
    }
    port_->statistics().fork_roots_retried.Add();
    RequestAndWait(ForkState::kThawRequested, ForkState::kThawed);
  }
}

void ForkCoordinator::ParentAfter() {
  RequestAndWait(ForkState::kThawRequested, ForkState::kThawed);
  Change(ForkState::kThawed, ForkState::kIdle);
  mutex_.Unlock();
}

void ForkCoordinator::ChildAfter() {
  mutex_.ResetAfterFork();
  // Relaxed: there is no other thread.
  state_.store(static_cast<uint32_t>(ForkState::kIdle), std::memory_order_relaxed);
  ready_.store(0, std::memory_order_relaxed);
}

void ForkCoordinator::AwaitDaemon() {
  while (ready_.load(std::memory_order_acquire) == 0) os::FutexWait(&ready_, 0, kWaitNs);
}

}  // namespace uzswap
