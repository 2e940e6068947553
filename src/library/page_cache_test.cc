#include "uzswap/page_cache.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <gtest/gtest.h>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "base/testing/from_environment.h"

namespace uzswap {
namespace {

using Stored = PageCache::Stored;
using Loaded = PageCache::Loaded;
using Lifetime = PageCache::Lifetime;
using Unit = std::vector<std::byte>;

constexpr uint64_t kMiB = uint64_t{1} << 20;

// The content of a unit follows from its index and version: half of it is noise.
Unit MakeUnit(size_t bytes, uint64_t index, uint64_t version) {
  Unit unit(bytes);
  std::mt19937_64 noise(index * 1'000'003 + version);
  for (size_t at = 0; at + 8 <= bytes; at += 8) {
    const uint64_t word = at % 16 == 0 ? noise() : version;
    memcpy(unit.data() + at, &word, sizeof(word));
  }
  return unit;
}

PageCache OpenCache(const PageCache::Options& options) {
  Result<PageCache> opened = PageCache::Open(options);
  EXPECT_TRUE(opened.ok()) << opened.error().what;
  return std::move(opened).value();
}

class PageCacheSizesTest : public testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(Units, PageCacheSizesTest,
                         testing::Values(512, 1024, 2048, 4096, 8192, 65536),
                         testing::PrintToStringParamName());

TEST_P(PageCacheSizesTest, StoreLoadInvalidate) {
  PageCache cache = OpenCache({.memory_bytes = 8 * kMiB, .unit_bytes = GetParam()});
  EXPECT_EQ(cache.unit_bytes(), GetParam());
  const PageCache::Area area = cache.CreateArea(Lifetime::kPersistent);
  ASSERT_NE(area, 0u);
  Unit found(GetParam());
  EXPECT_EQ(cache.Load(area, 7, found), Loaded::kMiss);
  for (uint64_t i = 0; i < 20; ++i) {
    ASSERT_EQ(cache.Store(area, i * 1000, MakeUnit(GetParam(), i, 1)), Stored::kStored);
  }
  ASSERT_EQ(cache.Store(area, 3000, MakeUnit(GetParam(), 3, 2)), Stored::kStored);
  for (uint64_t i = 0; i < 20; ++i) {
    ASSERT_EQ(cache.Load(area, i * 1000, found), Loaded::kLoaded);
    ASSERT_EQ(found, MakeUnit(GetParam(), i, i == 3 ? 2 : 1)) << i;
  }
  EXPECT_EQ(cache.statistics().units, 20u);
  EXPECT_TRUE(cache.Invalidate(area, 3000));
  EXPECT_FALSE(cache.Invalidate(area, 3000));
  EXPECT_EQ(cache.Load(area, 3000, found), Loaded::kMiss);
  EXPECT_EQ(cache.Load(area, 4000, found, PageCache::Keep::kTake), Loaded::kLoaded);
  EXPECT_EQ(found, MakeUnit(GetParam(), 4, 1));
  EXPECT_EQ(cache.Load(area, 4000, found), Loaded::kMiss);
  EXPECT_EQ(cache.statistics().units, 18u);
  cache.DestroyArea(area);
  EXPECT_EQ(cache.statistics().units, 0u);
  EXPECT_EQ(cache.statistics().object_bytes, 0u);
  EXPECT_EQ(cache.Store(area, 0, found), Stored::kUnknownArea);
}

TEST_P(PageCacheSizesTest, BatchesStopAtTheFirstThatIsMissing) {
  PageCache cache = OpenCache({.memory_bytes = 16 * kMiB, .unit_bytes = GetParam()});
  const PageCache::Area area = cache.CreateArea(Lifetime::kPersistent);
  constexpr size_t kUnits = 40;
  Unit all;
  for (uint64_t i = 0; i < kUnits; ++i) {
    const Unit unit = MakeUnit(GetParam(), i, 9);
    all.insert(all.end(), unit.begin(), unit.end());
  }
  EXPECT_EQ(cache.StoreMany(area, 100, all), kUnits);
  Unit found(all.size());
  EXPECT_EQ(cache.LoadMany(area, 100, found), kUnits);
  EXPECT_EQ(found, all);
  EXPECT_TRUE(cache.Invalidate(area, 125));
  EXPECT_EQ(cache.LoadMany(area, 100, found), 25u);
}

TEST_P(PageCacheSizesTest, AgreesWithAModel) {
  const uint64_t seed = SeedFromEnvironment(20240612);
  SCOPED_TRACE("seed " + std::to_string(seed));
  const std::string folder = testing::TempDir();
  PageCache cache = OpenCache({.memory_bytes = 2 * kMiB,
                               .unit_bytes = GetParam(),
                               .backing = folder.c_str(),
                               .encrypt = true,
                               .store_timeout_ms = 60'000});
  const PageCache::Area areas[] = {cache.CreateArea(Lifetime::kPersistent),
                                   cache.CreateArea(Lifetime::kEphemeral)};
  std::unordered_map<uint64_t, uint64_t> model[2];
  Rng rng(seed);
  const uint64_t indexes = 16 * kMiB / GetParam();
  Unit found(GetParam());
  for (uint64_t step = 0; step < 30'000 * 4096 / (4096 + GetParam()); ++step) {
    const size_t which = rng.OneIn(4) ? 1 : 0;
    const uint64_t index = rng.Below(indexes);
    auto& expected = model[which];
    if (rng.OneIn(2)) {
      ASSERT_EQ(cache.Store(areas[which], index, MakeUnit(GetParam(), index, step)),
                Stored::kStored);
      expected[index] = step;
      continue;
    }
    if (rng.OneIn(8)) {
      const bool was = cache.Invalidate(areas[which], index);
      if (which == 0) {
        ASSERT_EQ(was, expected.count(index) == 1);
      }
      expected.erase(index);
      continue;
    }
    const auto keep = rng.OneIn(8) ? PageCache::Keep::kTake : PageCache::Keep::kKeep;
    const Loaded loaded = cache.Load(areas[which], index, found, keep);
    const auto it = expected.find(index);
    if (loaded == Loaded::kMiss) {
      ASSERT_TRUE(which == 1 || it == expected.end()) << "a persistent unit is missing";
      if (it != expected.end()) expected.erase(it);
      continue;
    }
    ASSERT_EQ(loaded, Loaded::kLoaded);
    ASSERT_NE(it, expected.end());
    ASSERT_EQ(found, MakeUnit(GetParam(), index, it->second));
    if (keep == PageCache::Keep::kTake) expected.erase(it);
  }
  EXPECT_LE(cache.statistics().memory_bytes, 2 * kMiB);
}

TEST(PageCacheTest, OptionsThatMakeNoSenseAreNamed) {
  struct Case {
    PageCache::Options options;
    int error;
    const char* named;
  };
  const Case cases[] = {
      {{}, EINVAL, "memory_bytes"},
      {{.memory_bytes = PageCache::kMemoryBytesMin - 1}, EINVAL, "memory_bytes"},
      {{.memory_bytes = kMiB, .unit_bytes = 256}, EINVAL, "unit_bytes"},
      {{.memory_bytes = kMiB, .unit_bytes = 4097}, EINVAL, "unit_bytes"},
      {{.memory_bytes = kMiB, .unit_bytes = 128 << 10}, EINVAL, "unit_bytes"},
      {{.memory_bytes = kMiB, .backing = "/no/such/folder/file"}, ENOENT, ""},
  };
  for (const Case& c : cases) {
    const Result<PageCache> opened = PageCache::Open(c.options);
    ASSERT_FALSE(opened.ok());
    EXPECT_EQ(opened.error().errno_value, c.error) << opened.error().what;
    EXPECT_NE(std::string(opened.error().what).find(c.named), std::string::npos)
        << opened.error().what;
  }
}

TEST(PageCacheTest, WithoutAMediumAFullCacheRefusesPersistentUnits) {
  PageCache cache = OpenCache({.memory_bytes = kMiB, .store_timeout_ms = 50});
  const PageCache::Area area = cache.CreateArea(Lifetime::kPersistent);
  uint64_t stored = 0;
  while (stored < 100'000 &&
         cache.Store(area, stored, MakeUnit(4096, stored, 1)) == Stored::kStored) {
    ++stored;
  }
  EXPECT_GT(stored, 256u);
  ASSERT_LT(stored, 100'000u);
  EXPECT_GT(cache.statistics().refused, 0u);
  EXPECT_LE(cache.statistics().memory_bytes, kMiB);
  Unit found(4096);
  EXPECT_EQ(cache.Load(area, stored, found), Loaded::kMiss) << "refused";
  for (uint64_t i = 0; i < stored; ++i) {
    ASSERT_EQ(cache.Load(area, i, found), Loaded::kLoaded);
    ASSERT_EQ(found, MakeUnit(4096, i, 1));
  }
  EXPECT_GT(cache.InvalidateArea(area), 0u);
  EXPECT_EQ(cache.Store(area, 1, MakeUnit(4096, 1, 2)), Stored::kStored);
}

TEST(PageCacheTest, EphemeralUnitsMakeRoomForNewOnes) {
  PageCache cache = OpenCache({.memory_bytes = kMiB});
  const PageCache::Area area = cache.CreateArea(Lifetime::kEphemeral);
  for (uint64_t i = 0; i < 5000; ++i) {
    ASSERT_EQ(cache.Store(area, i, MakeUnit(4096, i, 1)), Stored::kStored) << i;
  }
  EXPECT_GT(cache.statistics().dropped, 1000u);
  Unit found(4096);
  uint64_t left = 0;
  for (uint64_t i = 0; i < 5000; ++i) {
    if (cache.Load(area, i, found) != Loaded::kLoaded) continue;
    ASSERT_EQ(found, MakeUnit(4096, i, 1));
    ++left;
  }
  EXPECT_GT(left, 100u);
}

TEST(PageCacheTest, AreasAreBoundedAndUsedAgain) {
  PageCache cache = OpenCache({.memory_bytes = kMiB});
  std::vector<PageCache::Area> areas;
  while (const PageCache::Area area = cache.CreateArea(Lifetime::kPersistent)) {
    areas.push_back(area);
  }
  EXPECT_EQ(areas.size(), PageCache::kAreasMax);
  cache.DestroyArea(areas.back());
  EXPECT_EQ(cache.CreateArea(Lifetime::kEphemeral), areas.back());
  const Unit unit = MakeUnit(4096, 1, 1);
  EXPECT_EQ(cache.Store(0, 1, unit), Stored::kUnknownArea);
  EXPECT_EQ(cache.Store(UINT32_MAX, 1, unit), Stored::kUnknownArea);
}

TEST(PageCacheTest, AMovedCacheKeepsItsUnits) {
  PageCache first = OpenCache({.memory_bytes = kMiB});
  const PageCache::Area area = first.CreateArea(Lifetime::kPersistent);
  ASSERT_EQ(first.Store(area, 5, MakeUnit(4096, 5, 1)), Stored::kStored);
  PageCache second = std::move(first);
  Unit found(4096);
  EXPECT_EQ(second.Load(area, 5, found), Loaded::kLoaded);
}

// Threads store and load the same few units. Whatever is loaded is one of the versions, and whole.
TEST_P(PageCacheSizesTest, UnitsAreWholeBetweenThreads) {
  const std::string folder = testing::TempDir();
  PageCache cache = OpenCache({.memory_bytes = kMiB,
                               .unit_bytes = GetParam(),
                               .backing = folder.c_str(),
                               .store_timeout_ms = 60'000});
  const PageCache::Area area = cache.CreateArea(Lifetime::kPersistent);
  const uint64_t indexes = std::min<uint64_t>(4 * kMiB / GetParam(), 512);
  std::atomic<uint64_t> wrong{0};
  std::atomic<uint64_t> refused{0};
  std::vector<std::thread> threads;
  for (uint64_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      Rng rng(thread);
      Unit found(GetParam());
      for (int step = 0; step < 1500; ++step) {
        const uint64_t index = rng.Below(indexes);
        if (rng.OneIn(2)) {
          const Unit unit = MakeUnit(GetParam(), index, rng.Below(4));
          if (cache.Store(area, index, unit) != Stored::kStored) ++refused;
        } else if (rng.OneIn(10)) {
          static_cast<void>(cache.Invalidate(area, index));
        } else if (cache.Load(area, index, found) == Loaded::kLoaded) {
          uint64_t version = 0;
          memcpy(&version, found.data() + 8, sizeof(version));
          if (version >= 4 || found != MakeUnit(GetParam(), index, version)) ++wrong;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_EQ(refused.load(), 0u);
}

TEST(PageCacheTest, AForkedChildMayDestroyItsCopy) {
  std::optional<PageCache> cache = OpenCache({.memory_bytes = kMiB});
  const pid_t child = fork();
  if (child == 0) {
    cache.reset();
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace uzswap
