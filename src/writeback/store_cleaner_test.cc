#include "writeback/store_cleaner.h"

#include <cerrno>
#include <gtest/gtest.h>

#include "backing/testing/store_fixture.h"

namespace uzswap {
namespace {

constexpr uint32_t kSegment = 256 << 10;

BackingOptions OfSegments(uint64_t segments) {
  BackingOptions options;
  options.size_max = 4096 + segments * (kSegment + 128);  // with the list of extents
  options.segment_size = kSegment;
  return options;
}

// A bounded store and its cleaner. Objects have 1 KiB on average, so a segment holds some 230.
class CleanerRig : public StoreFixture {
 public:
  explicit CleanerRig(uint64_t segments) : StoreFixture(OfSegments(segments)) {
    cleaner.Init(&store, 120, 4);
    control.Init(gate);
  }

  // Returns how many objects were stored.
  uint64_t Fill() {
    const uint64_t first = next;
    while (Put(next) == AppendOutcome::kAppended) ++next;
    Drop(next);
    store.WaitForWrites();
    return next - first;
  }
  // Leaves one of `of` objects.
  void Thin(uint64_t of) {
    for (uint64_t key = 0; key < next; ++key) {
      if (key % of != 0) Drop(key);
    }
  }
  void ExpectAllReadable() {
    EXPECT_EQ(CheckAll(), owner.entries.size());
    store.Audit();
  }

  uint64_t next = 0;
  StoreCleaner cleaner;
  PoolGate gate;
  WriterControl control;
};

TEST(StoreCleaner, MakesRoomInAFullSparseStore) {
  for (const uint64_t segments : {4, 5, 8, 16, 40}) {
    SCOPED_TRACE(segments);
    CleanerRig rig(segments);
    rig.Fill();
    rig.Thin(2);
    ASSERT_FALSE(rig.store.HasRoom());
    EXPECT_TRUE(rig.cleaner.MakeRoom(rig.control));
    EXPECT_TRUE(rig.store.HasRoom());
    EXPECT_GT(rig.Fill(), 100u);
    rig.ExpectAllReadable();
    EXPECT_LE(rig.store.segments().held_bytes(), segments * kSegment);
  }
}

// Stored and thinned again and again, the store is used to the share that cleaning makes live.
TEST(StoreCleaner, AFullStoreIsUsedToNineTenths) {
  CleanerRig rig(32);
  do {
    rig.Fill();
    for (uint64_t key = 0; key < rig.next; key += 7) rig.Drop(key);
  } while (rig.cleaner.MakeRoom(rig.control));
  rig.ExpectAllReadable();
  EXPECT_GT(rig.store.segments().live_bytes(), uint64_t{30} * kSegment * 85 / 100);
}

TEST(StoreCleaner, WhatIsDenseIsNotRewrittenAgainAndAgain) {
  CleanerRig rig(16);
  rig.Fill();
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(rig.cleaner.MakeRoom(rig.control));
  const uint64_t written = rig.store.counters().bytes_written.Get();
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(rig.cleaner.MakeRoom(rig.control));
  EXPECT_EQ(rig.store.counters().bytes_written.Get(), written);
  EXPECT_LE(rig.store.counters().recopied_bytes.Get(), kSegment);
}

// A segment that was written before it was full counts as sparse: its space is used as a whole.
TEST(StoreCleaner, ShortSegmentsAreMerged) {
  CleanerRig rig(16);
  for (;;) {
    const uint64_t end = rig.next + 60;
    while (rig.next < end && rig.Put(rig.next) == AppendOutcome::kAppended) ++rig.next;
    rig.store.WaitForWrites();
    if (rig.next < end) break;
  }
  rig.Drop(rig.next);
  ASSERT_FALSE(rig.store.HasRoom());
  EXPECT_TRUE(rig.cleaner.MakeRoom(rig.control));
  EXPECT_GT(rig.Fill(), 100u);
  rig.ExpectAllReadable();
}

// What is on the medium when a child is forked stays there: to rewrite it would free nothing, and
// use up the segments that cleaning needs later.
TEST(StoreCleaner, WhatChildrenMayReadIsNotRewritten) {
  CleanerRig rig(16);
  rig.Fill();
  rig.store.BeginChild();
  rig.Thin(2);
  EXPECT_FALSE(rig.cleaner.MakeRoom(rig.control));
  EXPECT_EQ(rig.store.counters().recopied_bytes.Get(), 0u);
  rig.store.EndChild();
  rig.Drop(0);
  for (uint64_t key = 2; key < 200; key += 2) rig.Drop(key);
  EXPECT_TRUE(rig.cleaner.MakeRoom(rig.control));
  rig.ExpectAllReadable();
}

TEST(StoreCleaner, StoresDoNotUseWhatCleaningNeeds) {
  CleanerRig rig(16);
  rig.Fill();
  rig.Thin(2);
  // One segment, as a batch does: its copies are in a batch that is open.
  ASSERT_EQ(rig.store.Clean(900), CleanOutcome::kCleaned);
  EXPECT_EQ(rig.Put(1'000'000), AppendOutcome::kNoSpace);
  rig.Drop(1'000'000);
  EXPECT_TRUE(rig.cleaner.MakeRoom(rig.control));
  EXPECT_EQ(rig.Put(1'000'000), AppendOutcome::kAppended);
  rig.store.WaitForWrites();
  rig.ExpectAllReadable();
}

TEST(StoreCleaner, ARequestToTheWriterEndsIt) {
  CleanerRig rig(16);
  rig.Fill();
  rig.Thin(2);
  rig.control.Stop();
  EXPECT_FALSE(rig.cleaner.MakeRoom(rig.control));
  EXPECT_EQ(rig.store.counters().recopied_bytes.Get(), 0u);
  rig.control.Resume();
  EXPECT_TRUE(rig.cleaner.MakeRoom(rig.control)) << "it made room";
}

TEST(StoreCleaner, TheWriteLimitHoldsAndIsNoReasonToGiveUp) {
  CleanerRig rig(16);
  rig.Fill();
  // Two segments have to be written for one that is freed.
  for (uint64_t key = 0; key < rig.next; key += 3) rig.Drop(key);
  rig.store.SetWearLimit(kSegment / 4, 1'000'000, 0);
  rig.store.Tick(1);
  EXPECT_FALSE(rig.cleaner.MakeRoom(rig.control));
  EXPECT_LE(rig.store.counters().recopied_bytes.Get(), 2 * kSegment);
  uint64_t now_ns = 1;
  bool made = false;
  for (int periods = 0; periods < 64 && !made; ++periods) {
    rig.store.Tick(now_ns += 1'000'000);
    made = rig.cleaner.MakeRoom(rig.control);
  }
  EXPECT_TRUE(made);
  rig.ExpectAllReadable();
}

// The space of the medium is another bound: nothing is rewritten for it, and nothing is lost.
TEST(StoreCleaner, AFullMediumLosesNothing) {
  CleanerRig rig(16);
  rig.Fill();
  rig.Thin(2);
  rig.port.Plan(os::IoFault::kError, rig.port.calls() + 2, ENOSPC, /*sticky=*/true);
  EXPECT_FALSE(rig.cleaner.MakeRoom(rig.control));
  rig.port.Heal();
  rig.ExpectAllReadable();
}

}  // namespace
}  // namespace uzswap
