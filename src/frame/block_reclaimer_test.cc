#include "frame/block_reclaimer.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "frame/testing/fake_frame_owner.h"
#include "frame/testing/frame_arena_peer.h"

namespace uzswap {
namespace {

constexpr uint32_t kBlock = 16;
constexpr uint32_t kBlocks = 4;
constexpr int kCold = -1;  // a block without memory

// An arena of four blocks of 16 frames, with plain and with guarded frames.
class BlockReclaimerTest : public testing::TestWithParam<FrameAccess> {
 protected:
  void SetUp() override {
    const FrameArenaOptions options{.capacity = PageCount(kBlock * kBlocks), .access = GetParam()};
    ASSERT_TRUE(arena_.Init(options).ok());
    id_ = arena_.AddOwner(&owner_);
  }
  void TearDown() override {
    arena_.Audit();
    for (size_t tag = 0; tag < owner_.where.size(); ++tag) {
      if (owner_.where[tag].valid()) FreeFrame(tag);
    }
    EXPECT_EQ(arena_.frames_in_use().raw(), 0u);
    arena_.RemoveOwner(id_);
  }

  void FreeFrame(size_t tag) {
    arena_.Free(owner_.where[tag]);
    owner_.where[tag] = FrameId();
  }
  // Block b gets in_use[b] frames in use; its other frames are idle.
  void Build(const int (&in_use)[kBlocks]) {
    std::vector<size_t> tag_of(kBlock * kBlocks);
    for (size_t tag = 0; tag < kBlock * kBlocks; ++tag) {
      const FrameId frame = arena_.Allocate(FrameKind::kPool, id_, tag);
      ASSERT_TRUE(frame.valid());
      owner_.where.push_back(frame);
      tag_of[frame.raw()] = tag;
      PinnedFrame(arena_, frame).data()[7] = std::byte(tag);
    }
    for (uint32_t frame = 0; frame < kBlock * kBlocks; ++frame) {
      if (in_use[frame / kBlock] == kCold) FreeFrame(tag_of[frame]);
    }
    static_cast<void>(arena_.ReleaseFreeFrames(PageCount(kBlock * kBlocks)));
    for (uint32_t frame = 0; frame < kBlock * kBlocks; ++frame) {
      const int keep = in_use[frame / kBlock];
      if (keep != kCold && static_cast<int>(frame % kBlock) >= keep) FreeFrame(tag_of[frame]);
    }
    arena_.DrainMagazines();
  }
  void ExpectContentIntact() {
    for (size_t tag = 0; tag < owner_.where.size(); ++tag) {
      if (!owner_.where[tag].valid()) continue;
      EXPECT_EQ(PinnedFrame(arena_, owner_.where[tag]).data()[7], std::byte(tag));
    }
  }
  RangeUsage UsageOfBlock(uint32_t block) {
    return arena_.UsageOf(FrameId(block * kBlock), PageCount(kBlock));
  }

