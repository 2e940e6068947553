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

TEST(Bitmap, WordsCoverTheBits) {
  EXPECT_EQ(Bitmap::WordsFor(0), 0u);
  EXPECT_EQ(Bitmap::WordsFor(1), 1u);
  EXPECT_EQ(Bitmap::WordsFor(64), 1u);
  EXPECT_EQ(Bitmap::WordsFor(65), 2u);
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
    const size_t want = 1 + rng.Below(20);
    const Bitmap::Run run = bits.map.FindRun(want);
    ASSERT_EQ(run.count == 0, set == 0);
    ASSERT_LE(run.count, want);
    for (size_t i = 0; i < run.count; ++i) ASSERT_TRUE(model[run.first + i]);
  }
}

TEST(BitmapDeathTest, SettingTwiceAndClearingNothing) {
  Bits bits(64);
  bits.map.Set(3);
  EXPECT_DEATH(bits.map.Set(3), "check failed");
  EXPECT_DEATH(bits.map.Clear(4), "check failed");
}

}  // namespace
}  // namespace uzswap
