// The kernel moves pages and does not say so (docs/decisions/0007-moves-are-recounted.md): wherever
// the pager moves pages, at the first page and further on. Nothing may be lost, left or there
// twice.
#include <gtest/gtest.h>

#include "pager/testing/pager_world.h"

namespace uzswap {
namespace {

using Access = PagerWorld::Access;
using Call = os::FakeUserFault::Call;

struct Answer {
  uint64_t reported;
  uint64_t unreported;
};

class PagerMoves : public testing::TestWithParam<Answer> {
 protected:
  static constexpr uint64_t kPages = 8;

  void SetUp() override {
    world_.MapAndAdopt(0, kPages);
    world_.Fill(0, kPages, PageKind::kText, 1);
  }
  void TearDown() override {
    EXPECT_TRUE(world_.Check()) << world_.failure();
    EXPECT_TRUE(world_.ReadEverything()) << world_.failure();
    EXPECT_EQ(world_.statistics.unreported_moves.Get(), unreported_seen_);
  }
  // Of a call for `pages` pages from now on.
  void Inject(Call call, uint64_t pages, uint64_t nth = 1) {
    const Answer answer = GetParam();
    world_.fake.InjectUnreported(call, nth, answer.reported, answer.unreported);
    const uint64_t reported = answer.reported < pages ? answer.reported : pages;
    const uint64_t left = pages - reported;
    unreported_seen_ += answer.unreported < left ? answer.unreported : left;
  }
  void MakeAllCold() {
    for (uint64_t page = kPages; page-- > 0;) {
      PagerTestPeer::AimAt(world_.pager, PagerWorld::At(page));
    }
  }

  PagerWorld world_;
  uint64_t unreported_seen_ = 0;
};

TEST_P(PagerMoves, Isolation) {
  MakeAllCold();
  Inject(Call::kMove, kPages);
  EXPECT_EQ(world_.pager.Isolate(kPages), kPages);
  for (uint64_t page = 0; page < kPages; ++page) {
    EXPECT_EQ(world_.StateOf(page), PageState::kStaged);
    EXPECT_FALSE(world_.fake.IsPresent(PagerWorld::At(page)));
  }
  world_.CompressAll();
}

TEST_P(PagerMoves, BringingBackAPageThatAThreadWaitsFor) {
  world_.TakePages(0, kPages);
  EXPECT_EQ(world_.TryWrite(1, 3, std::byte{5}), Access::kWaiting);
  Inject(Call::kMove, 1);
  EXPECT_TRUE(world_.Pump());
  EXPECT_FALSE(world_.fake.IsWaiting(1));
  EXPECT_EQ(world_.TryWrite(1, 3, std::byte{5}), Access::kDone);
  EXPECT_EQ(world_.StateOf(3), PageState::kResident);
}

// Two threads: the second waits for a page that the first one's run brings along.
TEST_P(PagerMoves, BringingBackPagesAhead) {
  MakeAllCold();
  ASSERT_EQ(world_.pager.Isolate(kPages), kPages);
  EXPECT_TRUE(world_.Read(0));
  EXPECT_TRUE(world_.Read(1));  // a walk: the next fault asks for four
  EXPECT_EQ(world_.TryRead(1, 3), Access::kWaiting);
  EXPECT_EQ(world_.TryRead(2, 5), Access::kWaiting);
  Inject(Call::kMove, 4);
  EXPECT_TRUE(world_.Pump());
  EXPECT_EQ(world_.TryRead(1, 3), Access::kDone);
  EXPECT_EQ(world_.TryRead(2, 5), Access::kDone);
}

TEST_P(PagerMoves, GivingBackWhatDoesNotCompress) {
  world_.MapAndAdopt(20, 1);
  world_.Fill(20, 1, PageKind::kRandom, 3);
  world_.TakePages(20, 1);
  Inject(Call::kMove, 1);
  world_.pager.StoreOldest(world_.context, 1);
  EXPECT_EQ(world_.StateOf(20), PageState::kResident);
  EXPECT_TRUE(world_.fake.IsPresent(PagerWorld::At(20)));
}

TEST_P(PagerMoves, Releasing) {
  world_.TakePages(0, kPages);
  world_.CompressAll();
  Inject(Call::kRelease, kPages);
  EXPECT_EQ(world_.pager.ReleaseFrames(kPages), kPages);
  EXPECT_EQ(world_.pager.TakeSnapshot().populated, 0u);
}

INSTANTIATE_TEST_SUITE_P(ReportedAndNot, PagerMoves,
                         testing::Values(Answer{0, 1}, Answer{0, 3}, Answer{0, 64}, Answer{1, 1},
                                         Answer{2, 2}, Answer{7, 1}));

// A frame that was full before is no page that was moved.
TEST(PagerMovesDeath, AFullFrameIsNotMistakenForAMovedPage) {
  testing::FLAGS_gtest_death_test_style = "fast";
  EXPECT_DEATH(
      {
        PagerWorld world;
        world.MapAndAdopt(0, 2);
        world.Fill(0, 2, PageKind::kText, 1);
        world.fake.Inject(Call::kMove, 1, os::PortOutcome::kExists);
        PagerTestPeer::AimAt(world.pager, PagerWorld::At(0));
        world.pager.Isolate(1);
      },
      "an Empty staging frame has content");
}

}  // namespace
}  // namespace uzswap
