// Threads that store, load, free, compact, reclaim and empty ranges at the same time, with a shared
// table of entries. The thread that exchanges the handle of an entry for 0 owns the object and may
// free it. The other threads only try. Every object's content depends on its owner key, so a wrong
// byte is detected.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <gtest/gtest.h>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "base/rng.h"
#include "base/testing/from_environment.h"
#include "base/testing/wait_until.h"
#include "frame/block_reclaimer.h"
#include "pool/testing/pool_testing.h"

namespace uzswap {
namespace {

using Parameters = std::tuple<PoolVariant, FrameAccess>;

uint64_t OperationsPerThread() { return FromEnvironment("UZSWAP_TEST_OPS", 6000); }

class PoolStressTest : public testing::TestWithParam<Parameters> {
 protected:
  static constexpr uint32_t kFrames = 8192;
  static constexpr size_t kEntries = 28000;

  void SetUp() override {
    ASSERT_TRUE(
        arena_.Init({.capacity = PageCount(kFrames), .access = std::get<1>(GetParam())}).ok());
    pool_ = MakePool(std::get<0>(GetParam()), {.arena = &arena_});
    ASSERT_NE(pool_, nullptr);
  }
  void TearDown() override {
    for (std::atomic<uint64_t>& entry : entries_) FreeEntry(entry);
    EXPECT_EQ(pool_->Snapshot().objects, 0u);
    pool_->Audit();
    arena_.Audit();
    EXPECT_EQ(arena_.frames_in_use().raw(), 0u);
  }

  // The content of an object is a function of its owner key and length.
  static void Fill(std::vector<std::byte>& bytes, uint64_t key) {
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = std::byte(key * 31 + i);
  }
  static bool Holds(const PinnedObject& pin, uint64_t key) {
    size_t i = 0;
    for (size_t s = 0; s < pin.segment_count(); ++s) {
      for (std::byte b : pin.segment(s)) {
        if (b != std::byte(key * 31 + i++)) return false;
      }
    }
    return true;
  }

  // Readers hold pins only for a short time.
  void FreeWhenUnpinned(Handle handle) {
    ASSERT_TRUE(WaitUntil([&] { return pool_->TryFree(handle) == FreeOutcome::kFreed; }))
        << "an object stayed pinned";
  }
  void FreeEntry(std::atomic<uint64_t>& entry) {
    const Handle handle = Handle::FromRaw(entry.exchange(0));
    if (!handle.valid()) return;
    FreeWhenUnpinned(handle);
  }
  void StoreEntry(Rng& rng, std::vector<std::byte>& scratch) {
    const size_t number = rng.Below(kEntries);
    FreeEntry(entries_[number]);
    scratch.resize(1 + rng.Below(rng.OneIn(3) ? kPageSize : 1500));
    Fill(scratch, number);
    const AllocateResult result = pool_->Store(scratch, number);
    if (!result.ok()) return;
    uint64_t expected = 0;
    // Another thread filled the entry meanwhile, so this object is freed.
    if (!entries_[number].compare_exchange_strong(expected, result.handle.raw())) {
      FreeWhenUnpinned(result.handle);
    }
  }
  void LoadEntry(Rng& rng) {
    const size_t number = rng.Below(kEntries);
    const Handle handle = Handle::FromRaw(entries_[number].load());
    if (!handle.valid()) return;
    const PinnedObject pin = pool_->TryPin(handle);
    if (!pin) return;
    EXPECT_TRUE(Holds(pin, number));
  }
  void Work(uint64_t seed, uint64_t operations, bool shrink) {
    Rng rng(seed);
    std::vector<std::byte> scratch;
    for (uint64_t i = 0; i < operations; ++i) {
      if (rng.OneIn(3)) {
        StoreEntry(rng, scratch);
      } else if (shrink && rng.OneIn(4)) {
        FreeEntry(entries_[rng.Below(kEntries)]);
      } else {
        LoadEntry(rng);
      }
    }
  }
  // Acts as a writeback engine: takes the oldest unit, frees the objects that it can, and moves the
  // rest.
  void Evict(Rng& rng) {
    ObjectInfo list[kObjectsInUnitMax];
    const ReclaimUnit unit = pool_->BeginReclaim(list);
    if (!unit.valid()) return;
    for (uint32_t i = 0; i < unit.objects; ++i) {
      uint64_t expected = list[i].handle.raw();
      if (rng.OneIn(2)) {
        static_cast<void>(pool_->TryMoveOut(list[i].handle));
      } else if (entries_[list[i].owner_key].compare_exchange_strong(expected, 0)) {
        FreeWhenUnpinned(list[i].handle);
      }
    }
    static_cast<void>(pool_->EndReclaim(unit));
  }
  void ReclaimSomeRange(Rng& rng) {
    ReclaimRangeResult result =
        arena_.ReclaimRange(FrameId(static_cast<uint32_t>(rng.Below(32) * 256)), PageCount(256));
    if (result.complete()) result.range.Discard();
  }

