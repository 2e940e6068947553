// Checks that threads that work on their own objects rarely contend, and that this wastes little
// room. The tests count; they measure no time. One thread acts as several by ThreadShardScope. If a
// test needs a lock held, a second thread holds it.
#include <atomic>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/rng.h"
#include "base/testing/thread_shard_scope.h"
#include "base/testing/wait_until.h"
#include "base/thread_shard.h"
#include "pool/testing/pool_testing.h"

namespace uzswap {

// Finds the lock that guards an object.
class PoolSharingTestPeer {
 public:
  static Mutex& LockOf(Pool& pool, PoolVariant variant, Handle handle) {
    if (variant == PoolVariant::kZbud) {
      auto& zbud = static_cast<ZbudPool&>(pool);
      const uint32_t unit = zbud.handles_.LocationOf(handle.index()).unit;
      return zbud.shards_[zbud.buds_[unit].shard.load(std::memory_order_relaxed)].mutex;
    }
    auto& zsmalloc = static_cast<ZsmallocPool&>(pool);
    const uint32_t unit = zsmalloc.handles_.LocationOf(handle.index()).unit;
    return zsmalloc.GroupAt(zsmalloc.pages_[unit].home.load(std::memory_order_relaxed)).mutex;
  }
  // The counters of contention. Snapshot would return them too, but it takes every lock.
  static PoolStatistics Contention(Pool& pool) {
    PoolStatistics sum;
    static_cast<HandlePool&>(pool).AddContention(sum);
    return sum;
  }
};

namespace {

// Holds a lock in another thread, because no thread may hold two locks of a rank.
class Holder {
 public:
  explicit Holder(Mutex& mutex) {
    thread_ = std::thread([this, &mutex] {
      const MutexLock lock(mutex);
      held_.store(true);
      EXPECT_TRUE(WaitUntil([this] { return let_go_.load(); })) << "the test keeps the holder";
    });
    EXPECT_TRUE(WaitUntil([this] { return held_.load(); })) << "the holder does not get the lock";
  }
  ~Holder() {
    let_go_.store(true);
    thread_.join();
  }

 private:
  std::atomic<bool> held_{false};
  std::atomic<bool> let_go_{false};
  std::thread thread_;
};

class PoolSharingTest : public testing::TestWithParam<PoolVariant> {
 protected:
  static constexpr uint32_t kFrames = 4096;
  // No class whose positions serve another size of these tests.
  static constexpr size_t kSize = 1000;

  void SetUp() override {
    ASSERT_TRUE(arena_.Init({.capacity = PageCount(kFrames), .access = FrameAccess::kAlways}).ok());
    pool_ = MakePool(GetParam(), {.arena = &arena_});
    ASSERT_NE(pool_, nullptr);
  }
  void TearDown() override {
    for (Handle handle : handles_) pool_->Free(handle);
    pool_->Audit();
    arena_.Audit();
  }
  // Allocates an object and keeps its handle.
  bool Allocate(ThreadShardIdentity& thread, size_t size = kSize) {
    const ThreadShardScope scope(thread);
    const AllocateResult result = pool_->Allocate(size, 1);
    if (result.ok()) handles_.push_back(result.handle);
    return result.ok();
  }
  // Leaves `holes` free positions in the frames of the thread's shard.
  void MakeHoles(ThreadShardIdentity& thread, size_t holes) {
    const size_t first = handles_.size();
    for (size_t i = 0; i < 2 * holes; ++i) ASSERT_TRUE(Allocate(thread));
    std::vector<Handle> kept(handles_.begin(), handles_.begin() + static_cast<ptrdiff_t>(first));
    for (size_t i = first; i < handles_.size(); ++i) {
      if (i % 2 == 0) kept.push_back(handles_[i]);
      if (i % 2 != 0) pool_->Free(handles_[i]);
    }
    handles_ = kept;
  }
  PoolStatistics Now() { return pool_->Snapshot(); }
  uint64_t Waits() { return PoolSharingTestPeer::Contention(*pool_).lock_waits; }

