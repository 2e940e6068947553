#include "vm/page_entry.h"

#include <gtest/gtest.h>

namespace uzswap {
namespace {

constexpr PageState kAll[] = {PageState::kUntracked,  PageState::kResident,
                              PageState::kStaged,     PageState::kInFlight,
                              PageState::kCompressed, PageState::kSameFilled};

// The picture at the top of page_entry.h, written out. Row: from; column: to.
constexpr bool kAllowed[kPageStates][kPageStates] = {
    //            Untracked Resident Staged InFlight Compressed SameFilled
    /*Untracked*/ {false, true, false, false, false, false},
    /*Resident*/ {true, false, true, false, false, false},
    /*Staged*/ {true, true, false, true, false, false},
    /*InFlight*/ {true, true, true, false, true, true},
    /*Compressed*/ {true, true, false, false, false, false},
    /*SameFilled*/ {true, true, false, false, false, false},
};

// By the shortest way.
PageEntry EntryIn(PageState state) {
  PageEntry entry;
  if (state == PageState::kUntracked) return entry;
  entry.Transition(PageState::kResident);
  if (state == PageState::kResident) return entry;
  entry.Transition(PageState::kStaged, 1);
  if (state == PageState::kStaged) return entry;
  entry.Transition(PageState::kInFlight, 1);
  if (state == PageState::kInFlight) return entry;
  entry.Transition(state, 1);
  return entry;
}

TEST(PageEntry, AllZeroesAreAnUntrackedPage) {
  const PageEntry entry;
  EXPECT_EQ(entry.state(), PageState::kUntracked);
  EXPECT_EQ(entry.policy_bits(), 0);
  EXPECT_FALSE(entry.pinned());
}

TEST(PageEntry, EveryAllowedStepIsPossible) {
  for (const PageState from : kAll) {
    for (const PageState to : kAll) {
      if (!kAllowed[static_cast<int>(from)][static_cast<int>(to)]) continue;
      PageEntry entry = EntryIn(from);
      entry.Transition(to, 5);
      EXPECT_EQ(entry.state(), to);
    }
  }
}

TEST(PageEntryDeathTest, EveryOtherStepEndsTheProcess) {
  for (const PageState from : kAll) {
    for (const PageState to : kAll) {
      if (kAllowed[static_cast<int>(from)][static_cast<int>(to)]) continue;
      PageEntry entry = EntryIn(from);
      EXPECT_DEATH(entry.Transition(to), "check failed")
          << static_cast<int>(from) << " to " << static_cast<int>(to);
    }
  }
}

TEST(PageEntry, AResidentPageCanKeepASlot) {
  for (const uint32_t slot : {0u, 1u, 0xfffffffeu}) {
    PageEntry entry = EntryIn(PageState::kCompressed);
    entry.Transition(PageState::kResident, PageEntry::PayloadKeeping(SwapSlot(slot)));
    EXPECT_EQ(entry.kept_slot(), SwapSlot(slot));
    entry.SetPolicyBits(3);
    entry.Pin();
    entry.DropKeptSlot();
    EXPECT_FALSE(entry.kept_slot().valid());
    EXPECT_EQ(entry.policy_bits(), 3) << "nothing else changes";
    EXPECT_TRUE(entry.pinned());
  }
  EXPECT_FALSE(EntryIn(PageState::kResident).kept_slot().valid());
  EXPECT_EQ(PageEntry::PayloadKeeping(SwapSlot()), 0u);
}

TEST(PageEntry, TheSharedMarkEndsWithTheState) {
  for (const PageState to : {PageState::kResident, PageState::kUntracked}) {
    PageEntry entry = EntryIn(PageState::kCompressed);
    EXPECT_FALSE(entry.shared());
    entry.MarkShared();
    EXPECT_TRUE(entry.shared());
    entry.Transition(to);
    EXPECT_FALSE(entry.shared());
  }
}

TEST(PageEntry, PayloadsOfFullWidthComeBack) {
  PageEntry entry = EntryIn(PageState::kResident);
  entry.Transition(PageState::kStaged, 0xfffffffe);
  EXPECT_EQ(entry.frame(), FrameId(0xfffffffe));
  entry.Transition(PageState::kInFlight, 0xfffffffe);
  entry.Transition(PageState::kCompressed, UINT32_MAX);
  EXPECT_EQ(entry.slot().raw(), UINT32_MAX);
  entry.Transition(PageState::kResident);
  entry.Transition(PageState::kStaged, 3);
  entry.Transition(PageState::kInFlight, 3);
  entry.Transition(PageState::kSameFilled, 0xdeadbeef);
  EXPECT_EQ(entry.pattern(), 0xdeadbeefu);
}

TEST(PageEntryDeathTest, APayloadTooWide) {
  PageEntry entry = EntryIn(PageState::kInFlight);
  EXPECT_DEATH(entry.Transition(PageState::kCompressed, uint64_t{1} << 48), "check failed");
}

TEST(PageEntryDeathTest, EachPayloadBelongsToItsStates) {
  for (const PageState state : kAll) {
    const PageEntry entry = EntryIn(state);
    if (state != PageState::kStaged && state != PageState::kInFlight) {
      EXPECT_DEATH(static_cast<void>(entry.frame()), "check failed");
    }
    if (state != PageState::kCompressed) {
      EXPECT_DEATH(static_cast<void>(entry.slot()), "check failed");
    }
    if (state != PageState::kSameFilled) {
      EXPECT_DEATH(static_cast<void>(entry.pattern()), "check failed");
    }
  }
}

TEST(PageEntry, PolicyBitsSurviveStepsUpToUntrackedAndThePinSurvivesAll) {
  for (unsigned bits = 0; bits < 1U << PageEntry::kPolicyBits; ++bits) {
    PageEntry entry = EntryIn(PageState::kResident);
    entry.SetPolicyBits(static_cast<uint8_t>(bits));
    entry.Pin();
    entry.Transition(PageState::kStaged, 0xffffffff);
    EXPECT_EQ(entry.policy_bits(), bits);
    EXPECT_TRUE(entry.pinned());
    EXPECT_EQ(entry.frame(), FrameId(0xffffffff));
    EXPECT_FALSE(entry.poisoned());
    entry.Transition(PageState::kUntracked);
    EXPECT_EQ(entry.policy_bits(), 0);
    EXPECT_TRUE(entry.pinned());
    EXPECT_FALSE(entry.empty());
  }
}

TEST(PageEntry, SwappedOutIsWhatNeedsUzswap) {
  for (const PageState state : kAll) {
    const bool in_program = state == PageState::kUntracked || state == PageState::kResident;
    EXPECT_EQ(EntryIn(state).swapped_out(), !in_program) << static_cast<int>(state);
  }
}

TEST(PageEntry, PoisonedEndsWithTheState) {
  PageEntry entry = EntryIn(PageState::kCompressed);
  const SwapSlot slot = entry.slot();
  entry.MarkPoisoned();
  EXPECT_TRUE(entry.poisoned());
  EXPECT_EQ(entry.state(), PageState::kCompressed);
  EXPECT_EQ(entry.slot(), slot);
  entry.Transition(PageState::kUntracked);
  EXPECT_FALSE(entry.poisoned());
}

TEST(PageEntryDeathTest, OnlyACompressedPageIsPoisoned) {
  for (const PageState state : kAll) {
    if (state == PageState::kCompressed) continue;
    PageEntry entry = EntryIn(state);
    EXPECT_DEATH(entry.MarkPoisoned(), "check failed");
  }
}

TEST(PageEntry, EmptyIsUntrackedWithoutAPin) {
  EXPECT_TRUE(PageEntry().empty());
  for (const PageState state : kAll) {
    PageEntry entry = EntryIn(state);
    EXPECT_EQ(entry.empty(), state == PageState::kUntracked) << static_cast<int>(state);
    if (state == PageState::kUntracked) continue;
    entry.SetPolicyBits(5);
    entry.Transition(PageState::kUntracked);
    EXPECT_TRUE(entry.empty()) << static_cast<int>(state);
  }
}

}  // namespace
}  // namespace uzswap
