// Changes of the program's mappings against what the pager does with the pages, in each order that
// the kernel's steps allow.
#include <gtest/gtest.h>

#include "pager/testing/pager_world.h"

namespace uzswap {
namespace {

using Access = PagerWorld::Access;
using Batch = PagerTestPeer::Batch;
using ChangeId = PagerWorld::ChangeId;
using ChangeState = os::FakeUserFault::ChangeState;

// Where a page may be when the program changes its mapping.
enum class Where { kUntracked, kResident, kStaged, kInFlight, kCompressed, kSameFilled };

class PagerEvent : public testing::TestWithParam<Where> {
 protected:
  static constexpr uint64_t kPages = 4;

  // Pages [0, kPages) in the state of the parameter; [kPages, 2 * kPages) resident beside them.
  void SetUp() override {
    world_.MapAndAdopt(0, 2 * kPages);
    const bool filled = GetParam() == Where::kSameFilled;
    if (GetParam() != Where::kUntracked) {
      world_.Fill(0, kPages, PageKind::kText, 1);
      for (uint64_t page = 0; filled && page < kPages; ++page) {
        const PagerWorld::Page ones = Repeated(std::byte{0x11});
        FillWith(page, ones);
      }
    }
    world_.Fill(kPages, kPages, PageKind::kText, 9);
    if (GetParam() == Where::kUntracked || GetParam() == Where::kResident) return;
    world_.TakePages(0, kPages);
    if (GetParam() == Where::kInFlight) PagerTestPeer::BeginBatch(world_.pager, kPages, &batch_);
    if (GetParam() == Where::kCompressed || filled) world_.CompressAll();
    ASSERT_TRUE(world_.Check()) << world_.failure();
  }
  void TearDown() override {
    FinishInFlight();
    EXPECT_TRUE(world_.fake.Quiet());
    EXPECT_TRUE(world_.Check()) << world_.failure();
    EXPECT_TRUE(world_.ReadEverything()) << world_.failure();
  }
  static PagerWorld::Page Repeated(std::byte value) {
    PagerWorld::Page page;
    page.fill(value);
    return page;
  }
  void FillWith(uint64_t page, const PagerWorld::Page& content) { world_.FillBytes(page, content); }
  // The compressor comes back, if it was under way.
  void FinishInFlight() {
    if (batch_.count == 0) return;
    PagerTestPeer::StoreBatch(world_.pager, world_.context, &batch_);
    PagerTestPeer::FinishBatch(world_.pager, batch_);
    batch_.count = 0;
  }
  void TakeWhatIsThere() {
    for (uint64_t page = 0; page < kPages; ++page) {
      PagerTestPeer::AimAt(world_.pager, PagerWorld::At(page));
      world_.pager.Isolate(1);
    }
  }

