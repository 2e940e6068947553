// The writer's thread: when it shrinks the pool, when it waits, and when it cleans the store.
#include <algorithm>

#include "writeback/writeback.h"

namespace uzswap {

void Writeback::Run(uint64_t (*now_ns)()) {
  PoolGate& gate = cache_->gate();
  while (HandleRequest()) {
    const uint32_t seen = gate.calls();
    if (store_ != nullptr) store_->Tick(now_ns());
    if (!ShrinkToGate() || control_.interrupted()) continue;
    if (stuck()) {
      // Stores that are refused keep calling, but nothing can be written for them.
      control_.Rest(kRetryNs);
    } else if (!gate.AwaitCall(seen, options_.idle_ns)) {
      const bool densify = may_densify_.load(std::memory_order_relaxed);
      if (densify && densifier_.IsWorthwhile()) Densify(seen);
      if (gate.calls() == seen && cleaner_.IsWorthwhile()) CleanStore(seen);
    }
  }
  WaitForWrites();
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
    WaitForWrites();
    // The gate is open while the pool shrinks. Pages stored meanwhile are no reason to give up.
    const bool outpaced = reached && counters_.frames_freed.Get() > freed;
    const bool done = cache_->pool().Snapshot().frame_bytes() <= goal;
    if (!done && outpaced) {
      if (goal == asked) asked_.store(asked, std::memory_order_relaxed);
      return false;
    }
    shrinking_.store(false, std::memory_order_relaxed);
    const bool fruitless = !done && !control_.interrupted();
    counters_.fruitless_turns.Add(fruitless ? 1 : 0);
    stuck_.store(fruitless, std::memory_order_relaxed);
  }
  // Only a low level is reported: a high one would call this thread again.
  const uint64_t level = cache_->pool().Snapshot().frame_bytes();
  if (level <= gate.reopen_level()) static_cast<void>(gate.Observe(level));
  return true;
}

void Writeback::Densify(uint32_t calls_seen) {
  const IdleDensifier::Work work = densifier_.Densify(cache_->gate(), calls_seen);
  counters_.objects_densified.Add(work.objects);
  counters_.densify_yields.Add(work.yielded ? 1 : 0);
  counters_.frames_freed.Add(work.frames_freed);
}

void Writeback::CleanStore(uint32_t calls_seen) {
  // A record that was read ahead cannot be moved, and each can keep a segment in use. Nobody has
  // loaded these pages since the store became idle.
  cache_->DropReadAhead(*context_);
  const uint64_t before = store_->counters().recopied_bytes.Get();
  cleaner_.Clean(cache_->gate(), calls_seen);
  counters_.idle_bytes.Add(store_->counters().recopied_bytes.Get() - before);
  EndPending();
}

bool Writeback::HandleRequest() {
  if (control_.request() == WriterControl::Request::kPause) {
    shrinking_.store(false, std::memory_order_relaxed);
    WaitForWrites();
    control_.HoldStill();
  }
  return control_.request() != WriterControl::Request::kStop;
}

void Writeback::Ask(uint64_t bytes) {
  asked_.store(bytes, std::memory_order_relaxed);
  cache_->gate().Call();
}

void Writeback::ResetAfterFork() {
  UZ_CHECK_EQ(pending_.count(), 0u);
  store_ = nullptr;
  cleaner_.ResetAfterFork();
  densifier_.ResetAfterFork();
  control_.ResetAfterFork();
  shrinking_.store(false, std::memory_order_relaxed);
  stuck_.store(false, std::memory_order_relaxed);
}

void Writeback::AttachStore(BackingStore& store) {
  store_ = &store;
  cleaner_.Init(&store, options_.clean_below_permille, options_.keep_empty_segments);
}

}  // namespace uzswap
