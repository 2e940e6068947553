#include <gtest/gtest.h>
#include <thread>
#include <vector>

#include "base/histogram.h"
#include "base/intrusive_list.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/rng.h"
#include "base/testing/thread_shard_scope.h"
#include "base/thread_shard.h"

namespace uzswap {
namespace {

TEST(CheckDeathTest, PrintsBothOperands) {
  const int three = 3;
  EXPECT_DEATH(UZ_CHECK_EQ(three, 4), "check failed: three == 4 \\(3 against 4\\)");
  EXPECT_DEATH(UZ_CHECK(three == 4), "check failed: three == 4");
}

TEST(ResultTest, CarriesValueOrError) {
  Result<int> good(7);
  EXPECT_TRUE(good.ok());
  EXPECT_EQ(good.value(), 7);
  Result<int> bad(Error{12, "mmap"});
  EXPECT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().errno_value, 12);
  EXPECT_TRUE(Result<void>().ok());
  EXPECT_DEATH(static_cast<void>(bad.value()), "check failed");
}

TEST(HistogramTest, EveryValueFallsIntoTheBucketThatHoldsIt) {
  for (int bucket = 0; bucket + 1 < LatencyHistogram::kBuckets; ++bucket) {
    const uint64_t low = LatencyHistogram::LowerBound(bucket);
    const uint64_t next = LatencyHistogram::LowerBound(bucket + 1);
    ASSERT_LT(low, next);
    EXPECT_EQ(LatencyHistogram::BucketOf(low), bucket);
    EXPECT_EQ(LatencyHistogram::BucketOf(next - 1), bucket);
  }
  EXPECT_EQ(LatencyHistogram::BucketOf(UINT64_MAX), LatencyHistogram::kBuckets - 1);
}

TEST(HistogramTest, QuantilesOfAKnownSeries) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.Quantile(500), 0u);
  for (uint64_t i = 1; i <= 1000; ++i) histogram.Record(i);
  EXPECT_EQ(histogram.Count(), 1000u);
  EXPECT_EQ(histogram.Max(), 1000u);
  EXPECT_NEAR(static_cast<double>(histogram.Quantile(500)), 500, 500.0 / 8);
  EXPECT_NEAR(static_cast<double>(histogram.Quantile(990)), 990, 990.0 / 8);
  LatencyHistogram merged;
  merged.Merge(histogram);
  EXPECT_EQ(merged.Count(), 1000u);
}

struct Item {
  int value = 0;
  ListLink link;
};

TEST(IntrusiveListTest, KeepsOrderAndSize) {
  Item a{1, {}}, b{2, {}}, c{3, {}};
  IntrusiveList<Item, &Item::link> list;
  list.PushBack(b);
  list.PushBack(c);
  list.PushFront(a);
  list.Audit();
  EXPECT_EQ(list.size(), 3u);
  EXPECT_EQ(list.Next(a), &b);
  list.Remove(b);
  EXPECT_EQ(list.Next(a), &c);
  EXPECT_EQ(list.Next(c), nullptr);
  EXPECT_EQ(list.front(), &a);
  list.Remove(a);
  EXPECT_EQ(list.front(), &c);
  list.Remove(c);
  EXPECT_EQ(list.front(), nullptr);
  list.Audit();
}

TEST(RngTest, IsReproducibleAndInRange) {
  Rng first(42);
  Rng second(42);
  for (int i = 0; i < 1000; ++i) {
    const uint64_t value = first.Below(10);
    EXPECT_LT(value, 10u);
    EXPECT_EQ(value, second.Below(10));
  }
}

TEST(ThreadShardTest, StaysWithItsThread) {
  const uint32_t mine = ThreadShard();
  uint32_t other = mine;
  std::thread([&other] { other = ThreadShard(); }).join();
  EXPECT_NE(other, mine);
  {
    ThreadShardIdentity other_identity(77);
    const ThreadShardScope scope(other_identity);
    EXPECT_EQ(ThreadShard(), 77u);
  }
  EXPECT_EQ(ThreadShard(), mine);
}

TEST(ThreadShardTest, MeetingsMoveAThreadAndEachMoveDoublesItsPatience) {
  ThreadShardIdentity identity(8);
  const ThreadShardScope scope(identity);
  uint32_t patience = kThreadShardMeetings;
  for (int move = 0; move < 3; ++move, patience *= 2) {
    const uint32_t before = ThreadShard();
    for (uint32_t i = 1; i < patience; ++i) EXPECT_FALSE(NoteThreadShardMet());
    EXPECT_EQ(ThreadShard(), before);
    EXPECT_TRUE(NoteThreadShardMet());
    EXPECT_NE(ThreadShard(), before);
  }
}

TEST(ThreadShardTest, AShardKnowsWhoMeetsWhom) {
  ThreadShardIdentity a(8);
  ThreadShardIdentity b(16);
  ShardUser user;
  for (uint32_t i = 0; i < 100; ++i) {
    const ThreadShardScope scope(a);
    EXPECT_FALSE(user.Note()) << "alone";
  }
  uint32_t moves = 0;
  for (uint32_t i = 0; i < kThreadShardMeetings; ++i) {
    for (ThreadShardIdentity* identity : {&b, &a}) {
      const ThreadShardScope scope(*identity);
      if (user.Note()) ++moves;
    }
  }
  EXPECT_EQ(moves, 1u) << "one thread moves; then the other is alone";
}

TEST(MutexTest, ExcludesUnderContention) {
  Mutex mutex(LockRank::kLeaf);
  int64_t shared = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20000; ++i) {
        MutexLock lock(mutex);
        ++shared;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(shared, 80000);
}

TEST(MutexTest, TryLockDeclinesWhenHeld) {
  Mutex mutex(LockRank::kLeaf);
  mutex.Lock();
  std::thread([&] {
    const bool taken = mutex.TryLock();
    EXPECT_FALSE(taken);
    if (taken) mutex.Unlock();
  }).join();
  mutex.Unlock();
}

#ifndef NDEBUG
TEST(MutexDeathTest, TakingLocksAgainstTheirRankIsABug) {
  Mutex outer(LockRank::kPager);
  Mutex inner(LockRank::kFrameArena);
  EXPECT_DEATH(
      {
        MutexLock first(inner);
        MutexLock second(outer);
      },
      "t_held");
}
#endif

}  // namespace
}  // namespace uzswap
