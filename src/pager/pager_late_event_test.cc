// Events that arrive after the address they speak of has been used again. The kernel queues an
// event when the change is over and the lock of the mappings is dropped, and the second event of
// one call only after the first was read: another thread's mremap may land in between, and its
// event may be read first.
#include <gtest/gtest.h>

#include "pager/testing/pager_world.h"

namespace uzswap {
namespace {

using ChangeId = PagerWorld::ChangeId;

class LateEvent : public testing::Test {
 protected:
  // Two mappings, `from` and `other`, half compressed and half cached.
  void SetUp() override {
    for (const uint64_t start : {kFrom, kOther}) {
      world_.MapAndAdopt(start, kPages);
      world_.Fill(start, kPages, PageKind::kText, start);
      world_.TakePages(start, kPages / 2);
    }
    world_.CompressAll();
    for (const uint64_t start : {kFrom, kOther}) world_.TakePages(start + kPages / 2, kPages / 4);
    ASSERT_TRUE(world_.Check()) << world_.failure();
  }
  void TearDown() override {
    ASSERT_TRUE(world_.fake.Quiet());
    ASSERT_TRUE(world_.Check()) << world_.failure();
    ASSERT_TRUE(world_.ReadEverything()) << world_.failure();
  }
  // Queues the next event and lets the pager read it; the thread has not run again.
  void QueueAndRead(ChangeId change) {
    ASSERT_TRUE(world_.Step(change));
    PagerTestPeer::ServePass(world_.pager);
    ASSERT_EQ(world_.fake.StateOf(change), os::FakeUserFault::ChangeState::kToSettle);
  }

  static constexpr uint64_t kPages = 16;
  static constexpr uint64_t kFrom = 100;
  static constexpr uint64_t kOther = 200;
  static constexpr uint64_t kTarget = 300;

