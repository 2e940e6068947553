// Each pair of operations in docs/design/races-pool.md, forced in both orders.
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/testing/wait_until.h"
#include "pool/testing/pool_testing.h"

namespace uzswap {

// Acts as a mover that stops between its two steps.
class HandlePoolTestPeer {
 public:
  static bool BeginMove(Pool& pool, Handle handle) {
    return Table(pool).TryBeginMove(handle.index());
  }
  static void EndMove(Pool& pool, Handle handle) {
    Table(pool).EndMove(handle.index(), Table(pool).LocationOf(handle.index()));
  }

 private:
  static HandleTable& Table(Pool& pool) { return static_cast<HandlePool&>(pool).handles_; }
};

namespace {

class PoolRaceTest : public testing::TestWithParam<PoolVariant> {
 protected:
  static constexpr uint32_t kFrames = 512;
  void SetUp() override {
    ASSERT_TRUE(arena_.Init({.capacity = PageCount(kFrames)}).ok());
    pool_ = MakePool(GetParam(), {.arena = &arena_});
    ASSERT_NE(pool_, nullptr);
  }
  void TearDown() override {
    pool_->Audit();
    arena_.Audit();
  }
  Handle Store(size_t size, uint64_t key) {
    return pool_->Store(std::vector<std::byte>(size, std::byte(key)), key).handle;
  }
  void ExpectHolds(Handle handle, uint64_t key) {
    const PinnedObject pin = pool_->Pin(handle);
    for (size_t i = 0; i < pin.segment_count(); ++i) {
      for (std::byte b : pin.segment(i)) ASSERT_EQ(b, std::byte(key));
    }
  }
  FrameId FrameOf(Handle handle) {
    FrameId found;
    for (uint32_t raw = 0; raw < kFrames && !found.valid(); ++raw) {
      pool_->ForEachObjectInFrame(FrameId(raw), [&](const ObjectInfo& object) {
        if (object.handle == handle) found = FrameId(raw);
      });
    }
    return found;
  }
  FrameId Spare(FrameId like) {
    return arena_.Allocate(FrameKind::kPool, arena_.owner(like), UINT64_MAX);
  }

