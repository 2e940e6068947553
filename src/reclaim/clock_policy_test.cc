// The clock without an evictor: ages, refault counts, runs, jumps, and what is never proposed.
#include "reclaim/clock_policy.h"

#include <gtest/gtest.h>
#include <set>

#include "reclaim/testing/reclaim_rig.h"

namespace uzswap {
namespace {

constexpr size_t kLooks = 10000;

VictimRun Next(ReclaimRig& rig, size_t want) {
  size_t looks = kLooks;
  return rig.policy.NextRun(want, &looks);
}

TEST(ClockPolicy, UntouchedBitsAreTheOldestAge) {
  ReclaimRig rig(4);
  EXPECT_EQ(rig.policy.AgeOf(rig.Index(0)), ClockPolicy::kOldest);
  EXPECT_EQ(rig.policy.RefaultsOf(rig.Index(0)), 0);
}

TEST(ClockPolicy, EveryEventSetsTheAgeThatTheHeaderNames) {
  ReclaimRig rig(4);
  const PageIndex page = rig.Index(1);
  rig.policy.OnFault(page);
  EXPECT_EQ(rig.policy.AgeOf(page), ClockPolicy::kOldest - 1);
  rig.policy.OnReadahead(page);
  EXPECT_EQ(rig.policy.AgeOf(page), ClockPolicy::kOldest);
  rig.policy.OnIncompressible(page);
  EXPECT_EQ(rig.policy.AgeOf(page), 0);
  rig.policy.OnReclaimable(page);
  EXPECT_EQ(rig.policy.AgeOf(page), ClockPolicy::kOldest);
  rig.policy.OnRefused(page);
  EXPECT_EQ(rig.policy.AgeOf(page), 0);
}

TEST(ClockPolicy, EachRefaultSparesThePageLonger) {
  ReclaimRig rig(4);
  const PageIndex page = rig.Index(2);
  const int passes[] = {1, 3, 7, 7};
  for (const int expected : passes) {
    rig.policy.OnReclaimable(page);
    rig.policy.OnRefault(page);
    EXPECT_EQ(ClockPolicy::kOldest - rig.policy.AgeOf(page), expected);
  }
  rig.policy.OnStored(page);
  EXPECT_EQ(rig.policy.RefaultsOf(page), 0);
  EXPECT_EQ(rig.policy.AgeOf(page), 0) << "storing forgets the count, not the age";
  rig.policy.OnRefault(page);
  EXPECT_EQ(rig.policy.AgeOf(page), ClockPolicy::kOldest - 1);
}

TEST(ClockPolicy, AYoungPageIsPassedAndGetsOlder) {
  ReclaimRig rig(2);
  rig.policy.OnFault(rig.Index(0));
  const VictimRun run = Next(rig, 1);
  EXPECT_EQ(run.address, ReclaimRig::At(1));
  EXPECT_EQ(rig.policy.AgeOf(rig.Index(0)), ClockPolicy::kOldest);
}

TEST(ClockPolicy, ARunEndsAtTheFirstPageThatIsNoVictim) {
  struct Case {
    const char* what;
    void (*change)(ReclaimRig&);
    size_t pages;
  };
  const Case cases[] = {
      {"nothing", [](ReclaimRig&) {}, 16},
      {"young", [](ReclaimRig& rig) { rig.policy.OnFault(rig.Index(5)); }, 5},
      {"pinned", [](ReclaimRig& rig) { rig.table.Pin(rig.Index(3)); }, 3},
      {"served", [](ReclaimRig& rig) { rig.policy.OnServed(rig.Index(7)); }, 7},
      {"not resident",
       [](ReclaimRig& rig) { rig.table.Transition(rig.Index(2), PageState::kUntracked); }, 2},
  };
  for (const Case& c : cases) {
    ReclaimRig rig(16);
    c.change(rig);
    EXPECT_EQ(Next(rig, 64).pages, c.pages) << c.what;
  }
}

TEST(ClockPolicy, ARunIsNoLongerThanWantedAndThanABatch) {
  ReclaimRig rig(200, 4);
  EXPECT_EQ(Next(rig, 1).pages, 1u);
  EXPECT_EQ(Next(rig, 7).pages, 7u);
  EXPECT_EQ(Next(rig, 1000).pages, ClockPolicy::kRunMax);
}

TEST(ClockPolicy, ServedPagesAreProtectedUntilEnoughOthersWereServed) {
  ReclaimRig rig(64);
  rig.policy.OnServed(rig.Index(0));
  EXPECT_NE(Next(rig, 1).address, ReclaimRig::At(0));
  for (size_t i = 1; i <= ClockPolicy::kProtected; ++i) rig.policy.OnServed(rig.Index(i));
  std::set<uint64_t> proposed;
  for (int i = 0; i < 2000; ++i) {
    const VictimRun run = Next(rig, 1);
    ASSERT_EQ(run.pages, 1u);
    proposed.insert(run.address);
    rig.policy.OnSkipped();
  }
  EXPECT_TRUE(proposed.contains(ReclaimRig::At(0)));
  EXPECT_FALSE(proposed.contains(ReclaimRig::At(1)));
}

TEST(ClockPolicy, TheHandJumpsAfterEnoughVictims) {
  ReclaimRig rig(100000, 4);
  uint64_t expected = ReclaimRig::At(0);
  size_t in_order = 0;
  for (int i = 0; i < 64; ++i) {
    const VictimRun run = Next(rig, 16);
    in_order += run.address == expected ? 1 : 0;
    rig.policy.OnIsolated(run.pages);
    expected = run.address + (run.pages << kPageShift);
  }
  EXPECT_LT(in_order, 64u) << "it never jumped";
  EXPECT_GT(in_order, 32u) << "it jumped at every run";
}

TEST(ClockPolicy, ASweepWithoutVictimsEndsWithItsBudget) {
  ReclaimRig rig(8);
  for (uint64_t page = 0; page < 8; ++page) rig.table.Pin(rig.Index(page));
  size_t looks = rig.policy.SweepScanMax();
  EXPECT_EQ(looks, 8u * (ClockPolicy::kOldest + 1));
  EXPECT_EQ(rig.policy.NextRun(1, &looks).pages, 0u);
  EXPECT_EQ(looks, 0u);
}

TEST(ClockPolicy, ASweepFindsEvenTheYoungestPages) {
  ReclaimRig rig(8);
  for (uint64_t page = 0; page < 8; ++page) rig.policy.OnIncompressible(rig.Index(page));
  size_t looks = rig.policy.SweepScanMax();
  EXPECT_GT(rig.policy.NextRun(8, &looks).pages, 0u);
}

TEST(ClockPolicy, AnEmptyTableHasNoVictims) {
  ReclaimRig rig(4);
  rig.table.ForEachPage({0, UINT64_MAX}, [&rig](PageIndex index) { rig.contents.Discard(index); });
  rig.table.Remove({ReclaimRig::At(0), ReclaimRig::At(4)});
  EXPECT_EQ(rig.policy.SweepScanMax(), 0u);
  size_t looks = 10;
  EXPECT_EQ(rig.policy.NextRun(1, &looks).pages, 0u);
  EXPECT_EQ(looks, 10u);
}

}  // namespace
}  // namespace uzswap
