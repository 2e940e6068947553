// Reads without the lock, stepped by hand: what a slot's fate means for what was read.
#include "pager/swap_in.h"

#include <cerrno>
#include <gtest/gtest.h>

#include "pager/testing/pager_world.h"

namespace uzswap {
namespace {

using Held = SwapIn::Held;

class SwapInTest : public testing::Test {
 protected:
  static constexpr size_t kPages = 24;

  void SetUp() override {
    ASSERT_TRUE(swap_in_.Init(&world_.store).ok());
    for (size_t i = 0; i < kPages; ++i) {
      FillPageOf(PageKind::kText, i, pages_[i]);
      const StoredPage stored = world_.store.Store(world_.context, ConstPageBytes(pages_[i]));
      ASSERT_EQ(stored.as, StoredAs::kSlot);
      slots_[i] = stored.slot;
    }
    world_.WriteBackAll();
    swap_in_.BeginPass();
  }
  void TearDown() override {
    for (size_t i = 0; i < kPages; ++i) {
      if (slots_[i].valid()) Free(i);
    }
  }
  void Free(size_t i) {
    world_.store.Free(world_.context, slots_[i]);
    swap_in_.SlotFreed(slots_[i]);
    slots_[i] = SwapSlot();
  }
  // Takes what is requested and reads it. Returns how many.
  size_t ReadAll() {
    SwapIn::Batch batch;
    swap_in_.Begin(false, &batch);
    swap_in_.Read(world_.context, &batch);
    swap_in_.Finish(batch);
    return batch.count;
  }
  bool Holds(size_t i) {
    const SwapIn::Found found = swap_in_.Find(slots_[i]);
    return found.held == Held::kLoaded && memcmp(found.page, pages_[i].data(), kPageSize) == 0;
  }

  static PagerWorld::Options WithDevice() {
    PagerWorld::Options options;
    options.device_bytes = 4 << 20;
    return options;
  }

