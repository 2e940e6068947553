// Fork, seen from the forking thread and from the keeper that holds still for it.
#include "engine/engine.h"
#include "os/thread.h"

namespace uzswap {
namespace {

// A forking thread that has not come back after this long may be waiting for a page, or for a
// lock whose holder waits for one.
constexpr uint64_t kRescueAfterNs = 1'000'000;
constexpr int kTriesMax = 4;

}  // namespace

// The keeper's side: carries out what a forking thread asks for.
void Engine::Obey() {
  while (true) {
    // Acquire: the thread number was written before the order.
    const uint32_t order = order_.load(std::memory_order_acquire);
    if (order == kNone || order == reached_.load(std::memory_order_relaxed)) return;
    switch (static_cast<Order>(order)) {
      case kNone:
        return;
      case kList:
        if (active_) adopter_.RefreshThreads();
        break;
      case kFreeze:
        if (active_) {
          cache_.Pause();
          pager_.Freeze();
          reached_.store(kFreeze, std::memory_order_release);
          os::FutexWake(&reached_, 1);
          while (order_.load(std::memory_order_acquire) == kFreeze) {
            os::FutexWait(&order_, kFreeze, kRescueAfterNs);
            if (order_.load(std::memory_order_acquire) != kFreeze) break;
            const uint32_t thread = forking_thread_.load(std::memory_order_relaxed);
            pager_.RescueFrozen(thread, os::SleepsInFutex(thread));
          }
          pager_.Thaw();
          cache_.Resume();
          pager_.ServeWaiting();
          continue;
        }
        // Nothing to freeze; but the keeper must not become active while the child is made.
        reached_.store(kFreeze, std::memory_order_release);
        os::FutexWake(&reached_, 1);
        while (order_.load(std::memory_order_acquire) == kFreeze) {
          os::FutexWait(&order_, kFreeze, kRescueAfterNs);
        }
        continue;
      case kThaw:
        break;
    }
    reached_.store(order, std::memory_order_release);
    os::FutexWake(&reached_, 1);
  }
}

// The forking thread's side: gives an order and waits until the keeper has reached it.
void Engine::Give(Order order) {
  order_.store(order, std::memory_order_release);
  os::FutexWake(&order_, 1);
  WakeKeeper(this);
  while (true) {
    const uint32_t reached = reached_.load(std::memory_order_acquire);
    if (reached == order) return;
    os::FutexWait(&reached_, reached, 1'000'000'000);
  }
}

void Engine::TouchRoots() {
  fork_roots_.ForEach(
      adopter_.thread_hints(), adopter_.thread_count(),
      [](void* self, uint64_t address) {
        auto* engine = static_cast<Engine*>(self);
        const Residence residence = engine->pager_.ResidenceOf(address);
        if (residence == Residence::kSwappedOut) {
          // The fault is served like any other.
          *reinterpret_cast<const volatile char*>(address);
          engine->statistics().fork_pages_brought_in.Add();
        }
        return residence != Residence::kNotRegistered;
      },
      this);
}

// Everything stands still: has any of them left again since it was touched?
bool Engine::RootsStayed() {
  struct Check {
    Engine* engine;
    bool stayed = true;
  } check{this};
  fork_roots_.ForEach(
      adopter_.thread_hints(), adopter_.thread_count(),
      [](void* raw, uint64_t address) {
        auto* state = static_cast<Check*>(raw);
        const Residence residence = state->engine->pager_.ResidenceOfFrozen(address);
        state->stayed &= residence != Residence::kSwappedOut;
        return residence == Residence::kInProgram;
      },
      &check);
  return check.stayed;
}

void Engine::PrepareFork() {
  fork_mutex_.Lock();
  forking_thread_.store(os::ThreadNumber(), std::memory_order_relaxed);
  for (int i = 0;; ++i) {
    Give(kList);
    if (active_) TouchRoots();
    Give(kFreeze);
    if (!active_) return;
    if (i == kTriesMax || RootsStayed()) {
      for_child_.emplace(cache_.OpenForChild());
      return;
    }
    Give(kThaw);
  }
}

void Engine::ParentAfterFork() {
  statistics().forks.Add();
  sharing_.store(true, std::memory_order_relaxed);
  for_child_.reset();
  Give(kThaw);
  order_.store(kNone, std::memory_order_release);
  fork_mutex_.Unlock();
}

void Engine::ChildAfterFork() {
  child_ = true;
  fork_mutex_.ResetAfterFork();
  os::ForgetServiceThreads();
  pager_.ResetAfterFork();
  port_.Forget();
  drain_port_.Forget();
  address_space_.Forget();
  adopter_.Forget();
  memory_.Forget();
  share_.Forget();
  sharing_.store(true, std::memory_order_relaxed);
  shared_ns_ = 0;
  order_.store(kNone, std::memory_order_relaxed);
  reached_.store(kNone, std::memory_order_relaxed);
  wake_.store(0, std::memory_order_relaxed);
  ready_.store(0, std::memory_order_relaxed);
  const int file = for_child_ ? for_child_->fd() : -1;
  const Result<void> started =
      os::StartServiceThread(KeeperMain, this, os::DescriptorTable::kOwn, "uzswap-keeper", file);
  if (!started.ok()) GiveUp("a forked child cannot be served", started.error());
  // Before this the child must not touch anything in care.
  while (active_ && ready_.load(std::memory_order_acquire) == 0) {
    os::FutexWait(&ready_, 0, 1'000'000'000);
  }
  for_child_.reset();
}

}  // namespace uzswap
