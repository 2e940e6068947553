#include "engine/fork_room.h"

#include <gtest/gtest.h>

namespace uzswap {
namespace {

constexpr uint64_t kStartNs = uint64_t{1} << 40;
constexpr uint64_t kLasting = ForkRoom::kLastingNs;

// 1,000 resident pages, of which 100 are kept, and no headroom.
ForkRoom::Snapshot Full(uint64_t after_ns, uint64_t lasting_children) {
  return {.now_ns = kStartNs + after_ns,
          .resident_pages = 1'000,
          .headroom_pages = 0,
          .keep_pages = 100,
          .lasting_children = lasting_children};
}

TEST(ForkRoom, TheFirstForkEvictsAllButWhatIsKept) {
  struct Case {
    const char* what;
    int64_t resident;
    int64_t headroom;
    int64_t keep;
    int64_t evicted;
  };
  constexpr int64_t kMax = ForkRoom::kPagesMax;
  const Case cases[] = {
      {"no headroom", 1'000, 0, 100, 900},
      {"the limit is exceeded", 1'000, -500, 100, 900},
      {"headroom for nearly all", 1'000, 999, 100, 900},
      {"headroom for all", 1'000, 1'000, 100, 0},
      {"headroom for more", 1'000, 1'001, 100, 0},
      {"nothing is kept", 1'000, 0, 0, 1'000},
      {"one more than is kept", 1'000, 0, 999, 1},
      {"all are kept", 1'000, 0, 1'000, 0},
      {"more than there are would be kept", 1'000, 0, 5'000, 0},
      {"nothing is resident", 0, 0, 100, 0},
      {"nothing is resident, and the limit is exceeded", 0, -1, 100, 0},
      {"as many as a fork evicts", kMax + 100, 0, 100, kMax},
      {"one less", kMax + 99, 0, 100, kMax - 1},
      {"one more", kMax + 101, 0, 100, kMax},
      {"many more", kMax * 100, 0, 100, kMax},
  };
  for (const Case& c : cases) {
    // The time and the count of children do not matter for the first fork.
    for (const uint64_t now_ns : {uint64_t{0}, kStartNs}) {
      for (const uint64_t children : {0, 3}) {
        ForkRoom room;
        EXPECT_EQ(room.Ask({.now_ns = now_ns,
                            .resident_pages = c.resident,
                            .headroom_pages = c.headroom,
                            .keep_pages = c.keep,
                            .lasting_children = children}),
                  c.evicted)
            << c.what;
      }
    }
  }
}

TEST(ForkRoom, LaterForksNeedALastingChildAndTime) {
  struct Case {
    const char* what;
    uint64_t after_ns;
    uint64_t children;
    int64_t evicted;
  };
  const Case cases[] = {
      {"at once, no child has lasted", 0, 4, 0},
      {"long after, no child has lasted", 100 * kLasting, 4, 0},
      {"at once, a child has lasted", 0, 5, 0},
      {"too soon", kLasting - 1, 5, 0},
      {"in time", kLasting, 5, 900},
      {"long after", 100 * kLasting, 5, 900},
      {"several have lasted, too soon", kLasting - 1, 50, 0},
      {"several have lasted", kLasting, 50, 900},
  };
  for (const Case& c : cases) {
    ForkRoom room;
    ASSERT_EQ(room.Ask(Full(0, 4)), 900);
    EXPECT_EQ(room.Ask(Full(c.after_ns, c.children)), c.evicted) << c.what;
  }
}

// The second fork, of a server that forks its workers.
TEST(ForkRoom, EachLastingChildCountsOnce) {
  ForkRoom room;
  EXPECT_EQ(room.Ask(Full(0, 0)), 900);
  EXPECT_EQ(room.Ask(Full(2 * kLasting, 1)), 900);
  EXPECT_EQ(room.Ask(Full(4 * kLasting, 1)), 0) << "no other child has lasted since";
  EXPECT_EQ(room.Ask(Full(6 * kLasting, 2)), 900);
  EXPECT_EQ(room.Ask(Full(7 * kLasting - 1, 3)), 0) << "the time counts from the last eviction";
  EXPECT_EQ(room.Ask(Full(7 * kLasting, 3)), 900);
}

TEST(ForkRoom, AForkThatIsRefusedCountsForNothing) {
  ForkRoom room;
  ASSERT_EQ(room.Ask(Full(0, 0)), 900);
  // Too soon: neither the time nor the child is used up.
  EXPECT_EQ(room.Ask(Full(kLasting - 1, 1)), 0);
  EXPECT_EQ(room.Ask(Full(kLasting, 1)), 900);
}

TEST(ForkRoom, AForkWithEnoughHeadroomIsNotTheFirst) {
  ForkRoom room;
  ForkRoom::Snapshot roomy = Full(0, 0);
  roomy.headroom_pages = roomy.resident_pages;
  EXPECT_EQ(room.Ask(roomy), 0);
  EXPECT_EQ(room.Ask(Full(1, 0)), 900);
  // Nor does it use up what a later one needs.
  roomy = Full(2 * kLasting, 1);
  roomy.headroom_pages = roomy.resident_pages;
  EXPECT_EQ(room.Ask(roomy), 0);
  EXPECT_EQ(room.Ask(Full(2 * kLasting, 1)), 900);
}

// What a forked child does.
TEST(ForkRoom, ANewOneBeginsWithTheFirstFork) {
  ForkRoom room;
  ASSERT_EQ(room.Ask(Full(0, 0)), 900);
  ASSERT_EQ(room.Ask(Full(1, 0)), 0);
  room = ForkRoom();
  EXPECT_EQ(room.Ask(Full(1, 0)), 900);
}

}  // namespace
}  // namespace uzswap
