#include "engine/shrink_follower.h"

#include <gtest/gtest.h>

namespace uzswap {
namespace {

constexpr Bytes kTo(10 << 20);
constexpr Bytes kPool(2 << 20);
constexpr uint64_t kHeld = ShrinkFollower::kHeldNs;

TEST(ShrinkFollower, ARequestHoldsWhileItBeats) {
  ShrinkFollower follower;
  follower.Note({Bytes(0), Bytes(0), 0}, 1000);
  EXPECT_EQ(follower.to(), Bytes(0));
  follower.Note({kTo, kPool, 1}, 2000);
  EXPECT_EQ(follower.to(), kTo);
  follower.Note({kTo, kPool, 1}, 2000 + kHeld - 1);
  EXPECT_EQ(follower.to(), kTo);
  follower.Note({kTo, kPool, 2}, 2000 + kHeld - 1);
  follower.Note({kTo, kPool, 2}, 2000 + 2 * kHeld - 2);
  EXPECT_EQ(follower.to(), kTo);
  follower.Note({kTo, kPool, 2}, 2000 + 2 * kHeld - 1);
  EXPECT_EQ(follower.to(), Bytes(0)) << "its command was killed";
  follower.Note({kTo, kPool, 2}, 2000 + 3 * kHeld - 1);
  follower.Note({kTo, kPool, 3}, 2000 + 4 * kHeld - 1);
  EXPECT_EQ(follower.to(), kTo);
  follower.Note({Bytes(0), Bytes(0), 4}, 2000 + 4 * kHeld);
  EXPECT_EQ(follower.to(), Bytes(0)) << "taken back";
}

TEST(ShrinkFollower, WhatWasAskedBeforeTheFirstLookIsOver) {
  ShrinkFollower follower;
  follower.Note({kTo, kPool, 77}, 5);
  EXPECT_EQ(follower.to(), Bytes(0));
  follower.Note({kTo, kPool, 78}, 6);
  EXPECT_EQ(follower.to(), kTo);
}

// The command may have ended while the process was stopped.
TEST(ShrinkFollower, AProcessThatWasStoppedWaitsForTheNextBeat) {
  ShrinkFollower follower;
  follower.Note({kTo, kPool, 1}, 5);
  follower.Note({kTo, kPool, 9}, 5 + kHeld + 1);
  EXPECT_EQ(follower.to(), Bytes(0));
  follower.Note({kTo, kPool, 10}, 5 + kHeld + 2);
  EXPECT_EQ(follower.to(), kTo);
}

// In a child that was forked into another time namespace.
TEST(ShrinkFollower, AClockThatJumpsEndsARequestUntilTheNextBeat) {
  ShrinkFollower follower;
  follower.Note({kTo, kPool, 1}, 100 * kHeld);
  follower.Note({kTo, kPool, 2}, 100 * kHeld);
  ASSERT_EQ(follower.to(), kTo);
  follower.Note({kTo, kPool, 2}, 3 * kHeld);
  EXPECT_EQ(follower.to(), Bytes(0));
  follower.Note({kTo, kPool, 3}, 3 * kHeld + 1);
  EXPECT_EQ(follower.to(), kTo);
}

TEST(ShrinkFollower, ThePoolsAreBoundedFurtherWhileATreeShrinks) {
  ShrinkFollower follower;
  follower.Note({Bytes(0), Bytes(0), 1}, 0);
  EXPECT_EQ(follower.PoolBound(Bytes(5 << 20)), Bytes(5 << 20));
  follower.Note({kTo, kPool, 2}, 1);
  EXPECT_EQ(follower.PoolBound(Bytes(5 << 20)), kPool);
  EXPECT_EQ(follower.PoolBound(Bytes(1 << 20)), Bytes(1 << 20)) << "never a larger bound";
}

}  // namespace
}  // namespace uzswap
