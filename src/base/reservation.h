// Reservation: what one process may use of a bound that it shares with other processes.
//
//   bound of all  ├──────────────────────────────────────────────────────────┤
//   others        ├── reserved ──┼── reserved ──┤
//   ours                                        ├── reserved ──────┤
//                                               ├── used ──┤ step
//
// Space is reserved before it is used, so processes that grow at the same moment cannot exceed the
// bound together, and a process whose threads get no processor for a while exceeds nothing. It is
// reserved in steps, because asking costs a walk over the processes. `least` is for every process,
// reserved or not: the sum may exceed the bound by that much for each.
//
//        Cover(above reserved)                  ReturnBeyond(far below reserved)
//   used ────────────────────> reserved + step  ─────────────────> used + step
//
// Cover: any thread. ReturnBeyond: one thread. A thread that was told by Cover that it may use
// something may be overtaken by ReturnBeyond, whose `used` was read earlier: it uses what it was
// told, which the next Cover reserves again.
//
// The sum of what is announced is checked after announcing, as the kernel charges a page counter
// (mm/page_counter.c, page_counter_try_charge).
#ifndef UZSWAP_BASE_RESERVATION_H_
#define UZSWAP_BASE_RESERVATION_H_

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace uzswap {

// Where the processes meet.
class ReservationPort {
 public:
  // False if the others hold so much that `bytes` more exceed the bound: nothing is reserved then.
  virtual bool Reserve(uint64_t bytes) = 0;
  virtual void Return(uint64_t bytes) = 0;

 protected:
  ~ReservationPort() = default;
};

class Reservation {
 public:
  struct Sizes {
    uint64_t least;  // bytes that need no reservation
    uint64_t step;   // bytes that are reserved at once
  };

  // Before Init everything is allowed. Other threads may already call Cover.
  void Init(ReservationPort& port, Sizes sizes) {
    sizes_ = sizes;
    port_.store(&port, std::memory_order_release);
  }
  // Acquire: who sees the port sees the sizes, which are not read without it.
  [[nodiscard]] bool on() const { return port_.load(std::memory_order_acquire) != nullptr; }
  [[nodiscard]] uint64_t step() const { return sizes_.step; }
  // As the others see it.
  [[nodiscard]] uint64_t reserved() const { return reserved_.load(std::memory_order_relaxed); }
  // Bytes that may be used without asking.
  [[nodiscard]] uint64_t allowed() const {
    if (!on()) return UINT64_MAX;
    return std::max(reserved(), sizes_.least);
  }

  // True if `used` bytes are allowed, reserving more if necessary: a step, or less if there is
  // less.
  bool Cover(uint64_t used) {
    if (!on()) return true;
    const uint64_t reserved = this->reserved();
    if (used <= std::max(reserved, sizes_.least)) return true;
    const uint64_t missing = used - reserved;
    const uint64_t steps = (missing + sizes_.step - 1) / sizes_.step * sizes_.step;
    if (Add(steps) || (missing < steps && Add(missing))) return true;
    // Another thread of this process may have taken what is missing, for both.
    return used <= allowed();
  }

  // Gives back what is reserved beyond `used` and a step. Only this lowers the reservation.
  void ReturnBeyond(uint64_t used) {
    if (!on()) return;
    const uint64_t keep = used > sizes_.least ? used + sizes_.step : 0;
    const uint64_t reserved = this->reserved();
    if (reserved <= keep + sizes_.step) return;
    reserved_.fetch_sub(reserved - keep, std::memory_order_relaxed);
    port_.load(std::memory_order_acquire)->Return(reserved - keep);
  }

  // In a forked child, whose parent keeps what is reserved: everything is allowed.
  void ResetInChild() {
    port_.store(nullptr, std::memory_order_relaxed);
    reserved_.store(0, std::memory_order_relaxed);
  }

 private:
  bool Add(uint64_t bytes) {
    if (!port_.load(std::memory_order_acquire)->Reserve(bytes)) return false;
    reserved_.fetch_add(bytes, std::memory_order_relaxed);
    return true;
  }

  std::atomic<ReservationPort*> port_{nullptr};
  Sizes sizes_{};
  std::atomic<uint64_t> reserved_{0};  // orders nothing
};

}  // namespace uzswap

#endif  // UZSWAP_BASE_RESERVATION_H_
