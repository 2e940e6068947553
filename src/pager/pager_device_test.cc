// Pages that have gone to the device: the way there and back, every race on it by hand, and what
// the program sees when they cannot be read.
#include <cerrno>
#include <gtest/gtest.h>

#include "pager/testing/pager_world.h"

namespace uzswap {
namespace {

using Access = os::FakeUserFault::Access;
using Peer = PagerTestPeer;
using os::IoFault;

constexpr uint64_t kDevice = 4 << 20;

PagerWorld::Options WithDevice() {
  PagerWorld::Options options;
  options.device_bytes = kDevice;
  return options;
}

// Pages 0 .. pages-1 are mapped, filled and on the device.
class PagerDevice : public testing::Test {
 protected:
  void PutOnDevice(uint64_t pages, PageKind kind = PageKind::kText) {
    world.MapAndAdopt(0, pages);
    world.Fill(0, pages, kind, 7);
    world.TakePages(0, pages);
    world.CompressAll();
    world.WriteBackAll();
    ASSERT_EQ(OnDisk(), pages);
    ASSERT_EQ(world.pool.Snapshot().objects, 0u);
  }
  // A thread writes to page 100 while `staged` of `pages` pages are staged, and waits.
  void FaultBeyondTheRoom(uint64_t pages, uint64_t staged, int64_t headroom) {
    world.MapAndAdopt(0, pages);
    world.MapAndAdopt(100, 1);
    world.Fill(0, pages, PageKind::kText, 7);
    world.TakePages(0, staged);
    world.headroom.Set(headroom);
    ASSERT_EQ(world.TryWrite(1, 100, std::byte{1}), Access::kWaiting);
  }
  uint64_t OnDisk() {
    CacheCounters sum;
    world.cache.Count(sum);
    return sum.disk_in.Get() - sum.disk_out.Get();
  }
  uint64_t ReadAhead() {
    CacheCounters sum;
    world.cache.Count(sum);
    return sum.readahead_filled.Get();
  }

