#include "engine/storage_bounds.h"

#include <algorithm>
#include <gtest/gtest.h>

namespace uzswap {
namespace {

TEST(StorageBounds, AProcessTakesWhatTheOthersLeave) {
  struct Case {
    const char* what;
    uint64_t bound, tree, own, share;
  };
  constexpr uint64_t kLeast = 10;
  const Case cases[] = {
      {"alone", 100, 60, 60, 100},
      {"alone and above the bound", 100, 160, 160, 100},
      {"others hold a part", 100, 60, 20, 60},
      {"others hold all but the minimum", 100, 120, 30, 10},
      {"others hold all but a little less", 100, 121, 30, 10},
      {"others hold more than the bound", 100, 900, 30, 10},
      {"the tree's figure is older than ours", 100, 20, 30, 100},
      {"nothing is held", 100, 0, 0, 100},
      {"the bound is below the minimum", 5, 0, 0, 10},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(StorageBounds::Share(Bytes(c.bound), Bytes(c.tree), Bytes(c.own), Bytes(kLeast)),
              Bytes(c.share))
        << c.what;
  }
  EXPECT_EQ(StorageBounds::FileShare(Bytes(1), Bytes(0), Bytes(0)), StorageBounds::kFileMin);
}

// The bound can be raised while a process runs; its arena stays as it is. Frames that relatives map
// too are in the arena, and count by this process's share.
TEST(StorageBounds, APoolHoldsNoMoreThanItsArena) {
  constexpr uint64_t kMiB = 1 << 20;
  constexpr uint64_t kLeast = StorageBounds::kPoolMin.raw();
  struct Case {
    const char* what;
    uint64_t bound, tree, held, shared, uncounted, arena, limit;
  };
  const Case cases[] = {
      {"below the arena", 7 * kMiB, 0, 0, 0, 0, 8 * kMiB, 7 * kMiB},
      {"above the arena", 9 * kMiB, 0, 0, 0, 0, 8 * kMiB, 8 * kMiB},
      {"others hold a part", 8 * kMiB, 6 * kMiB, kMiB, 0, 0, 8 * kMiB, 3 * kMiB},
      {"the minimum", 1, 0, 0, 0, 0, 8 * kMiB, kLeast},
      {"a half of shared frames", 8 * kMiB, 0, 0, kMiB, 2 * kMiB, 16 * kMiB, 7 * kMiB},
      {"shared frames in the arena", 64 * kMiB, 0, 0, kMiB, 2 * kMiB, 16 * kMiB, 14 * kMiB},
      {"a share above the bound", kMiB, 0, 0, 2 * kMiB, 4 * kMiB, 8 * kMiB, kLeast},
      {"an arena full of shared frames", 64 * kMiB, 0, 0, kMiB, 8 * kMiB, 8 * kMiB, 0},
      {"more than the arena", 64 * kMiB, 0, 0, kMiB, 9 * kMiB, 8 * kMiB, 0},
  };
  for (const Case& c : cases) {
    const Bytes limit = StorageBounds::PoolLimit({.bound = Bytes(c.bound),
                                                  .tree = Bytes(c.tree),
                                                  .held = Bytes(c.held),
                                                  .shared = Bytes(c.shared),
                                                  .uncounted = Bytes(c.uncounted),
                                                  .arena = Bytes(c.arena)});
    EXPECT_EQ(limit, Bytes(c.limit)) << c.what;
    EXPECT_LE(limit.raw() + c.uncounted, std::max(c.arena, c.uncounted)) << c.what;
  }
}

// With figures that are up to date, the shares of any tree exceed its bound by no more than the
// minima: what each may grow to, added to what the others hold now.
TEST(StorageBounds, NoProcessMayGrowTheTreeAboveTheBound) {
  const uint64_t holdings[][3] = {{0, 0, 0}, {50, 30, 20}, {99, 1, 0}, {40, 40, 40}, {500, 0, 1}};
  for (const auto& held : holdings) {
    const Bytes tree(held[0] + held[1] + held[2]);
    for (const uint64_t own : held) {
      const Bytes share = StorageBounds::Share(Bytes(100), tree, Bytes(own), Bytes(10));
      const uint64_t others = tree.raw() - own;
      EXPECT_LE(share.raw() + others, std::max<uint64_t>(100, others + 10));
    }
  }
}

TEST(StorageBounds, DueEveryTwentyMilliseconds) {
  StorageBounds bounds;
  const uint64_t now = uint64_t{1} << 40;
  EXPECT_TRUE(bounds.Due(now));
  EXPECT_FALSE(bounds.Due(now + StorageBounds::kEveryNs - 1));
  EXPECT_TRUE(bounds.Due(now + StorageBounds::kEveryNs));
  EXPECT_FALSE(bounds.Due(now + StorageBounds::kEveryNs));
}

TEST(StorageBounds, DensityIsAskedForAboveHalfAndAgainAfterASixteenth) {
  StorageBounds bounds;
  constexpr Bytes kLimit(2000);
  struct Case {
    uint64_t pool;
    bool asks;
  };
  const Case cases[] = {
      {1000, false}, {1001, true},  {1001, false}, {1063, false}, {1064, true},
      {1060, false}, {1130, false}, {1131, true},  {1000, false},  // back to half: forgotten
      {1001, true},
  };
  for (const Case& c : cases) {
    const std::optional<Bytes> target = bounds.DensityTarget(Bytes(c.pool), kLimit);
    EXPECT_EQ(target.has_value(), c.asks) << c.pool;
    if (target) {
      EXPECT_EQ(*target, Bytes(1000));
    }
  }
  bounds.ResetInChild();
  EXPECT_TRUE(bounds.DensityTarget(Bytes(1001), kLimit).has_value());
}

}  // namespace
}  // namespace uzswap
