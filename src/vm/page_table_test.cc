#include "vm/page_table.h"

#include <algorithm>
#include <cstdlib>
#include <gtest/gtest.h>
#include <map>
#include <vector>

#include "base/rng.h"

namespace uzswap {
namespace {

constexpr uint64_t kBase = uint64_t{1} << 40;
constexpr uint64_t At(uint64_t page) { return kBase + (page << kPageShift); }

// Knows the index of each marked page, from what the table reports only.
class Listener final : public PageTable::Observer {
 public:
  void EntryMoved(PageIndex from, PageIndex to, const PageEntry& entry) override {
    ++moves;
    if (entry.state() != PageState::kStaged) return;
    EXPECT_EQ(index_of_.at(entry.frame().raw()), from);
    index_of_[entry.frame().raw()] = to;
  }
  std::map<uint32_t, PageIndex> index_of_;
  size_t moves = 0;
};

class PageTableTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(table_.Init(&listener_).ok()); }
  void TearDown() override { table_.Audit(); }

  void Add(uint64_t page, uint64_t count) {
    ASSERT_TRUE(table_.Add({At(page), At(page + count)}).ok());
  }
  // Gives a page a mark that goes with its word.
  void Mark(uint64_t page, uint32_t mark) {
    const PageIndex index = table_.Find(At(page))->IndexOf(At(page));
    table_.Transition(index, PageState::kResident);
    EXPECT_EQ(table_.resident_pages(), PageCount(1));
    table_.Transition(index, PageState::kStaged, mark);
    EXPECT_EQ(table_.resident_pages(), PageCount(0));
    listener_.index_of_[mark] = index;
  }
  uint32_t MarkOf(uint64_t page) {
    const PageEntry* entry = table_.EntryOf(At(page));
    if (entry == nullptr) return 0;
    return entry->state() == PageState::kStaged ? entry->frame().raw() : 0;
  }
  void Remove(uint64_t page, uint64_t count) {
    table_.ForEachPage({At(page), At(page + count)}, [this](PageIndex index) {
      const PageEntry& entry = table_.entry(index);
      if (entry.state() == PageState::kUntracked) return;
      listener_.index_of_.erase(entry.frame().raw());
      table_.Transition(index, PageState::kUntracked);
    });
    table_.Remove({At(page), At(page + count)});
  }

  Listener listener_;
  PageTable table_;
};

TEST_F(PageTableTest, EmptyHoldsNothing) {
  EXPECT_EQ(table_.count(), 0u);
  EXPECT_EQ(table_.Find(0), nullptr);
  EXPECT_EQ(table_.Find(UINT64_MAX), nullptr);
  EXPECT_EQ(table_.FindByIndex(PageIndex(0)), nullptr);
  EXPECT_EQ(table_.PositionFrom(0), 0u);
  table_.Remove({At(0), At(10)});
  EXPECT_TRUE(table_.Move({At(0), At(10)}, At(20)).ok());
}

TEST_F(PageTableTest, FindAtEveryEdge) {
  Add(10, 5);
  Add(20, 1);
  EXPECT_EQ(table_.Find(At(10) - 1), nullptr);
  EXPECT_NE(table_.Find(At(10)), nullptr);
  EXPECT_NE(table_.Find(At(15) - 1), nullptr);
  EXPECT_EQ(table_.Find(At(15)), nullptr);
  EXPECT_NE(table_.Find(At(20)), nullptr);
  EXPECT_EQ(table_.Find(At(21)), nullptr);
  EXPECT_EQ(table_.PositionFrom(At(15)), 1u);
  EXPECT_EQ(table_.PositionFrom(At(21)), 2u);
  EXPECT_EQ(table_.bytes(), Bytes(6 * kPageSize));
}

TEST_F(PageTableTest, WhatEndsWhereItBeginsGrows) {
  Add(0, 4);
  Add(4, 4);
  EXPECT_EQ(table_.count(), 1u);
  Add(20, 4);
  Add(16, 4);  // before: a range of its own
  EXPECT_EQ(table_.count(), 3u);
}

