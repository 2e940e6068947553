#include "pager/readahead.h"

#include <gtest/gtest.h>

namespace uzswap {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kFar = uint64_t{1} << 32;

TEST(Readahead, TheFirstFaultBringsOnePage) {
  Readahead streams;
  EXPECT_EQ(streams.Window(kFar), 1u);
}

TEST(Readahead, AWalkDoublesItsWindowUpToTheMost) {
  Readahead streams;
  uint64_t at = kFar;
  size_t expected = 1;
  for (int i = 0; i < 10; ++i) {
    const size_t window = streams.Window(at);
    EXPECT_EQ(window, expected);
    at += window * kPage;
    streams.NoteEnd(at);
    expected = expected * 2 < Readahead::kWindowMax ? expected * 2 : Readahead::kWindowMax;
  }
}

TEST(Readahead, AFaultThatIsTriedAgainGetsTheSameWindow) {
  Readahead streams;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(streams.Window(kFar), 1u);
  streams.NoteEnd(kFar + kPage);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(streams.Window(kFar + 2 * kPage), 2u);
  streams.NoteEnd(kFar + 4 * kPage);
  EXPECT_EQ(streams.Window(kFar + 4 * kPage), 4u);
}

TEST(Readahead, ALittleAheadContinuesAndFurtherDoesNot) {
  struct Case {
    uint64_t beyond;
    size_t window;
  };
  for (const Case& c : {Case{0, 2}, Case{1, 2}, Case{7, 2}, Case{8, 1}, Case{100, 1}}) {
    Readahead streams;
    streams.Window(kFar);
    streams.NoteEnd(kFar + kPage);
    EXPECT_EQ(streams.Window(kFar + kPage + c.beyond * kPage), c.window) << c.beyond;
  }
}

TEST(Readahead, BackwardsIsNoWalk) {
  Readahead streams;
  streams.Window(kFar);
  streams.NoteEnd(kFar + kPage);
  EXPECT_EQ(streams.Window(kFar - kPage), 1u);
}

TEST(Readahead, EightWalksAtOnceAreKeptApart) {
  Readahead streams;
  uint64_t at[8];
  for (uint64_t i = 0; i < 8; ++i) at[i] = (i + 1) * kFar;
  for (int round = 0; round < 6; ++round) {
    for (uint64_t& place : at) {
      const size_t window = streams.Window(place);
      EXPECT_EQ(window, size_t{1} << (round < 5 ? round : 5));
      place += window * kPage;
      streams.NoteEnd(place);
    }
  }
}

TEST(Readahead, TheOneSilentLongestGivesWay) {
  Readahead streams;
  for (uint64_t i = 1; i <= 9; ++i) {
    streams.Window(i * kFar);
    streams.NoteEnd(i * kFar + kPage);
  }
  EXPECT_EQ(streams.Window(1 * kFar + kPage), 1u);  // forgotten
  EXPECT_EQ(streams.Window(9 * kFar + kPage), 2u);
}

}  // namespace
}  // namespace uzswap
