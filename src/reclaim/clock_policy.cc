#include "reclaim/clock_policy.h"

#include <algorithm>

namespace uzswap {
namespace {

constexpr uint8_t kPassesMask = 7;
constexpr int kRefaultShift = 3;
constexpr uint8_t kRefaultMask = 3;

static_assert(ClockPolicy::kOldest == kPassesMask);
static_assert(ClockPolicy::kRefaultsMax == kRefaultMask);
static_assert(kRefaultShift + 2 <= PageEntry::kPolicyBits);

constexpr uint8_t Pack(unsigned passes, unsigned refaults) {
  return static_cast<uint8_t>(refaults << kRefaultShift | passes);
}

}  // namespace

uint8_t ClockPolicy::AgeOf(PageIndex index) const {
  return static_cast<uint8_t>(kOldest - (table_.entry(index).policy_bits() & kPassesMask));
}

uint8_t ClockPolicy::RefaultsOf(PageIndex index) const {
  return table_.entry(index).policy_bits() >> kRefaultShift & kRefaultMask;
}

void ClockPolicy::SetAge(PageIndex index, uint8_t age) {
  table_.SetPolicyBits(index, Pack(unsigned{kOldest} - age, RefaultsOf(index)));
}

void ClockPolicy::SetRefaults(PageIndex index, uint8_t refaults) {
  table_.SetPolicyBits(index, Pack(unsigned{kOldest} - AgeOf(index), refaults));
}

void ClockPolicy::OnRefault(PageIndex index) {
  const uint8_t refaults = std::min<uint8_t>(RefaultsOf(index) + 1, kRefaultsMax);
  SetRefaults(index, refaults);
  SetAge(index, static_cast<uint8_t>(kOldest - ((1 << refaults) - 1)));
}

void ClockPolicy::OnStored(PageIndex index) { SetRefaults(index, 0); }

bool ClockPolicy::IsVictim(PageIndex index) const {
  const PageEntry entry = table_.entry(index);
  if (entry.state() != PageState::kResident || entry.pinned()) return false;
  if (AgeOf(index) != kOldest) return false;
  return std::find(recent_, recent_ + kProtected, index) == recent_ + kProtected;
}

size_t ClockPolicy::SweepScanMax() const {
  // As many passes as the youngest page needs to become a victim.
  const size_t pages = table_.tracked_pages().raw();
  return std::min(pages * (kOldest + size_t{1}), kSweepScanMax);
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
    const PageIndex index = table_.NextTracked(range, range.IndexOf(hand_));
    if (!index.valid()) {
      hand_ = range.end;
      continue;
    }
    hand_ = range.AddressOf(index);
    --*scan_left;
    if (IsVictim(index)) return {hand_, index, RunFrom(range, want)};
    const uint8_t age = AgeOf(index);
    if (age < kOldest) SetAge(index, static_cast<uint8_t>(age + 1));
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

void ClockPolicy::OnRefused(PageIndex index) {
  SetAge(index, 0);
  hand_ += kPageSize;
}

}  // namespace uzswap
