// PoolGate: whether stores are accepted, with hysteresis.
//
//   bytes   limit ------------------------x--------------   closes here
//           90 %  ---------------/--------\--------x-----   opens again; above it the writer is
//                 open ........./ ........ \closed / open   called
//
// The limit may be raised or lowered at any time. Checking costs a relaxed load while open. The
// caller reports the pool's size with Observe, after as many stores as StoresUntilCheck tells.
//
// Where processes share the limit, the pool also stays within what this one has reserved of it:
//
//   bytes   limit: bound - others ---------------------------------
//           reserved --------------------/------  Observe reserves more before the pool is there;
//           pool ......................./         if the others hold the rest, the gate closes,
//                                                 and the limit falls to what is reserved
//
// Frames that forked relatives map too are not counted: neither in the limit nor in what is
// reserved. They are memory only once, and the writer cannot free them. The owner makes the limit
// smaller by its share of them.
//
// The writer sleeps in AwaitCall until the pool is above 90 %, so that shrinking begins before
// stores are refused. Any thread may call anything.
#ifndef UZSWAP_CACHE_POOL_GATE_H_
#define UZSWAP_CACHE_POOL_GATE_H_

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstdint>

#include "base/reservation.h"
#include "base/units.h"
#include "os/thread.h"

namespace uzswap {

class PoolGate {
 public:
  static constexpr uint64_t kReopenPercent = 90;
  // Asking a pool for its level takes its locks one after the other: too slow for every store.
  static constexpr uint32_t kCheckEvery = 64;

  void SetLimit(uint64_t bytes) { limit_.store(bytes, std::memory_order_relaxed); }
  // Both are levels of the whole pool.
  [[nodiscard]] uint64_t limit() const {
    const uint64_t own = own_limit();
    return own == UINT64_MAX ? own : own + uncounted();
  }
  [[nodiscard]] uint64_t reopen_level() const {
    return own_limit() / 100 * kReopenPercent + uncounted();
  }
  // Bytes of the frames that relatives map too.
  void SetUncounted(uint64_t bytes) { uncounted_.store(bytes, std::memory_order_relaxed); }
  [[nodiscard]] bool closed() const { return closed_.load(std::memory_order_relaxed); }

  // Of the limit, if other processes share it.
  [[nodiscard]] Reservation& reservation() { return reservation_; }

  // Reports the pool's size. True if that closed the gate.
  bool Observe(uint64_t pool_bytes) {
    // Nothing is asked for that would not be used.
    if (closed() && pool_bytes > reopen_level()) {
      Call();
      return false;
    }
    const bool covered = reservation_.Cover(Counted(pool_bytes) + Ahead());
    if (!covered) LowerLimit(reservation_.allowed());
    if (covered && pool_bytes <= reopen_level()) {
      if (closed()) closed_.store(false, std::memory_order_relaxed);
      return false;
    }
    Call();
    if (covered && pool_bytes < limit()) return false;
    return !closed_.exchange(true, std::memory_order_relaxed);
  }
  // How many pages may be stored before the size is to be reported again. Two threads store.
  [[nodiscard]] uint32_t StoresUntilCheck(uint64_t pool_bytes) const {
    const uint64_t allowed = reservation_.allowed();
    const uint64_t counted = Counted(pool_bytes);
    const uint64_t pages = allowed > counted ? (allowed - counted) >> (kPageShift + 1) : 0;
    return static_cast<uint32_t>(std::clamp<uint64_t>(pages, 1, kCheckEvery));
  }
  // The pool had no frame, whatever its size.
  void Close() {
    closed_.store(true, std::memory_order_relaxed);
    Call();
  }

  // The number of calls so far. AwaitCall waits until there are more; false after the timeout.
  [[nodiscard]] uint32_t calls() const { return calls_.load(std::memory_order_acquire); }
  bool AwaitCall(uint32_t seen, uint64_t timeout_ns) {
    // Sequentially consistent, here and in Call: either the caller sees a sleeper, or the sleeper
    // sees the call.
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    if (calls_.load(std::memory_order_seq_cst) == seen) os::FutexWait(&calls_, seen, timeout_ns);
    sleepers_.fetch_sub(1, std::memory_order_seq_cst);
    return calls() != seen;
  }
  // Wakes the writer, also for other reasons than the pool's size (a request to stop).
  void Call() {
    calls_.fetch_add(1, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) != 0) os::FutexWake(&calls_, INT_MAX);
  }

 private:
  [[nodiscard]] uint64_t own_limit() const { return limit_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint64_t uncounted() const { return uncounted_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint64_t Counted(uint64_t pool_bytes) const {
    return pool_bytes - std::min(pool_bytes, uncounted());
  }
  // Below the tenth that lies between opening and closing, so an open gate needs no more than it
  // has.
  [[nodiscard]] uint64_t Ahead() const {
    return reservation_.on() ? std::min(reservation_.step() / 2, reservation_.allowed() / 16) : 0;
  }
  void LowerLimit(uint64_t bytes) {
    uint64_t seen = own_limit();
    while (seen > bytes && !limit_.compare_exchange_weak(seen, bytes, std::memory_order_relaxed)) {
    }
  }

  std::atomic<uint64_t> limit_{UINT64_MAX};  // lowered by all, raised by the owner
  std::atomic<uint64_t> uncounted_{0};       // orders nothing
  Reservation reservation_;
  std::atomic<bool> closed_{false};  // a hint to all; orders nothing
  std::atomic<uint32_t> calls_{0};   // orders what callers wrote before a call
  std::atomic<uint32_t> sleepers_{0};
};

}  // namespace uzswap

#endif  // UZSWAP_CACHE_POOL_GATE_H_
