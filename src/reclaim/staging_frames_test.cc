#include "reclaim/staging_frames.h"

#include <deque>
#include <gtest/gtest.h>
#include <map>

#include "base/rng.h"

namespace uzswap {
namespace {

class SwapFramesTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(frames_.Init(PageCount(100)).ok()); }
  void TearDown() override {
    frames_.Audit();
    for (uint32_t i = 0; i < 100; ++i) {
      if (cached_.contains(i)) frames_.NoteDropped(FrameId(i));
    }
  }
  void Cache(uint32_t frame, PageIndex owner) {
    frames_.NoteCached(FrameId(frame), owner);
    cached_[frame] = true;
  }
  void Forget(uint32_t frame) { cached_.erase(frame); }

  StagingFrames frames_;
  std::map<uint32_t, bool> cached_;
};

TEST_F(SwapFramesTest, AllAreHolesAtFirst) {
  EXPECT_EQ(frames_.capacity(), 100u);
  EXPECT_EQ(frames_.empty_count(), 100u);
  EXPECT_EQ(frames_.populated_count(), 0u);
  EXPECT_EQ(frames_.FindSpent(1).count, 0u);
  EXPECT_FALSE(frames_.TakeOldest().valid());
  EXPECT_EQ(frames_.FindEmpty(64).count, 64u);
}

TEST_F(SwapFramesTest, AroundTheWholePicture) {
  Cache(5, 77);
  EXPECT_EQ(frames_.owner(FrameId(5)), 77u);
  EXPECT_EQ(frames_.cached_count(), 1u);
  const FrameId busy = frames_.TakeOldest();
  EXPECT_EQ(busy, FrameId(5));
  Forget(5);
  frames_.Audit();
  frames_.SetOwner(busy, kNoOwner);
  frames_.NoteDone(busy);
  EXPECT_EQ(frames_.spent_count(), 1u);
  EXPECT_EQ(frames_.FindSpent(4).first, FrameId(5));
  frames_.NoteDrained(busy);
  EXPECT_EQ(frames_.populated_count(), 0u);
}

TEST_F(SwapFramesTest, TheOldestIsTakenFirst) {
  for (uint32_t i = 0; i < 4; ++i) Cache(i, i);
  frames_.Rejuvenate(FrameId(0));
  for (const uint32_t expected : {1u, 2u, 3u, 0u}) {
    const FrameId oldest = frames_.TakeOldest();
    EXPECT_EQ(oldest, FrameId(expected));
    frames_.NoteDone(oldest);
    Forget(expected);
  }
}

TEST_F(SwapFramesTest, AReturnedFrameIsTheYoungest) {
  Cache(0, 10);
  Cache(1, 11);
  frames_.NoteReturned(frames_.TakeOldest());
  EXPECT_EQ(frames_.TakeOldest(), FrameId(1));
  frames_.NoteDone(FrameId(1));
  Forget(1);
  EXPECT_EQ(frames_.owner(FrameId(0)), 10u);
}

TEST_F(SwapFramesTest, RandomStepsAgainstAModel) {
  constexpr uint64_t kSeed = 11;
  Rng rng(kSeed);
  std::deque<uint32_t> line;  // cached, oldest first
  std::deque<uint32_t> busy;
  size_t spent = 0;
  for (int step = 0; step < 5000; ++step) {
    switch (rng.Below(6)) {
      case 0: {
        const StagingFrames::Run run = frames_.FindEmpty(1 + rng.Below(8));
        for (uint32_t i = 0; i < run.count; ++i) {
          Cache(run.first.raw() + i, static_cast<PageIndex>(step));
          line.push_back(run.first.raw() + i);
        }
        break;
      }
      case 1:
        if (line.empty()) break;
        ASSERT_EQ(frames_.TakeOldest(), FrameId(line.front()));
        busy.push_back(line.front());
        Forget(line.front());
        line.pop_front();
        break;
      case 2:
        if (busy.empty()) break;
        if (rng.OneIn(3)) {
          frames_.NoteReturned(FrameId(busy.front()));
          cached_[busy.front()] = true;
          line.push_back(busy.front());
        } else {
          frames_.NoteDone(FrameId(busy.front()));
          ++spent;
        }
        busy.pop_front();
        break;
      case 3:
        if (line.empty()) break;
        if (rng.OneIn(2)) {
          frames_.NoteMovedBack(FrameId(line.back()));
        } else {
          frames_.NoteDropped(FrameId(line.back()));
          ++spent;
        }
        Forget(line.back());
        line.pop_back();
        break;
      default: {
        const StagingFrames::Run run = frames_.FindSpent(1 + rng.Below(8));
        ASSERT_EQ(run.count == 0, spent == 0);
        for (uint32_t i = 0; i < run.count; ++i) {
          frames_.NoteDrained(FrameId(run.first.raw() + i));
        }
        spent -= run.count;
        break;
      }
    }
    frames_.Audit();
    ASSERT_EQ(frames_.cached_count(), line.size());
    ASSERT_EQ(frames_.spent_count(), spent);
    ASSERT_EQ(frames_.populated_count(), line.size() + busy.size() + spent);
  }
  for (const uint32_t frame : busy) frames_.NoteDone(FrameId(frame));
}

using SwapFramesDeathTest = SwapFramesTest;

TEST_F(SwapFramesDeathTest, StepsThatAreNotInThePicture) {
  Cache(0, 1);
  EXPECT_DEATH(frames_.NoteCached(FrameId(0), 2), "check failed");
  EXPECT_DEATH(frames_.NoteDone(FrameId(0)), "check failed");
  EXPECT_DEATH(frames_.NoteDrained(FrameId(0)), "check failed");
  EXPECT_DEATH(frames_.NoteMovedBack(FrameId(1)), "check failed");
  EXPECT_DEATH(frames_.SetOwner(FrameId(1), 3), "check failed");
}

}  // namespace
}  // namespace uzswap
