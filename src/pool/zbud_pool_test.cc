// The behaviour of zbud alone: pairing, ages, reclaim of whole frames. pool_test.cc tests the
// behaviour that all pools share.
#include "pool/zbud_pool.h"

#include <cstring>
#include <gtest/gtest.h>
#include <vector>

namespace uzswap {
namespace {

class ZbudPoolTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(arena_.Init({.capacity = PageCount(512)}).ok());
    ASSERT_TRUE(pool_.Init({.arena = &arena_}).ok());
  }
  Handle Store(size_t size, uint64_t key = 0) {
    const std::vector<std::byte> bytes(size, std::byte(size % 251));
    return pool_.Store(bytes, key).handle;
  }
  void ExpectIntact(Handle handle) {
    const PinnedObject pin = pool_.Pin(handle);
    ASSERT_EQ(pin.segment_count(), 1u);
    for (std::byte b : pin.segment(0)) ASSERT_EQ(b, std::byte(pin.size() % 251));
  }
  uint64_t frames() { return pool_.Snapshot().frames; }

  FrameArena arena_;
  ZbudPool pool_;
  ObjectInfo list_[kObjectsInUnitMax];
};

TEST_F(ZbudPoolTest, TwoObjectsShareAFrameExactlyIfTheirChunksFit) {
  for (uint32_t first = 1; first <= 64; ++first) {
    for (uint32_t second = 1; second <= 64; ++second) {
      const Handle a = Store(first * 64);
      const Handle b = Store(second * 64);
      ASSERT_EQ(frames(), first + second <= 64 ? 1u : 2u) << first << " " << second;
      pool_.Free(a);
      pool_.Free(b);
      ASSERT_EQ(frames(), 0u);
    }
  }
}

TEST_F(ZbudPoolTest, TheTightestHoleIsTaken) {
  const Handle wide = Store(1000);   // hole of 48 chunks
  const Handle tight = Store(3300);  // hole of 12 chunks
  ASSERT_EQ(frames(), 2u);
  const Handle small = Store(700);
  ASSERT_EQ(frames(), 2u);
  size_t beside_tight = 0;
  for (uint32_t frame = 0; frame < 512; ++frame) {
    bool has_tight = false;
    bool has_small = false;
    pool_.ForEachObjectInFrame(FrameId(frame), [&](const ObjectInfo& object) {
      has_tight = has_tight || object.handle == tight;
      has_small = has_small || object.handle == small;
    });
    if (has_tight && has_small) ++beside_tight;
  }
  EXPECT_EQ(beside_tight, 1u);
  for (Handle handle : {wide, tight, small}) pool_.Free(handle);
}

TEST_F(ZbudPoolTest, TheOldestFrameIsOfferedAndAddingRejuvenates) {
  const Handle a = Store(3000, 1);
  const Handle b = Store(3001, 2);
  const Handle c =
      Store(500, 3);  // shares a frame with one of them; that frame becomes the younger
  const ReclaimUnit first = pool_.BeginReclaim(list_);
  ASSERT_TRUE(first.valid());
  ASSERT_EQ(first.objects, 1u);
  const uint64_t oldest = list_[0].owner_key;
  EXPECT_EQ(list_[0].handle, oldest == 1 ? a : b);
  const ReclaimUnit second = pool_.BeginReclaim(list_);
  ASSERT_EQ(second.objects, 2u);
  EXPECT_FALSE(pool_.BeginReclaim(list_).valid()) << "every frame is under reclaim";
  pool_.Free(oldest == 1 ? a : b);
  EXPECT_EQ(frames(), 2u) << "EndReclaim frees the frame";
  EXPECT_EQ(pool_.EndReclaim(first), 1u);
  EXPECT_EQ(pool_.EndReclaim(second), 0u) << "its objects stayed";
  EXPECT_EQ(frames(), 1u);
  pool_.Free(oldest == 1 ? b : a);
  pool_.Free(c);
  EXPECT_EQ(pool_.Snapshot().units_reclaimed, 1u);
}

TEST_F(ZbudPoolTest, FreeingDoesNotRejuvenate) {
  const Handle a = Store(2000, 1);
  const Handle b = Store(2000, 2);
  const Handle young = Store(3000, 3);
  pool_.Free(b);
  const ReclaimUnit unit = pool_.BeginReclaim(list_);
  EXPECT_EQ(list_[0].handle, a);
  EXPECT_EQ(pool_.EndReclaim(unit), 0u);
  // An unsuccessful reclaim makes the frame the youngest.
  const ReclaimUnit next = pool_.BeginReclaim(list_);
  EXPECT_EQ(list_[0].handle, young);
  EXPECT_EQ(pool_.EndReclaim(next), 0u);
  pool_.Free(a);
  pool_.Free(young);
}

TEST_F(ZbudPoolTest, NothingIsAddedToAFrameUnderReclaim) {
  const Handle a = Store(1000);
  const ReclaimUnit unit = pool_.BeginReclaim(list_);
  const Handle b = Store(1000);
  EXPECT_EQ(frames(), 2u);
  EXPECT_EQ(pool_.TryMoveOut(b), MoveOutcome::kNoRoom) << "not under reclaim";
  EXPECT_EQ(pool_.TryMoveOut(a), MoveOutcome::kMoved);
  EXPECT_EQ(pool_.EndReclaim(unit), 1u);
  EXPECT_EQ(frames(), 1u);
  ExpectIntact(a);
  ExpectIntact(b);
  pool_.Audit();
  pool_.Free(a);
  pool_.Free(b);
}

TEST_F(ZbudPoolTest, CompactionPairsWhatFits) {
  std::vector<Handle> handles;
  std::vector<Handle> dropped;
  for (int i = 0; i < 100; ++i) {
    handles.push_back(Store(1900));
    dropped.push_back(Store(2000));
  }
  for (Handle handle : dropped) pool_.Free(handle);
  ASSERT_EQ(frames(), 100u);
  CompactOutcome step = pool_.CompactStep(7);
  EXPECT_EQ(step.objects_moved, 7u);
  EXPECT_FALSE(step.done);
  for (int i = 0; i < 20 && !step.done; ++i) step = pool_.CompactStep(20);
  EXPECT_TRUE(step.done) << "compaction does not end";
  EXPECT_EQ(frames(), 50u);
  pool_.Audit();
  for (Handle handle : handles) {
    ExpectIntact(handle);
    pool_.Free(handle);
  }
}

TEST_F(ZbudPoolTest, PinnedObjectsAreLeftWhereTheyAre) {
  const Handle a = Store(1000);
  const Handle b = Store(3500);
  const Handle filler = Store(3000);
  pool_.Free(filler);
  {
    const PinnedObject pin_a = pool_.Pin(a);
    const PinnedObject pin_b = pool_.Pin(b);
    EXPECT_EQ(pool_.CompactStep(100).objects_moved, 0u);
  }
  pool_.Free(a);
  pool_.Free(b);
}

}  // namespace
}  // namespace uzswap
