#include "os/runnable_tasks.h"

#include <gtest/gtest.h>

namespace uzswap::os {
namespace {

TEST(RunnableTasks, ParsesTheLineOfTheKernel) {
  EXPECT_EQ(ParseRunnable("0.34 0.19 0.24 5/216 11365\n"), 5U);
  EXPECT_EQ(ParseRunnable("10.00 9.99 1.24 1024/4096 1\n"), 1024U);
  EXPECT_EQ(ParseRunnable("0.00 0.00 0.00 0/1 1"), 0U);
}

TEST(RunnableTasks, SaysNothingOfOtherLines) {
  for (const std::string_view line :
       {"", " ", "0.34", "0.34 0.19 0.24", "0.34 0.19 0.24 ", "0.34 0.19 0.24 5", "a b c d/e",
        "0.34 0.19 0.24 99999999999/1 1", "0.34 0.19 0.24 -1/1 1"}) {
    EXPECT_EQ(ParseRunnable(line), std::nullopt) << line;
  }
}

TEST(RunnableTasks, ParsesIdleTime) {
  EXPECT_EQ(ParseIdleNs("53834.86 96404.11\n"), 96'404'110'000'000U);
  EXPECT_EQ(ParseIdleNs("0.00 0.00"), 0U);
  EXPECT_EQ(ParseIdleNs("1.00 0.09\n"), 90'000'000U);
  EXPECT_EQ(ParseIdleNs("1.00 5000000000.00\n"), 5'000'000'000'000'000'000U);
  for (const std::string_view line :
       {"", " ", "1.00", "1.00 ", "1.00 2", "1.00 2.", "1.00 2.1", "1.00 2.100", "1.00 .10",
        "1.00 -2.10", "1.00 99999999999.10", "1.00 2.10 3"}) {
    EXPECT_EQ(ParseIdleNs(line), std::nullopt) << line;
  }
}

TEST(RunnableTasks, CountsTheNumbersOfAList) {
  EXPECT_EQ(ParseListSize("0\n"), 1U);
  EXPECT_EQ(ParseListSize("0-1\n"), 2U);
  EXPECT_EQ(ParseListSize("0-3,8"), 5U);
  EXPECT_EQ(ParseListSize("0,2,4-127\n"), 126U);
  for (const std::string_view list : {"", "\n", "-1", "3-1", "0-", "0,", "0,,1", "99999999999"}) {
    EXPECT_EQ(ParseListSize(list), std::nullopt) << list;
  }
}

TEST(RunnableTasks, ReadsThisMachine) {
  RunnableTasks tasks;
  EXPECT_EQ(tasks.Count(), std::nullopt) << "not open";
  EXPECT_EQ(tasks.IdleNs(), std::nullopt);
  ASSERT_TRUE(tasks.Open());
  EXPECT_GE(tasks.processors(), 1U);
  const std::optional<uint32_t> count = tasks.Count();
  ASSERT_TRUE(count.has_value());
  EXPECT_GE(*count, 1U) << "this thread runs";
  EXPECT_GT(tasks.IdleNs().value_or(0), 0U);
}

}  // namespace
}  // namespace uzswap::os
