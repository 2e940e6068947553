// Sparse entries: against a map, at every border of blocks and nodes, and by their cost.
#include "vm/entry_store.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <iterator>
#include <map>
#include <set>

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

// The way from Untracked to each state. An Untracked entry that is not empty is pinned.
PageEntry InState(PageState state) {
  PageEntry entry;
  if (state == PageState::kUntracked) {
    entry.Pin();
    return entry;
  }
  entry.Transition(PageState::kResident);
  if (state == PageState::kResident) return entry;
  entry.Transition(PageState::kStaged);
  if (state == PageState::kStaged) return entry;
  entry.Transition(PageState::kInFlight);
  if (state != PageState::kInFlight) entry.Transition(state);
  return entry;
}

// Entries in all states, against a map of them.
class EntryStoreResidentTest : public testing::Test {
 protected:
  static constexpr uint64_t kBlock = EntryStore::kBlockPages;

  void SetUp() override { ASSERT_TRUE(store_.Init().ok()); }
  void TearDown() override { store_.Audit(); }

  void Set(uint64_t raw, PageState state) {
    ASSERT_TRUE(store_.Set(PageIndex(raw), InState(state)));
    model_[raw] = state;
  }
  void Erase(uint64_t raw) {
    ASSERT_TRUE(store_.Set(PageIndex(raw), PageEntry()));
    model_.erase(raw);
  }
  [[nodiscard]] std::set<uint64_t> Blocks() const {
    std::set<uint64_t> blocks;
    for (const auto& [raw, state] : model_) blocks.insert(raw / kBlock);
    return blocks;
  }
  void Check(const std::set<uint64_t>& all, uint64_t from, uint64_t end) {
    constexpr size_t kBefore = 1000;
    auto expected = model_.lower_bound(from);
    while (expected != model_.end() && expected->second != PageState::kResident) ++expected;
    const bool exists = expected != model_.end() && expected->first < end;
    size_t blocks = kBefore;
    const PageIndex found = store_.NextResident(PageIndex(from), PageIndex(end), &blocks);
    ASSERT_EQ(found.valid(), exists) << from << " to " << end;
    if (exists) {
      ASSERT_EQ(found.raw(), expected->first) << from << " to " << end;
    }
    ASSERT_GE(blocks, kBefore) << "it adds";
    if (from >= end) {
      ASSERT_EQ(blocks, kBefore) << from << " to " << end;
      return;
    }
    // Those of the pages from `from` to the last one looked at; to find that there is none, one
    // beyond the end too.
    const uint64_t last = exists ? found.raw() : end - 1;
    const auto looked_into = static_cast<size_t>(
        std::distance(all.lower_bound(from / kBlock), all.upper_bound(last / kBlock)));
    ASSERT_GE(blocks - kBefore, looked_into) << from << " to " << end;
    ASSERT_LE(blocks - kBefore, looked_into + (exists ? 0 : 1)) << from << " to " << end;
  }
  // At and around every entry, with ends near and far.
  void CheckAround() {
    const std::set<uint64_t> all = Blocks();
    ASSERT_EQ(store_.block_count(), all.size());
    for (const auto& [raw, state] : model_) {
      for (const uint64_t from : {raw - std::min<uint64_t>(raw, 1), raw, raw + 1}) {
        for (const uint64_t end : {from, from + 1, from + 2, (from / kBlock + 1) * kBlock,
                                   from + 3 * kBlock, EntryStore::kIndices}) {
          Check(all, from, std::min(end, EntryStore::kIndices));
          if (HasFatalFailure()) return;
        }
      }
    }
  }

  EntryStore store_;
  std::map<uint64_t, PageState> model_;
};

TEST_F(EntryStoreResidentTest, AnEmptyStoreHasNoBlocks) {
  size_t blocks = 0;
  EXPECT_FALSE(store_.NextResident(PageIndex(0), PageIndex(EntryStore::kIndices), &blocks).valid());
  EXPECT_EQ(blocks, 0u) << "absent blocks are not looked into";
  EXPECT_EQ(store_.block_count(), 0u);
}

