#include "frame/frame_arena.h"

#include <atomic>
#include <cstring>
#include <gtest/gtest.h>
#include <string>
#include <thread>
#include <vector>

#include "base/rng.h"
#include "base/testing/thread_shard_scope.h"
#include "frame/testing/fake_frame_owner.h"
#include "frame/testing/frame_arena_peer.h"

namespace uzswap {
namespace {

constexpr uint64_t kCapacity = 1024;

// Every test runs with plain frames and with frames that are inaccessible unless pinned.
class FrameArenaTest : public testing::TestWithParam<FrameAccess> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(arena_.Init({.capacity = PageCount(kCapacity), .access = GetParam()}).ok());
  }
  FrameId Take() { return arena_.Allocate(FrameKind::kPool); }

  FrameArena arena_;
};

TEST_P(FrameArenaTest, HandsOutEachFrameOnceAndThenNone) {
  std::vector<bool> seen(kCapacity);
  std::vector<FrameId> frames;
  for (FrameId frame = Take(); frame.valid(); frame = Take()) {
    EXPECT_FALSE(seen[frame.raw()]);
    seen[frame.raw()] = true;
    frames.push_back(frame);
  }
  EXPECT_EQ(frames.size(), kCapacity);
  EXPECT_EQ(arena_.frames_in_use().raw(), kCapacity);
  arena_.Audit();
  for (FrameId frame : frames) arena_.Free(frame);
  EXPECT_EQ(arena_.frames_in_use().raw(), 0u);
  arena_.Audit();
}

TEST_P(FrameArenaTest, FreedFramesAreReusedBeforeFreshOnes) {
  for (int i = 0; i < 1000; ++i) arena_.Free(Take());
  EXPECT_LE(arena_.frames_populated().raw(), 32u);
}

TEST_P(FrameArenaTest, PinsCountAndBytesStay) {
  const FrameId frame = Take();
  {
    PinnedFrame outer(arena_, frame);
    PinnedFrame inner(arena_, frame);
    EXPECT_EQ(arena_.pins(frame), 2u);
    std::memset(outer.data(), 7, kPageSize);
  }
  EXPECT_EQ(arena_.pins(frame), 0u);
  EXPECT_EQ(PinnedFrame(arena_, frame).data()[4095], std::byte{7});
  arena_.Free(frame);
}

// The last free frames may be in the magazines of other threads.
TEST_P(FrameArenaTest, OneThreadGetsTheFramesThatOthersFreed) {
  std::vector<FrameId> frames;
  ThreadShardIdentity identities[2] = {ThreadShardIdentity(0), ThreadShardIdentity(1)};
  {
    const ThreadShardScope other(identities[0]);
    for (uint64_t i = 0; i < kCapacity; ++i) frames.push_back(Take());
    EXPECT_FALSE(Take().valid());
    EXPECT_EQ(arena_.UsageOf(FrameId(0), PageCount(kCapacity)).in_use.raw(), kCapacity);
    for (int i = 0; i < 20; ++i) {
      arena_.Free(frames.back());
      frames.pop_back();
    }
  }
  EXPECT_EQ(arena_.UsageOf(FrameId(0), PageCount(kCapacity)).idle.raw(), 0u) << "in a magazine";
  EXPECT_EQ(arena_.frames_in_use().raw(), kCapacity - 20);
  {
    const ThreadShardScope mine(identities[1]);
    for (int i = 0; i < 20; ++i) {
      frames.push_back(Take());
      ASSERT_TRUE(frames.back().valid());
    }
    EXPECT_FALSE(Take().valid());
  }
  for (const FrameId frame : frames) arena_.Free(frame);
  arena_.DrainMagazines();
  const RangeUsage all = arena_.UsageOf(FrameId(0), PageCount(kCapacity));
  EXPECT_EQ(all.in_use.raw(), 0u);
  EXPECT_EQ(all.idle.raw(), kCapacity);
  EXPECT_EQ(arena_.UsageOf(FrameId(63), PageCount(2)).idle.raw(), 2u);
}

TEST_P(FrameArenaTest, TheLimitBoundsUseAndCanBeRaised) {
  arena_.SetLimit(PageCount(5));
  std::vector<FrameId> frames;
  for (FrameId frame = Take(); frame.valid(); frame = Take()) frames.push_back(frame);
  EXPECT_EQ(frames.size(), 5u);
  arena_.SetLimit(PageCount(6));
  frames.push_back(Take());
  EXPECT_TRUE(frames.back().valid());
  EXPECT_FALSE(Take().valid());
  for (FrameId frame : frames) arena_.Free(frame);
}