  PagerWorld world_;
};

// Thread A moves `from` away: REMAP, then UNMAP of `from`. Between the two, B's mremap lands on
// `from`. This is one mremap in seven with two threads that reallocate (Linux 6.18, measured).
TEST_F(LateEvent, SourceOfARemapIsUsedAgainBeforeItsUnmapIsRead) {
  const ChangeId a = world_.BeginRemap(kFrom, kPages, kPages, kTarget);
  QueueAndRead(a);  // REMAP from -> target
  const ChangeId b = world_.BeginRemap(kOther, kPages, kPages, kFrom);
  QueueAndRead(b);                // REMAP other -> from
  EXPECT_TRUE(world_.Finish(a));  // UNMAP from: of A's, not of what B moved there
  EXPECT_TRUE(world_.Check()) << world_.failure();
  EXPECT_TRUE(world_.Finish(b));
}

TEST_F(LateEvent, SourceUsedAgainAndUnmappedAgain) {
  const ChangeId a = world_.BeginRemap(kFrom, kPages, kPages, kTarget);
  QueueAndRead(a);
  const ChangeId b = world_.BeginRemap(kOther, kPages, kPages, kFrom);
  EXPECT_TRUE(world_.Finish(b));
  const ChangeId c = world_.BeginUnmap(kFrom, kPages);
  QueueAndRead(c);  // before A's: whichever is read first, both concern the same range
  EXPECT_TRUE(world_.Finish(a));
  EXPECT_TRUE(world_.Finish(c));
  EXPECT_FALSE(PagerTestPeer::IsRegistered(world_.pager, PagerWorld::At(kFrom)));
}

TEST_F(LateEvent, SourceUsedAgainForAPart) {
  const ChangeId a = world_.BeginRemap(kFrom, kPages, kPages, kTarget);
  QueueAndRead(a);
  const ChangeId b = world_.BeginRemap(kOther + 4, 8, 8, kFrom + 3);
  QueueAndRead(b);
  EXPECT_TRUE(world_.Finish(a));
  EXPECT_TRUE(world_.Finish(b));
}

// Two threads swap places: each lands where the other was.
TEST_F(LateEvent, TwoRemapsSwapPlaces) {
  const ChangeId a = world_.BeginRemap(kFrom, kPages, kPages, kTarget);
  QueueAndRead(a);
  const ChangeId b = world_.BeginRemap(kOther, kPages, kPages, kFrom);
  QueueAndRead(b);
  const ChangeId c = world_.BeginRemap(kTarget, kPages, kPages, kOther);
  QueueAndRead(c);
  EXPECT_TRUE(world_.Finish(c));
  EXPECT_TRUE(world_.Finish(a));
  EXPECT_TRUE(world_.Finish(b));
}

// A unmaps `from`, and has not queued the event when B's mremap, which landed there, is read.
TEST_F(LateEvent, UnmapIsReadAfterARemapOntoItsRange) {
  const ChangeId a = world_.BeginUnmap(kFrom, kPages);
  const ChangeId b = world_.BeginRemap(kOther, kPages, kPages, kFrom);
  QueueAndRead(b);
  QueueAndRead(a);
  EXPECT_TRUE(world_.Finish(b));
  EXPECT_TRUE(world_.Finish(a));
}

// A munmap over two mappings sends two events; the second waits until the first was read.
TEST_F(LateEvent, SecondUnmapOfOneCallIsReadAfterARemapOntoItsRange) {
  world_.Map(kFrom - 16, 16);
  ASSERT_TRUE(world_.Adopt(kFrom - 16, 16));
  const ChangeId a = world_.BeginUnmap(kFrom - 16, 16 + kPages);
  QueueAndRead(a);
  const ChangeId b = world_.BeginRemap(kOther, kPages, kPages, kFrom);
  QueueAndRead(b);
  EXPECT_TRUE(world_.Finish(a));
  EXPECT_TRUE(world_.Finish(b));
}

// A unmaps `from` and a mapping behind it that is not registered, as the PROT_NONE rest of an arena
// is. The event names both. B's mremap, whose event is read first, landed behind `from`: the pager
// knew of no page there.
TEST_F(LateEvent, UnmapIsReadAfterARemapOntoItsUnknownPart) {
  world_.Map(kFrom + kPages, 8);
  const ChangeId a = world_.BeginUnmap(kFrom, kPages + 8);
  const ChangeId b = world_.BeginRemap(kOther + 8, 8, 8, kFrom + kPages);
  QueueAndRead(b);
  QueueAndRead(a);
  EXPECT_TRUE(world_.Finish(b));
  EXPECT_TRUE(world_.Finish(a));
  EXPECT_FALSE(PagerTestPeer::IsRegistered(world_.pager, PagerWorld::At(kFrom)));
}

// The same, and it landed on both parts.
TEST_F(LateEvent, UnmapIsReadAfterARemapOntoItsKnownAndUnknownPart) {
  world_.Map(kFrom + kPages, 8);
  const ChangeId a = world_.BeginUnmap(kFrom, kPages + 8);
  const ChangeId b = world_.BeginRemap(kOther, kPages, kPages, kFrom + 8);
  QueueAndRead(b);
  QueueAndRead(a);
  EXPECT_TRUE(world_.Finish(b));
  EXPECT_TRUE(world_.Finish(a));
  EXPECT_FALSE(PagerTestPeer::IsRegistered(world_.pager, PagerWorld::At(kFrom)));
}

// MREMAP_DONTUNMAP returns after one event, and then the new place can be unmapped at once.
TEST_F(LateEvent, NewPlaceIsUnmappedWhileTheSourceStaysMapped) {
  EXPECT_TRUE(world_.Finish(world_.BeginRemap(kFrom, kPages, kPages, kTarget, true)));
  EXPECT_TRUE(world_.Finish(world_.BeginUnmap(kTarget, kPages)));
  EXPECT_FALSE(PagerTestPeer::IsRegistered(world_.pager, PagerWorld::At(kTarget)));
}

// A moves `from` to `target`; B lands on `from`; B's event is read first.
TEST_F(LateEvent, RemapIsReadAfterARemapOntoItsSource) {
  const ChangeId a = world_.BeginRemap(kFrom, kPages, kPages, kTarget);
  const ChangeId b = world_.BeginRemap(kOther, kPages, kPages, kFrom);
  QueueAndRead(b);  // other -> from, while the pager still knows A's pages at `from`
  QueueAndRead(a);  // from -> target: A's
  EXPECT_TRUE(world_.Finish(b));
  EXPECT_TRUE(world_.Finish(a));
}

// MREMAP_DONTUNMAP sends no second event: the next unmapping of the source is a real one.
TEST_F(LateEvent, SourceThatStaysMappedIsUnmappedLater) {
  EXPECT_TRUE(world_.Finish(world_.BeginRemap(kFrom, kPages, kPages, kTarget, true)));
  EXPECT_TRUE(world_.Write(kFrom + 2, std::byte{7}));
  world_.TakePages(kFrom + 2, 1);
  EXPECT_TRUE(world_.Check()) << world_.failure();
  EXPECT_TRUE(world_.Finish(world_.BeginUnmap(kFrom, kPages)));
  EXPECT_FALSE(PagerTestPeer::IsRegistered(world_.pager, PagerWorld::At(kFrom + 2)));
  EXPECT_EQ(world_.StateOf(kFrom + 2), PageState::kUntracked);
}

}  // namespace
}  // namespace uzswap
