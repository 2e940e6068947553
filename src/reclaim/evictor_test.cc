// The evictor without a kernel: every outcome of a move and of a store, and what is left behind.
#include "reclaim/evictor.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "reclaim/testing/reclaim_rig.h"

namespace uzswap {
namespace {

using os::PortOutcome;

TEST(Evictor, IsolatesAdjacentVictimsInOneMove) {
  ReclaimRig rig(32);
  EXPECT_EQ(rig.evictor.Isolate(8), 8u);
  ASSERT_EQ(rig.mover.calls.size(), 1u);
  EXPECT_EQ(rig.mover.calls[0].pages, 8u);
  EXPECT_EQ(rig.mover.calls[0].address, ReclaimRig::At(0));
  EXPECT_EQ(rig.frames.staged_count(), 8u);
  EXPECT_EQ(rig.table.resident_pages(), PageCount(24));
  EXPECT_EQ(rig.statistics.pages_taken.Get(), 8u);
}

TEST(Evictor, ContinuesAfterAMoveThatEndedEarly) {
  ReclaimRig rig(32);
  rig.mover.Then(PortOutcome::kBusy, 3);
  EXPECT_EQ(rig.evictor.Isolate(8), 8u);
  EXPECT_EQ(rig.StateOf(2), PageState::kStaged);
  ASSERT_EQ(rig.mover.calls.size(), 2u);
  EXPECT_EQ(rig.mover.calls[1].address, ReclaimRig::At(3));
  EXPECT_EQ(rig.statistics.busy_pages.Get(), 0u) << "why it ended early is not known yet";
}

struct RefusalCase {
  PortOutcome outcome;
  bool stops;       // nothing else is tried
  PageState state;  // of the first page afterwards
  bool young;       // it is left alone for as long as possible
  uint64_t retries, busy, refused;
};

class EvictorRefusal : public testing::TestWithParam<RefusalCase> {};

TEST_P(EvictorRefusal, DoesWhatTheHeaderSays) {
  const RefusalCase& c = GetParam();
  ReclaimRig rig(4);
  rig.mover.Then(c.outcome);
  EXPECT_EQ(rig.evictor.Isolate(1), c.stops ? 0u : 1u);
  EXPECT_EQ(rig.mover.calls.size(), c.stops ? 1u : 2u) << "the next page is tried";
  EXPECT_EQ(rig.StateOf(0), c.state);
  EXPECT_EQ(rig.policy.AgeOf(rig.Index(0)) == 0, c.young);
  EXPECT_EQ(rig.statistics.retries.Get(), c.retries);
  EXPECT_EQ(rig.statistics.busy_pages.Get(), c.busy);
  EXPECT_EQ(rig.statistics.refused_pages.Get(), c.refused);
  EXPECT_FALSE(rig.evictor.last_sweep_failed());
  rig.contents.Audit();
}

INSTANTIATE_TEST_SUITE_P(
    All, EvictorRefusal,
    testing::Values(RefusalCase{PortOutcome::kRetry, true, PageState::kResident, false, 1, 0, 0},
                    RefusalCase{PortOutcome::kNoMemory, true, PageState::kResident, false, 1, 0, 0},
                    RefusalCase{PortOutcome::kGone, false, PageState::kUntracked, false, 0, 0, 0},
                    RefusalCase{PortOutcome::kBusy, false, PageState::kResident, true, 0, 1, 0},
                    RefusalCase{PortOutcome::kRefused, false, PageState::kResident, true, 0, 0,
                                1}));

TEST(Evictor, ARefusedRunIsHalvedUntilItFitsOneMapping) {
  ReclaimRig rig(16);
  rig.mover.Then(PortOutcome::kRefused);  // 16
  rig.mover.Then(PortOutcome::kRefused);  // 8
  EXPECT_EQ(rig.evictor.Isolate(16), 16u);
  ASSERT_GE(rig.mover.calls.size(), 3u);
  EXPECT_EQ(rig.mover.calls[1].pages, 8u);
  EXPECT_EQ(rig.mover.calls[2].pages, 4u);
  EXPECT_EQ(rig.statistics.refused_pages.Get(), 0u);
}

TEST(Evictor, StopsWhenNoFrameIsEmpty) {
  ReclaimRig rig(32, 4);
  EXPECT_EQ(rig.evictor.Isolate(32), 4u);
  EXPECT_EQ(rig.evictor.Isolate(1), 0u);
  EXPECT_FALSE(rig.evictor.last_sweep_failed()) << "pages are to be stored, not looked for";
}

TEST(Evictor, RefusalsWithoutEndAreGivenUp) {
  ReclaimRig rig(1000);
  for (int i = 0; i < 5000; ++i) rig.mover.Then(PortOutcome::kBusy);
  EXPECT_EQ(rig.evictor.Isolate(8), 0u);
  EXPECT_TRUE(rig.evictor.last_sweep_failed());
  EXPECT_EQ(rig.statistics.busy_pages.Get(), 64u);
  EXPECT_EQ(rig.evictor.Isolate(0), 0u);
  EXPECT_FALSE(rig.evictor.last_sweep_failed()) << "the daemon's call lets faults try again";
}

TEST(Evictor, BusyPagesAreReportedOnceAndCanBeIsolatedByAddress) {
  ReclaimRig rig(8);
  rig.mover.Then(PortOutcome::kBusy);
  EXPECT_EQ(rig.evictor.Isolate(7), 7u);
  uint64_t addresses[4] = {};
  ASSERT_EQ(rig.evictor.TakeBusyPages(addresses), 1u);
  EXPECT_EQ(addresses[0], ReclaimRig::At(0));
  EXPECT_EQ(rig.evictor.TakeBusyPages(addresses), 0u);
  EXPECT_EQ(rig.policy.AgeOf(rig.Index(0)), 0);
  const uint64_t unregistered = ReclaimRig::At(5000);
  EXPECT_EQ(rig.evictor.IsolatePages({&unregistered, 1}), 0u);
  EXPECT_EQ(rig.evictor.IsolatePages({addresses, 1}), 1u);
  EXPECT_EQ(rig.StateOf(0), PageState::kStaged);
  EXPECT_EQ(rig.statistics.pages_taken.Get(), 8u);
  EXPECT_EQ(rig.evictor.IsolatePages({addresses, 1}), 0u) << "it is not resident any more";
}

TEST(Evictor, WhatBecomesOfAPageThatCannotBeIsolatedByAddress) {
  struct Case {
    const char* what;
    bool no_frame;
    bool frozen;
    bool busy;
    bool pinned;
    uint8_t age;
  };
  const Case cases[] = {{"no frame is empty", true, false, false, false, ClockPolicy::kOldest},
                        {"frozen", false, true, false, false, ClockPolicy::kOldest},
                        {"refused again", false, false, true, false, 0},
                        {"pinned", false, false, false, true, 0}};
  for (const Case& c : cases) {
    ReclaimRig rig(8, 4);
    if (c.no_frame) rig.evictor.Isolate(4);
    rig.evictor.SetFrozen(c.frozen);
    if (c.busy) rig.mover.Then(PortOutcome::kBusy);
    if (c.pinned) static_cast<void>(rig.table.Pin(rig.Index(6)));
    rig.policy.OnRefused(rig.Index(6));
    const uint64_t address = ReclaimRig::At(6);
    EXPECT_EQ(rig.evictor.IsolatePages({&address, 1}), 0u) << c.what;
    EXPECT_EQ(rig.StateOf(6), PageState::kResident) << c.what;
    EXPECT_EQ(rig.policy.AgeOf(rig.Index(6)), c.age) << c.what;
  }
}

TEST(Evictor, StoresTheOldestAndReleasesTheirFrames) {
  ReclaimRig rig(8);
  rig.evictor.Isolate(8);
  rig.sink.pool = PageCount(3);
  EXPECT_EQ(rig.StoreOldest(3), 3u);
  EXPECT_EQ(rig.StateOf(0), PageState::kCompressed);
  EXPECT_EQ(rig.StateOf(3), PageState::kStaged);
  EXPECT_EQ(rig.headroom.Get(), -3) << "the pool's frames were charged";
  EXPECT_EQ(rig.frames.to_free_count(), 3u);
  EXPECT_EQ(rig.evictor.ReleaseFrames(10), 3u);
  EXPECT_EQ(rig.headroom.Get(), 0);
  EXPECT_EQ(rig.frames.populated_count(), 5u);
  EXPECT_EQ(rig.statistics.zswpout.Get(), 3u);
  EXPECT_TRUE(rig.AccountBalances());
}

TEST(Evictor, ASameFilledPageTakesNoSlot) {
  ReclaimRig rig(2);
  rig.evictor.Isolate(2);
  rig.sink.script = {StoredAs::kSameFilled};
  EXPECT_EQ(rig.StoreOldest(2), 2u);
  EXPECT_EQ(rig.StateOf(0), PageState::kSameFilled);
  EXPECT_EQ(rig.table.entry(rig.Index(0)).pattern(), 0x1234u);
  EXPECT_EQ(rig.sink.allocated.size(), 1u);
  EXPECT_EQ(rig.statistics.same_filled_pages.Get(), 1u);
}

TEST(Evictor, AnIncompressiblePageReturnsToTheProgramAndStaysYoung) {
  ReclaimRig rig(2);
  rig.evictor.Isolate(1);
  rig.sink.script = {StoredAs::kIncompressible};
  EXPECT_EQ(rig.StoreOldest(1), 0u);
  EXPECT_EQ(rig.mover.CountOf('R'), 1u);
  EXPECT_EQ(rig.StateOf(0), PageState::kResident);
  EXPECT_EQ(rig.policy.AgeOf(rig.Index(0)), 0);
  EXPECT_EQ(rig.statistics.reject_compress_poor.Get(), 1u);
}

TEST(Evictor, AnIncompressiblePageThatCannotReturnStaysStaged) {
  ReclaimRig rig(2);
  rig.evictor.Isolate(1);
  rig.sink.script = {StoredAs::kIncompressible};
  rig.mover.Then(PortOutcome::kRetry);
  EXPECT_EQ(rig.StoreOldest(1), 0u);
  EXPECT_EQ(rig.StateOf(0), PageState::kStaged);
}

TEST(Evictor, ManyIncompressiblePagesInARowSayThatStoringSavesNothing) {
  ReclaimRig rig(400, 400);
  for (int i = 0; i < 257; ++i) {
    ASSERT_TRUE(rig.evictor.StoringGains()) << i;
    ClockPolicyPeer::Aim(rig.policy, ReclaimRig::At(static_cast<uint64_t>(i)));
    ASSERT_EQ(rig.evictor.Isolate(1), 1u);
    rig.sink.script = {StoredAs::kIncompressible};
    rig.StoreOldest(1);
  }
  EXPECT_FALSE(rig.evictor.StoringGains());
  ClockPolicyPeer::Aim(rig.policy, ReclaimRig::At(300));
  rig.evictor.Isolate(1);
  EXPECT_EQ(rig.StoreOldest(1), 1u);
  EXPECT_TRUE(rig.evictor.StoringGains());
}

TEST(Evictor, WithoutSpaceThePageStaysStagedAsTheYoungest) {
  ReclaimRig rig(2);
  rig.evictor.Isolate(2);
  rig.sink.script = {StoredAs::kNoSpace};
  EXPECT_EQ(rig.StoreOldest(1), 0u);
  EXPECT_EQ(rig.StateOf(0), PageState::kStaged);
  EXPECT_EQ(rig.statistics.pool_limit_hit.Get(), 1u);
  EXPECT_EQ(rig.StoreOldest(1), 1u);
  EXPECT_EQ(rig.StateOf(1), PageState::kCompressed) << "the other one is older now";
}

// What the program does between BeginStore and FinishStore decides.
TEST(Evictor, AChangeOfAPageInFlightWins) {
  enum class Meanwhile : uint8_t { kNothing, kCopiedBack, kDiscarded };
  for (const Meanwhile meanwhile :
       {Meanwhile::kNothing, Meanwhile::kCopiedBack, Meanwhile::kDiscarded}) {
    for (const StoredAs as :
         {StoredAs::kSlot, StoredAs::kSameFilled, StoredAs::kIncompressible, StoredAs::kNoSpace}) {
      ReclaimRig rig(1);
      rig.evictor.Isolate(1);
      Evictor::StoreBatch batch;
      rig.evictor.BeginStore(1, &batch);
      ASSERT_EQ(batch.count, 1u);
      EXPECT_EQ(rig.evictor.storing(), 1u);
      rig.sink.script = {as};
      Evictor::Store(rig.sink, rig.context, &batch, Evictor::KeptOnDisk::kRead);
      if (meanwhile == Meanwhile::kCopiedBack) rig.contents.NoteCopiedBack(rig.Index(0));
      if (meanwhile == Meanwhile::kDiscarded) rig.contents.Discard(rig.Index(0));
      const size_t freed = rig.evictor.FinishStore(batch);
      EXPECT_EQ(rig.evictor.storing(), 0u);
      if (meanwhile != Meanwhile::kNothing) {
        EXPECT_EQ(freed, 1u) << "nobody wants the frame";
        EXPECT_EQ(rig.statistics.lost_races.Get(), 1u);
        EXPECT_EQ(rig.statistics.zswpout.Get(), 0u);
        EXPECT_TRUE(rig.sink.allocated.empty());
      }
      EXPECT_TRUE(rig.AccountBalances());
      rig.contents.Audit();
    }
  }
}

// Page 0 was stored, then the process forked, then the page was loaded: it keeps its slot.
void LoadKept(ReclaimRig& rig) {
  rig.evictor.Isolate(1);
  rig.StoreOldest(1);
  rig.evictor.ReleaseFrames(1);
  rig.contents.BeginSharing();
  rig.contents.NotePopulated(rig.Index(0));
  ASSERT_TRUE(rig.table.entry(rig.Index(0)).kept_slot().valid());
  ASSERT_EQ(rig.statistics.kept_pages.Get(), 1u);
}

// What becomes of a kept slot: every outcome of the store, whatever the page does meanwhile.
TEST(Evictor, AKeptSlotFollowsItsPage) {
  enum class Meanwhile : uint8_t { kNothing, kCopiedBack, kDiscarded };
  for (const Meanwhile meanwhile :
       {Meanwhile::kNothing, Meanwhile::kCopiedBack, Meanwhile::kDiscarded}) {
    for (const StoredAs as : {StoredAs::kSlot, StoredAs::kUnchanged, StoredAs::kSameFilled,
                              StoredAs::kIncompressible, StoredAs::kNoSpace}) {
      SCOPED_TRACE(testing::Message() << static_cast<int>(meanwhile) << static_cast<int>(as));
      ReclaimRig rig(1);
      LoadKept(rig);
      const SwapSlot kept = rig.table.entry(rig.Index(0)).kept_slot();
      rig.policy.OnReclaimable(rig.Index(0));
      ASSERT_EQ(rig.evictor.Isolate(1), 1u);
      Evictor::StoreBatch batch;
      rig.evictor.BeginStore(1, &batch);
      EXPECT_EQ(batch.kept[0], kept);
      rig.sink.script = {as};
      Evictor::Store(rig.sink, rig.context, &batch, Evictor::KeptOnDisk::kRead);
      EXPECT_EQ(rig.sink.read_kept, std::vector<SwapSlot>{kept});
      if (meanwhile == Meanwhile::kCopiedBack) rig.contents.NoteCopiedBack(rig.Index(0));
      if (meanwhile == Meanwhile::kDiscarded) rig.contents.Discard(rig.Index(0));
      rig.evictor.FinishStore(batch);
      const PageEntry entry = rig.table.entry(rig.Index(0));
      const bool lost = meanwhile != Meanwhile::kNothing;
      EXPECT_EQ(rig.statistics.lost_races.Get(), lost ? 1u : 0u);
      const bool unchanged = as == StoredAs::kUnchanged && !lost;
      EXPECT_EQ(rig.statistics.unchanged_pages.Get(), unchanged ? 1u : 0u);
      const bool keeps = meanwhile == Meanwhile::kCopiedBack;
      EXPECT_EQ(rig.statistics.kept_pages.Get(), keeps ? 1u : 0u);
      EXPECT_EQ(rig.sink.allocated.contains(kept.raw()), keeps || unchanged);
      if (keeps) {
        EXPECT_EQ(entry.kept_slot(), kept);
      }
      if (unchanged) {
        EXPECT_EQ(entry.slot(), kept);
        EXPECT_TRUE(entry.shared()) << "it is kept again when it is loaded";
      } else if (entry.state() == PageState::kCompressed) {
        EXPECT_FALSE(entry.shared());
      }
      EXPECT_TRUE(rig.AccountBalances());
      rig.contents.Audit();
    }
  }
}

TEST(Evictor, AStagedPageThatIsTouchedKeepsItsSlot) {
  for (const bool moved : {true, false}) {
    ReclaimRig rig(1);
    LoadKept(rig);
    const SwapSlot kept = rig.table.entry(rig.Index(0)).kept_slot();
    rig.policy.OnReclaimable(rig.Index(0));
    ASSERT_EQ(rig.evictor.Isolate(1), 1u);
    if (moved) {
      rig.contents.NoteReturned(rig.Index(0));
    } else {
      rig.contents.NoteCopiedBack(rig.Index(0));
    }
    EXPECT_EQ(rig.table.entry(rig.Index(0)).kept_slot(), kept);
    rig.contents.Audit();
  }
}

TEST(Evictor, AKeptSlotIsFreedWithItsPage) {
  for (const bool staged : {true, false}) {
    ReclaimRig rig(1);
    LoadKept(rig);
    rig.policy.OnReclaimable(rig.Index(0));
    if (staged) {
      ASSERT_EQ(rig.evictor.Isolate(1), 1u);
    }
    rig.contents.Discard(rig.Index(0));
    EXPECT_TRUE(rig.sink.allocated.empty());
    EXPECT_EQ(rig.statistics.kept_pages.Get(), 0u);
    EXPECT_EQ(rig.statistics.invalidated_pages.Get(), 0u) << "the page was not stored";
  }
}

// Nothing is kept before a fork, of pages stored after it, and when nothing is shared any more.
TEST(Evictor, OnlySharedSlotsAreKept) {
  ReclaimRig rig(2);
  rig.contents.BeginSharing();
  rig.evictor.Isolate(1);
  rig.StoreOldest(1);
  rig.contents.NotePopulated(rig.Index(0));
  EXPECT_FALSE(rig.table.entry(rig.Index(0)).kept_slot().valid());
  ReclaimRig other(1);
  LoadKept(other);
  other.contents.EndSharing();
  EXPECT_FALSE(other.table.entry(other.Index(0)).kept_slot().valid());
  EXPECT_TRUE(other.sink.allocated.empty());
}

TEST(Evictor, AFrameSharedWithAChildIsCopiedBeforeItIsReleased) {
  ReclaimRig rig(2);
  rig.evictor.Isolate(2);
  rig.StoreOldest(2);
  rig.mover.calls.clear();
  rig.mover.Then(PortOutcome::kBusy);
  EXPECT_EQ(rig.evictor.ReleaseFrames(2), 2u);
  EXPECT_EQ(rig.mover.CountOf('C'), 1u);
}

TEST(Evictor, ReleasingStopsWhereTheKernelAsksForPatience) {
  ReclaimRig rig(4);
  rig.evictor.Isolate(4);
  rig.StoreOldest(4);
  rig.mover.Then(PortOutcome::kDone, 1);
  rig.mover.Then(PortOutcome::kRetry);
  EXPECT_EQ(rig.evictor.ReleaseFrames(4), 1u);
  EXPECT_EQ(rig.frames.to_free_count(), 3u);
  EXPECT_EQ(rig.statistics.retries.Get(), 1u);
}

TEST(Evictor, WhileFrozenNothingBegins) {
  ReclaimRig rig(8);
  rig.evictor.Isolate(4);
  rig.StoreOldest(1);
  rig.evictor.SetFrozen(true);
  EXPECT_EQ(rig.evictor.Isolate(4), 0u);
  EXPECT_EQ(rig.StoreOldest(4), 0u);
  EXPECT_EQ(rig.evictor.ReleaseFrames(4), 0u);
  rig.evictor.SetFrozen(false);
  EXPECT_EQ(rig.evictor.ReleaseFrames(4), 1u);
}

TEST(EvictorDeath, AnEmptyFrameWithContentEndsTheProcess) {
  ReclaimRig rig(4);
  rig.mover.Then(PortOutcome::kExists);
  EXPECT_DEATH(rig.evictor.Isolate(1), "an Empty staging frame has content");
}

// Any mover, any sink, any program: the tables agree, and the account balances.
TEST(Evictor, RandomStepsKeepEveryInvariant) {
  constexpr uint64_t kSeed = 20261127;
  printf("seed %llu\n", static_cast<unsigned long long>(kSeed));
  Rng rng(kSeed);
  constexpr uint64_t kPages = 64;
  ReclaimRig rig(kPages, 24);
  constexpr PortOutcome kOutcomes[] = {PortOutcome::kRetry, PortOutcome::kGone, PortOutcome::kBusy,
                                       PortOutcome::kRefused, PortOutcome::kNoMemory};
  constexpr StoredAs kStored[] = {StoredAs::kSlot, StoredAs::kSameFilled, StoredAs::kIncompressible,
                                  StoredAs::kNoSpace};
  for (int step = 0; step < 20000; ++step) {
    const PageIndex page = rig.Index(rng.Below(kPages));
    if (rng.OneIn(64)) rig.contents.BeginSharing();
    if (rng.OneIn(256)) rig.contents.EndSharing();
    switch (rng.Below(8)) {
      case 0:
        if (rng.OneIn(2)) rig.mover.Then(kOutcomes[rng.Below(5)], 0);
        static_cast<void>(rig.evictor.Isolate(1 + rng.Below(16)));
        break;
      case 1:
        if (rng.OneIn(2)) rig.sink.script = {kStored[rng.Below(4)]};
        rig.StoreOldest(1 + rng.Below(4));
        break;
      case 2:
        static_cast<void>(rig.evictor.ReleaseFrames(1 + rng.Below(16)));
        break;
      case 3:
        rig.contents.Discard(page);
        break;
      default: {  // a touch
        const PageState state = rig.table.entry(page).state();
        if (state == PageState::kStaged) {
          rig.contents.NoteReturned(page);
          rig.policy.OnRefault(page);
        } else if (state == PageState::kInFlight) {
          rig.contents.NoteCopiedBack(page);
        } else if (state != PageState::kResident) {
          rig.contents.NotePopulated(page);
          rig.policy.OnFault(page);
        }
        rig.policy.OnServed(page);
        break;
      }
    }
    rig.contents.Audit();
    ASSERT_TRUE(rig.AccountBalances()) << "step " << step;
    ASSERT_EQ(rig.sink.allocated.size() + rig.statistics.same_filled_pages.Get(),
              rig.statistics.stored_pages.Get() + rig.statistics.kept_pages.Get());
  }
}

}  // namespace
}  // namespace uzswap
