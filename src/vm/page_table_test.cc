#include "vm/page_table.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <iterator>
#include <map>
#include <vector>

#include "base/rng.h"
#include "base/testing/from_environment.h"
#include "vm/testing/page_table_peer.h"

namespace uzswap {
namespace {

constexpr uint64_t kBase = uint64_t{1} << 40;
constexpr uint64_t At(uint64_t page) { return kBase + (page << kPageShift); }

class PageTableTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(table_.Init().ok()); }
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
    index_of_[mark] = index;
  }
  uint32_t MarkOf(uint64_t page) {
    const PageEntry entry = table_.EntryOf(At(page));
    return entry.state() == PageState::kStaged ? entry.frame().raw() : 0;
  }
  void Remove(uint64_t page, uint64_t count) {
    table_.ForEachTracked({At(page), At(page + count)}, [this](PageIndex index) {
      index_of_.erase(table_.entry(index).frame().raw());
      table_.Transition(index, PageState::kUntracked);
    });
    table_.Remove({At(page), At(page + count)});
  }

  std::map<uint32_t, PageIndex> index_of_;  // by mark
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

TEST_F(PageTableTest, GrowthWithinTheExtentJoinsAndBeyondItIsARangeOfItsOwn) {
  Add(0, 4);
  Mark(3, 33);
  const PageIndex before = index_of_[33];
  Add(4, 100);
  EXPECT_EQ(table_.count(), 1u);
  Add(104, 3000);
  EXPECT_EQ(table_.count(), 2u);
  EXPECT_EQ(table_.at(1).start, At(104));
  EXPECT_EQ(MarkOf(3), 33u);
  EXPECT_EQ(table_.Find(At(3))->IndexOf(At(3)), before) << "an index never changes";
}

TEST_F(PageTableTest, AHeapThatGrowsInSmallStepsHasFewRanges) {
  uint64_t page = 0;
  for (; page < (uint64_t{4} << 30 >> kPageShift); page += 33) Add(page, 33);
  EXPECT_LE(table_.count(), 16u);
  EXPECT_EQ(table_.bytes(), Bytes(page << kPageShift));
  EXPECT_EQ(PageTablePeer::EntryBytes(table_), Bytes(0));
}

TEST_F(PageTableTest, AnySizeIsRegisteredAndCostsWhatIsTracked) {
  constexpr uint64_t kGiB = uint64_t{1} << (30 - kPageShift);
  uint64_t page = 0;
  for (const uint64_t pages : {uint64_t{1}, uint64_t{511}, uint64_t{512}, uint64_t{513}, kGiB,
                               683 * kGiB, 683 * kGiB + 1, 1024 * kGiB, 32 * 1024 * kGiB}) {
    Add(page, pages);
    Mark(page, 1);
    if (pages > 1) Mark(page + pages - 1, 2);
    EXPECT_EQ(MarkOf(page), 1u) << pages;
    EXPECT_EQ(MarkOf(page + pages - 1), pages > 1 ? 2u : 1u) << pages;
    EXPECT_LE(PageTablePeer::EntryBytes(table_), Bytes(16 << 10)) << pages;
    table_.Audit();
    const PageIndex last = index_of_[pages > 1 ? 2 : 1];
    EXPECT_EQ(table_.FindByIndex(last)->AddressOf(last), At(page + pages - 1));
    Remove(page + pages / 3, pages - pages / 3);  // a part
    EXPECT_EQ(table_.bytes(), Bytes(pages / 3 << kPageShift));
    Remove(page, pages);
    EXPECT_EQ(table_.count(), 0u);
    EXPECT_EQ(PageTablePeer::EntryBytes(table_), Bytes(0));
    page += pages + 7;
  }
}

TEST_F(PageTableTest, ManyRangesAreBoundedByMemoryOnly) {
  constexpr uint64_t kRanges = 70000;
  for (uint64_t i = 0; i < kRanges; ++i) Add(2 * i, 1);
  EXPECT_EQ(table_.count(), kRanges);
  for (uint64_t i = 0; i < kRanges; i += 7) Mark(2 * i, static_cast<uint32_t>(i + 1));
  for (uint64_t i = 0; i < kRanges; i += 7) ASSERT_EQ(MarkOf(2 * i), i + 1);
  table_.Audit();
  Remove(0, 2 * kRanges);
  EXPECT_EQ(table_.count(), 0u);
}

TEST_F(PageTableTest, NextAndNthVisitWhatIsTrackedInOrder) {
  Add(0, 100000);
  const RegisteredRange range = table_.at(0);
  EXPECT_FALSE(table_.NextTracked(range, range.first).valid());
  const uint64_t pages[] = {0, 1, 511, 512, 700, 70000, 99999};
  uint32_t mark = 0;
  for (const uint64_t page : pages) Mark(page, ++mark);
  EXPECT_EQ(table_.tracked_pages(), PageCount(std::size(pages)));
  PageIndex at = range.first;
  for (size_t i = 0; i < std::size(pages); ++i) {
    EXPECT_EQ(table_.NthTracked(i), range.first + pages[i]);
    at = table_.NextTracked(range, at);
    ASSERT_EQ(at, range.first + pages[i]);
    ++at;
  }
  EXPECT_FALSE(table_.NextTracked(range, at).valid());
  std::vector<uint64_t> seen;
  table_.ForEachTracked({At(1), At(70000)},
                        [&](PageIndex index) { seen.push_back(index - range.first); });
  EXPECT_EQ(seen, (std::vector<uint64_t>{1, 511, 512, 700}));
}

TEST_F(PageTableTest, WithoutMemoryAPageStaysUntracked) {
  Add(0, 100000);
  Mark(0, 1);
  const PageIndex first = table_.at(0).first;
  PageTablePeer::RefuseGrowth(table_);
  uint64_t taken = 0;
  for (uint64_t page = 1; page < 100000; ++page) {
    taken += table_.Transition(first + page, PageState::kResident) ? 1 : 0;
  }
  EXPECT_EQ(table_.refused(), 99999 - taken);
  EXPECT_GT(table_.refused(), 0u);
  EXPECT_EQ(table_.resident_pages(), PageCount(taken));
  EXPECT_EQ(table_.entry(first + 99999).state(), PageState::kUntracked);
  table_.SetPolicyBits(first + 99999, 3);
  EXPECT_TRUE(table_.entry(first + 99999).empty());
  EXPECT_FALSE(table_.Pin(first + 99999));
  table_.Audit();
  EXPECT_TRUE(table_.Transition(first, PageState::kResident)) << "an entry that exists changes";
  for (uint64_t page = 0; page < 100000; ++page) {
    if (table_.entry(first + page).empty()) continue;
    EXPECT_TRUE(table_.Transition(first + page, PageState::kUntracked));
  }
  EXPECT_EQ(table_.tracked_pages(), PageCount(0));
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
  for (const auto& [mark, index] : index_of_) {
    EXPECT_EQ(table_.entry(index).frame().raw(), mark) << "indices stay";
  }
}

TEST_F(PageTableTest, TablesThatAreFullSaySo) {
  EXPECT_FALSE(table_.Add({kBase, kBase + ((PageTable::kPagesMax + 1) << kPageShift)}).ok());
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
        ASSERT_EQ(index_of_.at(found->second), index);
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
