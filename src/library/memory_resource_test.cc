#include "uzswap/memory_resource.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <gtest/gtest.h>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "library/region_heap.h"

namespace uzswap {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

Region RegionOf(uint64_t size, uint64_t memory_bytes, const char* backing = nullptr) {
  Region::Options options;
  options.size = size;
  options.memory_bytes = memory_bytes;
  options.backing = backing;
  Result<Region> created = Region::Create(options);
  EXPECT_TRUE(created.ok()) << created.error().what << " " << created.error().errno_value;
  return std::move(created).value();
}

std::string Text(int number) {
  return "the value of the key " + std::to_string(number) + ", which is " +
         std::to_string(number * 7919 % 100'003) + " at the moment";
}

TEST(MemoryResourceTest, AMapMayBeLargerThanItsMemory) {
  MemoryResource memory(RegionOf(256 * kMiB, 4 * kMiB));
  constexpr int kKeys = 100'000;
  {
    std::pmr::map<int, std::pmr::string> map(&memory);
    for (int key = 0; key < kKeys; ++key) map.emplace(key, Text(key));
    EXPECT_GT(memory.statistics().object_bytes, 12 * kMiB);
    EXPECT_EQ(memory.statistics().objects, uint64_t{2 * kKeys}) << "a node and a text each";
    const Region::Statistics counts = memory.region().statistics();
    EXPECT_LE(counts.resident_bytes + counts.compressed_bytes, 5 * kMiB);
    EXPECT_GT(counts.stored_pages, 0u);
    for (int key = 0; key < kKeys; key += 331) {
      ASSERT_EQ(map.at(key), Text(key).c_str()) << key;
    }
    for (int key = 0; key < kKeys; key += 2) map.erase(key);
    int key = 1;
    for (const auto& [found, text] : map) {
      ASSERT_EQ(found, key);
      ASSERT_EQ(text, Text(key).c_str());
      key += 2;
    }
    EXPECT_EQ(key, kKeys + 1);
  }
  EXPECT_EQ(memory.statistics().objects, 0u);
  const uint64_t left = memory.region().statistics().stored_pages;
  EXPECT_LE(left, memory.statistics().slab_bytes / Region::kPageBytes)
      << "the others were given back";
}

TEST(MemoryResourceTest, LargeObjectsGiveTheirPagesBack) {
  MemoryResource memory(RegionOf(64 * kMiB, 4 * kMiB));
  {
    std::pmr::vector<uint64_t> numbers(1'000'000, 7, &memory);
    EXPECT_EQ(numbers[999'999], 7u);
    EXPECT_GE(memory.statistics().slab_bytes, 8'000'000u);
  }
  EXPECT_EQ(memory.statistics().slab_bytes, 0u);
  const Region::Statistics counts = memory.region().statistics();
  EXPECT_EQ(counts.stored_pages, 0u);
  // Pages beside the object may have been read ahead.
  EXPECT_LT(counts.resident_bytes, RegionHeap::kSlabBytes);
}

// Slabs are discarded while other threads touch their own and the region reclaims.
TEST(MemoryResourceTest, ThreadsHaveTheirOwnContainers) {
  constexpr int kThreads = 4;
  constexpr int kKeys = 6'000;
  MemoryResource memory(RegionOf(64 * kMiB, 2 * kMiB));
  std::atomic<int> wrong{0};
  const auto play = [&](int thread) {
    for (int round = 0; round < 3; ++round) {
      std::pmr::map<int, std::pmr::string> map(&memory);
      for (int key = 0; key < kKeys; ++key) map.emplace(key, Text(key * kThreads + thread));
      for (int key = 0; key < kKeys; key += 3) map.erase(key);
      for (const auto& [key, text] : map) {
        if (text != Text(key * kThreads + thread).c_str()) ++wrong;
      }
    }
  };
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) threads.emplace_back(play, thread);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(memory.statistics().objects, 0u);
  EXPECT_GT(memory.region().statistics().faults, 0u);
}

TEST(MemoryResourceTest, ARegionWithoutASlabIsNotOk) {
  MemoryResource memory(RegionOf(4096, kMiB));
  EXPECT_FALSE(memory.ok());
  const auto allocate = [&] { return memory.allocate(8); };
  EXPECT_THROW(allocate(), std::bad_alloc);
  EXPECT_TRUE(MemoryResource(RegionOf(8 * kMiB, kMiB)).ok());
}

TEST(MemoryResourceTest, AForkedChildMayDestroyIt) {
  std::optional<MemoryResource> memory(RegionOf(8 * kMiB, kMiB));
  void* object = memory->allocate(1000);
  const pid_t child = fork();
  if (child == 0) {
    memory.reset();
    _exit(7);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 7);
  memory->deallocate(object, 1000);
}

TEST(MemoryResourceTest, AFullRegionThrowsAndLosesNothing) {
  MemoryResource memory(RegionOf(2 * kMiB, kMiB));
  std::pmr::list<std::pmr::string> texts(&memory);
  int added = 0;
  const auto fill = [&] {
    while (true) {
      texts.emplace_back(Text(added) + std::string(2000, 'x'));
      ++added;
    }
  };
  EXPECT_THROW(fill(), std::bad_alloc);
  EXPECT_GT(added, 500);
  EXPECT_EQ(memory.statistics().objects, uint64_t{2} * static_cast<uint64_t>(added));
  int number = 0;
  for (const std::pmr::string& text : texts) {
    ASSERT_EQ(text, (Text(number) + std::string(2000, 'x')).c_str());
    ++number;
  }
  EXPECT_EQ(number, added);
  texts.clear();
  EXPECT_NO_THROW(texts.emplace_back(Text(0)));
}

TEST(MemoryResourceTest, AlignsAndCompares) {
  MemoryResource memory(RegionOf(8 * kMiB, kMiB));
  MemoryResource other(RegionOf(8 * kMiB, kMiB));
  for (size_t alignment = 1; alignment <= RegionAllocator::kAlignmentMax; alignment *= 2) {
    void* object = memory.allocate(100, alignment);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(object) % alignment, 0u);
    memory.deallocate(object, 100, alignment);
  }
  const auto too_much = [&] { return memory.allocate(8, 2 * RegionAllocator::kAlignmentMax); };
  EXPECT_THROW(too_much(), std::bad_alloc);
  EXPECT_TRUE(memory.is_equal(memory));
  EXPECT_FALSE(memory.is_equal(other));
}

}  // namespace
}  // namespace uzswap