TEST_F(EntryStoreResidentTest, OnlyResidentEntriesAreFoundInEveryState) {
  for (int state = 0; state < kPageStates; ++state) {
    Set(7, static_cast<PageState>(state));
    size_t blocks = 0;
    const PageIndex found = store_.NextResident(PageIndex(0), PageIndex(kBlock), &blocks);
    EXPECT_EQ(found.valid(), static_cast<PageState>(state) == PageState::kResident) << state;
    EXPECT_EQ(blocks, 1u) << state;
  }
}

// One block through every size, with a Resident entry at its begin, at its end, in the middle, or
// nowhere.
TEST_F(EntryStoreResidentTest, ABlockOfEverySizeIsSearched) {
  for (const uint64_t entries : {1, 2, 3, 8, 9, 32, 33, 128, 129, 511, 512}) {
    const uint64_t stride = kBlock / entries;
    const uint64_t first = entries == kBlock ? 0 : stride - 1;
    const uint64_t begin = 5 * kBlock;
    for (const uint64_t resident : {uint64_t{0}, entries / 2, entries - 1, entries}) {
      for (uint64_t i = 0; i < entries; ++i) {
        Set(begin + first + i * stride,
            i == resident ? PageState::kResident : PageState::kSameFilled);
      }
      CheckAround();
      for (const auto& [raw, state] : std::map(model_)) Erase(raw);
      ASSERT_EQ(store_.block_count(), 0u);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_F(EntryStoreResidentTest, BlocksOfSwappedOutPagesArePassedAndCounted) {
  for (uint64_t block = 0; block < 100; ++block) Set(2 * block * kBlock, PageState::kCompressed);
  Set(200 * kBlock + 3, PageState::kResident);
  size_t blocks = 5;
  EXPECT_EQ(store_.NextResident(PageIndex(0), PageIndex(EntryStore::kIndices), &blocks),
            PageIndex(200 * kBlock + 3));
  EXPECT_EQ(blocks, 5u + 101) << "each block that exists, and no absent one";
  EXPECT_EQ(store_.block_count(), 101u);
}

TEST_F(EntryStoreResidentTest, BordersOfBlocksAndNodes) {
  uint64_t n = 0;
  for (const int shift : {9, 17, 25, 31, 39}) {
    const uint64_t border = uint64_t{1} << shift;
    for (const uint64_t raw : {border - 1, border, border + 1}) {
      Set(raw, n++ % 2 == 0 ? PageState::kResident : PageState::kCompressed);
    }
  }
  Set(EntryStore::kIndices - 1, PageState::kResident);
  CheckAround();
}

TEST_F(EntryStoreResidentTest, RandomEntriesAgainstAMap) {
  const uint64_t seed = SeedFromEnvironment(11);
  Rng rng(seed);
  for (int round = 0; round < 20 && !HasFatalFailure(); ++round) {
    // Of blocks next to each other and far away, each with few, some or all of its entries.
    for (int i = 0; i < 12 && !HasFatalFailure(); ++i) {
      const uint64_t begin =
          kBlock * (rng.OneIn(2) ? rng.Below(16) : rng.Below(EntryStore::kIndices / kBlock));
      const uint64_t one_in = uint64_t{1} << rng.Below(10);
      const bool resident = rng.OneIn(2);
      for (uint64_t offset = 0; offset < kBlock; ++offset) {
        if (!rng.OneIn(one_in)) continue;
        const auto any = static_cast<PageState>(rng.Below(kPageStates));
        const bool skip = any == PageState::kResident && !resident;
        Set(begin + offset, skip ? PageState::kStaged : any);
      }
    }
    for (const auto& [raw, state] : std::map(model_)) {
      if (rng.OneIn(3)) Erase(raw);
    }
    const std::set<uint64_t> all = Blocks();
    ASSERT_EQ(store_.block_count(), all.size()) << "round " << round;
    for (int i = 0; i < 2000 && !HasFatalFailure(); ++i) {
      const uint64_t reach = rng.OneIn(2) ? 20 * kBlock : EntryStore::kIndices;
      const uint64_t from = rng.Below(reach);
      const uint64_t end = rng.OneIn(3) ? EntryStore::kIndices : rng.Below(reach) + 1;
      Check(all, from, end);
    }
  }
}

}  // namespace
}  // namespace uzswap
