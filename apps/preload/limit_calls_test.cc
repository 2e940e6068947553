#include "limit_calls.h"

#include <gtest/gtest.h>

namespace uzswap {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kInfinite = ~uint64_t{0};

TEST(LimitCalls, TheAllowanceGrowsWithTheMemoryThatTheTreeMayUse) {
  struct Case {
    uint64_t memory;
    uint64_t units;
  };
  const Case cases[] = {
      {0, 5},           {16 * kMiB - 1, 5}, {16 * kMiB, 7},     {40 * kMiB, 8},
      {512 * kMiB, 53}, {4096 * kMiB, 389}, {8192 * kMiB, 511}, {kInfinite, 511},
  };
  for (const Case& c : cases) EXPECT_EQ(LimitUnitsFor(Bytes(c.memory)), c.units) << c.memory;
}

TEST(LimitCalls, UnitsTellTheMemoryThatTheyAreFor) {
  for (uint64_t units = LimitUnitsFor(Bytes(0)); units < kUnitsMax; ++units) {
    const Bytes memory = MemoryForUnits(units);
    EXPECT_LE(LimitUnitsFor(memory), units);
    EXPECT_GT(LimitUnitsFor(memory + Bytes(kPageSize)), units);
  }
  EXPECT_EQ(MemoryForUnits(kUnitsMax), Bytes(kInfinite));
  EXPECT_EQ(MemoryForUnits(4), Bytes(0));
  EXPECT_EQ(AllowanceOf(WithAllowance(320 * kMiB, 34)), 34u);
  EXPECT_EQ(AllowanceOf(320 * kMiB), std::nullopt);
  EXPECT_EQ(AllowanceOf(kInfinite), std::nullopt);
}

TEST(LimitCalls, TheKernelsValueHoldsTheAllowanceAndTellsIt) {
  for (const uint64_t limit : {uint64_t{0}, kPageSize, 320 * kMiB, uint64_t{1} << 46}) {
    for (const uint64_t units : {5, 7, 34, 511}) {
      const uint64_t kernel = WithAllowance(limit, units);
      EXPECT_EQ(kernel >> kPageShift, (limit + units * kLimitUnit) >> kPageShift);
      EXPECT_EQ(WithoutAllowance(kernel), limit) << units;
    }
  }
}

TEST(LimitCalls, WhatCannotBeExtendedStays) {
  struct Case {
    const char* what;
    uint64_t limit;
    uint64_t kernel;
  };
  const Case cases[] = {
      {"no limit", kInfinite, kInfinite},
      {"an overflow", kInfinite - kLimitUnit, kInfinite - kLimitUnit},
      {"part of a page: the kernel counts pages", 5 * kPageSize + 17, 0},
  };
  for (const Case& c : cases) {
    const uint64_t kernel = WithAllowance(c.limit, 5);
    if (c.kernel != 0) {
      EXPECT_EQ(kernel, c.kernel) << c.what;
      EXPECT_EQ(WithoutAllowance(kernel), c.limit) << c.what;
    } else {
      EXPECT_EQ(WithoutAllowance(kernel), c.limit & ~(kPageSize - 1)) << c.what;
    }
  }
}

// It is what a program can have set by chance.
TEST(LimitCalls, AnAllowanceThatIsTooSmallIsNone) {
  EXPECT_EQ(AllowanceOf(WithAllowance(320 * kMiB, 4)), std::nullopt);
  EXPECT_EQ(AllowanceOf(WithAllowance(320 * kMiB, 5)), 5u);
}

TEST(LimitCalls, AValueWithoutTheMarkIsTheProgramsOwn) {
  for (const uint64_t limit : {320 * kMiB, uint64_t{1}, kInfinite, 4096 * kMiB + 12, uint64_t{0x2d},
                               kLimitUnit + 0x5, 5 * kLimitUnit + 0x25}) {
    EXPECT_EQ(WithoutAllowance(limit), limit);
  }
}

}  // namespace
}  // namespace uzswap