  PagerWorld world{WithDevice()};
};

TEST_F(PagerDevice, APageComesBackAndItsPlaceIsReleased) {
  PutOnDevice(10);
  for (const uint64_t page : {9, 6, 3, 0}) EXPECT_TRUE(world.Read(page));
  EXPECT_EQ(OnDisk(), 6u);
  EXPECT_EQ(world.statistics.zswpin.Get(), 4u);
  EXPECT_TRUE(world.Check()) << world.failure();
}

TEST_F(PagerDevice, WhatDoesNotCompressGoesToTheDeviceToo) {
  PutOnDevice(6, PageKind::kRandom);
  EXPECT_TRUE(world.ReadEverything()) << world.failure();
  EXPECT_EQ(OnDisk(), 0u);
}

TEST_F(PagerDevice, AWalkReadsAheadAfterTheFaultIsServed) {
  PutOnDevice(12);
  for (uint64_t page = 0; page < 12; ++page) EXPECT_TRUE(world.Read(page));
  EXPECT_GT(world.statistics.readahead_pages.Get(), 0u);
  EXPECT_GT(ReadAhead(), 0u);
  EXPECT_TRUE(world.Check()) << world.failure();
}

// --- While a page is being read, the lock is free: everything else may happen ---

TEST_F(PagerDevice, OtherFaultsAreServedMeanwhile) {
  PutOnDevice(4);
  world.MapAndAdopt(100, 1);
  ASSERT_EQ(world.TryRead(1, 0), Access::kWaiting);
  Peer::Work work;
  EXPECT_FALSE(Peer::BeginPass(world.pager, &work));
  ASSERT_EQ(work.reads.count, 1u);
  ASSERT_EQ(world.TryRead(2, 100), Access::kWaiting);
  Peer::BeginPassElsewhere(world.pager);
  EXPECT_EQ(world.TryRead(2, 100), Access::kDone);
  EXPECT_EQ(world.TryRead(1, 0), Access::kWaiting);
  Peer::DoWork(world.pager, &work);
  EXPECT_TRUE(world.Pump());
  EXPECT_EQ(world.TryRead(1, 0), Access::kDone);
  EXPECT_TRUE(world.Check()) << world.failure();
}

enum class Meanwhile : uint8_t { kUnmap, kReplace, kDiscard, kRemap, kOtherThread, kWriteback };

class WhileReading : public PagerDevice, public testing::WithParamInterface<Meanwhile> {
 protected:
  // The other racer, from its beginning to its end.
  void Other() {
    switch (GetParam()) {
      case Meanwhile::kUnmap:
        world.Finish(world.BeginUnmap(0, 4));
        return;
      case Meanwhile::kReplace:
        world.Finish(world.BeginReplace(0, 4));
        return;
      case Meanwhile::kDiscard:
        world.Finish(world.BeginDiscard(0, 4));
        return;
      case Meanwhile::kRemap:
        world.Finish(world.BeginRemap(0, 4, 4, 200));
        return;
      case Meanwhile::kOtherThread:
        EXPECT_EQ(world.TryRead(2, 0), Access::kWaiting);
        return;
      case Meanwhile::kWriteback:
        world.WriteBackAll();
        return;
    }
  }
};

TEST_P(WhileReading, TheReaderLosesOrWinsCleanly) {
  for (const bool before : {true, false}) {
    PutOnDevice(4);
    ASSERT_EQ(world.TryRead(1, 0), Access::kWaiting);
    Peer::Work work;
    EXPECT_FALSE(Peer::BeginPass(world.pager, &work));
    ASSERT_EQ(work.reads.count, 1u);
    if (before) {
      Other();
      Peer::DoWork(world.pager, &work);
    } else {
      Peer::DoWork(world.pager, &work);
      Other();
    }
    world.Pump();
    EXPECT_TRUE(world.ReadEverything()) << world.failure();
    EXPECT_TRUE(world.UnmapEverything()) << world.failure();
    EXPECT_EQ(OnDisk(), 0u);
    // The thread that waited for page 0 looks again, and finds nothing mapped.
    world.TryRead(1, 0);
    world.TryRead(2, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(All, WhileReading,
                         testing::Values(Meanwhile::kUnmap, Meanwhile::kReplace,
                                         Meanwhile::kDiscard, Meanwhile::kRemap,
                                         Meanwhile::kOtherThread, Meanwhile::kWriteback));

TEST_F(PagerDevice, MoreFaultsThanCanBeReadAtOnce) {
  PutOnDevice(40);
  for (uint32_t thread = 0; thread < 40; ++thread) {
    ASSERT_EQ(world.TryRead(thread + 1, thread), Access::kWaiting);
  }
  EXPECT_TRUE(world.Pump());
  for (uint32_t thread = 0; thread < 40; ++thread) {
    EXPECT_EQ(world.TryRead(thread + 1, thread), Access::kDone);
  }
  EXPECT_TRUE(world.Check()) << world.failure();
}

// Two mappings lie side by side in one region; what is ahead of the walk is in the other one.
TEST_F(PagerDevice, ARunThatMeetsABorderIsPopulatedUpToIt) {
  world.MapAndAdopt(0, 8);
  world.MapAndAdopt(8, 8);
  world.Fill(0, 16, PageKind::kText, 7);
  world.TakePages(0, 16);
  world.CompressAll();
  world.WriteBackAll();
  for (uint64_t page = 0; page < 16; ++page) EXPECT_TRUE(world.Read(page)) << world.failure();
  EXPECT_TRUE(world.Check()) << world.failure();
}

// A copy that an event refuses does not use up what was read.
TEST_F(PagerDevice, AnEventBetweenReadAndPopulateCostsNoSecondRead) {
  PutOnDevice(3);  // nothing is ahead of the last page
  world.MapAndAdopt(100, 4);
  ASSERT_EQ(world.TryRead(1, 2), Access::kWaiting);
  Peer::Work work;
  EXPECT_FALSE(Peer::BeginPass(world.pager, &work));
  Peer::DoWork(world.pager, &work);
  const uint64_t calls = world.device.calls();
  const PagerWorld::ChangeId change = world.BeginUnmap(100, 4);
  EXPECT_FALSE(Peer::BeginPass(world.pager, &work));
  EXPECT_EQ(work.reads.count, 0u);
  EXPECT_TRUE(world.Finish(change));
  EXPECT_EQ(world.TryRead(1, 2), Access::kDone);
  EXPECT_EQ(world.device.calls(), calls);
  EXPECT_TRUE(world.Check()) << world.failure();
}

// --- Pages that cannot be read back ---

struct Damage {
  IoFault fault;
  int error;
};

class Unreadable : public PagerDevice, public testing::WithParamInterface<Damage> {};

TEST_P(Unreadable, RaisesSigbusAndNamesThePage) {
  PutOnDevice(4);
  if (GetParam().fault == IoFault::kFlippedBit) {
    for (std::byte& byte : world.device.bytes()) byte ^= std::byte{0x10};
  } else {
    world.device.Plan(GetParam().fault, world.device.calls() + 1, GetParam().error, true);
  }
  EXPECT_EQ(world.TryRead(1, 2), Access::kWaiting);
  EXPECT_EQ(world.TryRead(2, 2), Access::kWaiting);
  EXPECT_TRUE(world.Pump());
  EXPECT_EQ(world.TryRead(1, 2), Access::kSigbus);
  EXPECT_EQ(world.TryRead(2, 2), Access::kSigbus);
  EXPECT_EQ(world.poisoned(), std::vector<uint64_t>{2});
  EXPECT_EQ(world.statistics.poisoned_pages.Get(), 1u);
  EXPECT_TRUE(world.ok()) << world.failure();
  // Pages that are mapped anew, or discarded, are as good as any.
  EXPECT_TRUE(world.Finish(world.BeginDiscard(2, 1)));
  EXPECT_TRUE(world.Read(2));
  EXPECT_TRUE(world.Write(2, std::byte{1}));
}

INSTANTIATE_TEST_SUITE_P(All, Unreadable,
                         testing::Values(Damage{IoFault::kError, EIO},
                                         Damage{IoFault::kTruncated, 0},
                                         Damage{IoFault::kVanished, ENODEV},
                                         Damage{IoFault::kFlippedBit, 0}));

TEST_F(PagerDevice, AReadThatFailsOnceIsTriedAgain) {
  PutOnDevice(4);
  world.device.Plan(IoFault::kError, world.device.calls() + 1, EIO);
  EXPECT_TRUE(world.Read(1));
  EXPECT_TRUE(world.poisoned().empty());
  EXPECT_TRUE(world.Check()) << world.failure();
}

TEST_F(PagerDevice, APoisonedNeighbourEndsARun) {
  PutOnDevice(8);
  world.device.Plan(IoFault::kError, world.device.calls() + 1, EIO, true);
  EXPECT_EQ(world.TryRead(1, 3), Access::kWaiting);
  EXPECT_TRUE(world.Pump());
  world.device.Heal();
  for (const uint64_t page : {0, 1, 2, 4, 5, 6, 7}) EXPECT_TRUE(world.Read(page)) << page;
  EXPECT_EQ(world.TryRead(1, 3), Access::kSigbus);
  EXPECT_EQ(world.poisoned(), std::vector<uint64_t>{3});
}

// It is reported once, however often the kernel asks to try again.
TEST_F(PagerDevice, APoisonedPageIsReportedOnceThoughThePoisonIsRefusedAtFirst) {
  PutOnDevice(2);
  world.device.Plan(IoFault::kError, world.device.calls() + 1, EIO, true);
  for (const uint64_t nth : {1, 2}) {
    world.fake.Inject(os::FakeUserFault::Call::kPoison, nth, os::PortOutcome::kNoMemory);
  }
  EXPECT_EQ(world.TryRead(1, 0), Access::kWaiting);
  EXPECT_TRUE(world.Pump());
  EXPECT_EQ(world.TryRead(1, 0), Access::kSigbus);
  EXPECT_EQ(world.poisoned(), std::vector<uint64_t>{0});
  EXPECT_EQ(world.statistics.poisoned_pages.Get(), 1u);
}

TEST_F(PagerDevice, AKernelThatCannotRaiseSigbusEndsTheProgram) {
  PutOnDevice(2);
  world.device.Plan(IoFault::kError, world.device.calls() + 1, EIO, true);
  world.fake.Inject(os::FakeUserFault::Call::kPoison, 1, os::PortOutcome::kRefused);
  EXPECT_EQ(world.TryRead(1, 0), Access::kWaiting);
  EXPECT_DEATH(world.Pump(), "cannot be read back");
}

// --- Waiting for memory ---

// Beyond the overdraft a fault waits until pages are stored, without the lock.
TEST_F(PagerDevice, AFaultThatHelpsToReclaimHoldsNobodyUp) {
  FaultBeyondTheRoom(20, 4, -20);
  Peer::Work work;
  bool has_work = false;
  EXPECT_FALSE(Peer::BeginPass(world.pager, &work, &has_work));
  ASSERT_TRUE(has_work);
  EXPECT_EQ(work.stores.count, 4u);
  EXPECT_EQ(world.StateOf(0), PageState::kInFlight);
  // Another thread touches a page that is being stored: answered at once.
  ASSERT_EQ(world.TryRead(2, 0), Access::kWaiting);
  Peer::BeginPassElsewhere(world.pager);
  EXPECT_EQ(world.TryRead(2, 0), Access::kDone);
  Peer::DoWork(world.pager, &work);
  EXPECT_TRUE(world.Pump());
  EXPECT_EQ(world.TryWrite(1, 100, std::byte{1}), Access::kDone);
  EXPECT_EQ(world.statistics.direct_reclaims.Get(), 1u);
  EXPECT_EQ(world.StateOf(1), PageState::kCompressed);
  EXPECT_TRUE(world.Check()) << world.failure();
}

// The daemon is late: one fault stores until the room is no longer far exceeded, or nothing is
// left.
TEST_F(PagerDevice, AFaultFarBeyondTheRoomStoresInSeveralRounds) {
  FaultBeyondTheRoom(60, 40, -1000);
  EXPECT_TRUE(world.Pump());
  EXPECT_EQ(world.TryWrite(1, 100, std::byte{1}), Access::kDone);
  const uint64_t rounds = world.statistics.direct_reclaims.Get();
  EXPECT_GE(rounds, 40u / 16 + 1);
  EXPECT_LE(rounds, uint64_t{FaultQueue::kReclaimRoundsMax});
  EXPECT_GE(world.statistics.zswpout.Get(), 40u);
  EXPECT_TRUE(world.Check()) << world.failure();
}

TEST_F(PagerDevice, ReadingMessagesRefreshesTheHeadroom) {
  world.MapAndAdopt(0, 1);
  const int before = world.refreshes;
  ASSERT_EQ(world.TryWrite(1, 0, std::byte{1}), Access::kWaiting);
  EXPECT_TRUE(world.Pump());
  EXPECT_GT(world.refreshes, before);
  const int after = world.refreshes;
  EXPECT_TRUE(world.Pump());
  EXPECT_EQ(world.refreshes, after) << "without messages there is nothing new";
}

TEST_F(PagerDevice, AFaultFarBeyondTheRoomWaitsWhileReliefComes) {
  PutOnDevice(4);
  world.headroom.Set(-100);
  world.relief_comes = true;
  ASSERT_EQ(world.TryRead(1, 0), Access::kWaiting);
  EXPECT_FALSE(Peer::ServePass(world.pager));
  EXPECT_EQ(world.TryRead(1, 0), Access::kWaiting);
  world.headroom.Set(1000);
  EXPECT_TRUE(world.Pump());
  EXPECT_EQ(world.TryRead(1, 0), Access::kDone);
}

TEST_F(PagerDevice, WithoutReliefItDoesNotWait) {
  PutOnDevice(4);
  world.headroom.Set(-100);
  EXPECT_TRUE(world.Read(0));
}

}  // namespace
}  // namespace uzswap
