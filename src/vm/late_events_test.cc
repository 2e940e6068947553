#include "vm/late_events.h"

#include <gtest/gtest.h>

namespace uzswap {
namespace {

TEST(PendingUnmaps, NothingIsPendingAtFirst) {
  PendingUnmaps pending;
  const PendingUnmaps::Piece piece = pending.Match({10, 20});
  EXPECT_EQ(piece.end, 20u);
  EXPECT_FALSE(piece.pending);
}

TEST(PendingUnmaps, IsMatchedOnce) {
  PendingUnmaps pending;
  pending.Add({10, 20}, 1000);
  EXPECT_TRUE(pending.Match({10, 20}).pending);
  EXPECT_EQ(pending.count(), 0u);
  EXPECT_FALSE(pending.Match({10, 20}).pending);
}

TEST(PendingUnmaps, IsMatchedTwiceIfAddedTwice) {
  PendingUnmaps pending;
  pending.Add({10, 20}, 1000);
  pending.Add({10, 20}, 1000);
  EXPECT_TRUE(pending.Match({10, 20}).pending);
  EXPECT_TRUE(pending.Match({10, 20}).pending);
  EXPECT_FALSE(pending.Match({10, 20}).pending);
}

TEST(PendingUnmaps, IsMatchedInParts) {
  PendingUnmaps pending;
  pending.Add({10, 40}, 1000);
  const PendingUnmaps::Piece middle = pending.Match({20, 30});
  EXPECT_TRUE(middle.pending);
  EXPECT_EQ(middle.end, 30u);
  EXPECT_EQ(pending.count(), 2u);
  EXPECT_TRUE(pending.Match({10, 20}).pending);
  EXPECT_TRUE(pending.Match({30, 40}).pending);
  EXPECT_EQ(pending.count(), 0u);
}

TEST(PendingUnmaps, ARangeFallsIntoPieces) {
  PendingUnmaps pending;
  pending.Add({20, 30}, 1000);
  PendingUnmaps::Piece piece = pending.Match({10, 40});
  EXPECT_FALSE(piece.pending);
  EXPECT_EQ(piece.end, 20u);
  piece = pending.Match({20, 40});
  EXPECT_TRUE(piece.pending);
  EXPECT_EQ(piece.end, 30u);
  piece = pending.Match({30, 40});
  EXPECT_FALSE(piece.pending);
  EXPECT_EQ(piece.end, 40u);
}

TEST(PendingUnmaps, ALandingEndsWithItsEvent) {
  PendingUnmaps pending;
  pending.Add({10, 40}, 110);
  PendingUnmaps::Piece piece = pending.Landed({100, 200});
  EXPECT_FALSE(piece.pending);
  EXPECT_EQ(piece.end, 110u);
  piece = pending.Landed({115, 200});
  EXPECT_TRUE(piece.pending);
  EXPECT_EQ(piece.end, 140u);
  EXPECT_TRUE(pending.Match({20, 30}).pending);
  EXPECT_TRUE(pending.Landed({119, 120}).pending);
  EXPECT_FALSE(pending.Landed({120, 130}).pending);
  piece = pending.Landed({130, 200});
  EXPECT_TRUE(piece.pending);
  EXPECT_EQ(piece.end, 140u);
}

}  // namespace
}  // namespace uzswap
