#include "reclaim/staging_frames.h"

#include <deque>
#include <gtest/gtest.h>
#include <map>

#include "base/rng.h"

namespace uzswap {
namespace {

class StagingFramesTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(frames_.Init(PageCount(100)).ok()); }
  void TearDown() override {
    frames_.Audit();
    for (uint32_t i = 0; i < 100; ++i) {
      if (staged_.contains(i)) frames_.NoteDropped(FrameId(i));
    }
  }
  void Stage(uint32_t frame, PageIndex owner) {
    frames_.NoteStaged(FrameId(frame), owner, SwapSlot());
    staged_[frame] = true;
  }
  void Forget(uint32_t frame) { staged_.erase(frame); }

  StagingFrames frames_;
  std::map<uint32_t, bool> staged_;
};

TEST_F(StagingFramesTest, AllAreEmptyAtFirst) {
  EXPECT_EQ(frames_.capacity(), 100u);
  EXPECT_EQ(frames_.populated_count(), 0u);
  EXPECT_EQ(frames_.FindToFree(1).count, 0u);
  EXPECT_FALSE(frames_.TakeOldest().valid());
  EXPECT_EQ(frames_.FindEmpty(64).count, 64u);
}

TEST_F(StagingFramesTest, AroundTheWholePicture) {
  Stage(5, PageIndex(77));
  EXPECT_EQ(frames_.owner(FrameId(5)), PageIndex(77));
  EXPECT_EQ(frames_.staged_count(), 1u);
  const FrameId busy = frames_.TakeOldest();
  EXPECT_EQ(busy, FrameId(5));
  Forget(5);
  frames_.Audit();
  frames_.SetOwner(busy, PageIndex());
  frames_.NoteStored(busy);
  EXPECT_EQ(frames_.to_free_count(), 1u);
  EXPECT_EQ(frames_.FindToFree(4).first, FrameId(5));
  frames_.NoteReleased(busy);
  EXPECT_EQ(frames_.populated_count(), 0u);
}

TEST_F(StagingFramesTest, TheOldestIsTakenFirst) {
  for (uint32_t i = 0; i < 4; ++i) Stage(i, PageIndex(i));
  for (const uint32_t expected : {0u, 1u, 2u, 3u}) {
    const FrameId oldest = frames_.TakeOldest();
    EXPECT_EQ(oldest, FrameId(expected));
    frames_.NoteStored(oldest);
    Forget(expected);
  }
}

TEST_F(StagingFramesTest, AReturnedFrameIsTheYoungest) {
  Stage(0, PageIndex(10));
  Stage(1, PageIndex(11));
  frames_.NoteStoreFailed(frames_.TakeOldest());
  EXPECT_EQ(frames_.TakeOldest(), FrameId(1));
  frames_.NoteStored(FrameId(1));
  Forget(1);
  EXPECT_EQ(frames_.owner(FrameId(0)), PageIndex(10));
}

TEST_F(StagingFramesTest, RandomStepsAgainstAModel) {
  constexpr uint64_t kSeed = 11;
  Rng rng(kSeed);
  std::deque<uint32_t> line;  // cached, oldest first
  std::deque<uint32_t> busy;
  size_t to_free = 0;
  for (int step = 0; step < 5000; ++step) {
    switch (rng.Below(6)) {
      case 0: {
        const StagingFrames::Run run = frames_.FindEmpty(1 + rng.Below(8));
        for (uint32_t i = 0; i < run.count; ++i) {
          Stage(run.first.raw() + i, PageIndex(static_cast<uint32_t>(step)));
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
          frames_.NoteStoreFailed(FrameId(busy.front()));
          staged_[busy.front()] = true;
          line.push_back(busy.front());
        } else {
          frames_.NoteStored(FrameId(busy.front()));
          ++to_free;
        }
        busy.pop_front();
        break;
      case 3:
        if (line.empty()) break;
        if (rng.OneIn(2)) {
          frames_.NoteMovedBack(FrameId(line.back()));
        } else {
          frames_.NoteDropped(FrameId(line.back()));
          ++to_free;
        }
        Forget(line.back());
        line.pop_back();
        break;
      default: {
        const StagingFrames::Run run = frames_.FindToFree(1 + rng.Below(8));
        ASSERT_EQ(run.count == 0, to_free == 0);
        for (uint32_t i = 0; i < run.count; ++i) {
          frames_.NoteReleased(FrameId(run.first.raw() + i));
        }
        to_free -= run.count;
        break;
      }
    }
    frames_.Audit();
    ASSERT_EQ(frames_.staged_count(), line.size());
    ASSERT_EQ(frames_.to_free_count(), to_free);
    ASSERT_EQ(frames_.populated_count(), line.size() + busy.size() + to_free);
  }
  for (const uint32_t frame : busy) frames_.NoteStored(FrameId(frame));
}

using StagingFramesDeathTest = StagingFramesTest;

TEST_F(StagingFramesDeathTest, StepsThatAreNotInThePicture) {
  Stage(0, PageIndex(1));
  EXPECT_DEATH(frames_.NoteStaged(FrameId(0), PageIndex(2), SwapSlot()), "check failed");
  EXPECT_DEATH(frames_.NoteStored(FrameId(0)), "check failed");
  EXPECT_DEATH(frames_.NoteReleased(FrameId(0)), "check failed");
  EXPECT_DEATH(frames_.NoteMovedBack(FrameId(1)), "check failed");
  EXPECT_DEATH(frames_.SetOwner(FrameId(1), PageIndex(3)), "check failed");
}

}  // namespace
}  // namespace uzswap
