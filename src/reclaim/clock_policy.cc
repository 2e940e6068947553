#include "reclaim/clock_policy.h"

#include <algorithm>

namespace uzswap {
namespace {

constexpr int kPassesBits = 3;
constexpr int kRefaultsBits = 2;
constexpr int kRefusedBits = 2;
constexpr int kRefaultsShift = kPassesBits;
constexpr int kRefusedShift = kRefaultsShift + kRefaultsBits;

static_assert(ClockPolicy::kOldest == (1 << kPassesBits) - 1);
static_assert(ClockPolicy::kRefaultsMax == (1 << kRefaultsBits) - 1);
static_assert(kRefusedShift + kRefusedBits <= PageEntry::kPolicyBits);

constexpr uint8_t Field(uint8_t bits, int shift, int width) {
  return static_cast<uint8_t>(bits >> shift & ((1 << width) - 1));
}

}  // namespace

ClockPolicy::Bits ClockPolicy::BitsOf(PageEntry entry) {
  const uint8_t bits = entry.policy_bits();
  return {static_cast<uint8_t>(kOldest - Field(bits, 0, kPassesBits)),
          Field(bits, kRefaultsShift, kRefaultsBits), Field(bits, kRefusedShift, kRefusedBits)};
}

void ClockPolicy::SetBits(PageIndex index, Bits bits) {
  const unsigned passes = kOldest - unsigned{bits.age};
  table_.SetPolicyBits(index,
                       static_cast<uint8_t>(unsigned{bits.refused_in} << kRefusedShift |
                                            unsigned{bits.refaults} << kRefaultsShift | passes));
}

uint8_t ClockPolicy::AgeOf(PageIndex index) const { return BitsOf(index).age; }

uint8_t ClockPolicy::RefaultsOf(PageIndex index) const { return BitsOf(index).refaults; }

void ClockPolicy::SetAge(PageIndex index, uint8_t age) {
  SetBits(index, {.age = age, .refaults = RefaultsOf(index)});
}

void ClockPolicy::OnRefault(PageIndex index) {
  const uint8_t refaults = std::min<uint8_t>(RefaultsOf(index) + 1, kRefaultsMax);
  const auto passes = static_cast<uint8_t>((1 << refaults) - 1);
  SetBits(index, {.age = static_cast<uint8_t>(kOldest - passes), .refaults = refaults});
}

void ClockPolicy::OnStored(PageIndex index) { SetBits(index, {.age = AgeOf(index)}); }

bool ClockPolicy::IsVictim(PageIndex index) const {
  const PageEntry entry = table_.entry(index);
  if (entry.state() != PageState::kResident || entry.pinned()) return false;
  const Bits bits = BitsOf(entry);
  if (bits.age != kOldest || bits.refused_in == period_) return false;
  return std::find(recent_, recent_ + kProtected, index) == recent_ + kProtected;
}

size_t ClockPolicy::SweepScanMax() const {
  // As many passes as the youngest page needs to become a victim.
  const size_t pass =
      table_.resident_pages().raw() + table_.count() + kBlockLooks * table_.entry_blocks();
  return std::min(pass * (kOldest + size_t{1}), kSweepScanMax);
}

VictimRun ClockPolicy::NextRun(size_t want, size_t* scan_left) {
  while (*scan_left > 0 && table_.tracked_pages() > PageCount(0)) {
    size_t position = table_.PositionFrom(hand_);
    if (until_jump_ == 0 || position == table_.count()) {
      Jump();
      position = table_.PositionFrom(hand_);
    }
    const RegisteredRange& range = table_.at(position);
    hand_ = std::max(hand_, range.start);
    const PageTable::ResidentLook look = table_.LookForResident(range, range.IndexOf(hand_));
    const PageIndex index = look.page;
    const bool at_end = !index.valid() && look.stopped == range.first + range.pages();
    const size_t blocks = look.blocks - (index.valid() ? 1 : 0);  // its own costs the page's look
    const size_t cost = kBlockLooks * blocks + (index.valid() || at_end ? 1 : 0);
    *scan_left -= std::min(*scan_left, cost);
    if (!index.valid()) {
      hand_ = at_end ? range.end : range.AddressOf(look.stopped);
      continue;
    }
    hand_ = range.AddressOf(index);
    if (IsVictim(index)) return {hand_, index, RunFrom(range, want)};
    Bits bits = BitsOf(index);
    if (bits.age < kOldest) {
      ++bits.age;
      // Otherwise the period that has the same number later would refuse it again.
      if (bits.refused_in != period_) bits.refused_in = 0;
      SetBits(index, bits);
    }
    hand_ += kPageSize;
  }
  return {};
}

// To a page that has an entry, each with the same probability.
void ClockPolicy::Jump() {
  until_jump_ = kRunBetweenJumps;
  hand_ = 0;
  const uint64_t pages = table_.tracked_pages().raw();
  if (pages == 0) return;
  const PageIndex index = table_.NthTracked(rng_.Below(pages));
  const RegisteredRange* range = table_.FindByIndex(index);
  UZ_CHECK(range != nullptr);
  hand_ = range->AddressOf(index);
}

// Adjacent victims from the hand on.
size_t ClockPolicy::RunFrom(const RegisteredRange& range, size_t want) const {
  const PageIndex first = range.IndexOf(hand_);
  const size_t left = (range.end - hand_) >> kPageShift;
  const size_t most = std::min({want, kRunMax, left});
  size_t count = 1;
  while (count < most && IsVictim(first + count)) ++count;
  return count;
}

void ClockPolicy::OnIsolated(size_t pages) {
  hand_ += pages << kPageShift;
  until_jump_ -= std::min(pages, until_jump_);
}

void ClockPolicy::NoteRefused(PageIndex index) {
  SetBits(index, {.age = 0, .refaults = RefaultsOf(index), .refused_in = period_});
}

void ClockPolicy::OnRefused(PageIndex index) {
  NoteRefused(index);
  hand_ += kPageSize;
}

}  // namespace uzswap
