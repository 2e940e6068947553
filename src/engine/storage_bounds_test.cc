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
  EXPECT_EQ(StorageBounds::PoolShare(Bytes(1), Bytes(0), Bytes(0)), StorageBounds::kPoolMin);
  EXPECT_EQ(StorageBounds::FileShare(Bytes(1), Bytes(0), Bytes(0)), StorageBounds::kFileMin);
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