  PagerWorld world_{WithDevice()};
  SwapIn swap_in_;
  PagerWorld::Page pages_[kPages];
  SwapSlot slots_[kPages];
};

TEST_F(SwapInTest, WhatIsRequestedIsRead) {
  EXPECT_EQ(swap_in_.Find(slots_[3]).held, Held::kNothing);
  swap_in_.Request(slots_[3]);
  swap_in_.Request(slots_[3]);
  EXPECT_EQ(swap_in_.Find(slots_[3]).held, Held::kComing);
  EXPECT_EQ(ReadAll(), 1u);
  EXPECT_TRUE(Holds(3));
  EXPECT_EQ(ReadAll(), 0u) << "it is read once";
}

TEST_F(SwapInTest, ASlotThatIsFreedAtAnyTimeLeavesNothing) {
  enum class When : uint8_t { kWanted, kReading, kRead, kLoaded };
  size_t next = 0;
  for (const When when : {When::kWanted, When::kReading, When::kRead, When::kLoaded}) {
    const size_t i = next++;
    const SwapSlot slot = slots_[i];
    swap_in_.Request(slot);
    if (when == When::kWanted) Free(i);
    SwapIn::Batch batch;
    swap_in_.Begin(false, &batch);
    EXPECT_EQ(batch.count, when == When::kWanted ? 0u : 1u);
    if (when == When::kReading) Free(i);
    swap_in_.Read(world_.context, &batch);
    if (when == When::kRead) Free(i);
    swap_in_.Finish(batch);
    if (when == When::kLoaded) Free(i);
    EXPECT_EQ(swap_in_.Find(slot).held, Held::kNothing) << static_cast<int>(when);
  }
}

// The slot has a new owner before the read ends: what was read has no owner.
TEST_F(SwapInTest, ASlotThatIsUsedAgainWhileItIsReadIsReadAgain) {
  const SwapSlot slot = slots_[0];
  swap_in_.Request(slot);
  SwapIn::Batch batch;
  swap_in_.Begin(false, &batch);
  swap_in_.Read(world_.context, &batch);
  Free(0);
  FillPageOf(PageKind::kText, 99, pages_[0]);
  const StoredPage stored = world_.store.Store(world_.context, ConstPageBytes(pages_[0]));
  ASSERT_EQ(stored.as, StoredAs::kSlot);
  ASSERT_EQ(stored.slot, slot) << "the test needs the same slot";
  slots_[0] = slot;
  swap_in_.Finish(batch);
  EXPECT_EQ(swap_in_.Find(slot).held, Held::kNothing);
  swap_in_.Request(slot);
  EXPECT_EQ(ReadAll(), 1u);
  EXPECT_TRUE(Holds(0));
}

TEST_F(SwapInTest, AReadThatFailsTwiceIsReported) {
  world_.device.Plan(os::IoFault::kError, world_.device.calls() + 1, EIO, true);
  swap_in_.Request(slots_[1]);
  EXPECT_EQ(ReadAll(), 1u);
  const SwapIn::Found found = swap_in_.Find(slots_[1]);
  EXPECT_EQ(found.held, Held::kFailed);
  EXPECT_EQ(found.error, EIO);
  world_.device.Heal();
}

TEST_F(SwapInTest, AReadThatFailsOnceIsTriedAgain) {
  world_.device.Plan(os::IoFault::kError, world_.device.calls() + 1, EIO);
  swap_in_.Request(slots_[1]);
  EXPECT_EQ(ReadAll(), 1u);
  EXPECT_TRUE(Holds(1));
}

// Sixteen buffers: more requests wait until earlier ones are used up, and none is lost.
TEST_F(SwapInTest, MoreRequestsThanBuffers) {
  for (size_t i = 0; i < kPages; ++i) swap_in_.Request(slots_[i]);
  EXPECT_EQ(ReadAll(), SwapIn::kReadsMax);
  for (size_t i = 0; i < SwapIn::kReadsMax; ++i) {
    EXPECT_TRUE(Holds(i)) << i;
    Free(i);
  }
  for (size_t i = SwapIn::kReadsMax; i < kPages; ++i) swap_in_.Request(slots_[i]);
  EXPECT_EQ(ReadAll(), kPages - SwapIn::kReadsMax);
  for (size_t i = SwapIn::kReadsMax; i < kPages; ++i) EXPECT_TRUE(Holds(i)) << i;
}

// What a fault asked for in this pass or the last one is not dropped for another request.
TEST_F(SwapInTest, OnlyWhatNobodyAsksForGivesWay) {
  for (size_t i = 0; i < SwapIn::kReadsMax; ++i) swap_in_.Request(slots_[i]);
  EXPECT_EQ(ReadAll(), SwapIn::kReadsMax);
  for (int pass = 0; pass < 3; ++pass) {
    swap_in_.BeginPass();
    for (size_t i = 0; i < SwapIn::kReadsMax; ++i) EXPECT_TRUE(Holds(i));
    swap_in_.Request(slots_[20]);
    EXPECT_EQ(ReadAll(), 0u);
  }
  swap_in_.BeginPass();
  swap_in_.BeginPass();
  for (size_t i = 1; i < SwapIn::kReadsMax; ++i) EXPECT_TRUE(Holds(i));
  swap_in_.Request(slots_[20]);
  EXPECT_EQ(ReadAll(), 1u);
  EXPECT_TRUE(Holds(20));
  EXPECT_EQ(swap_in_.Find(slots_[0]).held, Held::kNothing);
}

TEST_F(SwapInTest, ReadaheadComesWhenNothingIsWanted) {
  for (size_t i = 0; i < SwapIn::kReadsMax; ++i) EXPECT_TRUE(swap_in_.RequestAhead(slots_[i]));
  EXPECT_FALSE(swap_in_.RequestAhead(slots_[16]));
  swap_in_.Request(slots_[20]);
  SwapIn::Batch batch;
  swap_in_.Begin(true, &batch);
  EXPECT_FALSE(batch.ahead);
  EXPECT_EQ(batch.count, 1u);
  swap_in_.Read(world_.context, &batch);
  swap_in_.Finish(batch);
  swap_in_.Begin(false, &batch);
  EXPECT_EQ(batch.count, 0u);
  for (int round = 0; round < 2; ++round) {
    swap_in_.Begin(true, &batch);
    EXPECT_TRUE(batch.ahead);
    EXPECT_EQ(batch.count, SwapIn::kAheadMax);
    swap_in_.Read(world_.context, &batch);
    swap_in_.Finish(batch);
  }
  swap_in_.Begin(true, &batch);
  EXPECT_EQ(batch.count, 0u) << "nothing lies ahead any more";
  EXPECT_EQ(swap_in_.Find(slots_[0]).held, Held::kNothing) << "it is in the cache's frames";
}

TEST_F(SwapInTest, AForkedChildBeginsWithNothing) {
  swap_in_.Request(slots_[0]);
  static_cast<void>(swap_in_.RequestAhead(slots_[1]));
  EXPECT_EQ(ReadAll(), 1u);
  swap_in_.Request(slots_[2]);
  swap_in_.Reset();
  EXPECT_EQ(swap_in_.Find(slots_[0]).held, Held::kNothing);
  EXPECT_EQ(swap_in_.Find(slots_[2]).held, Held::kNothing);
  EXPECT_EQ(ReadAll(), 0u);
  SwapIn::Batch batch;
  swap_in_.Begin(true, &batch);
  EXPECT_EQ(batch.count, 0u);
}

}  // namespace
}  // namespace uzswap
