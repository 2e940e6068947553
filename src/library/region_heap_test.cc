#include "library/region_heap.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <gtest/gtest.h>
#include <thread>
#include <vector>

#include "base/rng.h"
#include "base/testing/from_environment.h"

namespace uzswap {
namespace {

constexpr size_t kSlab = RegionHeap::kSlabBytes;

// Memory for a heap, and what the heap has discarded of it.
class HeapMemory {
 public:
  explicit HeapMemory(size_t slabs, int protection = PROT_READ | PROT_WRITE) {
    // One more: the first slab begins at a multiple of its size.
    bytes_ = (slabs + 1) * kSlab;
    memory_ = mmap(nullptr, bytes_, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    UZ_CHECK(memory_ != MAP_FAILED);
    const auto address = reinterpret_cast<uintptr_t>(memory_);
    start_ = static_cast<std::byte*>(memory_) + (kSlab - address % kSlab) % kSlab;
    readable_ = (protection & PROT_READ) != 0;
    span_ = {start_, slabs * kSlab};
  }
  HeapMemory(const HeapMemory&) = delete;
  ~HeapMemory() { munmap(memory_, bytes_); }

  [[nodiscard]] std::span<std::byte> span() const { return span_; }
  [[nodiscard]] size_t discarded() const { return discarded_.load(); }
  static void Discard(void* self, void* start, size_t bytes) {
    auto* memory = static_cast<HeapMemory*>(self);
    if (memory->readable_) memset(start, 0, bytes);
    memory->discarded_ += bytes;
  }

 private:
  size_t bytes_ = 0;
  void* memory_ = nullptr;
  std::byte* start_ = nullptr;
  bool readable_ = true;
  std::span<std::byte> span_;
  std::atomic<size_t> discarded_{0};
};

TEST(RegionHeapTest, TheClassIsTheSmallestThatFits) {
  for (size_t alignment = 1; alignment <= 2 * kSlab; alignment *= 2) {
    for (size_t bytes = 0; bytes <= RegionHeap::kLargestOfClass + 16; ++bytes) {
      size_t smallest = 0;
      while (smallest < RegionHeap::kClasses && (RegionHeap::BytesOf(smallest) < bytes ||
                                                 RegionHeap::BytesOf(smallest) % alignment != 0)) {
        ++smallest;
      }
      ASSERT_EQ(RegionHeap::ClassOf(bytes, alignment), smallest) << bytes << " " << alignment;
    }
  }
  EXPECT_EQ(RegionHeap::BytesOf(RegionHeap::kClasses - 1), RegionHeap::kLargestOfClass);
}

TEST(RegionHeapTest, TouchesNoPage) {
  HeapMemory memory(64, PROT_NONE);
  RegionHeap heap(memory.span(), {HeapMemory::Discard, &memory});
  std::vector<std::pair<void*, size_t>> objects;
  for (size_t bytes = 1; bytes < 200'000; bytes = bytes * 2 + 1) {
    for (int i = 0; i < 4; ++i) objects.emplace_back(heap.Allocate(bytes, 8), bytes);
  }
  for (const auto& [object, bytes] : objects) {
    ASSERT_NE(object, nullptr) << bytes;
    heap.Free(object, bytes, 8);
  }
  heap.Audit();
  EXPECT_EQ(heap.Count().objects, 0u);
}

TEST(RegionHeapTest, MemoryWithoutASlabHasNoRoom) {
  HeapMemory memory(2);
  RegionHeap heap(memory.span().subspan(1, kSlab), {HeapMemory::Discard, &memory});
  EXPECT_FALSE(heap.ok());
  EXPECT_EQ(heap.Allocate(16, 8), nullptr);
  heap.Audit();
}

TEST(RegionHeapTest, RefusesAlignmentsThatItCannotGive) {
  HeapMemory memory(4);
  RegionHeap heap(memory.span(), {HeapMemory::Discard, &memory});
  EXPECT_EQ(heap.Allocate(16, 0), nullptr);
  EXPECT_EQ(heap.Allocate(16, 24), nullptr);
  EXPECT_EQ(heap.Allocate(16, 2 * kSlab), nullptr);
  void* object = heap.Allocate(100, kSlab);
  ASSERT_NE(object, nullptr);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(object) % kSlab, 0u);
  heap.Free(object, 100, kSlab);
  heap.Audit();
}

TEST(RegionHeapTest, FullMemoryHasRoomAfterAFree) {
  HeapMemory memory(2);
  RegionHeap heap(memory.span(), {HeapMemory::Discard, &memory});
  std::vector<void*> objects;
  while (void* object = heap.Allocate(16'384, 16)) objects.push_back(object);
  EXPECT_EQ(objects.size(), 2 * kSlab / 16'384);
  EXPECT_EQ(heap.Allocate(kSlab, 16), nullptr);
  EXPECT_EQ(heap.Allocate(16, 16), nullptr) << "another class, and no slab is free";
  heap.Free(objects.back(), 16'384, 16);
  EXPECT_EQ(heap.Allocate(16'384, 16), objects.back());
  for (void* object : objects) heap.Free(object, 16'384, 16);
  heap.Audit();
  EXPECT_EQ(memory.discarded(), kSlab) << "one slab stays for the class";
  EXPECT_NE(heap.Allocate(kSlab, 16), nullptr);
  EXPECT_NE(heap.Allocate(kSlab, 16), nullptr) << "the empty slab of the class";
  EXPECT_EQ(heap.Allocate(kSlab, 16), nullptr);
}

TEST(RegionHeapTest, NeighboursOfALargeObjectBecomeOneRun) {
  HeapMemory memory(4);
  RegionHeap heap(memory.span(), {HeapMemory::Discard, &memory});
  std::vector<void*> objects;
  for (int i = 0; i < 4; ++i) objects.push_back(heap.Allocate(kSlab - 1, 8));
  std::sort(objects.begin(), objects.end());
  heap.Free(objects[0], kSlab - 1, 8);
  heap.Free(objects[2], kSlab - 1, 8);
  EXPECT_EQ(heap.Allocate(kSlab + 1, 8), nullptr) << "two slabs, but not side by side";
  heap.Free(objects[1], kSlab - 1, 8);
  EXPECT_EQ(heap.Allocate(2 * kSlab + 1, 8), objects[0]);
  EXPECT_EQ(memory.discarded(), 3 * kSlab);
  heap.Audit();
}

TEST(RegionHeapTest, SizesAtTheirBounds) {
  HeapMemory memory(4);
  RegionHeap heap(memory.span(), {HeapMemory::Discard, &memory});
  for (size_t alignment = 1; alignment <= kSlab; alignment *= 2) {
    for (const size_t bytes : {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - kSlab + 2, 4 * kSlab + 1}) {
      EXPECT_EQ(heap.Allocate(bytes, alignment), nullptr) << bytes << " " << alignment;
    }
    for (const size_t bytes : {size_t{0}, size_t{1}, kSlab, 4 * kSlab}) {
      void* object = heap.Allocate(bytes, alignment);
      ASSERT_NE(object, nullptr) << bytes << " " << alignment;
      EXPECT_EQ(heap.Count().objects, 1u);
      heap.Free(object, bytes, alignment);
    }
  }
  heap.Audit();
}

TEST(RegionHeapTest, EmptySlabsOfClassesMakeRoom) {
  HeapMemory memory(16);
  RegionHeap heap(memory.span(), {HeapMemory::Discard, &memory});
  for (size_t size_class = 0; size_class < 16; ++size_class) {
    const size_t bytes = RegionHeap::BytesOf(size_class);
    heap.Free(heap.Allocate(bytes, 1), bytes, 1);
  }
  EXPECT_EQ(heap.Count().slab_bytes, 16 * kSlab) << "each class keeps a slab";
  heap.Audit();
  void* small = heap.Allocate(RegionHeap::kLargestOfClass, 1);
  ASSERT_NE(small, nullptr) << "another class";
  heap.Free(small, RegionHeap::kLargestOfClass, 1);
  void* large = heap.Allocate(16 * kSlab, 1);
  ASSERT_NE(large, nullptr) << "all of it";
  heap.Audit();
  heap.Free(large, 16 * kSlab, 1);
}

TEST(RegionHeapDeathTest, WrongFreesAreNoticed) {
  HeapMemory memory(4);
  RegionHeap heap(memory.span(), {HeapMemory::Discard, &memory});
  auto* small = static_cast<std::byte*>(heap.Allocate(48, 8));
  auto* other = heap.Allocate(48, 8);
  auto* large = static_cast<std::byte*>(heap.Allocate(kSlab, 8));
  EXPECT_DEATH(heap.Free(small, 64, 8), "check failed");
  EXPECT_DEATH(heap.Free(small + 8, 48, 8), "check failed");
  EXPECT_DEATH(heap.Free(small, kSlab, 8), "check failed");
  EXPECT_DEATH(heap.Free(large + 16, kSlab, 8), "check failed");
  EXPECT_DEATH(heap.Free(memory.span().data() + memory.span().size(), 48, 8), "check failed");
  heap.Free(small, 48, 8);
  EXPECT_DEATH(heap.Free(small, 48, 8), "check failed");
  heap.Free(other, 48, 8);
}

// An object with its number in each byte.
struct Object {
  std::byte* start;
  size_t bytes;
  size_t alignment;
  unsigned char filling;
};

size_t AnySize(Rng& rng) {
  const uint64_t kind = rng.Next() % 16;
  if (kind == 0) return rng.Next() % (3 * kSlab);
  return 1 + rng.Next() % (size_t{1} << (4 + kind % 11));
}

bool IsWhole(const Object& object) {
  return std::all_of(object.start, object.start + object.bytes, [&](std::byte each) {
    return each == static_cast<std::byte>(object.filling);
  });
}

// Allocates and frees at random; every object keeps its content.
void Play(RegionHeap& heap, uint64_t seed, int steps, std::vector<Object>& objects) {
  Rng rng(seed);
  for (int step = 0; step < steps; ++step) {
    // Grows and shrinks by turns.
    const bool growing = step / 1000 % 2 == 0;
    if (objects.empty() || rng.Next() % 8 < (growing ? 5u : 3u)) {
      const size_t alignment = size_t{1} << (rng.Next() % 17);
      Object made{nullptr, AnySize(rng), alignment, static_cast<unsigned char>(rng.Next())};
      made.start = static_cast<std::byte*>(heap.Allocate(made.bytes, alignment));
      if (made.start == nullptr) continue;
      ASSERT_EQ(reinterpret_cast<uintptr_t>(made.start) % alignment, 0u);
      memset(made.start, made.filling, made.bytes);
      objects.push_back(made);
    } else {
      std::swap(objects[rng.Next() % objects.size()], objects.back());
      const Object freed = objects.back();
      objects.pop_back();
      ASSERT_TRUE(IsWhole(freed)) << freed.bytes << " bytes, seed " << seed;
      heap.Free(freed.start, freed.bytes, freed.alignment);
    }
  }
}

void FreeAll(RegionHeap& heap, std::vector<Object>& objects) {
  for (const Object& object : objects) {
    ASSERT_TRUE(IsWhole(object));
    heap.Free(object.start, object.bytes, object.alignment);
  }
  objects.clear();
}

// `slabs` that hold all objects, or far too few.
class RegionHeapModelTest : public testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(Slabs, RegionHeapModelTest, testing::Values(256, 24));

TEST_P(RegionHeapModelTest, ObjectsKeepTheirContent) {
  const uint64_t seed = SeedFromEnvironment(20240614);
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  HeapMemory memory(GetParam());
  RegionHeap heap(memory.span(), {HeapMemory::Discard, &memory});
  std::vector<Object> objects;
  for (uint64_t round = 0; round < 20; ++round) {
    Play(heap, seed + round, 2000, objects);
    heap.Audit();
    EXPECT_EQ(heap.Count().objects, objects.size());
    EXPECT_LE(heap.Count().slab_bytes, GetParam() * kSlab);
  }
  FreeAll(heap, objects);
  heap.Audit();
  EXPECT_EQ(heap.Count().objects, 0u);
  EXPECT_LE(heap.Count().slab_bytes, RegionHeap::kClasses * kSlab);
  EXPECT_NE(heap.Allocate(GetParam() * kSlab, 1), nullptr) << "nothing is lost";
  heap.Audit();
}

TEST(RegionHeapTest, ThreadsFreeWhatOthersHaveAllocated) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 4;
  const uint64_t seed = SeedFromEnvironment(20240614);
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  HeapMemory memory(512);
  RegionHeap heap(memory.span(), {HeapMemory::Discard, &memory});
  std::vector<std::vector<Object>> objects(kThreads);
  for (int round = 0; round < kRounds; ++round) {
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      const uint64_t own = seed + static_cast<uint64_t>(round * kThreads + t);
      threads.emplace_back([&heap, own, &held = objects[t]] { Play(heap, own, 1500, held); });
    }
    for (std::thread& thread : threads) thread.join();
    heap.Audit();
    std::rotate(objects.begin(), objects.begin() + 1, objects.end());
  }
  for (std::vector<Object>& held : objects) FreeAll(heap, held);
  heap.Audit();
  EXPECT_EQ(heap.Count().objects, 0u);
}

}  // namespace
}  // namespace uzswap