  FrameArena arena_;
  FakeFrameOwner owner_{arena_};
  FrameOwnerId id_ = 0;
  BlockReclaimer reclaimer_{arena_, kBlock};
};

TEST_P(BlockReclaimerTest, PicksTheBlocksThatAreWorthTheirCopies) {
  struct Row {
    const char* what;
    int in_use[kBlocks];
    size_t max_blocks;
    uint64_t released;
    uint64_t moved;
  };
  const Row rows[] = {
      {"nothing is free", {16, 16, 16, 16}, 4, 0, 0},
      {"the only sparse block", {14, 2, 16, 16}, 4, 16, 2},
      {"no idle frames elsewhere", {16, 2, 16, 16}, 4, 0, 0},
      {"one idle frame too few elsewhere", {15, 2, 16, 16}, 4, 0, 0},
      {"more than half in use", {9, 9, 9, 9}, 4, 0, 0},
      {"exactly half in use", {8, 15, 13, 12}, 4, 16, 8},
      {"empty blocks need no moves", {0, 0, 16, 16}, 4, 32, 0},
      {"no more than was asked for", {0, 0, 16, 16}, 1, 16, 0},
      {"zero was asked for", {0, 0, 16, 16}, 0, 0, 0},
      {"the first fills the second", {2, 3, 16, 16}, 4, 16, 2},
      {"the sparsest first", {5, 1, 14, 10}, 1, 16, 1},
      {"a block without memory is left alone", {kCold, 2, 14, 16}, 4, 16, 2},
      {"a block without memory takes nothing", {kCold, 2, 16, 16}, 4, 0, 0},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    Build(row.in_use);
    const uint64_t populated = arena_.frames_populated().raw();
    const uint64_t in_use = arena_.frames_in_use().raw();
    const uint64_t moved = reclaimer_.Snapshot().pages_moved;
    EXPECT_EQ(reclaimer_.ReclaimBlocks(row.max_blocks).raw(), row.released);
    EXPECT_EQ(arena_.frames_populated().raw(), populated - row.released);
    EXPECT_EQ(arena_.frames_in_use().raw(), in_use);
    EXPECT_EQ(reclaimer_.Snapshot().pages_moved - moved, row.moved);
    ExpectContentIntact();
    arena_.Audit();
    for (size_t tag = 0; tag < owner_.where.size(); ++tag) {
      if (owner_.where[tag].valid()) FreeFrame(tag);
    }
    owner_.where.clear();
  }
}

TEST_P(BlockReclaimerTest, AnEmptiedBlockIsAllocatedAgain) {
  Build({14, 2, 16, 16});
  ASSERT_EQ(reclaimer_.ReclaimBlocks(1).raw(), kBlock);
  EXPECT_EQ(UsageOfBlock(1).in_use.raw(), 0u);
  EXPECT_EQ(UsageOfBlock(1).idle.raw(), 0u);
  for (uint32_t i = 0; i < kBlock; ++i) {
    const FrameId frame = arena_.Allocate(FrameKind::kPool, id_, owner_.where.size());
    ASSERT_TRUE(frame.valid());
    EXPECT_EQ(frame.raw() / kBlock, 1u);
    EXPECT_EQ(PinnedFrame(arena_, frame).data()[7], std::byte{0}) << "fresh from the kernel";
    owner_.where.push_back(frame);
  }
  EXPECT_FALSE(arena_.Allocate(FrameKind::kPool, id_, 0).valid());
}

TEST_P(BlockReclaimerTest, APinnedBlockIsCountedAndTheNextOneTaken) {
  Build({1, 2, 10, 16});
  ASSERT_EQ(UsageOfBlock(0).in_use.raw(), 1u);
  FrameId pinned;
  for (const FrameId frame : owner_.where) {
    if (frame.valid() && frame.raw() < kBlock) pinned = frame;
  }
  {
    const PinnedFrame pin(arena_, pinned);
    EXPECT_EQ(reclaimer_.ReclaimBlocks(1).raw(), kBlock);
    EXPECT_EQ(reclaimer_.Snapshot().blocks_busy, 1u);
    EXPECT_EQ(reclaimer_.Snapshot().blocks_released, 1u);
    EXPECT_EQ(UsageOfBlock(1).in_use.raw(), 0u);
  }
  EXPECT_EQ(UsageOfBlock(0).in_use.raw(), 3u) << "the free frames of a refused block are free";
  ExpectContentIntact();
}

TEST_P(BlockReclaimerTest, AFrameWithoutAnOwnerMakesItsBlockUnmovable) {
  Build({1, 16, 12, 16});
  owner_.answer = MigrateOutcome::kUnmovable;
  EXPECT_EQ(reclaimer_.ReclaimBlocks(1).raw(), 0u);
  EXPECT_EQ(reclaimer_.Snapshot().blocks_unmovable, 1u);
  owner_.answer = MigrateOutcome::kBusy;
  EXPECT_EQ(reclaimer_.ReclaimBlocks(1).raw(), 0u);
  EXPECT_EQ(reclaimer_.Snapshot().blocks_busy, 1u);
  owner_.answer = MigrateOutcome::kMoved;
  arena_.DrainMagazines();
  const FrameId unowned = arena_.Allocate(FrameKind::kPool);
  ASSERT_EQ(unowned.raw() / kBlock, 0u);
  EXPECT_EQ(reclaimer_.ReclaimBlocks(1).raw(), 0u);
  EXPECT_EQ(reclaimer_.Snapshot().blocks_unmovable, 2u);
  arena_.Free(unowned);
  EXPECT_EQ(reclaimer_.ReclaimBlocks(1).raw(), kBlock);
}

// Another thread takes the idle frames between the choice of a block and the second of its moves.
TEST_P(BlockReclaimerTest, RunningOutOfIdleFramesEndsTheCall) {
  Build({3, 12, 16, 16});
  std::vector<FrameId> taken;
  owner_.before_move = [&] {
    owner_.before_move = nullptr;
    for (FrameId frame = arena_.Allocate(FrameKind::kPool); frame.valid();
         frame = arena_.Allocate(FrameKind::kPool)) {
      taken.push_back(frame);
    }
  };
  EXPECT_EQ(reclaimer_.ReclaimBlocks(4).raw(), 0u);
  EXPECT_EQ(reclaimer_.Snapshot().blocks_no_space, 1u);
  EXPECT_EQ(reclaimer_.Snapshot().pages_moved, 1u);
  EXPECT_EQ(reclaimer_.Snapshot().calls_without_candidate, 0u);
  EXPECT_EQ(taken.size(), 3u);
  ExpectContentIntact();
  for (const FrameId frame : taken) arena_.Free(frame);
}

TEST_P(BlockReclaimerTest, ABlockInSomebodyElsesRangeIsNoCandidate) {
  Build({0, 16, 16, 16});
  const ReclaimRangeResult other = arena_.ReclaimRange(FrameId(3), PageCount(1));
  ASSERT_TRUE(other.complete());
  EXPECT_EQ(reclaimer_.ReclaimBlocks(1).raw(), 0u);
  EXPECT_EQ(reclaimer_.Snapshot().blocks_busy + reclaimer_.Snapshot().calls_without_candidate, 1u);
}

TEST_P(BlockReclaimerTest, AMoveThatFindsNoFrameOnceIsRepeated) {
  Build({14, 2, 16, 16});
  FrameArenaPeer::FailNth(arena_, 1);
  EXPECT_EQ(reclaimer_.ReclaimBlocks(1).raw(), kBlock);
  ExpectContentIntact();
}

std::string AccessName(const testing::TestParamInfo<FrameAccess>& access) {
  return access.param == FrameAccess::kAlways ? "Always" : "WhilePinned";
}
INSTANTIATE_TEST_SUITE_P(Access, BlockReclaimerTest,
                         testing::Values(FrameAccess::kAlways, FrameAccess::kWhilePinned),
                         AccessName);

}  // namespace
}  // namespace uzswap
