// PageEntry: what uzswap knows about one page of the program, in 64 bits.
//
//    63                            16  15..14     13       12       11      10..4    3..0
//   +--------------------------------+--------+--------+----------+-----+---------+-------+
//   | payload: frame, slot, pattern  | unused | shared | poisoned | pin | policy  | state |
//   +--------------------------------+--------+--------+----------+-----+---------+-------+
//
//   state        payload   where the content is                       a touch
//   Untracked    -         nowhere: never touched, or discarded       populates a zero page
//   Resident     kept slot in the program's mapping                   causes no fault
//   Staged       frame     in a staging frame, unchanged              moves it back
//   InFlight     frame     in a frame that is being compressed        copies it back
//   Compressed   slot      in the compressed cache, or on disk        decompresses it
//   SameFilled   pattern   here: the page repeats this 32-bit value   fills a page
//
//   Untracked <-> Resident -> Staged -> InFlight -> Compressed | SameFilled
//                    ^___________|_________|____________|____________|
//   Every state can also change to Untracked (unmap, discard).
//
// Only Transition() changes the state, and it checks the table above. In production only
// PageTable calls it. The policy bits belong to the victim policy (reclaim/victim_policy.h) and are
// opaque here. They survive transitions, except to Untracked: what the page holds next is something
// else. The pin survives all. A pinned page stays resident: thread descriptors, which the kernel
// writes when it serves no user faults. Poisoned: the content cannot be read back and this was
// reported; the mark ends with the state. Shared: the page was stored before a fork, so parent and
// child have the memory of its slot in common; the mark ends with the state.
//
// The kept slot of a Resident page, if it has one, holds what the page contained when it was
// loaded. If it has not changed when it is stored next, nothing needs to be stored
// (reclaim/page_contents.h).
//
// The empty entry is all zeroes: an Untracked page that is not pinned. The page table keeps no
// memory for it (vm/entry_store.h).
#ifndef UZSWAP_VM_PAGE_ENTRY_H_
#define UZSWAP_VM_PAGE_ENTRY_H_

#include <cstdint>

#include "base/check.h"
#include "base/units.h"

namespace uzswap {

enum class PageState : uint8_t {
  kUntracked = 0,
  kResident = 1,
  kStaged = 2,
  kInFlight = 3,
  kCompressed = 4,
  kSameFilled = 5,
};
inline constexpr int kPageStates = 6;

namespace internal {

constexpr uint8_t SetOf(PageState state) {
  return static_cast<uint8_t>(1 << static_cast<int>(state));
}
template <typename... States>
constexpr uint8_t SetOf(PageState first, States... rest) {
  return static_cast<uint8_t>(SetOf(first) | SetOf(rest...));
}

}  // namespace internal

class PageEntry {
 public:
  static constexpr int kPolicyBits = 7;

  [[nodiscard]] bool empty() const { return bits_ == 0; }
  [[nodiscard]] PageState state() const { return static_cast<PageState>(bits_ & kStateMask); }
  // Requires: Staged or InFlight.
  [[nodiscard]] FrameId frame() const {
    UZ_CHECK(state() == PageState::kStaged || state() == PageState::kInFlight);
    return FrameId(static_cast<uint32_t>(payload()));
  }
  // Requires: Compressed.
  [[nodiscard]] SwapSlot slot() const {
    UZ_CHECK(state() == PageState::kCompressed);
    return SwapSlot(static_cast<uint32_t>(payload()));
  }
  // Not valid: none is kept. Requires: Resident.
  [[nodiscard]] SwapSlot kept_slot() const {
    UZ_CHECK(state() == PageState::kResident);
    return payload() == 0 ? SwapSlot() : SwapSlot(static_cast<uint32_t>(payload() - 1));
  }
  // The payload of a Resident page that keeps `slot`, which may be not valid.
  [[nodiscard]] static constexpr uint64_t PayloadKeeping(SwapSlot slot) {
    return slot.valid() ? uint64_t{slot.raw()} + 1 : 0;
  }
  // Requires: SameFilled.
  [[nodiscard]] uint32_t pattern() const {
    UZ_CHECK(state() == PageState::kSameFilled);
    return static_cast<uint32_t>(payload());
  }
  // The content is neither in the program's mapping nor absent: a touch needs uzswap.
  [[nodiscard]] bool swapped_out() const {
    return state() != PageState::kResident && state() != PageState::kUntracked;
  }

