#include "backing/backing_store.h"

#include <algorithm>
#include <gtest/gtest.h>

#include "backing/testing/store_fixture.h"
#include "base/testing/from_environment.h"
#include "base/testing/heap_watch.h"

namespace uzswap {
namespace {

BackingOptions Sealed() {
  BackingOptions options;
  options.encrypt = true;
  return options;
}

TEST(BackingStoreTest, WhatIsWrittenIsRead) {
  for (const BackingOptions& options : {BackingOptions{}, Sealed()}) {
    StoreFixture fixture(options);
    for (uint64_t key = 0; key < 3000; ++key) {
      ASSERT_EQ(fixture.Put(key), AppendOutcome::kAppended);
    }
    fixture.store.WaitForWrites();
    EXPECT_EQ(fixture.CheckAll(), 3000u);
    fixture.store.Audit();
    const BackingCounters& counters = fixture.store.counters();
    EXPECT_EQ(counters.objects_written.Get(), 3000u);
    EXPECT_GE(counters.bytes_written.Get() / counters.write_requests.Get(), 64u << 10);
    EXPECT_LE(static_cast<double>(counters.bytes_written.Get()),
              1.10 * static_cast<double>(counters.payload_bytes.Get()));
  }
}

TEST(BackingStoreTest, NothingIsWrittenBeforeABatchIsFull) {
  StoreFixture fixture;
  EXPECT_EQ(fixture.port.writes(), 0u);
  static_cast<void>(fixture.Put(1));
  EXPECT_EQ(fixture.port.writes(), 0u);
  fixture.store.WaitForWrites();
  EXPECT_EQ(fixture.port.writes(), 1u);
  EXPECT_EQ(fixture.port.bytes_written(), RoundUpToPage(fixture.port.bytes_written()));
  EXPECT_EQ(fixture.Get(1), ReadOutcome::kOk);
}

TEST(BackingStoreTest, AnObjectDroppedInFlightIsNotPublished) {
  StoreFixture fixture;
  fixture.port.Hold();
  static_cast<void>(fixture.Put(1));
  static_cast<void>(fixture.Put(2));
  fixture.store.Flush();
  EXPECT_EQ(fixture.store.in_flight(), 1u);
  fixture.Drop(1);
  fixture.port.Release();
  fixture.store.WaitForWrites();
  EXPECT_EQ(fixture.store.counters().objects_unwanted.Get(), 1u);
  EXPECT_EQ(fixture.CheckAll(), 1u);
}

TEST(BackingStoreTest, DepthIsReachedAndThenABatchMustEnd) {
  StoreFixture fixture({}, 64 << 20, 16);
  fixture.port.Hold();
  uint64_t key = 0;
  AppendOutcome outcome = AppendOutcome::kAppended;
  while (outcome == AppendOutcome::kAppended) {
    const std::vector<std::byte> object = ObjectOf(key, 1);
    outcome = fixture.store.Append(key++, 1, {CodecId::kLz4}, {object, {}});
  }
  EXPECT_EQ(outcome, AppendOutcome::kNoBuffer);
  EXPECT_EQ(fixture.store.in_flight(), 16u);
  EXPECT_EQ(fixture.store.Reap(false), 0u);
  fixture.port.Release(1);
  EXPECT_EQ(fixture.store.Reap(true), 1u);
  EXPECT_EQ(fixture.store.counters().deepest_queue.Get(), 16u);
}

TEST(BackingStoreTest, EmptySegmentsAreUsedBeforeTheFileGrows) {
  StoreFixture fixture;
  for (int round = 0; round < 20; ++round) {
    for (uint64_t key = 0; key < 1000; ++key) static_cast<void>(fixture.Put(key));
    fixture.store.WaitForWrites();
  }
  // 1000 objects are about four segments; one more round may be alive while the next is written.
  EXPECT_LE(fixture.store.segments().held_bytes(), 14u * (256 << 10));
  fixture.store.Audit();
  for (uint64_t key = 0; key < 1000; ++key) fixture.Drop(key);
  fixture.store.Trim(0);
  EXPECT_EQ(fixture.store.segments().held_bytes(), 0u);
  EXPECT_EQ(fixture.store.segments().live_bytes(), 0u);
  fixture.store.Audit();
}

TEST(BackingStoreTest, CleaningLeavesLittleMoreThanWhatLives) {
  for (const BackingOptions& options : {BackingOptions{}, Sealed()}) {
    StoreFixture fixture(options);
    Rng rng(3);
    for (uint64_t key = 0; key < 8000; ++key) static_cast<void>(fixture.Put(key));
    for (uint64_t key = 0; key < 8000; ++key) {
      if (!rng.OneIn(3)) fixture.Drop(key);
    }
    for (int step = 0; step < 200; ++step) {
      const CleanOutcome outcome = fixture.store.Clean(950);
      if (outcome == CleanOutcome::kNothing) break;
      ASSERT_EQ(outcome, CleanOutcome::kCleaned);
      fixture.store.Reap(false);
    }
    fixture.store.WaitForWrites();
    fixture.store.Trim(0);
    fixture.CheckAll();
    fixture.store.Audit();
    uint64_t payload = 0;
    for (const auto& [key, entry] : fixture.owner.entries) payload += entry.place.size();
    EXPECT_LE(static_cast<double>(fixture.store.segments().held_bytes()),
              1.10 * static_cast<double>(payload));
  }
}

TEST(BackingStoreTest, TheSizeBoundHoldsAndReleasingHelps) {
  BackingOptions options;
  options.size_max = 4 * (256 << 10);
  StoreFixture fixture(options);
  uint64_t key = 0;
  while (fixture.Put(key) == AppendOutcome::kAppended) ++key;
  EXPECT_EQ(fixture.store.counters().no_space.Get(), 1u);
  fixture.store.WaitForWrites();
  EXPECT_LE(fixture.store.segments().held_bytes(), options.size_max);
  for (uint64_t dropped = 0; dropped <= key; ++dropped) fixture.Drop(dropped);
  EXPECT_EQ(fixture.Put(0), AppendOutcome::kAppended);
}

TEST(BackingStoreTest, TheWearLimitRefusesUntilTheNextPeriod) {
  StoreFixture fixture;
  fixture.store.SetWearLimit(1 << 20, 1'000'000, 0);
  uint64_t key = 0;
  while (fixture.Put(key) == AppendOutcome::kAppended) ++key;
  fixture.store.WaitForWrites();
  EXPECT_EQ(fixture.store.counters().over_budget.Get(), 1u);
  const uint64_t written = fixture.port.bytes_written();
  EXPECT_GE(written, (1u << 20) - (256u << 10));
  EXPECT_LE(written, (1u << 20) + (256u << 10)) << "overdrawn by one request at most";
  fixture.store.Tick(0);
  EXPECT_EQ(fixture.Put(key), AppendOutcome::kOverBudget);
  fixture.store.Tick(2'000'000);
  EXPECT_EQ(fixture.Put(key), AppendOutcome::kAppended);
}

// Two budgets share one account: bytes that one has written are missing for the other.
TEST(BackingStoreTest, AWearLimitMayBeShared) {
  WearAccount account{};
  WearBudget first;
  WearBudget second;
  first.Limit(1000, 100, 5, &account);
  first.Charge(900);
  second.Limit(1000, 100, 50, &account);  // an account that is open keeps its state
  EXPECT_EQ(second.available(), 100);
  second.Charge(100);
  EXPECT_FALSE(first.Allows());
  EXPECT_FALSE(second.Allows());
  first.Tick(55);
  EXPECT_EQ(second.available(), 500);
  second.Tick(55);  // the same time brings nothing twice
  EXPECT_EQ(first.available(), 500);
  second.Tick(1'000'000);
  EXPECT_EQ(first.available(), 1000);
}

TEST(BackingStoreTest, AWearLimitCanChange) {
  WearAccount account{};
  WearBudget budget;
  budget.Limit(0, 0, 5, &account);
  EXPECT_TRUE(budget.Allows()) << "no limit";
  budget.Change(1000, 100);
  EXPECT_TRUE(budget.limited());
  EXPECT_FALSE(budget.Allows()) << "nothing is available before time passes";
  budget.Tick(55);
  EXPECT_EQ(budget.available(), 500);
  budget.Change(100, 100);
  budget.Tick(56);
  EXPECT_EQ(budget.available(), 100) << "what is beyond the lower limit is lost";
  budget.Charge(100);
  EXPECT_FALSE(budget.Allows());
  budget.Change(0, 0);
  EXPECT_TRUE(budget.Allows());
  budget.Tick(956);
  budget.Change(100, 100);
  budget.Tick(966);
  EXPECT_EQ(budget.available(), 10) << "the time without a limit gains nothing";
}

TEST(SegmentTableTest, ALimitBindsWhatIsTakenOnTheMedium) {
  SegmentTable table;
  ASSERT_TRUE(table.Init(8).ok());
  table.SetLimit(2);
  const uint32_t first = table.Take();
  const uint32_t second = table.Take();
  ASSERT_NE(second, SegmentTable::kNone);
  EXPECT_EQ(table.Take(), SegmentTable::kNone);
  table.Seal(first, 4096);  // nothing lives in it: emptied at once, and taken again
  EXPECT_EQ(table.Take(), first);
  table.Spoil(first, false);  // its space is given back
  EXPECT_EQ(table.Take(), first);
  table.SetLimit(3);
  const uint32_t third = table.Take();
  EXPECT_NE(third, SegmentTable::kNone);
  table.SetLimit(1);
  EXPECT_EQ(table.Take(), SegmentTable::kNone);
  table.Seal(third, 4096);
  EXPECT_EQ(table.Trim(0), third);
  EXPECT_EQ(table.Take(), SegmentTable::kNone) << "two are still taken";
  table.Spoil(first, false);
  table.Spoil(second, false);
  EXPECT_NE(table.Take(), SegmentTable::kNone);
}

TEST(SegmentTableTest, SparesAndSpaceOnTheMediumAreKept) {
  struct Case {
    uint32_t emptied, limit, spare;
    bool may_grow, taken;
  };
  const Case cases[] = {
      {0, 4, 0, true, true},   {0, 4, 3, true, true},  {0, 4, 4, true, false},
      {0, 4, 0, false, false}, {2, 4, 0, false, true}, {2, 4, 1, false, true},
      {2, 4, 2, false, false}, {2, 4, 3, true, true},  {3, 2, 1, true, true},
      {3, 2, 2, true, false},  {3, 0, 0, true, false}, {3, 0, 0, false, false},
  };
  for (const Case& c : cases) {
    SegmentTable table;
    ASSERT_TRUE(table.Init(8).ok());
    std::vector<uint32_t> segments;
    for (uint32_t i = 0; i < c.emptied; ++i) segments.push_back(table.Take());
    for (const uint32_t segment : segments) table.Seal(segment, 4096);
    table.SetLimit(c.limit);
    EXPECT_EQ(table.AllocatedWith(0), c.emptied);
    EXPECT_EQ(table.HasMoreThan(c.spare, c.may_grow), c.taken);
    EXPECT_EQ(table.Take(c.spare, c.may_grow) != SegmentTable::kNone, c.taken)
        << c.emptied << " emptied, limit " << c.limit << ", spare " << c.spare << ", may grow "
        << c.may_grow;
    table.Audit();
  }
}

// Without a segment to copy to, nothing could be cleaned.
// A file that is bounded takes no block more, with the blocks for the list of its extents.
TEST(BackingStoreTest, TheListOfExtentsHasRoomInTheBound) {
  struct Case {
    uint64_t bytes;
    uint32_t segments;
  };
  constexpr uint64_t kSegment = 256 << 10;
  const Case cases[] = {{2 * kSegment + 8192, 2},  {3 * kSegment, 2},
                        {16 * kSegment, 15},       {16 * kSegment + 8192, 16},
                        {uint64_t{1} << 30, 4093}, {(uint64_t{1} << 30) + (2 << 20), 4101}};
  for (const Case& c : cases) {
    BackingOptions options;
    options.size_max = c.bytes;
    const StoreFixture fixture(options, uint64_t{4} << 30);
    EXPECT_EQ(fixture.store.segments().limit(), c.segments) << c.bytes;
  }
}

TEST(BackingStoreTest, AFullStoreCanStillBeCleaned) {
  BackingOptions options;
  options.size_max = 16 * (256 << 10);
  StoreFixture fixture(options);
  uint64_t key = 0;
  while (fixture.Put(key) == AppendOutcome::kAppended) ++key;
  fixture.Drop(key);  // refused
  fixture.store.WaitForWrites();
  EXPECT_FALSE(fixture.store.HasRoom());
  EXPECT_EQ(fixture.store.Clean(950), CleanOutcome::kNothing);
  for (uint64_t dropped = 0; dropped < key; dropped += 4) fixture.Drop(dropped);
  EXPECT_FALSE(fixture.store.HasRoom()) << "a quarter of each segment is free, and no segment";
  for (int i = 0; i < 100 && !fixture.store.HasRoom(); ++i) {
    static_cast<void>(fixture.store.Clean(950));
    fixture.store.Reap(true);
  }
  EXPECT_TRUE(fixture.store.HasRoom());
  EXPECT_EQ(fixture.Put(key), AppendOutcome::kAppended);
  fixture.store.WaitForWrites();
  EXPECT_EQ(fixture.CheckAll(), fixture.owner.entries.size());
  EXPECT_LE(fixture.store.segments().held_bytes(), options.size_max);
  fixture.store.Audit();
}

TEST(BackingStoreTest, IdentityIsCheckedNotBelieved) {
  StoreFixture fixture;
  for (uint64_t key = 0; key < 10; ++key) static_cast<void>(fixture.Put(key));
  fixture.store.WaitForWrites();
  const DiskPlace place = fixture.owner.entries.at(3).place;
  EXPECT_EQ(fixture.store.Read(place, 4, fixture.context).outcome, ReadOutcome::kMisplaced);
  const DiskPlace beside(place.segment(), place.offset() + 8, place.size());
  EXPECT_EQ(fixture.store.Read(beside, 3, fixture.context).outcome, ReadOutcome::kCorrupt);
}

// The records of the sparsest segments cannot be moved, as while their pages are being loaded.
TEST(BackingStoreTest, WhatCannotMoveDoesNotKeepTheCleanerFromTheRest) {
  StoreFixture fixture;
  constexpr uint64_t kKeys = 4000;
  for (uint64_t key = 0; key < kKeys; ++key) static_cast<void>(fixture.Put(key));
  fixture.store.WaitForWrites();
  std::set<uint32_t> staying;
  for (uint64_t key = 0; key < kKeys; ++key) {
    const uint32_t segment = fixture.owner.entries.at(key).place.segment();
    if (segment % 2 == 0 && staying.insert(segment).second) {
      fixture.owner.stays.insert(key);
    } else if (segment % 2 == 0 || key % 2 == 0) {
      fixture.Drop(key);
    }
  }
  ASSERT_GT(staying.size(), 4u);
  const uint32_t before = fixture.store.segments().in_use();
  for (uint32_t step = 0; step < 2 * before; ++step) {
    const CleanOutcome outcome = fixture.store.Clean(900);
    if (outcome == CleanOutcome::kNothing) break;
    if (outcome == CleanOutcome::kBlocked) fixture.store.Reap(true);
    fixture.store.WaitForWrites();
  }
  for (const auto& [key, entry] : fixture.owner.entries) {
    const SegmentTable& segments = fixture.store.segments();
    const uint32_t segment = entry.place.segment();
    if (fixture.owner.stays.contains(key)) continue;
    EXPECT_GT(segments.LiveOf(segment) * 10, segments.UsedOf(segment) * 8) << segment;
  }
  fixture.CheckAll();
  fixture.store.Audit();
}

// A copy of a place stands for the child: what it may still read must not be overwritten.
TEST(BackingStoreTest, WhatAChildInheritedStaysUntilItLetsGo) {
  StoreFixture fixture;
  for (uint64_t key = 0; key < 500; ++key) static_cast<void>(fixture.Put(key));
  fixture.store.WaitForWrites();
  const DiskPlace inherited = fixture.owner.entries.at(7).place;
  fixture.store.BeginChild();
  for (int round = 0; round < 10; ++round) {
    for (uint64_t key = 0; key < 500; ++key) static_cast<void>(fixture.Put(key));
    fixture.store.WaitForWrites();
    static_cast<void>(fixture.store.Clean(900));
    fixture.store.Trim(0);
  }
  const ReadResult read = fixture.store.Read(inherited, 7, fixture.context);
  ASSERT_EQ(read.outcome, ReadOutcome::kOk);
  const std::vector<std::byte> expected = ObjectOf(7, 8);
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), read.payload.begin()));
  EXPECT_EQ(SegmentTablePeer::StateOf(fixture.store.segments(), inherited.segment()),
            SegmentTable::State::kHeld);
  fixture.store.Audit();
  fixture.store.EndChild();
  fixture.store.Trim(0);
  EXPECT_EQ(SegmentTablePeer::StateOf(fixture.store.segments(), inherited.segment()),
            SegmentTable::State::kFree);
  fixture.store.Audit();
}

