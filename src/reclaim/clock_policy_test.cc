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
  // Eight pages, one range, one block of entries.
  EXPECT_EQ(looks, (8 + 1 + ClockPolicy::kBlockLooks) * (ClockPolicy::kOldest + 1));
  EXPECT_EQ(rig.policy.NextRun(1, &looks).pages, 0u);
  EXPECT_EQ(looks, 0u);
}

TEST(ClockPolicy, ASweepFindsEvenTheYoungestPages) {
  ReclaimRig rig(8);
  for (uint64_t page = 0; page < 8; ++page) rig.policy.OnIncompressible(rig.Index(page));
  rig.policy.RetryRefused();
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

// All pages that are proposed in so many steps of the hand, none of which is isolated.
std::set<uint64_t> Proposed(ReclaimRig& rig, int steps = 500) {
  std::set<uint64_t> proposed;
  for (int i = 0; i < steps; ++i) {
    const VictimRun run = Next(rig, 64);
    for (size_t page = 0; page < run.pages; ++page) {
      proposed.insert(run.address + (page << kPageShift));
    }
    rig.policy.OnSkipped();
  }
  return proposed;
}

TEST(ClockPolicy, ARefusedPageIsNotProposedUntilItIsRetried) {
  struct Case {
    const char* what;
    void (*refuse)(ClockPolicy&, PageIndex);
  };
  const Case cases[] = {
      {"refused", [](ClockPolicy& policy, PageIndex page) { policy.OnRefused(page); }},
      {"incompressible",
       [](ClockPolicy& policy, PageIndex page) { policy.OnIncompressible(page); }},
  };
  for (const Case& c : cases) {
    ReclaimRig rig(8);
    c.refuse(rig.policy, rig.Index(3));
    EXPECT_EQ(rig.policy.AgeOf(rig.Index(3)), 0) << c.what;
    std::set<uint64_t> proposed = Proposed(rig);
    EXPECT_EQ(proposed.size(), 7u) << c.what;
    EXPECT_FALSE(proposed.contains(ReclaimRig::At(3))) << c.what;
    EXPECT_EQ(rig.policy.AgeOf(rig.Index(3)), ClockPolicy::kOldest) << c.what << ": it ages";
    rig.policy.RetryRefused();
    proposed = Proposed(rig);
    EXPECT_TRUE(proposed.contains(ReclaimRig::At(3))) << c.what;
  }
}

TEST(ClockPolicy, ARetryDoesNotMakeAPageOlder) {
  ReclaimRig rig(2);
  rig.policy.OnRefused(rig.Index(0));
  rig.policy.RetryRefused();
  EXPECT_EQ(rig.policy.AgeOf(rig.Index(0)), 0);
}

TEST(ClockPolicy, ARunEndsAtARefusedPage) {
  ReclaimRig rig(16);
  rig.policy.OnIncompressible(rig.Index(5));
  static_cast<void>(Proposed(rig));
  ASSERT_EQ(rig.policy.AgeOf(rig.Index(5)), ClockPolicy::kOldest);
  ClockPolicyPeer::Aim(rig.policy, ReclaimRig::At(0));
  EXPECT_EQ(Next(rig, 64).pages, 5u);
}

TEST(ClockPolicy, WhatChangesAPageEndsItsRefusal) {
  struct Case {
    const char* what;
    void (*change)(ClockPolicy&, PageIndex);
    uint8_t age;
  };
  const Case cases[] = {
      {"fault", [](ClockPolicy& policy, PageIndex page) { policy.OnFault(page); },
       ClockPolicy::kOldest - 1},
      {"refault", [](ClockPolicy& policy, PageIndex page) { policy.OnRefault(page); },
       ClockPolicy::kOldest - 1},
      {"readahead", [](ClockPolicy& policy, PageIndex page) { policy.OnReadahead(page); },
       ClockPolicy::kOldest},
      {"reclaimable", [](ClockPolicy& policy, PageIndex page) { policy.OnReclaimable(page); },
       ClockPolicy::kOldest},
  };
  for (const Case& c : cases) {
    for (const bool compressible : {true, false}) {
      ReclaimRig rig(1);
      const PageIndex page = rig.Index(0);
      if (compressible) {
        rig.policy.OnRefused(page);
      } else {
        rig.policy.OnIncompressible(page);
      }
      EXPECT_EQ(Next(rig, 1).pages, 0u) << c.what;
      c.change(rig.policy, page);
      EXPECT_EQ(rig.policy.AgeOf(page), c.age) << c.what;
      EXPECT_EQ(Next(rig, 1).address, ReclaimRig::At(0)) << c.what;
    }
  }
}

TEST(ClockPolicy, ARefusalDoesNotChangeTheRefaultCount) {
  ReclaimRig rig(2);
  const PageIndex page = rig.Index(0);
  rig.policy.OnRefault(page);
  rig.policy.OnRefault(page);
  rig.policy.OnRefused(page);
  EXPECT_EQ(rig.policy.RefaultsOf(page), 2);
  rig.policy.OnStored(page);
  EXPECT_EQ(rig.policy.RefaultsOf(page), 0);
}

// Three periods have numbers, and then the first comes again.
TEST(ClockPolicy, EveryPeriodKeepsWhatItRefused) {
  ReclaimRig rig(8);
  for (int period = 0; period < 10; ++period) {
    const auto page = static_cast<uint64_t>(period % 8);
    rig.policy.OnRefused(rig.Index(page));
    const std::set<uint64_t> proposed = Proposed(rig);
    EXPECT_FALSE(proposed.contains(ReclaimRig::At(page))) << "period " << period;
    EXPECT_GT(proposed.size(), 0u) << "period " << period;
    rig.policy.RetryRefused();
    EXPECT_TRUE(Proposed(rig).contains(ReclaimRig::At(page))) << "period " << period;
    rig.policy.OnReclaimable(rig.Index(page));
  }
}

TEST(ClockPolicy, NoPeriodRefusesWhatWasNeverRefused) {
  ReclaimRig rig(8);
  for (int period = 0; period < 7; ++period) {
    EXPECT_EQ(Proposed(rig).size(), 8u) << "period " << period;
    rig.policy.RetryRefused();
  }
}

void SwapOut(ReclaimRig& rig, uint64_t page) {
  const PageIndex index = rig.Index(page);
  for (const PageState to : {PageState::kStaged, PageState::kInFlight, PageState::kSameFilled}) {
    rig.table.Transition(index, to);
  }
}

TEST(ClockPolicy, SwappedOutPagesCostLooksByTheBlockOnly) {
  constexpr uint64_t kPages = 50'000;
  constexpr uint64_t kLeft = 3;
  ReclaimRig rig(kPages, 4);
  for (uint64_t page = 0; page < kPages - kLeft; ++page) SwapOut(rig, page);
  const size_t blocks = rig.table.entry_blocks();
  EXPECT_LE(blocks, kPages / EntryStore::kBlockPages + 2);
  const size_t pass = kLeft + 1 + ClockPolicy::kBlockLooks * blocks;
  EXPECT_EQ(rig.policy.SweepScanMax(), pass * (ClockPolicy::kOldest + 1));
  EXPECT_LT(rig.policy.SweepScanMax(), kPages / 10);

  ClockPolicyPeer::Aim(rig.policy, ReclaimRig::At(0));
  size_t looks = rig.policy.SweepScanMax();
  const size_t before = looks;
  const VictimRun run = rig.policy.NextRun(64, &looks);
  EXPECT_EQ(run.address, ReclaimRig::At(kPages - kLeft));
  EXPECT_EQ(run.pages, kLeft);
  EXPECT_EQ(before - looks, 1 + ClockPolicy::kBlockLooks * (blocks - 1));
}

TEST(ClockPolicy, AResidentPageCostsOneLook) {
  ReclaimRig rig(8);
  for (uint64_t page = 0; page < 8; ++page) rig.table.Pin(rig.Index(page));
  SwapOut(rig, 6);
  ClockPolicyPeer::Aim(rig.policy, ReclaimRig::At(0));
  // The first seven looks find the pinned pages, and no more.
  for (const size_t looks : {1, 7}) {
    size_t left = looks;
    EXPECT_EQ(rig.policy.NextRun(1, &left).pages, 0u);
    EXPECT_EQ(left, 0u);
  }
}

TEST(ClockPolicy, TheLooksAreUsedUpByBlocksWithoutResidentPages) {
  ReclaimRig rig(5'000, 4);
  for (uint64_t page = 0; page < 5'000; ++page) SwapOut(rig, page);
  ASSERT_EQ(rig.table.resident_pages(), PageCount(0));
  // It ends, whatever is left, and never takes more than there is.
  for (const size_t looks : {size_t{1}, size_t{2}, size_t{5}, rig.policy.SweepScanMax()}) {
    size_t left = looks;
    EXPECT_EQ(rig.policy.NextRun(1, &left).pages, 0u);
    EXPECT_EQ(left, 0u) << looks;
  }
}

}  // namespace
}  // namespace uzswap
