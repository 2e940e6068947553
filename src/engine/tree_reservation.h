// TreeReservation: reserves space for this process in the tree's session.
//
//   PoolGate, BackingStore ──> Reservation ──Reserve, Return──> TreeReservation ──> session record
//
// Bind: once, by one thread, before anything is reserved; others may already use the reservation.
// Reserve and Return: any thread of the engine.
#ifndef UZSWAP_ENGINE_TREE_RESERVATION_H_
#define UZSWAP_ENGINE_TREE_RESERVATION_H_

#include <algorithm>
#include <atomic>

#include "base/reservation.h"
#include "engine/session_member.h"
#include "engine/storage_bounds.h"

namespace uzswap {

class TreeReservation final : public ReservationPort {
 public:
  TreeReservation(SharedSpace space, Bytes least) : space_(space), least_(least) {}

  // From here on `reservation` has to reserve what it allows, in a `bound` of the tree.
  void Bind(SessionMember& member, Bytes bound, Reservation& reservation) {
    member_ = &member;
    SetBound(bound);
    reservation.Init(*this, {.least = least_.raw(), .step = StepOf(bound).raw()});
  }

  // Another bound from now on. The reclaim daemon.
  void SetBound(Bytes bound) { bound_.store(bound.raw(), std::memory_order_relaxed); }

  bool Reserve(uint64_t bytes) override {
    // Relaxed: a thread may reserve by the former bound once more.
    const Bytes bound(bound_.load(std::memory_order_relaxed));
    const bool reserved = member_->Reserve(space_, Bytes(bytes), bound);
    if (!reserved) member_->statistics().reservations_refused.Add();
    return reserved;
  }
  void Return(uint64_t bytes) override { member_->Return(space_, Bytes(bytes)); }

  // Asking costs two cache lines for each process, so not for every page; but each process can have
  // two steps reserved that it does not use.
  static constexpr Bytes StepOf(Bytes bound) {
    return Bytes(std::clamp(RoundUpToPage(bound.raw() / 256), kStepMin.raw(), kStepMax.raw()));
  }

 private:
  static constexpr Bytes kStepMin{16 * kPageSize};
  static constexpr Bytes kStepMax{256 * kPageSize};

  const SharedSpace space_;
  const Bytes least_;
  SessionMember* member_ = nullptr;
  std::atomic<uint64_t> bound_{0};
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_TREE_RESERVATION_H_
