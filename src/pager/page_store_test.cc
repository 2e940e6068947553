#include "pager/page_store.h"

#include <array>
#include <gtest/gtest.h>

#include "base/testing/page_corpus.h"
#include "pool/zbud_pool.h"

namespace uzswap {
namespace {

using Page = std::array<std::byte, kPageSize>;

class PageStoreTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { Begin(64); }
  void Begin(uint64_t frames) {
    ASSERT_TRUE(arena_.Init({.capacity = PageCount(frames)}).ok());
    ASSERT_TRUE(pool_.Init({.arena = &arena_}).ok());
    ASSERT_TRUE(context_.Init(*CodecByName(GetParam())).ok());
    store_.Init(&pool_, &arena_, &statistics_);
  }
  StoreOutcome Store(const Page& page) { return store_.Store(context_, page, 7); }
  void ExpectLoads(uint64_t handle, const Page& page) {
    alignas(8) Page back;
    back.fill(std::byte{0xee});
    store_.Load(context_, handle, back);
    EXPECT_EQ(back, page);
  }
  static Page RepeatedWord(uint64_t word) {
    alignas(8) Page page;
    FillPage(word, page);
    return page;
  }

  FrameArena arena_;
  ZbudPool pool_;
  Statistics statistics_;
  CodecContext context_;
  PageStore store_;
};

TEST_P(PageStoreTest, PagesOfEveryKind) {
  for (int kind = 0; kind < kPageKinds; ++kind) {
    alignas(8) Page page;
    FillPageOf(static_cast<PageKind>(kind), 3, page);
    const StoreOutcome outcome = Store(page);
    switch (static_cast<PageKind>(kind)) {
      case PageKind::kZero:
        EXPECT_EQ(outcome.kind, StoreKind::kSameFilled);
        EXPECT_EQ(outcome.pattern, 0u);
        break;
      case PageKind::kRandom:
        EXPECT_EQ(outcome.kind, StoreKind::kPoor);
        break;
      case PageKind::kWord:
      case PageKind::kText:
      case PageKind::kPointers:
      case PageKind::kMostlyZero:
      case PageKind::kMixed:
        ASSERT_EQ(outcome.kind, StoreKind::kStored) << PageKindName(static_cast<PageKind>(kind));
        EXPECT_LT(outcome.handle, uint64_t{1} << 48);
        ExpectLoads(outcome.handle, page);
        ExpectLoads(outcome.handle, page);
        store_.Free(outcome.handle);
        break;
    }
  }
  EXPECT_EQ(pool_.Snapshot().objects, 0u);
  EXPECT_EQ(statistics_.compressed_bytes.Get(), 0u);
}

TEST_P(PageStoreTest, ARepeatedHalfWordNeedsNoObject) {
  for (const uint32_t half : {0u, 1u, 0xffffffffu, 0x80000000u}) {
    const StoreOutcome outcome = Store(RepeatedWord((uint64_t{half} << 32) | half));
    EXPECT_EQ(outcome.kind, StoreKind::kSameFilled);
    EXPECT_EQ(outcome.pattern, half);
  }
  EXPECT_EQ(pool_.Snapshot().objects, 0u);
}

TEST_P(PageStoreTest, ARepeatedWordIsAnObjectOfItsSize) {
  for (const uint64_t word : {uint64_t{1}, uint64_t{1} << 63, uint64_t{0x0123456789abcdef}}) {
    const Page page = RepeatedWord(word);
    const StoreOutcome outcome = Store(page);
    ASSERT_EQ(outcome.kind, StoreKind::kStored);
    EXPECT_EQ(store_.SizeOf(outcome.handle), Bytes(8));
    ExpectLoads(outcome.handle, page);
    store_.Free(outcome.handle);
  }
}

TEST_P(PageStoreTest, OneByteThatDiffersIsNotSameFilled) {
  for (const size_t at : {size_t{0}, size_t{7}, size_t{2048}, kPageSize - 1}) {
    alignas(8) Page page{};
    page[at] = std::byte{1};
    const StoreOutcome outcome = Store(page);
    ASSERT_EQ(outcome.kind, StoreKind::kStored) << at;
    ExpectLoads(outcome.handle, page);
    store_.Free(outcome.handle);
  }
}

TEST_P(PageStoreTest, BytesAreCounted) {
  alignas(8) Page page;
  FillPageOf(PageKind::kText, 1, page);
  const StoreOutcome outcome = Store(page);
  EXPECT_EQ(statistics_.compressed_bytes.Get(), store_.SizeOf(outcome.handle).raw());
  EXPECT_LE(store_.SizeOf(outcome.handle).raw(), PageStore::kObjectMax);
  EXPECT_GE(store_.PoolBytes().raw(), kPageSize);
  store_.Free(outcome.handle);
}

INSTANTIATE_TEST_SUITE_P(Codecs, PageStoreTest, testing::Values("lz4", "zstd"));

TEST(PageStoreFull, NoSpaceIsAnOutcome) {
  FrameArena arena;
  ZbudPool pool;
  Statistics statistics;
  CodecContext context;
  PageStore store;
  ASSERT_TRUE(arena.Init({.capacity = PageCount(2)}).ok());
  ASSERT_TRUE(pool.Init({.arena = &arena}).ok());
  ASSERT_TRUE(context.Init(*CodecByName("lz4")).ok());
  store.Init(&pool, &arena, &statistics);
  alignas(8) Page page;
  FillPageOf(PageKind::kMixed, 1, page);
  std::vector<uint64_t> handles;
  StoreOutcome outcome = store.Store(context, page, 0);
  for (; outcome.kind == StoreKind::kStored; outcome = store.Store(context, page, 0)) {
    handles.push_back(outcome.handle);
    ASSERT_LE(handles.size(), 4u);
  }
  EXPECT_EQ(outcome.kind, StoreKind::kNoSpace);
  for (const uint64_t handle : handles) store.Free(handle);
}

TEST(PageStoreDeathTest, AnObjectThatIsNoPage) {
  FrameArena arena;
  ZbudPool pool;
  Statistics statistics;
  CodecContext context;
  PageStore store;
  ASSERT_TRUE(arena.Init({.capacity = PageCount(2)}).ok());
  ASSERT_TRUE(pool.Init({.arena = &arena}).ok());
  ASSERT_TRUE(context.Init(*CodecByName("lz4")).ok());
  store.Init(&pool, &arena, &statistics);
  const std::array<std::byte, 100> junk{};
  const AllocateResult stored = pool.Store(junk, 0);
  alignas(8) Page page;
  EXPECT_DEATH(store.Load(context, stored.handle.raw(), page), "does not decompress");
  pool.Free(stored.handle);
}

}  // namespace
}  // namespace uzswap
