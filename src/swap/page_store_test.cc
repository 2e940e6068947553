#include "swap/page_store.h"

#include <array>
#include <gtest/gtest.h>
#include <vector>

#include "base/testing/page_corpus.h"
#include "pool/zbud_pool.h"

namespace uzswap {
namespace {

using Page = std::array<std::byte, kPageSize>;

// A page store with the cache, pool and arena that it needs.
struct Rig {
  explicit Rig(const char* codec, uint64_t frames = 64, uint32_t slots = 256) {
    UZ_CHECK(arena.Init({.capacity = PageCount(frames)}).ok());
    UZ_CHECK(pool.Init({.arena = &arena}).ok());
    CacheOptions options;
    options.codec = CodecByName(codec);
    options.dictionaries = &dictionaries;
    options.keep_incompressible = false;
    options.object_max = PageStore::kObjectMax;
    options.index = {.areas_max = 2, .nodes_max = 16, .leaves_max = 64};
    UZ_CHECK(cache.Init(pool, options).ok());
    UZ_CHECK(context.Init(cache).ok());
    UZ_CHECK(store.Init(&cache, &arena, slots).ok());
  }
  ~Rig() { store.Close(context); }

  FrameArena arena;
  ZbudPool pool;
  DictionarySet dictionaries;
  CompressedCache cache;
  CacheContext context;
  PageStore store;
};

class PageStoreTest : public testing::TestWithParam<const char*> {
 protected:
  StoredPage Store(const Page& page) { return rig_.store.Store(rig_.context, page); }
  void Free(SwapSlot slot) { rig_.store.Free(rig_.context, slot); }
  uint64_t ObjectBytes() { return rig_.pool.Snapshot().object_bytes; }
  void ExpectLoads(SwapSlot slot, const Page& page) {
    alignas(8) Page back;
    back.fill(std::byte{0xee});
    EXPECT_EQ(rig_.store.Load(rig_.context, slot, back, LoadFrom::kMemory), LoadedPage::kLoaded);
    EXPECT_EQ(back, page);
  }
  static Page RepeatedWord(uint64_t word) {
    alignas(8) Page page;
    FillPage(word, page);
    return page;
  }