TEST(BackingStoreTest, AChildReadsAndWritesNothing) {
  StoreFixture fixture;
  for (uint64_t key = 0; key < 500; ++key) static_cast<void>(fixture.Put(key));
  fixture.store.WaitForWrites();
  const uint64_t written = fixture.port.bytes_written();
  os::IoPort* const port = &fixture.port;
  fixture.store.BecomeReader({&port, 1});
  EXPECT_EQ(fixture.CheckAll(), 500u);
  EXPECT_EQ(fixture.Put(1000), AppendOutcome::kClosed);
  for (uint64_t key = 0; key < 500; ++key) fixture.Drop(key);
  fixture.store.Trim(0);
  EXPECT_EQ(fixture.port.bytes_written(), written);
}

TEST(BackingStoreTest, AllocatesNothing) {
  StoreFixture fixture(Sealed());
  const std::vector<std::byte> object = ObjectOf(1, 1);
  const uint64_t before = HeapCalls();
  ASSERT_GT(before, 0u);
  for (int i = 0; i < 2000; ++i) {
    // The owner knows nothing of key 1, so every place comes back at once.
    if (fixture.store.Append(1, 1, {CodecId::kLz4}, {object, {}}) == AppendOutcome::kNoBuffer) {
      fixture.store.Reap(true);
    }
  }
  fixture.store.WaitForWrites();
  static_cast<void>(fixture.store.Clean(900));
  fixture.store.Trim(1);
  static_cast<void>(fixture.store.Read(DiskPlace(0, 0, 100), 1, fixture.context));
  EXPECT_EQ(HeapCalls(), before);
}

