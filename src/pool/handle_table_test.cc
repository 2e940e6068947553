#include "pool/handle_table.h"

#include <gtest/gtest.h>
#include <set>
#include <thread>
#include <vector>

#include "base/testing/thread_shard_scope.h"

namespace uzswap {
namespace {

class HandleTableTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(table_.Init(1000).ok()); }
  Handle Make(size_t size = 100, uint64_t key = 7, Location location = {1, 2, 3, 64}) {
    const uint32_t index = table_.TakeIndex();
    return index != 0 ? table_.Publish(index, size, key, location, 0) : Handle();
  }
  HandleTable table_;
};

TEST_F(HandleTableTest, HoldsWhatWasPublished) {
  const Handle handle = Make(4096, UINT64_MAX, {UINT32_MAX, 255, UINT32_MAX, 4080});
  EXPECT_TRUE(handle.valid());
  EXPECT_EQ(table_.SizeOf(handle.index()), 4096u);
  EXPECT_EQ(table_.OwnerOf(handle.index()), UINT64_MAX);
  EXPECT_EQ(table_.LocationOf(handle.index()), (Location{UINT32_MAX, 255, UINT32_MAX, 4080}));
  EXPECT_EQ(Handle::FromRaw(handle.raw()), handle);
}

TEST_F(HandleTableTest, GivesOutEveryIndexButZeroOnce) {
  std::set<uint32_t> seen;
  for (Handle handle = Make(); handle.valid(); handle = Make()) {
    EXPECT_TRUE(seen.insert(handle.index()).second);
  }
  EXPECT_EQ(seen.size(), 999u);
  EXPECT_EQ(*seen.begin(), 1u);
}

TEST_F(HandleTableTest, AStaleHandleIsReported) {
  const Handle handle = Make();
  ASSERT_EQ(table_.Retire(handle), RetireOutcome::kRetired);
  EXPECT_EQ(table_.Retire(handle), RetireOutcome::kDoubleFree);
  EXPECT_EQ(table_.TryPin(handle), PinOutcome::kStale);
  table_.ReturnIndex(handle.index());
  const Handle next = Make();
  ASSERT_EQ(next.index(), handle.index());
  EXPECT_NE(next, handle);
  EXPECT_EQ(table_.Retire(handle), RetireOutcome::kStale);
  EXPECT_FALSE(table_.IsLive(handle));
  EXPECT_TRUE(table_.IsLive(next));
  EXPECT_EQ(table_.TryPin(Handle(5000, 0)), PinOutcome::kStale);
  EXPECT_EQ(table_.TryPin(Handle()), PinOutcome::kStale);
}

TEST_F(HandleTableTest, ReadersMoversAndTheLiberatorExcludeEachOther) {
  const Handle handle = Make();
  ASSERT_EQ(table_.TryPin(handle), PinOutcome::kPinned);
  ASSERT_EQ(table_.TryPin(handle), PinOutcome::kPinned);
  EXPECT_FALSE(table_.TryBeginMove(handle.index()));
  EXPECT_EQ(table_.Retire(handle), RetireOutcome::kPinned);
  table_.Unpin(handle.index());
  EXPECT_FALSE(table_.TryBeginMove(handle.index()));
  table_.Unpin(handle.index());
  ASSERT_TRUE(table_.TryBeginMove(handle.index()));
  EXPECT_FALSE(table_.TryBeginMove(handle.index()));
  EXPECT_EQ(table_.TryPin(handle), PinOutcome::kMoving);
  table_.EndMove(handle.index(), {8, 9, 10, 4080});
  EXPECT_EQ(table_.TryPin(handle), PinOutcome::kPinned);
  EXPECT_EQ(table_.LocationOf(handle.index()), (Location{8, 9, 10, 4080}));
  table_.Unpin(handle.index());
  EXPECT_EQ(table_.Retire(handle), RetireOutcome::kRetired);
}

// One thread stores what another thread frees, like a compressor and a faulting thread.
TEST_F(HandleTableTest, WhatOneThreadReturnsAnotherTakesBeforeFreshNumbers) {
  HandleTable table;
  ASSERT_TRUE(table.Init(100000).ok());
  ThreadShardIdentity taker(0);
  ThreadShardIdentity returner(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<uint32_t> taken;
    {
      const ThreadShardScope scope(taker);
      for (int i = 0; i < 100; ++i) taken.push_back(table.TakeIndex());
    }
    const ThreadShardScope scope(returner);
    for (uint32_t index : taken) table.ReturnIndex(index);
  }
  EXPECT_LE(table.touched(), 100u + IndexPool::kPlenty + 2 * IndexPool::kBatch);
}

TEST_F(HandleTableTest, ThreadsSideBySideTakeNumbersOfDifferentBatches) {
  ThreadShardIdentity threads[2] = {ThreadShardIdentity(0), ThreadShardIdentity(1)};
  for (int i = 0; i < 200; ++i) {
    for (ThreadShardIdentity& thread : threads) {
      const ThreadShardScope scope(thread);
      EXPECT_EQ(table_.TakeIndex() / IndexPool::kBatch % 2, ThreadShard());
    }
  }
}

TEST_F(HandleTableTest, ThreadsDrawFromTheSameNumbers) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this] {
      for (int round = 0; round < 200; ++round) {
        std::vector<Handle> mine;
        for (int i = 0; i < 200; ++i) mine.push_back(Make());
        for (Handle handle : mine) {
          EXPECT_TRUE(handle.valid());
          EXPECT_EQ(table_.Retire(handle), RetireOutcome::kRetired);
          table_.ReturnIndex(handle.index());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(table_.CountLiveForAudit(), 0u);
}

}  // namespace
}  // namespace uzswap