TEST_P(FrameArenaTest, TheNthRequestFailsOnDemand) {
  FrameArenaPeer::FailNth(arena_, 2);
  const FrameId first = Take();
  EXPECT_TRUE(first.valid());
  EXPECT_FALSE(Take().valid());
  const FrameId third = Take();
  EXPECT_TRUE(third.valid());
  FrameArenaPeer::FailNth(arena_, 1);
  EXPECT_FALSE(Take().valid());
  arena_.Free(first);
  arena_.Free(third);
}

TEST_P(FrameArenaTest, ReleasedFramesReadAsZeroAndCountAsCold) {
  std::vector<FrameId> frames;
  for (int i = 0; i < 100; ++i) {
    frames.push_back(Take());
    std::memset(PinnedFrame(arena_, frames.back()).data(), 9, kPageSize);
  }
  const FrameId kept = frames.back();
  frames.pop_back();
  for (FrameId frame : frames) arena_.Free(frame);
  const uint64_t populated = arena_.frames_populated().raw();
  EXPECT_EQ(arena_.ReleaseFreeFrames(PageCount(50)).raw(), 50u);
  EXPECT_EQ(arena_.frames_populated().raw(), populated - 50);
  EXPECT_EQ(arena_.ReleaseFreeFrames(PageCount(kCapacity)).raw(), populated - 51);
  EXPECT_EQ(arena_.frames_populated().raw(), 1u);
  arena_.Audit();
  EXPECT_EQ(PinnedFrame(arena_, kept).data()[0], std::byte{9});
  arena_.Free(kept);
  const FrameId fresh = Take();
  ASSERT_TRUE(fresh.valid());
  arena_.Free(fresh);
}

TEST_P(FrameArenaTest, ARangeIsEmptiedAndGivenBack) {
  FakeFrameOwner owner(arena_);
  const FrameOwnerId id = arena_.AddOwner(&owner);
  for (uint64_t i = 0; i < 300; ++i) {
    owner.where.push_back(arena_.Allocate(FrameKind::kPool, id, i));
    std::memset(PinnedFrame(arena_, owner.where[i]).data(), static_cast<int>(i % 251), kPageSize);
  }
  const uint64_t populated = arena_.frames_populated().raw();
  ReclaimRangeResult result = arena_.ReclaimRange(FrameId(0), PageCount(256));
  ASSERT_TRUE(result.complete());
  EXPECT_GT(result.report.moved, 200u);
  EXPECT_EQ(result.report.left_total(), 0u);
  EXPECT_EQ(result.report.freed_meanwhile, 0u);
  for (uint64_t i = 0; i < 300; ++i) {
    EXPECT_GE(owner.where[i].raw(), 256u);
    EXPECT_EQ(PinnedFrame(arena_, owner.where[i]).data()[4095], std::byte(i % 251));
  }
  result.range.Discard();
  EXPECT_LE(arena_.frames_populated().raw(), populated + 16);
  arena_.Audit();
  for (FrameId frame : owner.where) arena_.Free(frame);
  arena_.RemoveOwner(id);
}

TEST_P(FrameArenaTest, ARangeThatCannotBeEmptiedSaysWhy) {
  FakeFrameOwner owner(arena_);
  const FrameOwnerId id = arena_.AddOwner(&owner);
  const FrameId movable = arena_.Allocate(FrameKind::kPool, id, 0);
  owner.where.push_back(movable);
  ASSERT_LT(movable.raw(), 64u);
  {
    PinnedFrame pin(arena_, movable);
    const ReclaimRangeResult result = arena_.ReclaimRange(FrameId(0), PageCount(64));
    EXPECT_FALSE(result.complete());
    EXPECT_EQ(result.report.left_pinned, 1u);
    EXPECT_EQ(result.report.left[0].frame, movable);
    EXPECT_EQ(result.report.left[0].why, RangeLeft::kPinned);
  }
  owner.answer = MigrateOutcome::kUnmovable;
  EXPECT_EQ(arena_.ReclaimRange(FrameId(0), PageCount(64)).report.left_unmovable, 1u);
  owner.answer = MigrateOutcome::kMoved;
  std::vector<FrameId> others;
  for (FrameId frame = Take(); frame.valid(); frame = Take()) others.push_back(frame);
  for (const FrameId frame : others) {
    if (frame.raw() < 64) arena_.Free(frame);
  }
  const RangeReport report = arena_.ReclaimRange(FrameId(0), PageCount(64)).report;
  EXPECT_EQ(report.left_no_space, 1u);
  EXPECT_EQ(report.free_before, 63u);
  EXPECT_EQ(report.passes, 10u) << "it must give up soon if no frame is freed";
  arena_.Audit();
  for (const FrameId frame : others) {
    if (frame.raw() >= 64) arena_.Free(frame);
  }
  arena_.Free(owner.where[0]);
  arena_.RemoveOwner(id);
}