TEST_F(PageTableTest, GrowthWithinTheExtentKeepsIndicesAndBeyondItMovesThem) {
  Add(0, 4);
  Mark(3, 33);
  const PageIndex before = listener_.index_of_[33];
  Add(4, 100);
  EXPECT_EQ(listener_.index_of_[33], before);
  EXPECT_EQ(listener_.moves, 0u);
  Add(104, 3000);
  EXPECT_NE(listener_.index_of_[33], before);
  EXPECT_EQ(MarkOf(3), 33u);
  EXPECT_EQ(table_.count(), 1u);
}

TEST_F(PageTableTest, RemoveSplitsAndKeepsTheRest) {
  struct Case {
    uint64_t page, count;
    size_t ranges;
  };
  for (const Case& c :
       {Case{0, 10, 0}, Case{0, 3, 1}, Case{7, 3, 1}, Case{3, 4, 2}, Case{10, 5, 1}}) {
    Add(0, 10);
    for (uint32_t i = 0; i < 10; ++i) Mark(i, i + 1);
    Remove(c.page, c.count);
    EXPECT_EQ(table_.count(), c.ranges) << c.page << " " << c.count;
    for (uint32_t i = 0; i < 10; ++i) {
      const bool gone = i >= c.page && i < c.page + c.count;
      EXPECT_EQ(MarkOf(i), gone ? 0 : i + 1);
    }
    table_.Audit();
    Remove(0, 20);
    EXPECT_EQ(table_.bytes(), Bytes(0));
  }
}

TEST_F(PageTableTest, MoveTakesPartsAlong) {
  Add(0, 10);
  Add(20, 10);
  for (uint32_t i = 0; i < 10; ++i) Mark(i, i + 1);
  for (uint32_t i = 20; i < 30; ++i) Mark(i, i + 1);
  EXPECT_TRUE(table_.Move({At(5), At(25)}, At(105)).ok());  // two halves, with the gap between them
  EXPECT_EQ(MarkOf(4), 5u);
  EXPECT_EQ(MarkOf(5), 0u);
  EXPECT_EQ(MarkOf(105), 6u);
  EXPECT_EQ(MarkOf(124), 25u);
  EXPECT_EQ(MarkOf(115), 0u);
  EXPECT_EQ(MarkOf(25), 26u);
  EXPECT_EQ(table_.bytes(), Bytes(20 * kPageSize));
  EXPECT_EQ(listener_.moves, 0u);  // indices stay
}

TEST_F(PageTableTest, TablesThatAreFullSaySo) {
  EXPECT_FALSE(table_.Add({kBase, kBase + (uint64_t{PageTable::kPagesMax} << kPageShift)}).ok());
  EXPECT_EQ(table_.count(), 0u);
  Add(0, 1);
  EXPECT_EQ(table_.bytes(), Bytes(kPageSize));
}

TEST_F(PageTableTest, ExtentsComeBack) {
  for (int round = 0; round < 200; ++round) {
    Add(0, 100000);
    Remove(0, 100000);
  }
  for (uint64_t i = 0; i < 200; ++i) Add(i * 10, 3);
  for (uint64_t i = 0; i < 200; i += 2) Remove(i * 10, 3);
  for (uint64_t i = 1; i < 200; i += 2) Remove(i * 10, 3);
  EXPECT_EQ(table_.count(), 0u);
}

// --- random against a map of pages ---

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = getenv(name);
  return text == nullptr ? otherwise : strtoull(text, nullptr, 0);
}

class PageTableModel : public PageTableTest {
 protected:
  static constexpr uint64_t kPages = 4000;

