#include "vm/late_events.h"

#include <gtest/gtest.h>

namespace uzswap {
namespace {

TEST(OwedUnmaps, NothingIsOwedAtFirst) {
  OwedUnmaps owed;
  const OwedUnmaps::Piece piece = owed.Pay(10, 20);
  EXPECT_EQ(piece.end, 20u);
  EXPECT_FALSE(piece.owed);
}

TEST(OwedUnmaps, IsPaidOnce) {
  OwedUnmaps owed;
  owed.Add(10, 20);
  EXPECT_TRUE(owed.Pay(10, 20).owed);
  EXPECT_EQ(owed.count(), 0u);
  EXPECT_FALSE(owed.Pay(10, 20).owed);
}

TEST(OwedUnmaps, IsPaidTwiceIfOwedTwice) {
  OwedUnmaps owed;
  owed.Add(10, 20);
  owed.Add(10, 20);
  EXPECT_TRUE(owed.Pay(10, 20).owed);
  EXPECT_TRUE(owed.Pay(10, 20).owed);
  EXPECT_FALSE(owed.Pay(10, 20).owed);
}

TEST(OwedUnmaps, IsPaidInParts) {
  OwedUnmaps owed;
  owed.Add(10, 40);
  const OwedUnmaps::Piece middle = owed.Pay(20, 30);
  EXPECT_TRUE(middle.owed);
  EXPECT_EQ(middle.end, 30u);
  EXPECT_EQ(owed.count(), 2u);
  EXPECT_TRUE(owed.Pay(10, 20).owed);
  EXPECT_TRUE(owed.Pay(30, 40).owed);
  EXPECT_EQ(owed.count(), 0u);
}

TEST(OwedUnmaps, ARangeFallsIntoPieces) {
  OwedUnmaps owed;
  owed.Add(20, 30);
  OwedUnmaps::Piece piece = owed.Pay(10, 40);
  EXPECT_FALSE(piece.owed);
  EXPECT_EQ(piece.end, 20u);
  piece = owed.Pay(20, 40);
  EXPECT_TRUE(piece.owed);
  EXPECT_EQ(piece.end, 30u);
  piece = owed.Pay(30, 40);
  EXPECT_FALSE(piece.owed);
  EXPECT_EQ(piece.end, 40u);
}

}  // namespace
}  // namespace uzswap
