#include "shrink_watch.h"

#include <gtest/gtest.h>

namespace uzswap::cli {
namespace {

using State = ShrinkWatch::State;
constexpr uint64_t kPatience = ShrinkWatch::kPatienceNs;
constexpr Bytes MiB(uint64_t count) { return Bytes(count << 20); }
constexpr Bytes kAny(UINT64_MAX);

TEST(ShrinkWatchTest, GoesOnWhileThereIsProgress) {
  ShrinkWatch watch({MiB(10), kAny}, 0);
  EXPECT_EQ(watch.Note({MiB(100), MiB(1)}, 0), State::kGoesOn);
  EXPECT_EQ(watch.Note({MiB(99), MiB(1)}, kPatience - 1), State::kGoesOn);
  EXPECT_EQ(watch.Note({MiB(120), MiB(1)}, 2 * kPatience - 2), State::kGoesOn)
      << "since the last progress";
  EXPECT_EQ(watch.Note({MiB(99), MiB(1)}, 2 * kPatience - 1), State::kStuck);
  EXPECT_EQ(watch.Note({MiB(50), MiB(1)}, 2 * kPatience), State::kGoesOn);
  EXPECT_EQ(watch.Note({MiB(10), MiB(9)}, 2 * kPatience + 1), State::kReached);
}

TEST(ShrinkWatchTest, ATrickleIsNoProgress) {
  ShrinkWatch watch({MiB(10), kAny}, 0);
  EXPECT_EQ(watch.Note({MiB(100), MiB(1)}, 0), State::kGoesOn);
  const Bytes less = MiB(100) - (ShrinkWatch::kProgressMin - Bytes(1));
  EXPECT_EQ(watch.Note({less, MiB(1)}, kPatience), State::kStuck);
}

TEST(ShrinkWatchTest, ThePoolsAreAwaitedToo) {
  ShrinkWatch watch({MiB(50), MiB(10)}, 0);
  EXPECT_EQ(watch.Note({MiB(40), MiB(30)}, 0), State::kGoesOn);
  EXPECT_EQ(watch.Note({MiB(45), MiB(20)}, kPatience - 1), State::kGoesOn);
  EXPECT_EQ(watch.Note({MiB(45), MiB(12)}, 2 * kPatience - 2), State::kGoesOn);
  EXPECT_EQ(watch.Note({MiB(45), MiB(10)}, 2 * kPatience), State::kReached);
}

TEST(ShrinkWatchTest, WhatIsLowEnoughAlreadyMakesNoProgress) {
  ShrinkWatch watch({MiB(50), MiB(10)}, 0);
  EXPECT_EQ(watch.Note({MiB(49), MiB(30)}, 0), State::kGoesOn);
  EXPECT_EQ(watch.Note({MiB(40), MiB(30)}, kPatience / 2), State::kGoesOn);
  EXPECT_EQ(watch.Note({MiB(30), MiB(30)}, kPatience), State::kStuck)
      << "the pools do not become smaller";
}

}  // namespace
}  // namespace uzswap::cli
