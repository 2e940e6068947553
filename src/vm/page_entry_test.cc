#include "vm/page_entry.h"

#include <gtest/gtest.h>

namespace uzswap {
namespace {

constexpr PageState kAll[] = {PageState::kUntracked,  PageState::kResident,
                              PageState::kStaged,     PageState::kInFlight,
                              PageState::kCompressed, PageState::kSameFilled};

// The picture at the top of page_word.h, written out. Row: from; column: to.
constexpr bool kAllowed[kPageStates][kPageStates] = {
    //            Untracked Resident Cached InFlight Compressed SameFilled
    /*Untracked*/ {false, true, false, false, false, false},
    /*Resident*/ {true, false, true, false, false, false},
    /*Cached*/ {true, true, false, true, false, false},
    /*InFlight*/ {true, true, true, false, true, true},
    /*Compressed*/ {true, true, false, false, false, false},
    /*SameFilled*/ {true, true, false, false, false, false},
};

// By the shortest way.
PageEntry WordIn(PageState state) {
  PageEntry word;
  if (state == PageState::kUntracked) return word;
  word.Transition(PageState::kResident);
  if (state == PageState::kResident) return word;
  word.Transition(PageState::kStaged, 1);
  if (state == PageState::kStaged) return word;
  word.Transition(PageState::kInFlight, 1);
  if (state == PageState::kInFlight) return word;
  word.Transition(state, 1);
  return word;
}

TEST(PageEntry, AllZeroesAreAnUntrackedPage) {
  const PageEntry word;
  EXPECT_EQ(word.state(), PageState::kUntracked);
  EXPECT_EQ(word.heat(), 0);
  EXPECT_FALSE(word.pinned());
}

TEST(PageEntry, EveryAllowedStepIsPossible) {
  for (const PageState from : kAll) {
    for (const PageState to : kAll) {
      if (!kAllowed[static_cast<int>(from)][static_cast<int>(to)]) continue;
      PageEntry word = WordIn(from);
      word.Transition(to, 5);
      EXPECT_EQ(word.state(), to);
    }
  }
}

TEST(PageWordDeathTest, EveryOtherStepEndsTheProcess) {
  for (const PageState from : kAll) {
    for (const PageState to : kAll) {
      if (kAllowed[static_cast<int>(from)][static_cast<int>(to)]) continue;
      PageEntry word = WordIn(from);
      EXPECT_DEATH(word.Transition(to), "check failed")
          << static_cast<int>(from) << " to " << static_cast<int>(to);
    }
  }
}

TEST(PageEntry, PayloadsOfFullWidthComeBack) {
  PageEntry word = WordIn(PageState::kResident);
  word.Transition(PageState::kStaged, 0xfffffffe);
  EXPECT_EQ(word.frame(), FrameId(0xfffffffe));
  word.Transition(PageState::kInFlight, 0xfffffffe);
  word.Transition(PageState::kCompressed, UINT32_MAX);
  EXPECT_EQ(word.slot(), UINT32_MAX);
  word.Transition(PageState::kResident);
  word.Transition(PageState::kStaged, 3);
  word.Transition(PageState::kInFlight, 3);
  word.Transition(PageState::kSameFilled, 0xdeadbeef);
  EXPECT_EQ(word.pattern(), 0xdeadbeefu);
}

TEST(PageWordDeathTest, APayloadTooWide) {
  PageEntry word = WordIn(PageState::kInFlight);
  EXPECT_DEATH(word.Transition(PageState::kCompressed, uint64_t{1} << 48), "check failed");
}

TEST(PageWordDeathTest, EachPayloadBelongsToItsStates) {
  for (const PageState state : kAll) {
    const PageEntry word = WordIn(state);
    if (state != PageState::kStaged && state != PageState::kInFlight) {
      EXPECT_DEATH(static_cast<void>(word.frame()), "check failed");
    }
    if (state != PageState::kCompressed) {
      EXPECT_DEATH(static_cast<void>(word.slot()), "check failed");
    }
    if (state != PageState::kSameFilled) {
      EXPECT_DEATH(static_cast<void>(word.pattern()), "check failed");
    }
  }
}

TEST(PageEntry, HeatAndPinSurviveStepsAndGoWithClear) {
  for (uint8_t heat = 0; heat <= PageEntry::kHeatMax; ++heat) {
    PageEntry word = WordIn(PageState::kResident);
    word.SetHeat(heat);
    word.Pin();
    word.Transition(PageState::kStaged, 0xffffffff);
    EXPECT_EQ(word.heat(), heat);
    EXPECT_TRUE(word.pinned());
    EXPECT_EQ(word.frame(), FrameId(0xffffffff));
    word.Transition(PageState::kUntracked);
    EXPECT_EQ(word.heat(), heat);
    word.Clear();
    EXPECT_EQ(word.heat(), 0);
    EXPECT_FALSE(word.pinned());
  }
}

TEST(PageEntry, LostEndsWithTheState) {
  PageEntry word = WordIn(PageState::kCompressed);
  const uint32_t slot = word.slot();
  word.MarkLost();
  EXPECT_TRUE(word.lost());
  EXPECT_EQ(word.state(), PageState::kCompressed);
  EXPECT_EQ(word.slot(), slot);
  word.Transition(PageState::kUntracked);
  EXPECT_FALSE(word.lost());
}

TEST(PageWordDeathTest, OnlyACompressedPageIsLost) {
  for (const PageState state : kAll) {
    if (state == PageState::kCompressed) continue;
    PageEntry word = WordIn(state);
    EXPECT_DEATH(word.MarkLost(), "check failed");
  }
}

TEST(PageWordDeathTest, OnlyAnUntrackedWordIsCleared) {
  PageEntry word = WordIn(PageState::kResident);
  EXPECT_DEATH(word.Clear(), "check failed");
}

TEST(PageWordTest, MeritDoublesHowLongAPageIsLeftAlone) {
  PageEntry word;
  word.Transition(PageState::kResident);
  const uint8_t expected[] = {1, 3, 7, 7};
  for (const uint8_t heat : expected) {
    word.SetHeat(0);
    word.Transition(PageState::kStaged, 9);
    word.Transition(PageState::kResident);
    word.Reward();
    EXPECT_EQ(word.heat(), heat);
  }
  word.ForgetMerit();
  EXPECT_EQ(word.merit(), 0);
  EXPECT_EQ(word.heat(), 7) << "what it has earned it keeps";
  word.Reward();
  EXPECT_EQ(word.heat(), 1);
}

}  // namespace
}  // namespace uzswap