  Rig rig_{GetParam()};
};

TEST_P(PageStoreTest, PagesOfEveryKind) {
  for (int kind = 0; kind < kPageKinds; ++kind) {
    alignas(8) Page page;
    FillPageOf(static_cast<PageKind>(kind), 3, page);
    const StoredPage outcome = Store(page);
    switch (static_cast<PageKind>(kind)) {
      case PageKind::kZero:
        EXPECT_EQ(outcome.as, StoredAs::kSameFilled);
        EXPECT_EQ(outcome.pattern, 0u);
        break;
      case PageKind::kRandom:
        EXPECT_EQ(outcome.as, StoredAs::kIncompressible);
        break;
      case PageKind::kWord:
      case PageKind::kText:
      case PageKind::kPointers:
      case PageKind::kMostlyZero:
      case PageKind::kMixed:
        ASSERT_EQ(outcome.as, StoredAs::kSlot) << PageKindName(static_cast<PageKind>(kind));
        EXPECT_TRUE(outcome.slot.valid());
        ExpectLoads(outcome.slot, page);
        ExpectLoads(outcome.slot, page);
        Free(outcome.slot);
        break;
    }
  }
  EXPECT_EQ(ObjectBytes(), 0u);
}

TEST_P(PageStoreTest, ARepeated32BitWordIsSameFilled) {
  for (const uint32_t half : {0u, 1u, 0xffffffffu, 0x80000000u}) {
    const StoredPage outcome = Store(RepeatedWord((uint64_t{half} << 32) | half));
    EXPECT_EQ(outcome.as, StoredAs::kSameFilled);
    EXPECT_EQ(outcome.pattern, half);
  }
  EXPECT_EQ(ObjectBytes(), 0u);
}

TEST_P(PageStoreTest, ARepeated64BitWordTakesAtMostEightBytes) {
  for (const uint64_t word : {uint64_t{1}, uint64_t{1} << 63, uint64_t{0x0123456789abcdef}}) {
    const Page page = RepeatedWord(word);
    const StoredPage outcome = Store(page);
    ASSERT_EQ(outcome.as, StoredAs::kSlot);
    EXPECT_LE(ObjectBytes(), 8u);
    ExpectLoads(outcome.slot, page);
    Free(outcome.slot);
  }
}

TEST_P(PageStoreTest, OneByteThatDiffersIsNotSameFilled) {
  for (const size_t at : {size_t{0}, size_t{7}, size_t{2048}, kPageSize - 1}) {
    alignas(8) Page page{};
    page[at] = std::byte{1};
    const StoredPage outcome = Store(page);
    ASSERT_EQ(outcome.as, StoredAs::kSlot) << at;
    ExpectLoads(outcome.slot, page);
    Free(outcome.slot);
  }
}

TEST_P(PageStoreTest, AFreedSlotLeavesNothing) {
  alignas(8) Page page;
  FillPageOf(PageKind::kText, 1, page);
  const StoredPage outcome = Store(page);
  EXPECT_GT(ObjectBytes(), 0u);
  EXPECT_LE(ObjectBytes(), PageStore::kObjectMax);
  EXPECT_GE(rig_.store.PoolBytes().raw(), kPageSize);
  EXPECT_EQ(rig_.store.slots_in_use(), 1u);
  Free(outcome.slot);
  EXPECT_EQ(ObjectBytes(), 0u);
  EXPECT_EQ(rig_.store.slots_in_use(), 0u);
}

// The page that is stored is compared with the content of a slot that it kept.
TEST_P(PageStoreTest, AnUnchangedPageKeepsItsSlot) {
  alignas(8) Page page;
  FillPageOf(PageKind::kText, 1, page);
  const SwapSlot kept = Store(page).slot;
  const StoredPage same = rig_.store.Store(rig_.context, page, kept);
  EXPECT_EQ(same.as, StoredAs::kUnchanged);
  EXPECT_EQ(same.slot, kept);
  EXPECT_EQ(rig_.store.slots_in_use(), 1u);
  for (const size_t at : {size_t{0}, kPageSize - 1}) {
    Page changed = page;
    changed[at] ^= std::byte{1};
    const StoredPage outcome = rig_.store.Store(rig_.context, changed, kept);
    ASSERT_EQ(outcome.as, StoredAs::kSlot) << at;
    EXPECT_NE(outcome.slot, kept);
    ExpectLoads(outcome.slot, changed);
    Free(outcome.slot);
  }
  Page filled{};
  EXPECT_EQ(rig_.store.Store(rig_.context, filled, kept).as, StoredAs::kSameFilled);
  ExpectLoads(kept, page);
  Free(kept);
  // Freed by another thread: it holds nothing that could be the same.
  const StoredPage outcome = rig_.store.Store(rig_.context, page, kept);
  EXPECT_EQ(outcome.as, StoredAs::kSlot);
  Free(outcome.slot);
}

INSTANTIATE_TEST_SUITE_P(Codecs, PageStoreTest, testing::Values("lz4", "zstd"));

struct Shortage {
  uint64_t frames;
  uint32_t slots;
};

class PageStoreFull : public testing::TestWithParam<Shortage> {};

TEST_P(PageStoreFull, NoSpaceIsAnOutcome) {
  Rig rig("lz4", GetParam().frames, GetParam().slots);
  alignas(8) Page page;
  FillPageOf(PageKind::kMixed, 1, page);
  std::vector<SwapSlot> slots;
  StoredPage outcome = rig.store.Store(rig.context, page);
  for (; outcome.as == StoredAs::kSlot; outcome = rig.store.Store(rig.context, page)) {
    slots.push_back(outcome.slot);
    ASSERT_LE(slots.size(), 4u);
  }
  EXPECT_EQ(outcome.as, StoredAs::kNoSpace);
  EXPECT_EQ(rig.store.slots_in_use(), slots.size());
  for (const SwapSlot slot : slots) rig.store.Free(rig.context, slot);
}

INSTANTIATE_TEST_SUITE_P(Of, PageStoreFull,
                         testing::Values(Shortage{2, 256}, Shortage{64, 3}, Shortage{64, 0}));

TEST(PageStoreDeathTest, SlotsThatHoldNothing) {
  Rig rig("lz4");
  alignas(8) Page page;
  FillPageOf(PageKind::kText, 1, page);
  const SwapSlot slot = rig.store.Store(rig.context, page).slot;
  rig.store.Free(rig.context, slot);
  EXPECT_DEATH(static_cast<void>(rig.store.Load(rig.context, slot, page, LoadFrom::kAnywhere)),
               "not in the cache");
  EXPECT_DEATH(rig.store.Free(rig.context, slot), "was_stored");
}

TEST(SwapSlots, TheSlotFreedLastIsAllocatedFirst) {
  SwapSlots slots;
  ASSERT_TRUE(slots.Init(3).ok());
  EXPECT_EQ(slots.Allocate(), SwapSlot(0));
  EXPECT_EQ(slots.Allocate(), SwapSlot(1));
  slots.Free(SwapSlot(0));
  EXPECT_EQ(slots.in_use(), 1u);
  EXPECT_EQ(slots.Allocate(), SwapSlot(0));
  EXPECT_EQ(slots.Allocate(), SwapSlot(2));
  EXPECT_FALSE(slots.Allocate().valid());
  slots.Free(SwapSlot(2));
  slots.Free(SwapSlot(1));
  slots.Free(SwapSlot(0));
  EXPECT_EQ(slots.in_use(), 0u);
}

TEST(SwapSlotsDeathTest, ASlotThatWasNeverAllocatedCannotBeFreed) {
  SwapSlots slots;
  ASSERT_TRUE(slots.Init(3).ok());
  EXPECT_DEATH(slots.Free(SwapSlot(0)), "never_used_");
  ASSERT_EQ(slots.Allocate(), SwapSlot(0));
  slots.Free(SwapSlot(0));
  EXPECT_DEATH(slots.Free(SwapSlot(0)), "free_count_");
}

}  // namespace
}  // namespace uzswap
