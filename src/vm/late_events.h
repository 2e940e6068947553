// Late events: unmap events that are still to come, for addresses that may be in use again.
//
// The kernel reports a change of mappings after the change, when the mmap lock is free again, and
// it queues the second event of one call only after the first was read. In between, the mremap of
// another thread can map the same addresses, and its event can be read first:
//
//     thread A: mremap(Y -> Z)                  thread B: mremap(W -> Y)
//       REMAP Y->Z  (read)                        REMAP W->Y  (read)
//       UNMAP Y     (read last: it means A's former Y, which has gone, and not B's Y)
//
//   PendingUnmaps      the remaps whose unmap event is still to come, as a multiset. Until it was
//                      read mremap has not returned, so nobody can have unmapped the new place.
//   EventTrackingPort  passes every call on, and notes whether the kernel gave any answer but
//                      kRetry: at that moment no event was pending, so none is still to come.
//                      MREMAP_DONTUNMAP never sends the second event; this clears it.
//
// The owner's lock guards both. Nothing allocates. docs/design/races.md has the whole rule.
#ifndef UZSWAP_VM_LATE_EVENTS_H_
#define UZSWAP_VM_LATE_EVENTS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "base/units.h"
#include "os/user_fault_port.h"

namespace uzswap {

class EventTrackingPort final : public os::UserFaultPort {
 public:
  void Attach(os::UserFaultPort* port) { port_ = port; }
  // Has an answer since the last call proved that no event was pending?
  [[nodiscard]] bool TakeQuietProof() {
    const bool quiet = quiet_;
    quiet_ = false;
    return quiet;
  }

  size_t Read(std::span<os::UserFaultEvent> events) override { return port_->Read(events); }
  void WaitReadable(int timeout_ms) override { port_->WaitReadable(timeout_ms); }
  os::PortResult Move(uint64_t destination, uint64_t source, uint64_t length) override {
    return Note(port_->Move(destination, source, length));
  }
  os::PortResult MoveFromExecutable(uint64_t destination, uint64_t source,
                                    uint64_t length) override {
    const os::PortResult result = port_->MoveFromExecutable(destination, source, length);
    // This refusal can be given before userfaultfd is asked: it proves nothing.
    return result.outcome == os::PortOutcome::kRefused ? result : Note(result);
  }
  os::PortResult Copy(uint64_t destination, const void* source, uint64_t length) override {
    return Note(port_->Copy(destination, source, length));
  }
  os::PortResult Zero(uint64_t destination) override { return Note(port_->Zero(destination)); }
  os::PortResult Poison(uint64_t destination) override { return Note(port_->Poison(destination)); }
  void Wake(uint64_t start, uint64_t length) override { port_->Wake(start, length); }
  void HoldWakes(bool held) override { port_->HoldWakes(held); }
  Result<void> Register(uint64_t start, uint64_t length) override {
    return port_->Register(start, length);
  }

 private:
  os::PortResult Note(os::PortResult result) {
    quiet_ |= result.outcome != os::PortOutcome::kRetry;
    return result;
  }

  os::UserFaultPort* port_ = nullptr;
  bool quiet_ = false;
};

class PendingUnmaps {
 public:
  // More threads than this cannot be inside mremap at one moment.
  static constexpr size_t kMax = 1024;

  struct Piece {
    uint64_t end = 0;
    bool pending = false;
  };

  // The source was moved to the target: an unmap event of the source is still to come.
  void Add(AddressRange source, uint64_t target) {
    UZ_CHECK_LT(count_, kMax);
    remaps_[count_++] = {source, target};
  }
  void Clear() { count_ = 0; }
  [[nodiscard]] size_t count() const { return count_; }

  // An unmap event was read. Returns the longest piece of the range, from its start on, for which
  // the answer is the same: this event was pending, or it was not. A pending piece is removed.
  Piece Match(AddressRange range) {
    Piece piece{range.end, false};
    for (size_t i = 0; i < count_ && !piece.pending; ++i) {
      const Remap remap = remaps_[i];
      const AddressRange source = remap.source;
      Narrow(range, source, &piece);
      if (!piece.pending) continue;
      remaps_[i] = remaps_[--count_];
      if (source.start < range.start) Add({source.start, range.start}, remap.target);
      if (piece.end < source.end) Add({piece.end, source.end}, remap.TargetOf(piece.end));
    }
    return piece;
  }
  // The longest piece of the range, from its start on, for which the answer is the same: a remap
  // whose event is pending landed here, or none did.
  [[nodiscard]] Piece Landed(AddressRange range) const {
    Piece piece{range.end, false};
    for (size_t i = 0; i < count_ && !piece.pending; ++i) {
      const Remap& remap = remaps_[i];
      Narrow(range, {remap.target, remap.TargetOf(remap.source.end)}, &piece);
    }
    return piece;
  }

 private:
  struct Remap {
    [[nodiscard]] uint64_t TargetOf(uint64_t address) const {
      return target + (address - source.start);
    }

    AddressRange source;
    uint64_t target = 0;
  };

  static void Narrow(AddressRange range, AddressRange candidate, Piece* piece) {
    if (candidate.Contains(range.start)) {
      *piece = {candidate.end < range.end ? candidate.end : range.end, true};
    } else if (candidate.start > range.start && candidate.start < piece->end) {
      piece->end = candidate.start;
    }
  }

  Remap remaps_[kMax];
  size_t count_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_VM_LATE_EVENTS_H_
