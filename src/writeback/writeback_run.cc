// The writer's thread: when it works, when it rests, and how it is made to hold still.
#include <algorithm>
#include <climits>
#include <utility>

#include "os/thread.h"
#include "writeback/writeback.h"

namespace uzswap {

void Writeback::Run(uint64_t (*now_ns)()) {
  PoolGate& gate = cache_->gate();
  while (Obey()) {
    const uint32_t seen = gate.calls();
    if (store_ != nullptr) store_->Tick(now_ns());
    if (!ShrinkToGate() || Interrupted()) continue;
    if (stuck()) {
      // Those who are refused keep calling, and it would not help them.
      os::FutexWait(&order_, static_cast<uint32_t>(Order::kRun), kRetryNs);
    } else if (!gate.AwaitCall(seen, kIdleNs)) {
      CleanWhenIdle(seen);
    }
  }
  Drain();
}

bool Writeback::ShrinkToGate() {
  PoolGate& gate = cache_->gate();
  const uint64_t asked = asked_.exchange(UINT64_MAX, std::memory_order_relaxed);
  const uint64_t goal = std::min(gate.reopen_level(), asked);
  if (cache_->pool().Snapshot().frame_bytes() <= goal) {
    shrinking_.store(false, std::memory_order_relaxed);
    stuck_.store(false, std::memory_order_relaxed);
  } else {
    shrinking_.store(true, std::memory_order_relaxed);
    const uint64_t freed = counters_.frames_freed.Get();
    const bool reached = StepUntil(goal);
    Drain();
    // The gate is open while the pool shrinks: what was stored meanwhile is no reason to give up,
    // and whoever waits goes on waiting.
    const bool outpaced = reached && counters_.frames_freed.Get() > freed;
    const bool done = cache_->pool().Snapshot().frame_bytes() <= goal;
    if (!done && outpaced) {
      if (goal == asked) asked_.store(asked, std::memory_order_relaxed);
      return false;
    }
    shrinking_.store(false, std::memory_order_relaxed);
    stuck_.store(!done && !Interrupted(), std::memory_order_relaxed);
  }
  // Only downward: reporting a level that stays high would call for ourselves.
  const uint64_t level = cache_->pool().Snapshot().frame_bytes();
  if (level <= gate.reopen_level()) static_cast<void>(gate.Observe(level));
  return true;
}

void Writeback::CleanWhenIdle(uint32_t seen) {
  if (store_ == nullptr || store_->closed()) return;
  const SegmentTable& segments = store_->segments();
  const uint64_t live = segments.live_bytes();
  const uint64_t slack = kSlackWhenIdle + live / 1000 * (1000 - kAliveWhenIdle);
  // While pages come back nobody is idle, and what is rewritten now may be gone in a moment.
  if (std::exchange(live_bytes_seen_, live) != live) return;
  // What was as clean as it gets would be rewritten for ever.
  if (segments.held_bytes() <= live + slack || live == cleaned_live_bytes_) return;
  // A large file takes seconds, and a full pool cannot wait for that.
  const auto called = [&] { return cache_->gate().calls() != seen; };
  uint32_t steps = 2 * segments.in_use() + 1;
  // Nobody has come for them in a second, and each can keep a segment.
  cache_->DropReadAhead(*context_);
  while (steps-- > 0 && !called() && CompactStep(kAliveWhenIdle)) {
  }
  Drain();
  while (!called() && store_->TrimOne(0)) {
  }
  if (!called()) cleaned_live_bytes_ = segments.live_bytes();
}

bool Writeback::Obey() {
  if (order_.load(std::memory_order_acquire) == Order::kPause) {
    shrinking_.store(false, std::memory_order_relaxed);
    Drain();
    paused_.store(1, std::memory_order_release);
    os::FutexWake(&paused_, INT_MAX);
    while (order_.load(std::memory_order_acquire) == Order::kPause) {
      os::FutexWait(&order_, static_cast<uint32_t>(Order::kPause), kIdleNs);
    }
    paused_.store(0, std::memory_order_release);
  }
  return order_.load(std::memory_order_acquire) != Order::kStop;
}

void Writeback::Command(Order order) {
  order_.store(order, std::memory_order_release);
  os::FutexWake(&order_, INT_MAX);
  cache_->gate().Call();
}

void Writeback::Pause() {
  // From the last time it may not have woken up yet.
  while (paused_.load(std::memory_order_acquire) != 0) os::YieldProcessor();
  Command(Order::kPause);
  while (paused_.load(std::memory_order_acquire) == 0) os::FutexWait(&paused_, 0, kIdleNs);
}

void Writeback::Resume() { Command(Order::kRun); }

void Writeback::Ask(uint64_t bytes) {
  asked_.store(bytes, std::memory_order_relaxed);
  cache_->gate().Call();
}

void Writeback::ResetAfterFork() {
  UZ_CHECK_EQ(pending_count_, 0u);
  store_ = nullptr;
  order_.store(Order::kRun, std::memory_order_relaxed);
  paused_.store(0, std::memory_order_relaxed);
  shrinking_.store(false, std::memory_order_relaxed);
  stuck_.store(false, std::memory_order_relaxed);
}

}  // namespace uzswap