TEST_P(FrameArenaTest, RangesDoNotOverlap) {
  ReclaimRangeResult first = arena_.ReclaimRange(FrameId(0), PageCount(64));
  ASSERT_TRUE(first.complete());
  EXPECT_EQ(arena_.ReclaimRange(FrameId(63), PageCount(2)).report.left_busy, 1u);
  ReclaimRangeResult beside = arena_.ReclaimRange(FrameId(64), PageCount(64));
  EXPECT_TRUE(beside.complete());
  const FrameId outside = Take();
  EXPECT_GE(outside.raw(), 128u);
  arena_.Free(outside);
}

TEST_P(FrameArenaTest, ThreadsShareTheArenaWithReleasesAndRanges) {
  std::vector<std::thread> threads;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    threads.emplace_back([this, seed] {
      Rng rng(seed);
      std::vector<FrameId> mine;
      for (int i = 0; i < 3000; ++i) {
        if (mine.size() < 200 && rng.OneIn(2)) {
          const FrameId frame = Take();
          if (!frame.valid()) continue;
          PinnedFrame(arena_, frame).data()[0] = std::byte(seed);
          mine.push_back(frame);
        } else if (!mine.empty()) {
          EXPECT_EQ(PinnedFrame(arena_, mine.back()).data()[0], std::byte(seed));
          arena_.Free(mine.back());
          mine.pop_back();
        }
      }
      for (FrameId frame : mine) arena_.Free(frame);
    });
  }
  for (int i = 0; i < 50; ++i) {
    static_cast<void>(arena_.ReleaseFreeFrames(PageCount(20)));
    ReclaimRangeResult result = arena_.ReclaimRange(FrameId(512), PageCount(512));
    if (result.complete()) result.range.Discard();
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(arena_.frames_in_use().raw(), 0u);
  arena_.Audit();
}

using FrameArenaDeathTest = FrameArenaTest;

TEST_P(FrameArenaDeathTest, MisuseIsNamed) {
  const FrameId frame = Take();
  EXPECT_DEATH(
      {
        arena_.Free(frame);
        arena_.Free(frame);
      },
      "double free of a frame");
  EXPECT_DEATH(
      {
        PinnedFrame pin(arena_, frame);
        arena_.Free(frame);
      },
      "free of a pinned frame");
  EXPECT_DEATH(arena_.Unpin(frame), "unpin of a frame that is not pinned");
  EXPECT_DEATH(static_cast<void>(arena_.UsageOf(FrameId(kCapacity - 1), PageCount(2))),
               "check failed");
  EXPECT_DEATH(
      {
        FrameArena other;
        static_cast<void>(other.Init({.capacity = PageCount(4)}));
        static_cast<void>(other.Allocate(FrameKind::kPool));
      },
      "arena destroyed with frames in use");
  arena_.Free(frame);
}

TEST_P(FrameArenaDeathTest, UnpinnedFramesAreOutOfReachWhenGuarded) {
  const FrameId frame = Take();
  std::byte* address = PinnedFrame(arena_, frame).data();
  if (GetParam() == FrameAccess::kWhilePinned) {
    EXPECT_DEATH(address[0] = std::byte{1}, "");
  } else {
    address[0] = std::byte{1};
    EXPECT_EQ(PinnedFrame(arena_, frame).data()[0], std::byte{1});
  }
  arena_.Free(frame);
}

std::string AccessName(const testing::TestParamInfo<FrameAccess>& access) {
  return access.param == FrameAccess::kAlways ? "Always" : "WhilePinned";
}
INSTANTIATE_TEST_SUITE_P(Access, FrameArenaTest,
                         testing::Values(FrameAccess::kAlways, FrameAccess::kWhilePinned),
                         AccessName);
INSTANTIATE_TEST_SUITE_P(Access, FrameArenaDeathTest,
                         testing::Values(FrameAccess::kAlways, FrameAccess::kWhilePinned),
                         AccessName);

}  // namespace
}  // namespace uzswap