  FrameArena arena_;
  std::unique_ptr<HandlePool> pool_;
  std::vector<Handle> handles_;
  ThreadShardIdentity a_{0};
  ThreadShardIdentity b_{1};
};

TEST_P(PoolSharingTest, AFewHolesOfAnotherThreadAreLeftToIt) {
  MakeHoles(a_, 2);
  const uint64_t frames = Now().frames;
  ASSERT_TRUE(Allocate(b_));
  EXPECT_EQ(Now().placed_elsewhere, 0u);
  EXPECT_EQ(Now().frames, frames + 1);
  ASSERT_TRUE(Allocate(a_));
  EXPECT_EQ(Now().frames, frames + 1);
}

TEST_P(PoolSharingTest, PlentyOfHolesOfAnotherThreadAreUsedBeforeAFreshFrame) {
  MakeHoles(a_, 64);
  const uint64_t frames = Now().frames;
  ASSERT_TRUE(Allocate(b_));
  EXPECT_EQ(Now().placed_elsewhere, 1u);
  EXPECT_EQ(Now().frames, frames);
}

TEST_P(PoolSharingTest, TheLastHoleOfAnotherThreadIsUsedWhenThereIsNoFreshFrame) {
  MakeHoles(a_, 2);
  const uint64_t frames = Now().frames;
  arena_.SetLimit(PageCount(frames));
  ASSERT_TRUE(Allocate(b_));
  ASSERT_TRUE(Allocate(b_));
  EXPECT_EQ(Now().placed_elsewhere, 2u);
  EXPECT_EQ(Now().frames, frames);
  EXPECT_EQ(Now().no_space, 0u);
}

// Race: an allocation that looks for room in another shard, and a thread that holds that shard's
// lock.
TEST_P(PoolSharingTest, AHeldLockBeforeTheAllocationIsPassedBy) {
  MakeHoles(a_, 64);
  const uint64_t frames = Now().frames;
  {
    const Holder holder(PoolSharingTestPeer::LockOf(*pool_, GetParam(), handles_.front()));
    ASSERT_TRUE(Allocate(b_)) << "the allocation must not wait for the lock";
  }
  EXPECT_EQ(Now().placed_elsewhere, 0u);
  EXPECT_EQ(Now().locks_passed, 1u);
  EXPECT_EQ(Now().lock_waits, 0u);
  EXPECT_EQ(Now().frames, frames + 1);
}

TEST_P(PoolSharingTest, AHeldLockIsWaitedForWhenThereIsNoFreshFrame) {
  MakeHoles(a_, 64);
  arena_.SetLimit(PageCount(Now().frames));
  Mutex& mutex = PoolSharingTestPeer::LockOf(*pool_, GetParam(), handles_.front());
  auto holder = std::make_unique<Holder>(mutex);
  std::thread allocating([this] { EXPECT_TRUE(Allocate(b_)); });
  // The wait is counted before it begins. Snapshot would wait too.
  EXPECT_TRUE(WaitUntil([&] { return Waits() > 0; })) << "no thread waited for the lock";
  holder.reset();
  allocating.join();
  EXPECT_EQ(Now().placed_elsewhere, 1u);
  EXPECT_EQ(Now().no_space, 0u);
}

TEST_P(PoolSharingTest, AFreeWaitsForTheLockOfItsObject) {
  ASSERT_TRUE(Allocate(a_));
  const Handle handle = handles_.back();
  handles_.clear();
  auto holder = std::make_unique<Holder>(PoolSharingTestPeer::LockOf(*pool_, GetParam(), handle));
  std::thread freeing([this, handle] { pool_->Free(handle); });
  EXPECT_TRUE(WaitUntil([&] { return Waits() > 0; })) << "no thread waited for the lock";
  EXPECT_TRUE(pool_->TryPin(handle)) << "a reader must not wait for the lock";
  holder.reset();
  freeing.join();
  EXPECT_EQ(Now().objects, 0u);
}

TEST_P(PoolSharingTest, ThreadsOfOneShardPartAndStayApart) {
  ThreadShardIdentity same(64);
  int rounds = 0;
  for (; rounds < 2000 && same.number() % 8 == a_.number() % 8; ++rounds) {
    ASSERT_TRUE(Allocate(a_));
    ASSERT_TRUE(Allocate(same));
  }
  EXPECT_GE(rounds, 8);
  EXPECT_NE(same.number() % 8, a_.number() % 8);
  const PoolStatistics before = Now();
  EXPECT_GE(before.shard_moves, 1u);
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(Allocate(a_));
    ASSERT_TRUE(Allocate(same));
  }
  EXPECT_EQ(Now().shard_moves, before.shard_moves);
}

TEST_P(PoolSharingTest, OneThreadAfterAnotherIsNoMeeting) {
  for (uint32_t number = 0; number < 10 * kThreadShardMeetings; ++number) {
    ThreadShardIdentity one(8 * number);
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(Allocate(one));
    EXPECT_EQ(one.number(), 8 * number);
  }
  EXPECT_EQ(Now().shard_moves, 0u);
}

// Race: the first use of a unit, and a thread that reads the unit's number early from a frame's
// tag.
TEST_P(PoolSharingTest, AUnitNeverUsedHasNoObjects) {
  ASSERT_TRUE(Allocate(b_));
  constexpr uint64_t kNeverUsed = 3000;
  ObjectInfo list[kObjectsInUnitMax];
  FrameId used;
  for (uint32_t raw = 0; raw < kFrames && !used.valid(); ++raw) {
    if (pool_->ListObjectsInFrame(FrameId(raw), list) > 0) used = FrameId(raw);
  }
  const FrameId early = arena_.Allocate(FrameKind::kPool, arena_.owner(used), kNeverUsed);
  const FrameId to = arena_.Allocate(FrameKind::kPool, arena_.owner(used), UINT64_MAX);
  EXPECT_EQ(pool_->ListObjectsInFrame(early, list), 0u);
  EXPECT_EQ(arena_.tag(to), UINT64_MAX);
  EXPECT_EQ(pool_->TryMigrateFrame(early, to), MigrateOutcome::kGone);
  arena_.Free(early);
  arena_.Free(to);
}

// Two threads; each frees and allocates its own objects.
TEST_P(PoolSharingTest, ThreadsWithTheirOwnObjectsHardlyMeet) {
  constexpr size_t kObjects = 2000;
  constexpr size_t kOperations = 40000;
  std::atomic<int> done{0};
  const auto work = [this, &done](uint32_t number) {
    ThreadShardIdentity identity(number);
    const ThreadShardScope scope(identity);
    Rng rng(number + 1);
    std::vector<Handle> mine;
    const auto allocate = [&] { return pool_->Allocate(64 + rng.Below(385), number).handle; };
    for (size_t i = 0; i < kObjects; ++i) mine.push_back(allocate());
    for (size_t i = 0; i < kOperations; ++i) {
      Handle& handle = mine[i % kObjects];
      pool_->Free(handle);
      handle = allocate();
    }
    // When one thread has ended and frees its objects, they would be plenty for the other. So it
    // waits for the other to end.
    done.fetch_add(1);
    EXPECT_TRUE(WaitUntil([&] { return done.load() == 2; })) << "the other thread does not end";
    for (Handle handle : mine) pool_->Free(handle);
    EXPECT_EQ(ThreadShard(), number);
  };
  std::thread other(work, 1);
  work(0);
  other.join();
  const PoolStatistics now = Now();
  EXPECT_EQ(now.shard_moves, 0u);
  EXPECT_LE(now.placed_elsewhere, kOperations / 100);
  RecordProperty("placed_elsewhere", static_cast<int>(now.placed_elsewhere));
  RecordProperty("lock_waits", static_cast<int>(now.lock_waits));
  EXPECT_LE(now.lock_waits + now.locks_passed, kOperations / 100);
}

std::string VariantName(const testing::TestParamInfo<PoolVariant>& variant) {
  return NameOf(variant.param);
}
INSTANTIATE_TEST_SUITE_P(Pools, PoolSharingTest, testing::ValuesIn(kAllPoolVariants), VariantName);

}  // namespace
}  // namespace uzswap
