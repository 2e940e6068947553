// PageEntry: everything the pager knows about one page of the program, in 64 bits.
//
//    63                            16  15..11   10    9..8    7      6..4   3..0
//   +--------------------------------+--------+------+-------+-----+--------+-------+
//   | payload: frame, slot, pattern  | unused | lost | merit | pin |  heat  | state |
//   +--------------------------------+--------+------+-------+-----+--------+-------+
//
//   state        payload   where the content is                       a touch
//   Untracked    -         nowhere: never seen, or discarded          gives a zero page
//   Resident     -         in the program's mapping                   costs nothing
//   Cached       frame     in a swap-cache frame, unchanged           moves it back
//   InFlight     frame     in a frame that a compressor is reading    copies it back
//   Compressed   slot      in the compressed cache, or on disk        decompresses it
//   SameFilled   pattern   here: the page repeats this 32-bit word    fills a page
//
//   Untracked <-> Resident -> Cached -> InFlight -> Compressed | SameFilled
//                    ^___________|_________|____________|____________|
//   From every state a page may become Untracked again (unmap, discard).
//
// Only Transition() changes the state, and it checks the table above. All words belong to the
// pager's lock. Heat, merit and pin survive transitions. Heat is the number of passes for which
// the victim clock leaves the page alone; merit counts how often in a row the page was touched
// while it was on probation (each time it is left alone about twice as long); the pin keeps it
// resident for ever (thread descriptors, which the kernel writes at a moment when it serves no
// user faults). Lost: the content cannot be had, and that was told; it ends with the state.
//
// All zeroes is an Untracked page, so a table of them starts from untouched memory.
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
  static constexpr uint8_t kHeatMax = 7;
  static constexpr uint8_t kMeritMax = 3;

  [[nodiscard]] PageState state() const { return static_cast<PageState>(bits_ & kStateMask); }
  [[nodiscard]] uint8_t heat() const {
    return static_cast<uint8_t>((bits_ >> kHeatShift) & kHeatMax);
  }
  [[nodiscard]] bool pinned() const { return (bits_ & kPinBit) != 0; }
  [[nodiscard]] FrameId frame() const {
    UZ_CHECK(state() == PageState::kStaged || state() == PageState::kInFlight);
    return FrameId(static_cast<uint32_t>(payload()));
  }
  [[nodiscard]] uint32_t slot() const {
    UZ_CHECK(state() == PageState::kCompressed);
    return static_cast<uint32_t>(payload());
  }
  [[nodiscard]] uint32_t pattern() const {
    UZ_CHECK(state() == PageState::kSameFilled);
    return static_cast<uint32_t>(payload());
  }

  void SetHeat(uint8_t heat) {
    UZ_DCHECK_LE(heat, kHeatMax);
    bits_ = (bits_ & ~(uint64_t{kHeatMax} << kHeatShift)) | (uint64_t{heat} << kHeatShift);
  }
  void Pin() { bits_ |= kPinBit; }
  [[nodiscard]] bool lost() const { return (bits_ & kLostBit) != 0; }
  void MarkLost() {
    UZ_CHECK(state() == PageState::kCompressed);
    bits_ |= kLostBit;
  }

  [[nodiscard]] uint8_t merit() const {
    return static_cast<uint8_t>((bits_ >> kMeritShift) & kMeritMax);
  }
  // Touched on probation: heat 1, 3, 7 from time to time.
  void Reward() {
    const uint8_t next = merit() < kMeritMax ? static_cast<uint8_t>(merit() + 1) : kMeritMax;
    bits_ = (bits_ & ~(uint64_t{kMeritMax} << kMeritShift)) | (uint64_t{next} << kMeritShift);
    SetHeat(static_cast<uint8_t>((1 << next) - 1));
  }
  // Not touched: it has to earn its merit again.
  void ForgetMerit() { bits_ &= ~(uint64_t{kMeritMax} << kMeritShift); }

  // The only way to another state. A step that is not in the picture above is a bug.
  void Transition(PageState to, uint64_t payload = 0) {
    UZ_CHECK((kAllowed[static_cast<int>(state())] >> static_cast<int>(to)) & 1);
    UZ_CHECK_LT(payload, uint64_t{1} << kPayloadBits);
    bits_ = (bits_ & kKept) | (payload << kPayloadShift) | static_cast<uint64_t>(to);
  }

  // Forgets heat and pin too: for a word whose page has left the address space.
  void Clear() {
    UZ_CHECK(state() == PageState::kUntracked);
    bits_ = 0;
  }

 private:
  static constexpr uint64_t kStateMask = 0xf;
  static constexpr int kHeatShift = 4;
  static constexpr uint64_t kPinBit = uint64_t{1} << 7;
  static constexpr int kMeritShift = 8;
  static constexpr uint64_t kLostBit = uint64_t{1} << 10;
  static constexpr uint64_t kKept =
      kPinBit | (uint64_t{kHeatMax} << kHeatShift) | (uint64_t{kMeritMax} << kMeritShift);
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