  FrameArena arena_;
  std::unique_ptr<HandlePool> pool_;
  ObjectInfo list_[kObjectsInUnitMax];
};

TEST_P(PoolRaceTest, PinBeforeMove) {
  const Handle handle = Store(1000, 1);
  const FrameId frame = FrameOf(handle);
  const FrameId spare = Spare(frame);
  {
    const PinnedObject pin = pool_->Pin(handle);
    EXPECT_EQ(pool_->TryMigrateFrame(frame, spare), MigrateOutcome::kPinned);
    EXPECT_EQ(FrameOf(handle), frame);
  }
  EXPECT_EQ(pool_->TryMigrateFrame(frame, spare), MigrateOutcome::kMoved);
  EXPECT_EQ(FrameOf(handle), spare);
  EXPECT_EQ(pool_->Snapshot().moves_refused, 1u);
  ExpectHolds(handle, 1);
  pool_->Free(handle);
}

TEST_P(PoolRaceTest, MoveBeforePin) {
  const Handle handle = Store(1000, 1);
  ASSERT_TRUE(HandlePoolTestPeer::BeginMove(*pool_, handle));
  std::thread reader([&] { ExpectHolds(handle, 1); });
  EXPECT_TRUE(WaitUntil([&] { return pool_->Snapshot().pin_waits > 0; }))
      << "the reader did not find the object moving";
  HandlePoolTestPeer::EndMove(*pool_, handle);
  reader.join();
  pool_->Free(handle);
}

TEST_P(PoolRaceTest, PinBeforeFree) {
  const Handle handle = Store(1000, 1);
  {
    const PinnedObject pin = pool_->Pin(handle);
    EXPECT_EQ(pool_->TryFree(handle), FreeOutcome::kPinned);
  }
  EXPECT_EQ(pool_->TryFree(handle), FreeOutcome::kFreed);
}

TEST_P(PoolRaceTest, FreeBeforePin) {
  const Handle handle = Store(1000, 1);
  pool_->Free(handle);
  EXPECT_FALSE(pool_->TryPin(handle));
  const Handle reused = Store(1000, 2);
  EXPECT_EQ(reused.index(), handle.index());
  EXPECT_FALSE(pool_->TryPin(handle)) << "the handle must not name the next object with that index";
  pool_->Free(reused);
}

TEST_P(PoolRaceTest, FreeBeforeMigration) {
  const Handle handle = Store(1000, 1);
  const FrameId frame = FrameOf(handle);
  const FrameId spare = Spare(frame);
  pool_->Free(handle);
  EXPECT_EQ(pool_->TryMigrateFrame(frame, spare), MigrateOutcome::kGone);
  arena_.Free(spare);
}

TEST_P(PoolRaceTest, MigrationBeforeFree) {
  const Handle handle = Store(1000, 1);
  const FrameId frame = FrameOf(handle);
  const FrameId spare = Spare(frame);
  EXPECT_EQ(pool_->TryMigrateFrame(frame, spare), MigrateOutcome::kMoved);
  EXPECT_EQ(arena_.kind(frame), FrameKind::kFree);
  pool_->Free(handle);
  EXPECT_EQ(arena_.frames_in_use().raw(), 0u);
}

TEST_P(PoolRaceTest, FreeBeforeTheEvictorReachesIt) {
  const Handle handle = Store(1000, 1);
  const ReclaimUnit unit = pool_->BeginReclaim(list_);
  ASSERT_EQ(unit.objects, 1u);
  pool_->Free(handle);
  EXPECT_EQ(pool_->TryFree(list_[0].handle), FreeOutcome::kStale);
  EXPECT_EQ(pool_->TryMoveOut(list_[0].handle), MoveOutcome::kStale);
  EXPECT_EQ(pool_->EndReclaim(unit), 1u) << "EndReclaim must count the frame";
  EXPECT_EQ(arena_.frames_in_use().raw(), 0u);
}

TEST_P(PoolRaceTest, EvictionBeforeFree) {
  const Handle handle = Store(1000, 1);
  const ReclaimUnit unit = pool_->BeginReclaim(list_);
  EXPECT_EQ(pool_->TryFree(list_[0].handle), FreeOutcome::kFreed);
  EXPECT_EQ(pool_->TryFree(handle), FreeOutcome::kStale);
  EXPECT_EQ(pool_->EndReclaim(unit), 1u);
}

TEST_P(PoolRaceTest, ReaderBeforeEviction) {
  const Handle handle = Store(1000, 1);
  const ReclaimUnit unit = pool_->BeginReclaim(list_);
  {
    const PinnedObject pin = pool_->Pin(handle);
    EXPECT_EQ(pool_->TryFree(list_[0].handle), FreeOutcome::kPinned);
    const MoveOutcome moved = pool_->TryMoveOut(list_[0].handle);
    EXPECT_TRUE(moved == MoveOutcome::kPinned || moved == MoveOutcome::kNoRoom);
    EXPECT_EQ(pool_->EndReclaim(unit), 0u);
  }
  ExpectHolds(handle, 1);
  pool_->Free(handle);
}

TEST_P(PoolRaceTest, ReclaimBeforeAdding) {
  const Handle before = Store(1000, 1);
  const ReclaimUnit unit = pool_->BeginReclaim(list_);
  const Handle after = Store(1000, 2);
  EXPECT_NE(FrameOf(before), FrameOf(after));
  EXPECT_EQ(pool_->EndReclaim(unit), 0u);
  pool_->Free(before);
  pool_->Free(after);
}

TEST_P(PoolRaceTest, MigrationDuringReclaim) {
  const Handle handle = Store(1000, 1);
  const FrameId frame = FrameOf(handle);
  const ReclaimUnit unit = pool_->BeginReclaim(list_);
  const FrameId spare = Spare(frame);
  EXPECT_EQ(pool_->TryMigrateFrame(frame, spare), MigrateOutcome::kMoved);
  EXPECT_EQ(pool_->TryFree(list_[0].handle), FreeOutcome::kFreed);
  EXPECT_EQ(pool_->EndReclaim(unit), 1u);
  EXPECT_EQ(arena_.frames_in_use().raw(), 0u);
}

TEST_P(PoolRaceTest, FrameTakenAndNotYetListed) {
  const Handle handle = Store(1000, 1);
  const FrameId fresh = Spare(FrameOf(handle));
  const FrameId to = Spare(fresh);
  EXPECT_EQ(pool_->TryMigrateFrame(fresh, to), MigrateOutcome::kGone);
  const RangeReport report = arena_.ReclaimRange(fresh, PageCount(1)).report;
  EXPECT_EQ(report.left_busy, 1u);
  arena_.Free(fresh);
  arena_.Free(to);
  pool_->Free(handle);
}

TEST_P(PoolRaceTest, RangeBeforeAllocation) {
  ReclaimRangeResult result = arena_.ReclaimRange(FrameId(0), PageCount(256));
  ASSERT_TRUE(result.complete());
  const Handle handle = Store(1000, 1);
  EXPECT_GE(FrameOf(handle).raw(), 256u);
  result.range.Discard();
  ExpectHolds(handle, 1);
  pool_->Free(handle);
}

TEST_P(PoolRaceTest, AllocationBeforeRange) {
  const Handle handle = Store(1000, 1);
  ASSERT_LT(FrameOf(handle).raw(), 256u);
  ReclaimRangeResult result = arena_.ReclaimRange(FrameId(0), PageCount(256));
  ASSERT_TRUE(result.complete());
  EXPECT_EQ(result.report.moved, 1u);
  ExpectHolds(handle, 1);
  pool_->Free(handle);
}

TEST_P(PoolRaceTest, ShortPinDuringRange) {
  const Handle handle = Store(1000, 1);
  PinnedObject pin = pool_->Pin(handle);
  const FrameId frame = FrameOf(handle);
  // The range yields the processor after each pass. The reader unpins when it has seen a refused
  // pass.
  std::thread reader([&] {
    EXPECT_TRUE(WaitUntil([&] { return pool_->Snapshot().moves_refused > 0; }))
        << "the range did not find the pin";
    pin = PinnedObject();
  });
  EXPECT_TRUE(WaitUntil([&] { return arena_.ReclaimRange(frame, PageCount(1)).complete(); }))
      << "the range was not emptied";
  reader.join();
  ExpectHolds(handle, 1);
  pool_->Free(handle);
}

std::string VariantName(const testing::TestParamInfo<PoolVariant>& variant) {
  return NameOf(variant.param);
}
INSTANTIATE_TEST_SUITE_P(Pools, PoolRaceTest, testing::ValuesIn(kAllPoolVariants), VariantName);

}  // namespace
}  // namespace uzswap