  bool IsFree(uint64_t page, uint64_t count) {
    const auto next = model_.lower_bound(page);
    return next == model_.end() || next->first >= page + count;
  }
  void RandomStep(Rng& rng) {
    const uint64_t page = rng.Below(kPages);
    const uint64_t count = 1 + rng.Below(rng.OneIn(4) ? 900 : 20);
    switch (rng.Below(4)) {
      case 0:
        if (!IsFree(page, count)) return;
        Add(page, count);
        for (uint64_t i = page; i < page + count; ++i) model_[i] = 0;
        return;
      case 1:
        Remove(page, count);
        model_.erase(model_.lower_bound(page), model_.lower_bound(page + count));
        return;
      case 2: {
        const uint64_t target = rng.Below(kPages);
        if (!IsFree(target, count) || (target < page + count && page < target + count)) return;
        ASSERT_TRUE(table_.Move({At(page), At(page + count)}, At(target)).ok());
        for (uint64_t i = 0; i < count; ++i) {
          auto node = model_.extract(page + i);
          if (node.empty()) continue;
          node.key() = target + i;
          model_.insert(std::move(node));
        }
        return;
      }
      default: {
        const auto found = model_.find(page);
        if (found == model_.end() || found->second != 0) return;
        found->second = ++marks_;
        Mark(page, marks_);
        return;
      }
    }
  }
  void Compare() {
    table_.Audit();
    ASSERT_EQ(table_.bytes(), Bytes(model_.size() * kPageSize));
    for (uint64_t page = 0; page < kPages + 1000; ++page) {
      const auto found = model_.find(page);
      const RegisteredRange* range = table_.Find(At(page));
      ASSERT_EQ(range != nullptr, found != model_.end()) << page;
      if (range == nullptr) continue;
      ASSERT_EQ(MarkOf(page), found->second) << page;
      const PageIndex index = range->IndexOf(At(page));
      if (found->second != 0) {
        ASSERT_EQ(listener_.index_of_.at(found->second), index);
      }
      const RegisteredRange* by_index = table_.FindByIndex(index);
      ASSERT_NE(by_index, nullptr);
      ASSERT_EQ(by_index->AddressOf(index), At(page));
    }
    std::vector<std::pair<uint64_t, uint64_t>> extents;
    for (size_t i = 0; i < table_.count(); ++i) {
      const uint64_t first = table_.at(i).first.raw();
      extents.emplace_back(first, first + table_.at(i).capacity);
    }
    std::sort(extents.begin(), extents.end());
    for (size_t i = 1; i < extents.size(); ++i) {
      ASSERT_LE(extents[i - 1].second, extents[i].first);
    }
  }

  std::map<uint64_t, uint32_t> model_;  // page -> mark
  uint32_t marks_ = 0;
};

TEST_F(PageTableModel, RandomSteps) {
  const uint64_t seed = FromEnvironment("UZSWAP_TEST_SEED", 5);
  const uint64_t steps = FromEnvironment("UZSWAP_TEST_OPS", 3000);
  printf("UZSWAP_TEST_SEED=%llu UZSWAP_TEST_OPS=%llu\n", static_cast<unsigned long long>(seed),
         static_cast<unsigned long long>(steps));
  Rng rng(seed);
  for (uint64_t step = 0; step < steps && !HasFatalFailure(); ++step) {
    RandomStep(rng);
    table_.Audit();
    if (step % 50 == 0) Compare();
  }
  Compare();
}

using PageTableDeathTest = PageTableTest;

TEST_F(PageTableDeathTest, OverlapsAndUnalignedRanges) {
  Add(10, 10);
  EXPECT_DEATH(static_cast<void>(table_.Add({At(15), At(16)})), "check failed");
  EXPECT_DEATH(static_cast<void>(table_.Add({At(5), At(11)})), "check failed");
  EXPECT_DEATH(static_cast<void>(table_.Add({At(30) + 1, At(31)})), "check failed");
  EXPECT_DEATH(static_cast<void>(table_.Add({At(30), At(30)})), "check failed");
  Add(40, 4);
  EXPECT_DEATH(static_cast<void>(table_.Move({At(40), At(44)}, At(18))), "check failed");
}

TEST_F(PageTableDeathTest, APageThatIsHeldIsNotRemoved) {
  Add(0, 4);
  Mark(2, 9);
  EXPECT_DEATH(table_.Remove({At(0), At(4)}), "check failed");
}

}  // namespace
}  // namespace uzswap
