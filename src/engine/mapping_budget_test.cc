#include "engine/mapping_budget.h"

#include <gtest/gtest.h>

namespace uzswap {
namespace {

constexpr uint64_t kStart = uint64_t{1} << 40;
constexpr uint64_t kMax = 4000;
constexpr uint64_t kKnown = uint64_t{1} << 30;  // adoptable bytes of the process

os::MapsEntry Mapping(uint64_t start, uint64_t bytes) {
  os::MapsEntry entry;
  entry.start = start;
  entry.end = start + bytes;
  entry.readable = entry.writable = entry.anonymous = true;
  return entry;
}

// A process with so many mappings, the first of which has all its bytes.
MappingBudget Walked(uint64_t mappings) {
  MappingBudget budget;
  budget.SetMax(kMax);
  budget.BeginWalk();
  budget.Note(Mapping(kStart, kKnown), true);
  for (uint64_t i = 1; i < mappings; ++i) budget.Note(Mapping(0, kKnown), false);
  budget.EndWalk();
  budget.BeginWalk();
  return budget;
}

TEST(MappingBudget, GrowthIsRegisteredByCountAndSize) {
  struct Case {
    uint64_t mappings;
    uint64_t bytes;
    bool permitted;
  };
  constexpr uint64_t kShare = kKnown / 1024;
  const Case cases[] = {
      {1, kPageSize, true},
      {999, kPageSize, true},
      {1000, kPageSize, false},
      {1000, kShare, true},
      {1000, kShare - kPageSize, false},
      {2999, kShare, true},
      {3000, kShare, false},
      {3000, kKnown, false},
      {5000, kKnown, false},
  };
  for (const Case& c : cases) {
    MappingBudget budget = Walked(c.mappings);
    const os::MapsEntry before = Mapping(kStart - kKnown, kKnown);
    const os::MapsEntry grown = Mapping(kStart, c.bytes);
    EXPECT_EQ(budget.Permits(grown, before, {}), c.permitted) << c.mappings << " " << c.bytes;
    const os::MapsEntry after = Mapping(kStart + c.bytes, kKnown);
    EXPECT_EQ(budget.Permits(grown, {}, after), c.permitted) << c.mappings << " " << c.bytes;
    EXPECT_EQ(budget.left(), c.permitted ? 0u : 2u);
  }
}

TEST(MappingBudget, AMappingByItselfIsAlwaysRegistered) {
  struct Case {
    const char* what;
    void (*change)(os::MapsEntry&);
  };
  const Case neighbours[] = {
      {"a gap", [](os::MapsEntry& e) { e.end -= kPageSize; }},
      {"a guard", [](os::MapsEntry& e) { e.readable = e.writable = false; }},
      {"a file", [](os::MapsEntry& e) { e.anonymous = false; }},
      {"shared", [](os::MapsEntry& e) { e.shared = true; }},
      {"code", [](os::MapsEntry& e) { e.executable = true; }},
      {"the kernel's", [](os::MapsEntry& e) { e.kernel = true; }},
  };
  for (const Case& c : neighbours) {
    MappingBudget budget = Walked(kMax);
    os::MapsEntry before = Mapping(kStart - kKnown, kKnown);
    c.change(before);
    EXPECT_TRUE(budget.Permits(Mapping(kStart, kPageSize), before, {})) << c.what;
    EXPECT_EQ(budget.left(), 0u);
  }
}

TEST(MappingBudget, OnlyAWholeWalkCounts) {
  MappingBudget budget = Walked(1);
  for (uint64_t i = 0; i < kMax; ++i) budget.Note(Mapping(0, kKnown), false);
  const os::MapsEntry before = Mapping(kStart - kKnown, kKnown);
  EXPECT_TRUE(budget.Permits(Mapping(kStart, kPageSize), before, {}));
  budget.EndWalk();
  EXPECT_FALSE(budget.Permits(Mapping(kStart, kPageSize), before, {}));
}

}  // namespace
}  // namespace uzswap
