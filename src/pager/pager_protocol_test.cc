// A page between program, staging frames and pool: faults against isolation and stores, in both
// orders, one step at a time. After each test every byte is compared, and nothing may be left over.
#include <gtest/gtest.h>

#include "pager/testing/pager_world.h"

namespace uzswap {
namespace {

using Access = PagerWorld::Access;
using Batch = PagerTestPeer::Batch;
using os::PortOutcome;
using Call = os::FakeUserFault::Call;

class PagerProtocol : public testing::Test {
 protected:
  void TearDown() override {
    EXPECT_TRUE(world_.Check()) << world_.failure();
    EXPECT_TRUE(world_.ReadEverything()) << world_.failure();
  }
  // Pages [0, pages) registered, with text in them, resident.
  void Begin(uint64_t pages) {
    world_.MapAndAdopt(0, pages);
    world_.Fill(0, pages, PageKind::kText, 1);
  }
  uint64_t count(const RelaxedCounter& counter) { return counter.Get(); }

  PagerWorld world_;
  Statistics& counts_ = world_.statistics;
};

TEST_F(PagerProtocol, APageGoesAllTheWayAndComesBack) {
  Begin(8);
  world_.TakePages(0, 8);
  ASSERT_TRUE(world_.Check()) << world_.failure();
  world_.CompressAll();
  for (uint64_t page = 0; page < 8; ++page) EXPECT_EQ(world_.StateOf(page), PageState::kCompressed);
  ASSERT_TRUE(world_.Check()) << world_.failure();
  EXPECT_EQ(world_.pager.ReleaseFrames(8), 8u);
  EXPECT_EQ(world_.fake.program_pages(), 0u);
  EXPECT_TRUE(world_.Write(3, std::byte{9}));
  EXPECT_EQ(world_.StateOf(3), PageState::kResident);
  EXPECT_EQ(count(counts_.zswpout), 8u);
}

TEST_F(PagerProtocol, PagesOfEveryKindComeBack) {
  world_.MapAndAdopt(0, kPageKinds * 4);
  for (int kind = 0; kind < kPageKinds; ++kind) {
    world_.Fill(static_cast<uint64_t>(kind) * 4, 4, static_cast<PageKind>(kind), 7);
  }
  world_.TakePages(0, kPageKinds * 4);
  world_.CompressAll();
  EXPECT_EQ(world_.StateOf(0), PageState::kSameFilled);
  // A repeated 64-bit word is an object, not a pattern of 32 bits.
  EXPECT_EQ(world_.StateOf(4), PageState::kCompressed);
}

TEST_F(PagerProtocol, FirstTouchGivesZeroes) {
  world_.MapAndAdopt(0, 8);
  EXPECT_EQ(world_.TryRead(1, 2), Access::kWaiting);
  EXPECT_TRUE(world_.Pump());
  EXPECT_EQ(world_.TryRead(1, 2), Access::kDone);
  EXPECT_TRUE(world_.Write(3, std::byte{1}));
  EXPECT_EQ(count(counts_.faults_zero), 2u);
}

// --- fault against isolation ---

TEST_F(PagerProtocol, TouchedBeforeItIsIsolated) {
  Begin(1);
  EXPECT_EQ(world_.TryWrite(1, 0, std::byte{5}), Access::kDone);
  world_.TakePages(0, 1);
}

TEST_F(PagerProtocol, TouchedAfterItWasIsolated) {
  Begin(1);
  world_.TakePages(0, 1);
  EXPECT_EQ(world_.TryWrite(1, 0, std::byte{5}), Access::kWaiting);
  EXPECT_TRUE(world_.Pump());
  EXPECT_EQ(world_.TryWrite(1, 0, std::byte{5}), Access::kDone);
  EXPECT_EQ(count(counts_.swapcache_hits), 1u);
}

// The fault is read, the page is served, and the second thread's fault finds it there.
TEST_F(PagerProtocol, TwoThreadsFaultOnOnePage) {
  Begin(1);
  world_.TakePages(0, 1);
  EXPECT_EQ(world_.TryRead(1, 0), Access::kWaiting);
  EXPECT_EQ(world_.TryWrite(2, 0, std::byte{5}), Access::kWaiting);
  EXPECT_TRUE(world_.Pump());
  EXPECT_EQ(world_.TryRead(1, 0), Access::kDone);
  EXPECT_EQ(world_.TryWrite(2, 0, std::byte{5}), Access::kDone);
  EXPECT_EQ(count(counts_.faults_spurious), 1u);
}

TEST_F(PagerProtocol, IsolatedAgainWhileTheSecondFaultWaits) {
  Begin(1);
  world_.TakePages(0, 1);
  EXPECT_EQ(world_.TryRead(1, 0), Access::kWaiting);
  EXPECT_TRUE(world_.Pump());
  world_.TakePages(0, 1);
  EXPECT_EQ(world_.TryRead(1, 0), Access::kWaiting);  // it had not run yet
  EXPECT_TRUE(world_.Pump());
  EXPECT_EQ(world_.TryRead(1, 0), Access::kDone);
}

// --- fault against a compression in flight ---

TEST_F(PagerProtocol, TouchedInFlightAndTheCompressorLoses) {
  Begin(2);
  world_.TakePages(0, 2);
  Batch batch;
  PagerTestPeer::BeginBatch(world_.pager, 2, &batch);
  ASSERT_EQ(world_.StateOf(0), PageState::kInFlight);
  EXPECT_TRUE(world_.Write(0, std::byte{5}));  // served without waiting for the compressor
  PagerTestPeer::StoreBatch(world_.pager, world_.context, &batch);
  EXPECT_EQ(PagerTestPeer::FinishBatch(world_.pager, batch), 2u);
  EXPECT_EQ(world_.StateOf(0), PageState::kResident);
  EXPECT_EQ(world_.StateOf(1), PageState::kCompressed);
  EXPECT_EQ(count(counts_.lost_races), 1u);
}

TEST_F(PagerProtocol, TouchedAfterTheObjectWasStoredButNotNoted) {
  Begin(1);
  world_.TakePages(0, 1);
  Batch batch;
  PagerTestPeer::BeginBatch(world_.pager, 1, &batch);
  PagerTestPeer::StoreBatch(world_.pager, world_.context, &batch);
  EXPECT_TRUE(world_.Write(0, std::byte{5}));
  PagerTestPeer::FinishBatch(world_.pager, batch);
  EXPECT_EQ(count(counts_.lost_races), 1u);
  EXPECT_EQ(world_.pool.Snapshot().objects, 0u);
}

TEST_F(PagerProtocol, TouchedAndIsolatedAgainWhileTheFirstCompressorStillReads) {
  Begin(1);
  world_.TakePages(0, 1);
  Batch first;
  PagerTestPeer::BeginBatch(world_.pager, 1, &first);
  EXPECT_TRUE(world_.Write(0, std::byte{5}));
  world_.TakePages(0, 1);  // into another frame
  Batch second;
  PagerTestPeer::BeginBatch(world_.pager, 1, &second);
  PagerTestPeer::StoreBatch(world_.pager, world_.context, &second);
  PagerTestPeer::StoreBatch(world_.pager, world_.context, &first);
  EXPECT_EQ(PagerTestPeer::FinishBatch(world_.pager, second), 1u);
  EXPECT_EQ(PagerTestPeer::FinishBatch(world_.pager, first), 1u);
  EXPECT_EQ(world_.StateOf(0), PageState::kCompressed);
  EXPECT_EQ(count(counts_.lost_races), 1u);
}

TEST_F(PagerProtocol, TouchedAfterTheCompressorWon) {
  Begin(1);
  world_.TakePages(0, 1);
  world_.CompressAll();
  EXPECT_TRUE(world_.Write(0, std::byte{5}));
  EXPECT_EQ(count(counts_.lost_races), 0u);
  EXPECT_EQ(world_.pool.Snapshot().objects, 0u);
}

// --- what cannot be stored ---

TEST_F(PagerProtocol, AnIncompressiblePageReturnsAndIsLeftAlone) {
  world_.MapAndAdopt(0, 1);
  world_.Fill(0, 1, PageKind::kRandom, 3);
  world_.TakePages(0, 1);
  EXPECT_EQ(world_.pager.StoreOldest(world_.context, 1), 0u);
  EXPECT_EQ(world_.StateOf(0), PageState::kResident);
  EXPECT_TRUE(world_.fake.IsPresent(PagerWorld::At(0)));
  EXPECT_EQ(PagerTestPeer::AgeOf(world_.pager, PagerWorld::At(0)), 0);
  EXPECT_EQ(count(counts_.reject_compress_poor), 1u);
}

TEST_F(PagerProtocol, AnIncompressiblePageThatCannotReturnStaysStaged) {
  world_.MapAndAdopt(0, 1);
  world_.Fill(0, 1, PageKind::kRandom, 3);
  world_.TakePages(0, 1);
  world_.fake.Inject(Call::kMove, 1, PortOutcome::kBusy);
  world_.pager.StoreOldest(world_.context, 1);
  EXPECT_EQ(world_.StateOf(0), PageState::kStaged);
}

TEST_F(PagerProtocol, AnIncompressiblePageTouchedInFlight) {
  world_.MapAndAdopt(0, 1);
  world_.Fill(0, 1, PageKind::kRandom, 3);
  world_.TakePages(0, 1);
  Batch batch;
  PagerTestPeer::BeginBatch(world_.pager, 1, &batch);
  EXPECT_TRUE(world_.Write(0, std::byte{5}));
  PagerTestPeer::StoreBatch(world_.pager, world_.context, &batch);
  PagerTestPeer::FinishBatch(world_.pager, batch);
  EXPECT_EQ(count(counts_.lost_races), 1u);
}

TEST(PagerProtocolPool, AFullPoolKeepsPagesStaged) {
  PagerWorld world({.frames = 32, .pool_frames = 2});
  world.MapAndAdopt(0, 32);
  world.Fill(0, 32, PageKind::kMixed, 5);  // larger than half a page each: one in a pool frame
  world.TakePages(0, 32);
  world.CompressAll();
  EXPECT_GT(world.statistics.reject_alloc_fail.Get(), 0u);
  EXPECT_TRUE(world.Check()) << world.failure();
  EXPECT_TRUE(world.ReadEverything()) << world.failure();
}

TEST(PagerProtocolPool, IsolationStopsWithoutEmptyFrames) {
  PagerWorld world({.frames = 8});
  world.MapAndAdopt(0, 32);
  world.Fill(0, 32, PageKind::kText, 5);
  world.TakePages(0, 8);
  EXPECT_EQ(world.pager.Isolate(4), 0u);
  EXPECT_TRUE(world.Check()) << world.failure();
}

// The page just populated must not be gone again before its thread has run.
TEST(PagerProtocolPool, FaultsBeyondTheLimitCompressThemselves) {
  PagerWorld world({.frames = 64, .headroom = 8, .overdraft = 0});
  world.MapAndAdopt(0, 128);
  for (uint64_t page = 0; page < 128; ++page) {  // far more than there is room for
    world.Fill(page, 1, PageKind::kText, 5 + page);
    world.pager.Isolate(0);  // the daemon comes by: faults may try again
  }
  EXPECT_GT(world.statistics.direct_reclaims.Get(), 0u);
  EXPECT_GT(world.statistics.zswpout.Get(), 0u);
  EXPECT_TRUE(world.Check()) << world.failure();
  EXPECT_TRUE(world.ReadEverything()) << world.failure();
}

TEST(PagerProtocolPool, FaultsFollowAnotherLimit) {
  PagerWorld world({.frames = 64, .headroom = 8, .overdraft = 1 << 20});
  world.MapAndAdopt(0, 128);
  world.Fill(0, 64, PageKind::kText, 5);
  EXPECT_EQ(world.statistics.direct_reclaims.Get(), 0u);
  Watermarks lower;
  lower.frames = PageCount(64);
  lower.inactive = 16;
  lower.room_low = 4;
  lower.room_high = 8;
  lower.overdraft = 0;
  world.pager.SetWatermarks(lower);
  world.Fill(64, 64, PageKind::kText, 6);
  EXPECT_GT(world.statistics.direct_reclaims.Get(), 0u);
  EXPECT_TRUE(world.ReadEverything()) << world.failure();
}

TEST(PagerProtocolPool, FaultsBeyondTheLimitContinueWhenNothingCompresses) {
  PagerWorld world({.frames = 64, .headroom = 8, .overdraft = 0});
  world.MapAndAdopt(0, 400);
  world.Fill(0, 400, PageKind::kRandom, 5);
  EXPECT_TRUE(world.ReadEverything()) << world.failure();
}

// --- pages the kernel refuses ---

TEST_F(PagerProtocol, APinnedPageIsNotIsolated) {
  Begin(2);
  world_.fake.SetPinned(PagerWorld::At(0), true);
  PagerTestPeer::AimAt(world_.pager, PagerWorld::At(0));
  EXPECT_EQ(world_.pager.Isolate(1), 1u);  // the next one
  EXPECT_EQ(world_.StateOf(0), PageState::kResident);
  EXPECT_EQ(world_.StateOf(1), PageState::kStaged);
  EXPECT_EQ(count(counts_.busy_pages), 1u);
}

TEST_F(PagerProtocol, ALockedMappingIsNotIsolatedAndServedByCopies) {
  Begin(4);
  world_.TakePages(0, 2);
  world_.fake.Protect(PagerWorld::At(0), 4 << kPageShift, {.locked = true});
  PagerTestPeer::AimAt(world_.pager, PagerWorld::At(2));
  EXPECT_EQ(world_.pager.Isolate(2), 0u);
  EXPECT_GT(count(counts_.refused_pages), 0u);
  EXPECT_TRUE(world_.Write(0, std::byte{5}));  // a frame is not locked: it cannot be moved there
}

TEST_F(PagerProtocol, AReadOnlyMappingIsServedByCopies) {
  Begin(4);
  world_.TakePages(0, 4);
  Batch batch;
  PagerTestPeer::BeginBatch(world_.pager, 2, &batch);
  PagerTestPeer::StoreBatch(world_.pager, world_.context, &batch);
  PagerTestPeer::FinishBatch(world_.pager, batch);
  world_.fake.Protect(PagerWorld::At(0), 4 << kPageShift, {.writable = false});
  for (uint64_t page = 0; page < 4; ++page) EXPECT_TRUE(world_.Read(page));
}

TEST_F(PagerProtocol, AnExecutableMappingIsIsolatedAndServedByCopies) {
  Begin(4);
  world_.fake.Protect(PagerWorld::At(0), 4 << kPageShift, {.executable = true});
  world_.TakePages(0, 4);
  EXPECT_EQ(count(counts_.refused_pages), 0u);
  Batch batch;
  PagerTestPeer::BeginBatch(world_.pager, 2, &batch);
  PagerTestPeer::StoreBatch(world_.pager, world_.context, &batch);
  PagerTestPeer::FinishBatch(world_.pager, batch);
  for (uint64_t page = 0; page < 4; ++page) EXPECT_TRUE(world_.Read(page));
  EXPECT_TRUE(world_.Write(1, std::byte{5}));
}

// One region of ours may span several mappings of the kernel's, and no call reaches across.
TEST_F(PagerProtocol, PagesBeforeABorderAreIsolated) {
  Begin(8);
  world_.Map(8, 8);
  ASSERT_TRUE(world_.Adopt(8, 8));
  world_.Fill(8, 8, PageKind::kText, 50);
  for (uint64_t page = 0; page < 16; ++page) {
    PagerTestPeer::AimAt(world_.pager, PagerWorld::At(page));
  }
  PagerTestPeer::AimAt(world_.pager, PagerWorld::At(0));
  EXPECT_EQ(world_.pager.Isolate(16), 16u);
  EXPECT_EQ(count(counts_.refused_pages), 0u);
}

TEST_F(PagerProtocol, AWalkAcrossABorderGetsThrough) {
  Begin(8);
  world_.Map(8, 8);
  ASSERT_TRUE(world_.Adopt(8, 8));
  world_.Fill(8, 8, PageKind::kText, 50);
  for (int round = 0; round < 2; ++round) {
    world_.TakePages(0, 16);
    if (round == 1) world_.CompressAll();
    for (uint64_t page = 0; page < 16; ++page) EXPECT_TRUE(world_.Read(page));
  }
}

TEST_F(PagerProtocol, AWalkBringsPagesAhead) {
  Begin(48);
  world_.TakePages(0, 48);
  world_.CompressAll();
  for (uint64_t page = 0; page < 48; ++page) EXPECT_TRUE(world_.Read(page));
  EXPECT_GT(count(counts_.readahead_pages), 16u);
}

TEST_F(PagerProtocol, PinnedResidentPagesAreNotIsolated) {
  Begin(4);
  world_.pager.PinResident({PagerWorld::At(1), PagerWorld::At(3)});
  for (uint64_t page = 0; page < 4; ++page) {
    PagerTestPeer::AimAt(world_.pager, PagerWorld::At(page));
  }
  PagerTestPeer::AimAt(world_.pager, PagerWorld::At(0));
  EXPECT_EQ(world_.pager.Isolate(2), 2u);
  EXPECT_EQ(world_.StateOf(1), PageState::kResident);
  EXPECT_EQ(world_.StateOf(2), PageState::kResident);
}

TEST_F(PagerProtocol, PagesPinnedAtAdoptionAreNeverIsolated) {
  world_.Map(0, 4);
  world_.Fill(0, 4, PageKind::kText, 1);
  EXPECT_TRUE(world_.pager.Adopt({PagerWorld::At(0), PagerWorld::At(4)},
                                 {PagerWorld::At(2) + 100, PagerWorld::At(3) + 100}));
  PagerTestPeer::AimAt(world_.pager, PagerWorld::At(0));
  EXPECT_EQ(world_.pager.Isolate(4), 2u);
  EXPECT_EQ(world_.StateOf(2), PageState::kResident);
  EXPECT_EQ(world_.StateOf(3), PageState::kResident);
  EXPECT_FALSE(world_.pager.Adopt({PagerWorld::At(1), PagerWorld::At(3)})) << "known already";
}

// --- MADV_FREE ---

TEST_F(PagerProtocol, FreedPagesThatAreUsedAgainAreManagedAgain) {
  Begin(8);
  const os::FakeUserFault::ChangeId change =
      world_.fake.BeginFree(PagerWorld::At(2), 4 << kPageShift);
  ASSERT_TRUE(world_.Finish(change));
  for (uint64_t page = 2; page < 6; ++page) EXPECT_EQ(world_.StateOf(page), PageState::kUntracked);
  EXPECT_TRUE(world_.Write(3, std::byte{9}));
  EXPECT_EQ(world_.StateOf(3), PageState::kUntracked) << "it is present: no fault";
  EXPECT_EQ(world_.pager.TrackDiscardedAgain(), 0u) << "nothing is closed";
  EXPECT_TRUE(world_.pager.CloseDiscards());
  EXPECT_EQ(world_.pager.TrackDiscardedAgain(), 4u);
  EXPECT_FALSE(world_.pager.CloseDiscards());
  world_.TakePages(2, 4);
  EXPECT_TRUE(world_.Check()) << world_.failure();
}

TEST_F(PagerProtocol, PagesDiscardedSinceAreNotManagedAgain) {
  Begin(8);
  ASSERT_TRUE(world_.Finish(world_.fake.BeginFree(PagerWorld::At(0), 8 << kPageShift)));
  EXPECT_TRUE(world_.pager.CloseDiscards());
  // A discard whose event was read, and which the kernel has not carried out yet.
  const PagerWorld::ChangeId discard = world_.BeginDiscard(3, 2);
  EXPECT_TRUE(world_.Step(discard));
  world_.Pump();
  EXPECT_TRUE(world_.Step(discard));
  EXPECT_EQ(world_.fake.StateOf(discard), os::FakeUserFault::ChangeState::kToZap);
  EXPECT_EQ(world_.pager.TrackDiscardedAgain(), 6u);
  EXPECT_EQ(world_.StateOf(2), PageState::kResident);
  EXPECT_EQ(world_.StateOf(3), PageState::kUntracked);
  EXPECT_EQ(world_.StateOf(4), PageState::kUntracked);
  EXPECT_TRUE(world_.pager.CloseDiscards()) << "it waits for the next time";
  EXPECT_TRUE(world_.Finish(discard));
  EXPECT_EQ(world_.pager.TrackDiscardedAgain(), 0u) << "they have gone";
}

// --- mlockall ---

// It populates every mapping of the process, frames of ours included.
TEST_F(PagerProtocol, AThreadThatPopulatesTheFramesIsLetGo) {
  Begin(4);
  EXPECT_EQ(PagerTestPeer::ResolveEmptyFrame(world_.pager), Resolution::kResolved);
  world_.TakePages(0, 4);
}

// --- releasing frames ---

TEST_F(PagerProtocol, ReleaseGivesFramesBack) {
  Begin(16);
  world_.TakePages(0, 16);
  world_.CompressAll();
  EXPECT_EQ(world_.pager.TakeSnapshot().to_free, 16u);
  EXPECT_EQ(world_.pager.ReleaseFrames(5), 5u);
  EXPECT_EQ(world_.pager.ReleaseFrames(100), 11u);
  EXPECT_EQ(world_.pager.TakeSnapshot().populated, 0u);
  EXPECT_EQ(world_.pager.ReleaseFrames(1), 0u);
}

TEST_F(PagerProtocol, ReleaseWhileAStoreReadsAFrame) {
  Begin(4);
  world_.TakePages(0, 4);
  Batch batch;
  PagerTestPeer::BeginBatch(world_.pager, 2, &batch);
  EXPECT_TRUE(world_.Write(0, std::byte{5}));  // the frame has no owner, and is still read
  EXPECT_EQ(world_.pager.ReleaseFrames(10), 0u);
  PagerTestPeer::StoreBatch(world_.pager, world_.context, &batch);
  PagerTestPeer::FinishBatch(world_.pager, batch);
  EXPECT_EQ(world_.pager.ReleaseFrames(10), 2u);
}

// --- adoption ---

TEST_F(PagerProtocol, AdoptionFindsWhatIsThere) {
  world_.Map(0, 16);
  world_.Fill(2, 3, PageKind::kText, 1);
  world_.Fill(9, 1, PageKind::kText, 1);
  EXPECT_TRUE(world_.Adopt(0, 16));
  EXPECT_FALSE(world_.Adopt(0, 16));
  EXPECT_EQ(world_.pager.TakeSnapshot().resident.raw(), 4u);
  EXPECT_EQ(world_.StateOf(2), PageState::kResident);
  EXPECT_EQ(world_.StateOf(5), PageState::kUntracked);
}

TEST_F(PagerProtocol, AdoptionOfMoreRunsThanOneScanHolds) {
  world_.Map(0, 400);
  for (uint64_t page = 0; page < 400; page += 2) world_.Fill(page, 1, PageKind::kText, page);
  EXPECT_TRUE(world_.Adopt(0, 400));
  EXPECT_EQ(world_.pager.TakeSnapshot().resident.raw(), 200u);
}

TEST_F(PagerProtocol, AMappingTheKernelDoesNotRegisterIsLeftAlone) {
  world_.Map(0, 16, {.anonymous = false});
  EXPECT_FALSE(world_.Adopt(0, 16));
  EXPECT_FALSE(PagerTestPeer::IsRegistered(world_.pager, PagerWorld::At(0)));
  EXPECT_TRUE(world_.Write(0, std::byte{1}));
}

TEST_F(PagerProtocol, AdoptionJoinsWhatWasAdoptedBefore) {
  Begin(8);
  world_.Map(8, 8);
  world_.Fill(8, 8, PageKind::kText, 100);
  world_.TakePages(0, 8);
  EXPECT_TRUE(world_.Adopt(0, 16));
  world_.TakePages(8, 8);
}

}  // namespace
}  // namespace uzswap
