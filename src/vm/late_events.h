// LateEvents: which unmappings are still to be told, of ranges that may be in use again.
//
// The kernel tells a change when it is over and the lock of the mappings is free again, and the
// second event of one call only after the first was read. In between another thread's mremap may
// land on the same addresses, and be told first:
//
//     thread A: mremap(Y -> Z)                  thread B: mremap(W -> Y)
//       REMAP Y->Z  (read)                        REMAP W->Y  (read)
//       UNMAP Y     (read last: speaks of A's Y, which has gone, and not of B's)
//
//   WitnessPort   passes every call on, and remembers whether the kernel gave any answer but
//                 kRetry: then no event was announced at that moment, so nothing is owed any more
//   OwedUnmaps    the ranges, as a multiset; MREMAP_DONTUNMAP never pays, the witness clears it
//
// All under the pager's lock; nothing allocates. The whole rule is in docs/design/races.md.
#ifndef UZSWAP_VM_LATE_EVENTS_H_
#define UZSWAP_VM_LATE_EVENTS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "os/user_fault_port.h"

namespace uzswap {

class WitnessPort final : public os::UserFaultPort {
 public:
  void Attach(os::UserFaultPort* port) { port_ = port; }
  // Has an answer proved since the last call that no event was announced?
  [[nodiscard]] bool TakeProof() {
    const bool proved = proved_;
    proved_ = false;
    return proved;
  }

  size_t Read(std::span<os::UserFaultEvent> events) override { return port_->Read(events); }
  void WaitReadable(int timeout_ms) override { port_->WaitReadable(timeout_ms); }
  os::PortResult Move(uint64_t destination, uint64_t source, uint64_t length) override {
    return Note(port_->Move(destination, source, length));
  }
  os::PortResult Copy(uint64_t destination, const void* source, uint64_t length) override {
    return Note(port_->Copy(destination, source, length));
  }
  os::PortResult Zero(uint64_t destination) override { return Note(port_->Zero(destination)); }
  os::PortResult Poison(uint64_t destination) override { return Note(port_->Poison(destination)); }
  void Wake(uint64_t start, uint64_t length) override { port_->Wake(start, length); }
  Result<void> Register(uint64_t start, uint64_t length) override {
    return port_->Register(start, length);
  }

 private:
  os::PortResult Note(os::PortResult result) {
    proved_ |= result.outcome != os::PortOutcome::kRetry;
    return result;
  }

  os::UserFaultPort* port_ = nullptr;
  bool proved_ = false;
};

class OwedUnmaps {
 public:
  // More threads than this inside mremap at one moment are not believable.
  static constexpr size_t kMax = 1024;

  struct Piece {
    uint64_t end = 0;
    bool owed = false;
  };

  void Add(uint64_t start, uint64_t end) {
    UZ_CHECK_LT(count_, kMax);
    ranges_[count_++] = {start, end};
  }
  void Clear() { count_ = 0; }
  [[nodiscard]] size_t count() const { return count_; }

  // The longest piece of [start, end) from `start` on that is owed once, or not at all. What was
  // owed is paid.
  Piece Pay(uint64_t start, uint64_t end) {
    Piece piece{end, false};
    for (size_t i = 0; i < count_; ++i) {
      const Range range = ranges_[i];
      if (range.start <= start && start < range.end) {
        piece = {range.end < end ? range.end : end, true};
        ranges_[i] = ranges_[--count_];
        if (range.start < start) Add(range.start, start);
        if (piece.end < range.end) Add(piece.end, range.end);
        return piece;
      }
      if (range.start > start && range.start < piece.end) piece.end = range.start;
    }
    return piece;
  }

 private:
  struct Range {
    uint64_t start = 0;
    uint64_t end = 0;
  };

  Range ranges_[kMax];
  size_t count_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_VM_LATE_EVENTS_H_