  PagerWorld world_;
  Batch batch_;
};

// --- discard ---

TEST_P(PagerEvent, DiscardGivesZeroes) {
  EXPECT_TRUE(world_.Finish(world_.BeginDiscard(0, kPages)));
  EXPECT_TRUE(world_.Check()) << world_.failure();
  for (uint64_t page = 0; page < kPages; ++page) EXPECT_TRUE(world_.Read(page));
}

TEST_P(PagerEvent, IsolationWhileADiscardIsAnnounced) {
  const ChangeId discard = world_.BeginDiscard(0, kPages);
  const size_t cached = world_.pager.TakeSnapshot().staged;
  TakeWhatIsThere();  // refused
  EXPECT_EQ(world_.pager.TakeSnapshot().staged, cached);
  EXPECT_TRUE(world_.Step(discard));
  TakeWhatIsThere();  // queued, unread: refused
  EXPECT_EQ(world_.pager.TakeSnapshot().staged, cached);
  EXPECT_TRUE(world_.Finish(discard));
}

// The event is read, the program has not discarded yet: what is there must not be kept.
TEST_P(PagerEvent, IsolationBetweenTheEventAndTheZap) {
  const ChangeId discard = world_.BeginDiscard(0, kPages);
  EXPECT_TRUE(world_.Step(discard));
  world_.Pump();
  TakeWhatIsThere();
  EXPECT_TRUE(world_.Step(discard));
  ASSERT_EQ(world_.fake.StateOf(discard), ChangeState::kToZap);
  TakeWhatIsThere();
  world_.CompressAll();
  EXPECT_TRUE(world_.Finish(discard));
  EXPECT_TRUE(world_.Check()) << world_.failure();
}

// Another thread touches, or writes to, a page in that gap.
TEST_P(PagerEvent, TouchedBetweenTheEventAndTheZap) {
  const ChangeId discard = world_.BeginDiscard(0, kPages);
  EXPECT_TRUE(world_.Step(discard));
  world_.Pump();
  EXPECT_TRUE(world_.Step(discard));
  EXPECT_TRUE(world_.Write(0, std::byte{3}, 2));
  TakeWhatIsThere();
  EXPECT_TRUE(world_.Finish(discard));
}

TEST_P(PagerEvent, FaultWaitsWhileADiscardIsAnnounced) {
  const ChangeId discard = world_.BeginDiscard(0, kPages);
  const Access access = world_.TryRead(2, 0);
  world_.Pump();
  EXPECT_EQ(world_.fake.IsWaiting(2), access == Access::kWaiting);
  EXPECT_TRUE(world_.Finish(discard));
  world_.Pump();
  EXPECT_FALSE(world_.fake.IsWaiting(2));
}

TEST_P(PagerEvent, DiscardOfAPart) {
  EXPECT_TRUE(world_.Finish(world_.BeginDiscard(1, 2)));
  FinishInFlight();
  EXPECT_TRUE(world_.Check()) << world_.failure();
}

// --- unmap and replace ---

TEST_P(PagerEvent, Unmap) {
  EXPECT_TRUE(world_.Finish(world_.BeginUnmap(0, kPages)));
  EXPECT_FALSE(PagerTestPeer::IsRegistered(world_.pager, PagerWorld::At(0)));
  FinishInFlight();
  EXPECT_EQ(world_.pool.Snapshot().objects, 0u);
}

TEST_P(PagerEvent, UnmapOfTheMiddleLeavesTheEdges) {
  EXPECT_TRUE(world_.Finish(world_.BeginUnmap(1, 2)));
  EXPECT_TRUE(PagerTestPeer::IsRegistered(world_.pager, PagerWorld::At(0)));
  EXPECT_FALSE(PagerTestPeer::IsRegistered(world_.pager, PagerWorld::At(1)));
  FinishInFlight();
  world_.Map(1, 2);
  EXPECT_TRUE(world_.Adopt(0, 2 * kPages));
  EXPECT_TRUE(world_.Check()) << world_.failure();
}

TEST_P(PagerEvent, FaultOnAnUnmappedPageIsLetGo) {
  EXPECT_NE(world_.TryRead(2, 0), Access::kSegv);
  const ChangeId unmap = world_.BeginUnmap(0, kPages);
  EXPECT_TRUE(world_.Finish(unmap));
  EXPECT_EQ(world_.TryRead(2, 0), Access::kSegv);
}

// The new mapping is there while the pager still believes in the old one.
TEST_P(PagerEvent, AReplacedMappingIsNeverIsolated) {
  const ChangeId replace = world_.BeginReplace(0, kPages);
  for (uint64_t page = 0; page < kPages; ++page) {
    EXPECT_EQ(world_.TryWrite(2, page, std::byte{4}), Access::kDone);  // not registered
  }
  TakeWhatIsThere();
  world_.CompressAll();
  for (uint64_t page = 0; page < kPages; ++page) {
    EXPECT_TRUE(world_.fake.IsPresent(PagerWorld::At(page)));
  }
  EXPECT_TRUE(world_.Step(replace));
  TakeWhatIsThere();
  EXPECT_FALSE(world_.Adopt(0, kPages));  // reads the event, but is not sure there is no other
  EXPECT_TRUE(world_.Finish(replace));
  EXPECT_TRUE(world_.Adopt(0, kPages));
  EXPECT_TRUE(PagerTestPeer::IsRegistered(world_.pager, PagerWorld::At(0)));
  EXPECT_TRUE(world_.Check()) << world_.failure();
}

TEST_P(PagerEvent, AdoptedAgainBeforeTheUnmapIsRead) {
  const ChangeId replace = world_.BeginReplace(0, kPages);
  world_.Adopt(0, kPages);  // still known as the old one: nothing to add
  EXPECT_FALSE(world_.fake.IsRegistered(PagerWorld::At(0)));
  EXPECT_TRUE(world_.Finish(replace));
  EXPECT_TRUE(world_.Adopt(0, kPages));
  EXPECT_TRUE(world_.Write(1, std::byte{8}));
}

// Registering a part of a mapping splits it, and the program's next mremap of it fails.
TEST_P(PagerEvent, AMappingOverAnOldOneIsNotSplitByItsAdoption) {
  EXPECT_TRUE(world_.Finish(world_.BeginUnmap(kPages, kPages)));
  const ChangeId unmap = world_.BeginUnmap(0, kPages);
  world_.Map(0, 2 * kPages);  // where the pager still knows the old one
  world_.Adopt(0, 2 * kPages);
  EXPECT_EQ(world_.MappingPages(0), 2 * kPages);
  EXPECT_TRUE(world_.Finish(unmap));
  world_.Adopt(0, 2 * kPages);
  EXPECT_EQ(world_.MappingPages(0), 2 * kPages);
  EXPECT_TRUE(PagerTestPeer::IsRegistered(world_.pager, PagerWorld::At(0)));
  EXPECT_TRUE(PagerTestPeer::IsRegistered(world_.pager, PagerWorld::At(2 * kPages - 1)));
}

TEST_P(PagerEvent, AMappingThatChangedSinceItWasListedIsNotSplit) {
  world_.Map(100, 10);
  EXPECT_FALSE(world_.Adopt(96, 8));  // it was listed as another
  EXPECT_FALSE(world_.Adopt(100, 8));
  EXPECT_FALSE(world_.Adopt(102, 8));
  EXPECT_EQ(world_.MappingPages(100), 10u);
  EXPECT_TRUE(world_.Adopt(100, 10));
}

// --- remap ---

TEST_P(PagerEvent, RemapTakesThePagesAlong) {
  EXPECT_TRUE(world_.Finish(world_.BeginRemap(0, kPages, kPages, 100)));
  EXPECT_TRUE(world_.Check()) << world_.failure();
  EXPECT_FALSE(PagerTestPeer::IsRegistered(world_.pager, PagerWorld::At(0)));
  EXPECT_TRUE(world_.Read(101));
}

TEST_P(PagerEvent, RemapThatGrowsOnItsWay) {
  EXPECT_TRUE(world_.Finish(world_.BeginRemap(0, kPages, 3 * kPages, 100)));
  EXPECT_TRUE(world_.Write(100 + 2 * kPages, std::byte{6}));  // no event reports it
  EXPECT_TRUE(PagerTestPeer::IsRegistered(world_.pager, PagerWorld::At(100 + 3 * kPages - 1)));
}

TEST_P(PagerEvent, RemapOntoAMappingIsRegistered) {
  world_.Map(100, kPages);
  ASSERT_TRUE(world_.Adopt(100, kPages));
  world_.Fill(100, kPages, PageKind::kText, 77);
  world_.TakePages(100, 1);
  EXPECT_TRUE(world_.Finish(world_.BeginRemap(0, kPages, kPages, 100)));
}

TEST_P(PagerEvent, FaultReadBeforeTheRemapOfItsPage) {
  const Access access = world_.TryRead(2, 0);
  const ChangeId remap = world_.BeginRemap(0, kPages, kPages, 100);
  world_.Pump();  // reads the fault; everything is refused
  EXPECT_TRUE(world_.Finish(remap));
  EXPECT_FALSE(world_.fake.IsWaiting(2)) << static_cast<int>(access);
  EXPECT_EQ(world_.TryRead(2, 0), Access::kSegv);
}

TEST_P(PagerEvent, FaultAtTheNewAddressBeforeTheRemapIsRead) {
  const ChangeId remap = world_.BeginRemap(0, kPages, kPages, 100);
  const Access access = world_.TryRead(2, 100);
  world_.Pump();
  EXPECT_EQ(world_.fake.IsWaiting(2), access == Access::kWaiting);
  EXPECT_TRUE(world_.Step(remap));
  EXPECT_TRUE(world_.Finish(remap));
  EXPECT_TRUE(world_.Read(100, 2));
}

TEST_P(PagerEvent, GrowthInPlaceIsFoundByItsFirstFault) {
  world_.fake.GrowInPlace(PagerWorld::At(2 * kPages), PagerWorld::At(4 * kPages));
  EXPECT_TRUE(world_.Write(4 * kPages - 1, std::byte{1}));
  EXPECT_TRUE(world_.Read(3 * kPages));
  world_.TakePages(4 * kPages - 1, 1);
  EXPECT_TRUE(world_.Check()) << world_.failure();
}

// The range outgrows its extent while a store holds one of its pages: the new part is a range of
// its own, and the page keeps its index.
TEST_P(PagerEvent, GrowthBeyondTheExtentIsARangeOfItsOwn) {
  world_.fake.GrowInPlace(PagerWorld::At(2 * kPages), PagerWorld::At(2000));
  EXPECT_TRUE(world_.Write(1999, std::byte{1}));
  FinishInFlight();
  EXPECT_TRUE(world_.Check()) << world_.failure();
}

std::string NameOf(const testing::TestParamInfo<Where>& info) {
  static constexpr const char* kNames[] = {"Untracked", "Resident",   "Cached",
                                           "InFlight",  "Compressed", "SameFilled"};
  return kNames[static_cast<int>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(Wherever, PagerEvent,
                         testing::Values(Where::kUntracked, Where::kResident, Where::kStaged,
                                         Where::kInFlight, Where::kCompressed, Where::kSameFilled),
                         NameOf);

// --- queues ---

// Faults are read before events, so all of them must find room for the event to be reached.
TEST(PagerQueues, MoreWaitingThreadsThanOnceFitTheQueue) {
  PagerWorld world;
  world.MapAndAdopt(0, 8);
  world.Fill(0, 8, PageKind::kText, 1);
  world.TakePages(0, 8);
  world.Map(100, 8);
  ASSERT_TRUE(world.Adopt(100, 8));
  const ChangeId unmap = world.BeginUnmap(100, 8);
  for (uint32_t thread = 1; thread <= 1000; ++thread) {
    ASSERT_EQ(world.TryRead(thread, thread % 8), Access::kWaiting);
  }
  EXPECT_TRUE(world.Step(unmap));
  world.Pump();
  EXPECT_TRUE(world.Finish(unmap));
  for (uint32_t thread = 1; thread <= 1000; ++thread) EXPECT_FALSE(world.fake.IsWaiting(thread));
  EXPECT_TRUE(world.Check()) << world.failure();
}

// A mapping that does not fit the page table stays outside; a part that grew gets its zeroes.
TEST(PagerQueues, AMappingThatFitsNoTableIsStillServed) {
  PagerWorld world;
  world.Map(0, 8);
  ASSERT_TRUE(world.Adopt(0, 8));
  PagerTestPeer::RefuseRanges(world.pager);
  world.Map(100, 8);
  EXPECT_FALSE(world.Adopt(100, 8));
  EXPECT_FALSE(PagerTestPeer::IsRegistered(world.pager, PagerWorld::At(100)));
  world.fake.GrowInPlace(PagerWorld::At(8), PagerWorld::At(80));
  EXPECT_TRUE(world.Write(75, std::byte{1}));
  EXPECT_FALSE(PagerTestPeer::IsRegistered(world.pager, PagerWorld::At(75)));
  EXPECT_TRUE(world.Write(3, std::byte{1}));
  EXPECT_TRUE(world.ok()) << world.failure();
  world.DoNotCheckAtEnd();
}

}  // namespace
}  // namespace uzswap
