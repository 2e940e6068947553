// Sparse entries: against a map, at every border of blocks and nodes, and by their cost.
#include "vm/entry_store.h"

#include <gtest/gtest.h>
#include <map>

#include "base/rng.h"
#include "base/testing/from_environment.h"
#include "vm/testing/page_table_peer.h"

namespace uzswap {
namespace {

PageEntry Marked(uint32_t mark) {
  PageEntry entry;
  entry.Transition(PageState::kResident);
  entry.Transition(PageState::kStaged, mark);
  return entry;
}

class EntryStoreTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(store_.Init().ok()); }
  void TearDown() override { store_.Audit(); }

  void Set(uint64_t raw, uint32_t mark) {
    ASSERT_TRUE(store_.Set(PageIndex(raw), mark == 0 ? PageEntry() : Marked(mark)));
    if (mark == 0) {
      model_.erase(raw);
    } else {
      model_[raw] = mark;
    }
  }
  // 0: no entry.
  uint32_t Get(uint64_t raw) {
    const PageEntry entry = store_.Get(PageIndex(raw));
    return entry.empty() ? 0 : entry.frame().raw();
  }
  void Compare() {
    store_.Audit();
    ASSERT_EQ(store_.count(), model_.size());
    PageIndex at(0);
    uint64_t n = 0;
    for (const auto& [raw, mark] : model_) {
      ASSERT_EQ(Get(raw), mark) << raw;
      ASSERT_EQ(store_.Peek(PageIndex(raw)).frame().raw(), mark) << raw;
      at = store_.Next(at, PageIndex(EntryStore::kIndices));
      ASSERT_EQ(at, PageIndex(raw));
      if (n % 16 == 0) {
        ASSERT_EQ(store_.Nth(n), PageIndex(raw));
      }
      ++at;
      ++n;
    }
    ASSERT_FALSE(store_.Next(at, PageIndex(EntryStore::kIndices)).valid());
  }

  EntryStore store_;
  std::map<uint64_t, uint32_t> model_;
};

TEST_F(EntryStoreTest, IsEmptyAndFreeAtTheStart) {
  EXPECT_EQ(Get(0), 0u);
  EXPECT_EQ(Get(EntryStore::kIndices - 1), 0u);
  EXPECT_FALSE(store_.Next(PageIndex(0), PageIndex(EntryStore::kIndices)).valid());
  EXPECT_EQ(store_.used_bytes(), Bytes(0));
  EXPECT_TRUE(store_.Set(PageIndex(5), PageEntry())) << "removing what is not there";
}

TEST_F(EntryStoreTest, BordersOfBlocksAndNodes) {
  uint32_t mark = 0;
  for (const int shift : {0, 1, 3, 5, 7, 9, 17, 25, 31, 32, 39}) {
    const uint64_t border = uint64_t{1} << shift;
    for (const uint64_t raw : {border - 1, border, border + 1}) Set(raw, ++mark);
  }
  Set(EntryStore::kIndices - 1, ++mark);
  Compare();
  for (const auto& [raw, value] : std::map(model_)) {
    EXPECT_EQ(store_.Next(PageIndex(raw), PageIndex(raw + 1)), PageIndex(raw));
    EXPECT_FALSE(store_.Next(PageIndex(raw), PageIndex(raw)).valid());
    Set(raw, 0);
    EXPECT_EQ(Get(raw), 0u);
  }
  EXPECT_EQ(store_.used_bytes(), Bytes(0)) << "empty blocks and nodes are freed";
}

TEST_F(EntryStoreTest, ABlockGrowsAndShrinksThroughEverySize) {
  for (uint64_t i = 0; i < EntryStore::kBlockPages; ++i) {
    Set(1024 + i * 37 % EntryStore::kBlockPages, static_cast<uint32_t>(i + 1));
    Compare();
  }
  const Bytes full = store_.used_bytes();
  for (uint64_t i = 0; i < EntryStore::kBlockPages; ++i) {
    Set(1024 + i * 101 % EntryStore::kBlockPages, 0);
    Compare();
  }
  EXPECT_GE(full.raw(), EntryStore::kBlockPages * 8);
  EXPECT_EQ(store_.used_bytes(), Bytes(0));
}

// What the table of entries costs, against the 4,096 bytes of each page.
TEST_F(EntryStoreTest, TheCostFollowsTheTouchedPages) {
  struct Case {
    uint64_t stride;
    uint64_t bytes_max;  // for each touched page
  };
  for (const Case& c : {Case{1, 9}, Case{2, 17}, Case{4, 13}, Case{8, 24}, Case{16, 14},
                        Case{64, 15}, Case{100, 30}, Case{512, 41}}) {
    EntryStore store;
    ASSERT_TRUE(store.Init().ok());
    constexpr uint64_t kPages = 20480;
    for (uint64_t i = 0; i < kPages; ++i) {
      ASSERT_TRUE(store.Set(PageIndex(i * c.stride), Marked(1)));
    }
    EXPECT_LE(store.used_bytes().raw(), kPages * c.bytes_max) << c.stride;
    store.Audit();
  }
}

TEST_F(EntryStoreTest, WithoutMemoryNothingChanges) {
  Set(0, 1);
  Set(1, 2);
  PageTablePeer::RefuseGrowth(store_);
  EXPECT_FALSE(store_.Set(PageIndex(2), Marked(3))) << "the block is full and cannot grow";
  EXPECT_FALSE(store_.Set(PageIndex(uint64_t{1} << 30), Marked(4))) << "no node";
  EXPECT_TRUE(store_.Set(PageIndex(1), Marked(5))) << "an entry that exists can change";
  model_[1] = 5;
  Compare();
  Set(0, 0);
  Set(1, 0);
  Set(7, 6);  // from freed blocks
  Compare();
}

TEST_F(EntryStoreTest, RandomStepsAgainstAMap) {
  const uint64_t seed = FromEnvironment("UZSWAP_TEST_SEED", 7);
  const uint64_t steps = FromEnvironment("UZSWAP_TEST_OPS", 40000);
  printf("UZSWAP_TEST_SEED=%llu UZSWAP_TEST_OPS=%llu\n", static_cast<unsigned long long>(seed),
         static_cast<unsigned long long>(steps));
  Rng rng(seed);
  for (uint64_t step = 0; step < steps && !HasFatalFailure(); ++step) {
    // Some blocks densely, some sparsely, and a few far away.
    const uint64_t area = rng.Below(4);
    const uint64_t raw = area == 0   ? rng.Below(600)
                         : area == 1 ? (uint64_t{1} << 20) + rng.Below(1 << 12)
                         : area == 2 ? rng.Below(uint64_t{1} << 19)
                                     : rng.Below(EntryStore::kIndices);
    const bool erasing = step / 5000 % 2 == 1;
    if (erasing ? !rng.OneIn(4) : rng.OneIn(4)) {
      const PageIndex found = store_.Next(PageIndex(raw), PageIndex(EntryStore::kIndices));
      if (found.valid()) Set(found.raw(), 0);
    } else {
      Set(raw, static_cast<uint32_t>(step + 1));
    }
    if (step % 1000 == 0) Compare();
  }
  Compare();
}

}  // namespace
}  // namespace uzswap