  [[nodiscard]] uint8_t policy_bits() const {
    return static_cast<uint8_t>((bits_ >> kPolicyShift) & kPolicyMask);
  }
  void SetPolicyBits(uint8_t policy_bits) {
    UZ_DCHECK_LE(policy_bits, kPolicyMask);
    bits_ = (bits_ & ~(kPolicyMask << kPolicyShift)) | (uint64_t{policy_bits} << kPolicyShift);
  }
  [[nodiscard]] bool pinned() const { return (bits_ & kPinBit) != 0; }
  void Pin() { bits_ |= kPinBit; }
  [[nodiscard]] bool poisoned() const { return (bits_ & kPoisonedBit) != 0; }
  // Requires: Compressed.
  void MarkPoisoned() {
    UZ_CHECK(state() == PageState::kCompressed);
    bits_ |= kPoisonedBit;
  }

  [[nodiscard]] bool shared() const { return (bits_ & kSharedBit) != 0; }
  // Requires: Compressed.
  void MarkShared() {
    UZ_CHECK(state() == PageState::kCompressed);
    bits_ |= kSharedBit;
  }

  // Requires: Resident.
  void DropKeptSlot() {
    UZ_CHECK(state() == PageState::kResident);
    bits_ &= (uint64_t{1} << kPayloadShift) - 1;
  }

  // The only way to another state. A step that is not in the picture above is a bug.
  void Transition(PageState to, uint64_t payload = 0) {
    UZ_CHECK((kAllowed[static_cast<int>(state())] >> static_cast<int>(to)) & 1);
    UZ_CHECK_LT(payload, uint64_t{1} << kPayloadBits);
    const uint64_t kept = to == PageState::kUntracked ? kPinBit : kKept;
    bits_ = (bits_ & kept) | (payload << kPayloadShift) | static_cast<uint64_t>(to);
  }

 private:
  static constexpr uint64_t kStateMask = 0xf;
  static constexpr int kPolicyShift = 4;
  static constexpr uint64_t kPolicyMask = (uint64_t{1} << kPolicyBits) - 1;
  static constexpr uint64_t kPinBit = uint64_t{1} << 11;
  static constexpr uint64_t kPoisonedBit = uint64_t{1} << 12;
  static constexpr uint64_t kSharedBit = uint64_t{1} << 13;
  static constexpr uint64_t kKept = kPinBit | (kPolicyMask << kPolicyShift);
  static constexpr int kPayloadShift = 16;
  static constexpr int kPayloadBits = 48;

  // Row: from. Bits: to.
  static constexpr uint8_t kAllowed[kPageStates] = {
      internal::SetOf(PageState::kResident),
      internal::SetOf(PageState::kUntracked, PageState::kStaged),
      internal::SetOf(PageState::kUntracked, PageState::kResident, PageState::kInFlight),
      internal::SetOf(PageState::kUntracked, PageState::kResident, PageState::kStaged,
                      PageState::kCompressed, PageState::kSameFilled),
      internal::SetOf(PageState::kUntracked, PageState::kResident),
      internal::SetOf(PageState::kUntracked, PageState::kResident),
  };

  [[nodiscard]] uint64_t payload() const { return bits_ >> kPayloadShift; }

  uint64_t bits_ = 0;
};

static_assert(sizeof(PageEntry) == 8);

}  // namespace uzswap

#endif  // UZSWAP_VM_PAGE_ENTRY_H_
