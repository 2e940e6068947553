#include "reclaim/watermarks.h"

#include <gtest/gtest.h>

namespace uzswap {
namespace {

constexpr uint64_t kMiB = 1 << 20;

TEST(Watermarks, TheMarksStandInOrderForEveryLimit) {
  for (uint64_t limit = kMiB; limit <= uint64_t{1} << 42; limit += limit / 3 + 4096) {
    const Watermarks levels = WatermarksFor(Bytes(limit));
    EXPECT_EQ(levels.limit, Bytes(limit));
    EXPECT_LT(levels.target, levels.limit) << limit;
    EXPECT_LT(levels.adopt, levels.target) << limit;
    EXPECT_GT(levels.adopt.raw(), 0u) << limit;
    EXPECT_GE(levels.target.raw(), limit / 16 * 15 - 4096) << limit;
    EXPECT_GT(levels.frames.raw(), levels.inactive) << limit;
    EXPECT_GT(levels.inactive, 0u);
    EXPECT_GT(levels.room_low, 0);
    EXPECT_GT(levels.room_high, levels.room_low);
    EXPECT_GE(levels.overdraft, 0);
  }
}

TEST(Watermarks, ToShrinkMovesTheTargetAndNotTheLimit) {
  constexpr Bytes kLimit(64 * kMiB);
  const Watermarks plain = WatermarksFor(kLimit);
  const Watermarks shrunk = WatermarksFor(kLimit, Bytes(20 * kMiB));
  EXPECT_EQ(shrunk.limit, kLimit);
  EXPECT_EQ(shrunk.target, Bytes(20 * kMiB));
  EXPECT_LE(shrunk.adopt, shrunk.target);
  EXPECT_EQ(shrunk.frames, plain.frames);
  // Faults help from the same usage on as before.
  const auto pages = [](Bytes bytes) { return static_cast<int64_t>(bytes.raw() >> kPageShift); };
  EXPECT_EQ(pages(shrunk.target) + shrunk.overdraft, pages(plain.target) + plain.overdraft);
  EXPECT_EQ(WatermarksFor(kLimit, Bytes(0)), plain);
  EXPECT_EQ(WatermarksFor(kLimit, plain.target), plain);
  EXPECT_EQ(WatermarksFor(kLimit, kLimit), plain);
  EXPECT_EQ(WatermarksFor(kLimit, Bytes(1)).target, Bytes(1));
}

// A run without a limit of its own has the machine's memory: a 32nd of that is much.
TEST(Watermarks, TheWorkingSetIsAShareOfWhatIsAskedFor) {
  constexpr Bytes kLimit(uint64_t{64} << 30);
  EXPECT_EQ(WorkingSetMin(WatermarksFor(kLimit).share_of, 1), Bytes(uint64_t{2} << 30));
  EXPECT_EQ(WorkingSetMin(WatermarksFor(kLimit, Bytes(64 * kMiB)).share_of, 1), Bytes(4 * kMiB));
}

// What may be overdrawn, and what is kept as room, lies within the reserve below the limit.

TEST(Watermarks, TheOverdraftStaysWithinTheReserve) {
  for (const uint64_t mib : {8, 64, 512, 4096, 65536}) {
    const Watermarks levels = WatermarksFor(Bytes(mib * kMiB));
    const auto reserve = static_cast<int64_t>((levels.limit - levels.target).raw() >> kPageShift);
    EXPECT_LE(levels.overdraft, reserve) << mib;
  }
}

TEST(WorkingSetMin, IsFourMebibytesWithinBounds) {
  struct Case {
    uint64_t limit_mib;
    uint64_t processes;
    uint64_t each_mib;
  };
  const Case cases[] = {{8, 1, 2},  {16, 1, 4},   {32, 1, 4},  {32, 4, 2},
                        {64, 0, 4}, {512, 1, 16}, {512, 4, 4}, {512, 64, 2}};
  for (const Case& c : cases) {
    EXPECT_EQ(WorkingSetMin(Bytes(c.limit_mib * kMiB), c.processes), Bytes(c.each_mib * kMiB))
        << c.limit_mib << " MiB, " << c.processes;
  }
}

TEST(PollInterval, GrowsWithTheHeadroomWithinItsBounds) {
  EXPECT_EQ(PollIntervalNs(-1), kIntervalMinNs);
  EXPECT_EQ(PollIntervalNs(0), kIntervalMinNs);
  EXPECT_EQ(PollIntervalNs(1), kIntervalMinNs);
  EXPECT_EQ(PollIntervalNs(int64_t{1} << 50), kIntervalMaxNs);
  uint64_t last = 0;
  for (int64_t headroom = 0; headroom < int64_t{1} << 40; headroom = headroom * 2 + 4096) {
    const uint64_t interval = PollIntervalNs(headroom);
    EXPECT_GE(interval, last);
    last = interval;
  }
}

TEST(Headroom, CountsBothWays) {
  Headroom headroom;
  EXPECT_EQ(headroom.Get(), 0);
  headroom.Set(10);
  headroom.Take(15);
  EXPECT_EQ(headroom.Get(), -5);
  headroom.Give(6);
  EXPECT_EQ(headroom.Get(), 1);
}

}  // namespace
}  // namespace uzswap
