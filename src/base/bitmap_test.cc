#include "base/bitmap.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <vector>

#include "base/rng.h"

namespace uzswap {
namespace {

struct Bits {
  explicit Bits(size_t count) : words(Bitmap::WordsFor(count)), map(words.data(), count) {}
  void SetRange(size_t first, size_t count) {
    for (size_t i = 0; i < count; ++i) map.Set(first + i);
  }
  std::vector<uint64_t> words;
  Bitmap map;
};

TEST(Bitmap, WordsCoverTheBitsAndTheSummary) {
  EXPECT_EQ(Bitmap::WordsFor(0), 0u);
  EXPECT_EQ(Bitmap::WordsFor(1), 1u + 1u);
  EXPECT_EQ(Bitmap::WordsFor(64), 1u + 1u);
  EXPECT_EQ(Bitmap::WordsFor(65), 2u + 1u);
  EXPECT_EQ(Bitmap::WordsFor(64 * 64), 64u + 1u);
  EXPECT_EQ(Bitmap::WordsFor(64 * 64 + 1), 65u + 2u);
}

TEST(Bitmap, SetAllCountInAndLowest) {
  for (const size_t size : {size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{5000}}) {
    Bits bits(size);
    bits.map.SetAll();
    bits.map.Audit();
    EXPECT_EQ(bits.map.count(), size);
    EXPECT_EQ(bits.map.CountIn(0, size), size);
    EXPECT_EQ(bits.map.CountIn(size - 1, 1), 1u);
    EXPECT_EQ(bits.map.CountIn(size, 0), 0u);
    EXPECT_EQ(bits.map.Lowest(), 0u);
    bits.map.Clear(0);
    if (size > 1) {
      EXPECT_EQ(bits.map.Lowest(), 1u);
    }
    EXPECT_EQ(bits.map.CountIn(0, size), size - 1);
  }
}

TEST(Bitmap, TheHighestRunBelowIsCutToWhatWasAskedFor) {
  struct Case {
    size_t below, at_least, at_most, first, count;
  };
  // Runs: [10, 15), [62, 70), [199, 200).
  const Case cases[] = {
      {200, 1, 9, 199, 1}, {200, 2, 9, 62, 8}, {200, 2, 3, 67, 3}, {199, 1, 1, 69, 1},
      {66, 1, 9, 62, 4},   {66, 5, 9, 10, 5},  {62, 1, 9, 10, 5},  {12, 1, 9, 10, 2},
      {12, 3, 9, 0, 0},    {10, 1, 9, 0, 0},   {0, 1, 9, 0, 0},    {200, 9, 9, 0, 0},
  };
  Bits bits(200);
  bits.SetRange(10, 5);
  bits.SetRange(62, 8);
  bits.SetRange(199, 1);
  for (const Case& c : cases) {
    const Bitmap::Run run = bits.map.HighestRunBelow(c.below, c.at_least, c.at_most);
    EXPECT_EQ(run.count, c.count) << c.below << " " << c.at_least << " " << c.at_most;
    EXPECT_EQ(run.first, c.first) << c.below << " " << c.at_least << " " << c.at_most;
  }
}

TEST(Bitmap, EmptyHasNoRun) {
  Bits bits(200);
  EXPECT_EQ(bits.map.FindRun(1).count, 0u);
  bits.SetRange(5, 1);
  EXPECT_EQ(bits.map.FindRun(0).count, 0u);
  bits.map.Clear(5);
  EXPECT_EQ(bits.map.FindRun(3).count, 0u);
}

TEST(Bitmap, RunsAtBordersOfWords) {
  struct Case {
    size_t size, first, count, want, found;
  };
  const Case cases[] = {
      {64, 0, 64, 64, 64},      {64, 63, 1, 5, 1},        {65, 64, 1, 1, 1},
      {128, 60, 8, 8, 8},       {128, 63, 2, 2, 2},       {200, 0, 200, 200, 200},
      {200, 30, 140, 64, 64},   {200, 30, 140, 140, 140}, {200, 30, 140, 300, 140},
      {256, 64, 128, 128, 128}, {192, 127, 65, 65, 65},
  };
  for (const Case& c : cases) {
    Bits bits(c.size);
    bits.SetRange(c.first, c.count);
    const Bitmap::Run run = bits.map.FindRun(c.want);
    EXPECT_EQ(run.count, c.found) << c.size << " " << c.first << " " << c.count;
    EXPECT_EQ(run.first, c.first);
  }
}

TEST(Bitmap, TheLongestRunIsTakenWhenNoneIsLongEnough) {
  Bits bits(128);
  bits.SetRange(2, 3);
  bits.SetRange(10, 7);
  bits.SetRange(40, 4);
  const Bitmap::Run run = bits.map.FindRun(20);
  EXPECT_EQ(run.first, 10u);
  EXPECT_EQ(run.count, 7u);
}

TEST(Bitmap, TheSearchWrapsAround) {
  Bits bits(256);
  bits.SetRange(200, 8);
  EXPECT_EQ(bits.map.FindRun(8).first, 200u);
  for (size_t i = 0; i < 8; ++i) bits.map.Clear(200 + i);
  bits.SetRange(0, 8);
  EXPECT_EQ(bits.map.FindRun(8).first, 0u);
}

TEST(Bitmap, RunsAreOfSetBitsOnly) {
  Rng rng(7);
  Bits bits(500);
  std::vector<bool> model(500);
  for (int step = 0; step < 20000; ++step) {
    const size_t bit = rng.Below(500);
    if (model[bit]) {
      bits.map.Clear(bit);
    } else {
      bits.map.Set(bit);
    }
    model[bit] = !model[bit];
    const auto set = static_cast<size_t>(std::count(model.begin(), model.end(), true));
    ASSERT_EQ(bits.map.count(), set);
    const size_t from = rng.Below(500);
    const size_t length = rng.Below(500 - from);
    const auto begin = model.begin() + static_cast<std::ptrdiff_t>(from);
    ASSERT_EQ(
        bits.map.CountIn(from, length),
        static_cast<size_t>(std::count(begin, begin + static_cast<std::ptrdiff_t>(length), true)));
    if (set > 0) {
      ASSERT_EQ(bits.map.Lowest(),
                static_cast<size_t>(std::find(model.begin(), model.end(), true) - model.begin()));
    }
    const size_t want = 1 + rng.Below(20);
    const Bitmap::Run run = bits.map.FindRun(want);
    ASSERT_EQ(run.count == 0, set == 0);
    ASSERT_LE(run.count, want);
    for (size_t i = 0; i < run.count; ++i) ASSERT_TRUE(model[run.first + i]);
    if (step % 1000 == 0) bits.map.Audit();
  }
}

TEST(BitmapDeathTest, SettingTwiceAndClearingNothing) {
  Bits bits(64);
  bits.map.Set(3);
  EXPECT_DEATH(bits.map.Set(3), "check failed");
  EXPECT_DEATH(bits.map.Clear(4), "check failed");
  EXPECT_DEATH(bits.map.SetAll(), "check failed");
  EXPECT_DEATH(static_cast<void>(bits.map.CountIn(60, 5)), "check failed");
  bits.map.Clear(3);
  EXPECT_DEATH(static_cast<void>(bits.map.Lowest()), "check failed");
}

}  // namespace
}  // namespace uzswap