  FrameArena arena_;
  std::unique_ptr<HandlePool> pool_;
  std::atomic<uint64_t> entries_[kEntries] = {};
};

TEST_P(PoolStressTest, EverythingAtOnce) {
  std::vector<std::thread> workers;
  std::atomic<int> working{3};
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    workers.emplace_back([this, seed, &working] {
      Work(seed, OperationsPerThread(), true);
      working.fetch_sub(1);
    });
  }
  workers.emplace_back([this, &working] {
    Rng rng(99);
    while (working.load() > 0) {
      static_cast<void>(pool_->CompactStep(50));
      Evict(rng);
    }
  });
  workers.emplace_back([this, &working] {
    Rng rng(98);
    while (working.load() > 0) {
      ReclaimSomeRange(rng);
      static_cast<void>(arena_.ReleaseFreeFrames(PageCount(64)));
      static_cast<void>(pool_->ListObjectsInFrame(
          FrameId(static_cast<uint32_t>(rng.Below(kFrames))), std::span<ObjectInfo>()));
    }
  });
  for (std::thread& worker : workers) worker.join();
  for (size_t i = 0; i < kEntries; ++i) {
    const Handle handle = Handle::FromRaw(entries_[i].load());
    if (!handle.valid()) continue;
    EXPECT_TRUE(Holds(pool_->Pin(handle), i));
  }
}

// Threads store, load and free, while one compacts and two shrink the arena by whole blocks.
TEST_P(PoolStressTest, BlocksAreReclaimedWhileThreadsStoreAndFree) {
  constexpr uint32_t kFramesPerBlock = 64;
  BlockReclaimer reclaimer(arena_, kFramesPerBlock);
  std::vector<std::thread> workers;
  std::atomic<int> working{2};
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    workers.emplace_back([this, seed, &working] {
      Work(seed, OperationsPerThread(), true);
      working.fetch_sub(1);
    });
  }
  workers.emplace_back([this, &working] {
    while (working.load() > 0) static_cast<void>(pool_->CompactStep(50));
  });
  for (int i = 0; i < 2; ++i) {
    workers.emplace_back([&reclaimer, &working] {
      while (working.load() > 0) static_cast<void>(reclaimer.ReclaimBlocks(4));
    });
  }
  for (std::thread& worker : workers) worker.join();
  // Frees 15 of 16 objects, so that most blocks have few frames in use.
  for (size_t i = 0; i < kEntries; ++i) {
    if (i % 16 != 0) FreeEntry(entries_[i]);
  }
  const uint64_t populated = arena_.frames_populated().raw();
  const uint64_t released = reclaimer.ReclaimBlocks(BlockReclaimer::kBlocksMax).raw();
  EXPECT_GE(released, uint64_t{kFramesPerBlock});
  EXPECT_EQ(arena_.frames_populated().raw(), populated - released);
  EXPECT_GT(reclaimer.Snapshot().blocks_released, 0u);
  for (size_t i = 0; i < kEntries; ++i) {
    const Handle handle = Handle::FromRaw(entries_[i].load());
    if (handle.valid()) {
      EXPECT_TRUE(Holds(pool_->Pin(handle), i));
    }
  }
}

// The requirement for contiguous ranges: four threads work, the pool is 80 % full, and ranges
// of 2 MiB are reclaimed.
TEST_P(PoolStressTest, TwoMebibytesComeFreeUnderLoad) {
  Rng fill(5);
  std::vector<std::byte> scratch;
  arena_.SetLimit(PageCount(kFrames * 4 / 5));
  for (int i = 0; i < 60000; ++i) StoreEntry(fill, scratch);
  std::vector<std::thread> workers;
  std::atomic<bool> stop{false};
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    workers.emplace_back([this, seed, &stop] {
      for (uint64_t i = seed; !stop.load(); i += 4) Work(i, 100, false);
    });
  }
  EXPECT_GE(arena_.frames_in_use().raw(), kFrames * 3 / 4);
  int complete = 0;
  const int tries = static_cast<int>(FromEnvironment("UZSWAP_TEST_TRIES", 25));
  Rng rng(3);
  for (int i = 0; i < tries; ++i) {
    ReclaimRangeResult result =
        arena_.ReclaimRange(FrameId(static_cast<uint32_t>(rng.Below(16) * 512)), PageCount(512));
    if (result.complete()) ++complete;
    if (result.complete()) result.range.Discard();
  }
  stop.store(true);
  for (std::thread& worker : workers) worker.join();
  EXPECT_GE(complete * 100, (tries - 1) * 99) << "of " << tries;
}

std::string ParametersName(const testing::TestParamInfo<Parameters>& parameters) {
  return NameOf(std::get<0>(parameters.param)) +
         (std::get<1>(parameters.param) == FrameAccess::kAlways ? "Always" : "WhilePinned");
}

INSTANTIATE_TEST_SUITE_P(
    Pools, PoolStressTest,
    testing::Combine(testing::Values(PoolVariant::kZbud, PoolVariant::kZsmalloc8),
                     testing::Values(FrameAccess::kAlways, FrameAccess::kWhilePinned)),
    ParametersName);

}  // namespace
}  // namespace uzswap
