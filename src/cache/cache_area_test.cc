// Areas are created and destroyed while other threads use them. Leaves, nodes and ids are used
// again, and no load ever returns a page of another area or offset.
#include <atomic>
#include <cstdio>
#include <gtest/gtest.h>
#include <thread>

#include "base/testing/from_environment.h"
#include "cache/testing/cache_fixture.h"

namespace uzswap {
namespace {

constexpr uint64_t kAreas = 4;
constexpr uint64_t kOffsets = 40;
constexpr uint64_t kStride = 61;  // spreads over leaves, some of them shared

void Stamp(SwapEntry entry, uint64_t version, TestPage& page) {
  FillPageOf(PageKind::kPointers, version % 8, page.bytes);
  const uint64_t key = EntryKey(entry).raw();
  memcpy(page.bytes.data() + 256, &key, sizeof(key));
}

TEST(CacheAreaTest, PagesAreNeverFoundUnderAnotherName) {
  CacheFixture fixture;
  std::atomic<AreaId> areas[kAreas] = {};
  for (std::atomic<AreaId>& area : areas) {
    area.store(fixture.cache.CreateArea(AreaKind::kPersistent));
  }
  const uint64_t operations = FromEnvironment("UZSWAP_TEST_OPS", 200'000) / 10;
  std::atomic<uint64_t> left{2};
  printf("seeds 1, 2, 3; %lu operations for each thread\n", operations);
  const auto work = [&](CacheContext& context, uint64_t seed) {
    Rng rng(seed);
    TestPage page;
    for (uint64_t i = 0; i < operations; ++i) {
      const SwapEntry entry = {areas[rng.Below(kAreas)].load(), rng.Below(kOffsets) * kStride};
      switch (rng.Below(4)) {
        case 0:
        case 1:
          Stamp(entry, i, page);
          static_cast<void>(fixture.cache.Store(context, entry, page.view()));
          break;
        case 2: {
          const LoadMode mode = rng.OneIn(2) ? LoadMode::kKeep : LoadMode::kExclusive;
          if (fixture.cache.Load(context, entry, page.span(), mode) != LoadOutcome::kLoaded) break;
          uint64_t key = 0;
          memcpy(&key, page.bytes.data() + 256, sizeof(key));
          ASSERT_EQ(key, EntryKey(entry).raw());
          break;
        }
        default:
          fixture.cache.Invalidate(context, entry);
          break;
      }
    }
  };
  // A worker that stops at a failed assertion is counted too: the loop below ends.
  std::thread first([&] { work(fixture.context, 1), left.fetch_sub(1); });
  std::thread second([&] { work(fixture.other, 2), left.fetch_sub(1); });
  CacheContext destroyer;
  ASSERT_TRUE(destroyer.Init(fixture.cache).ok());
  Rng rng(3);
  uint64_t destroyed = 0;
  while (left.load() > 0) {
    std::atomic<AreaId>& area = areas[rng.Below(kAreas)];
    fixture.cache.DestroyArea(destroyer, area.load());
    area.store(fixture.cache.CreateArea(AreaKind::kPersistent));
    ++destroyed;
    std::this_thread::yield();
  }
  first.join();
  second.join();
  EXPECT_GT(destroyed, 0u);
  fixture.cache.Audit();
  for (std::atomic<AreaId>& area : areas) fixture.cache.DestroyArea(destroyer, area.load());
  EXPECT_EQ(fixture.pool.Snapshot().objects, 0u);
}

}  // namespace
}  // namespace uzswap
