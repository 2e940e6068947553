#include "block_disk.h"

#include <cerrno>
#include <cstring>
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "base/testing/from_environment.h"

namespace uzswap {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
using Bytes8 = std::vector<std::byte>;

std::unique_ptr<BlockDisk> OpenDisk(uint64_t size, const PageCache::Options& options) {
  Result<PageCache> cache = PageCache::Open(options);
  EXPECT_TRUE(cache.ok()) << cache.error().what;
  Result<std::unique_ptr<BlockDisk>> disk = BlockDisk::Open(std::move(cache).value(), size);
  EXPECT_TRUE(disk.ok()) << disk.error().what;
  return std::move(disk).value();
}

Bytes8 Noise(size_t bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  Bytes8 result(bytes);
  // Half of it compresses.
  for (size_t at = 0; at < bytes; ++at) {
    result[at] = at % 2 == 0 ? static_cast<std::byte>(random()) : std::byte{7};
  }
  return result;
}

TEST(BlockDiskTest, ANewDiskIsZeroAndTakesNothing) {
  const auto disk = OpenDisk(10 * kMiB + 100, {.memory_bytes = kMiB});
  EXPECT_EQ(disk->size(), 10 * kMiB + 100);
  Bytes8 found(5000, std::byte{1});
  ASSERT_EQ(disk->Read(10 * kMiB - 4900, found), 0);
  EXPECT_EQ(found, Bytes8(5000));
  EXPECT_EQ(disk->statistics().units, 0u);
  const BlockDisk::Extent all = disk->ExtentAt(0, disk->size());
  EXPECT_EQ(all.length, disk->size());
  EXPECT_FALSE(all.holds_data);
}

TEST(BlockDiskTest, ADiskBeyondTheIndexesIsRefused) {
  Result<PageCache> cache = PageCache::Open({.memory_bytes = kMiB});
  ASSERT_TRUE(cache.ok());
  const auto disk = BlockDisk::Open(std::move(cache).value(), (uint64_t{1} << 48) + 1);
  ASSERT_FALSE(disk.ok());
  EXPECT_EQ(disk.error().errno_value, EFBIG);
}

TEST(BlockDiskTest, ExtentsFollowWritesAndZeroes) {
  const auto disk = OpenDisk(kMiB, {.memory_bytes = kMiB});
  ASSERT_EQ(disk->Write(8192, Noise(8192, 1)), 0);
  ASSERT_EQ(disk->Write(100 * 4096 + 10, Noise(1, 2)), 0);
  struct Case {
    uint64_t offset;
    uint64_t length;
    bool holds_data;
  };
  const Case cases[] = {{0, 8192, false},
                        {100, 8092, false},
                        {8192, 8192, true},
                        {12'000, 4384, true},
                        {16384, 100 * 4096 - 16384, false},
                        {100 * 4096, 4096, true},
                        {101 * 4096, kMiB - 101 * 4096, false}};
  for (const Case& c : cases) {
    const BlockDisk::Extent extent = disk->ExtentAt(c.offset, kMiB - c.offset);
    EXPECT_EQ(extent.length, c.length) << c.offset;
    EXPECT_EQ(extent.holds_data, c.holds_data) << c.offset;
  }
  EXPECT_EQ(disk->ExtentAt(8192, 100).length, 100u);
  ASSERT_EQ(disk->Zero(0, kMiB), 0);
  EXPECT_EQ(disk->statistics().units, 0u);
  ASSERT_EQ(disk->Write(0, Bytes8(64 * 1024)), 0);
  EXPECT_EQ(disk->statistics().units, 0u) << "zeroes are not stored";
}

TEST(BlockDiskTest, AgreesWithAPlainArray) {
  const uint64_t seed = SeedFromEnvironment(20240613);
  SCOPED_TRACE("seed " + std::to_string(seed));
  const std::string folder = testing::TempDir();
  constexpr uint64_t kSize = 6 * kMiB + 1234;
  const auto disk = OpenDisk(
      kSize, {.memory_bytes = kMiB, .backing = folder.c_str(), .store_timeout_ms = 60'000});
  Bytes8 model(kSize);
  Rng rng(seed);
  for (uint64_t step = 0; step < 3000; ++step) {
    const uint64_t offset = rng.Below(kSize);
    const uint64_t most = rng.OneIn(8) ? 300'000 : rng.OneIn(2) ? 4096 : 600;
    const uint64_t length = 1 + rng.Below(std::min(most, kSize - offset));
    const auto at = model.begin() + static_cast<int64_t>(offset);
    if (rng.OneIn(3)) {
      const Bytes8 bytes = Noise(length, step);
      ASSERT_EQ(disk->Write(offset, bytes), 0);
      std::copy(bytes.begin(), bytes.end(), at);
    } else if (rng.OneIn(4)) {
      ASSERT_EQ(disk->Zero(offset, length), 0);
      std::fill_n(at, length, std::byte{0});
    } else {
      Bytes8 found(length);
      ASSERT_EQ(disk->Read(offset, found), 0);
      ASSERT_TRUE(std::equal(found.begin(), found.end(), at)) << "step " << step;
    }
  }
}

TEST(BlockDiskTest, AFullDiskSaysSoAndNeverReadsAsZero) {
  const auto disk = OpenDisk(64 * kMiB, {.memory_bytes = kMiB, .store_timeout_ms = 50});
  std::mt19937_64 random(1);
  uint64_t written = 0;
  int error = 0;
  Bytes8 block(BlockDisk::kBlockBytes);
  while (error == 0 && written < 64 * kMiB) {
    for (std::byte& byte : block) byte = static_cast<std::byte>(random());
    error = disk->Write(written, block);
    written += block.size();
  }
  EXPECT_EQ(error, ENOSPC);
  EXPECT_GT(written, kMiB / 2);
  Bytes8 found(BlockDisk::kBlockBytes);
  EXPECT_EQ(disk->Read(written - block.size(), found), EIO);
  ASSERT_EQ(disk->Zero(0, written - block.size()), 0);
  EXPECT_EQ(disk->Write(written - block.size(), block), 0) << "there is room again";
  EXPECT_EQ(disk->Read(written - block.size(), found), 0);
  EXPECT_EQ(found, block);
}

// Each thread counts up a word of its own in blocks that all share.
TEST(BlockDiskTest, PartsOfABlockAreWrittenOneAfterTheOther) {
  constexpr uint64_t kThreads = 4;
  const auto disk = OpenDisk(kMiB, {.memory_bytes = kMiB});
  std::vector<std::thread> threads;
  for (uint64_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (uint64_t i = 1; i <= 2000; ++i) {
        const uint64_t at = i % 8 * BlockDisk::kBlockBytes + thread * 8;
        EXPECT_EQ(disk->Write(at, std::as_bytes(std::span(&i, 1))), 0);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (uint64_t block = 0; block < 8; ++block) {
    uint64_t found[kThreads] = {};
    ASSERT_EQ(disk->Read(block * BlockDisk::kBlockBytes, std::as_writable_bytes(std::span(found))),
              0);
    for (const uint64_t word : found) EXPECT_EQ(word, block == 0 ? 2000 : 1992 + block);
  }
}

}  // namespace
}  // namespace uzswap