// Put, drop, read, flush, reap, clean, trim in any order; a model knows what must be there.
TEST(BackingStoreTest, RandomOperationsAgreeWithTheModel) {
  const uint64_t operations = FromEnvironment("UZSWAP_TEST_OPS", 60'000);
  const uint64_t seed = 7;
  printf("seed %lu, %lu operations\n", seed, operations);
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Rng rng(seed);
  StoreFixture fixture({}, 16 << 20, 4);
  for (uint64_t i = 0; i < operations; ++i) {
    const uint64_t key = rng.Below(4000);
    const uint64_t dice = rng.Below(1000);
    const bool known = fixture.owner.entries.count(key) != 0;
    if (dice < 500) {
      if (fixture.Put(key) != AppendOutcome::kAppended) fixture.Drop(key);
    } else if (dice < 700) {
      fixture.Drop(key);
    } else if (dice < 980) {
      if (known && fixture.owner.entries.at(key).place.valid()) {
        ASSERT_EQ(fixture.Get(key), ReadOutcome::kOk);
      }
    } else if (dice < 985) {
      fixture.store.Flush();
    } else if (dice < 993) {
      fixture.store.Reap(rng.OneIn(2));
    } else if (dice < 998) {
      static_cast<void>(fixture.store.Clean(static_cast<uint32_t>(rng.Below(1000))));
    } else {
      fixture.store.Trim(static_cast<uint32_t>(rng.Below(3)));
    }
    if (i % 10'000 == 0) fixture.store.Audit();
  }
  fixture.store.WaitForWrites();
  EXPECT_GT(fixture.CheckAll(), 500u);
  EXPECT_GT(fixture.store.counters().objects_recopied.Get(), 0u);
  fixture.store.Audit();
}

}  // namespace
}  // namespace uzswap
