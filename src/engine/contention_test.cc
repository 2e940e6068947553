#include "engine/contention.h"

#include <gtest/gtest.h>
#include <optional>

namespace uzswap {
namespace {

class ContentionTest : public testing::Test {
 protected:
  static constexpr uint32_t kProcessors = 2;
  static constexpr int kOfWindow = static_cast<int>(Contention::kWindowNs / Contention::kSampleNs);
  static constexpr int kOfSecond = static_cast<int>(Contention::kHoldNs / Contention::kSampleNs);

  // `count` samples, each after `step_ns`.
  bool Sample(uint32_t runnable, int count, uint64_t step_ns = Contention::kSampleNs) {
    bool contended = false;
    for (int i = 0; i < count; ++i) {
      now_ns_ += step_ns;
      time_ns_ += step_ns * percent_ / 100;
      const auto idle_or_ours = [this] {
        ++reads_;
        return known_ ? std::optional(time_ns_) : std::nullopt;
      };
      contended = contention_.NoteSample({runnable, kProcessors, now_ns_}, idle_or_ours);
    }
    return contended;
  }

  Contention contention_;
  uint64_t now_ns_ = 1;
  uint64_t time_ns_ = 1;
  uint64_t percent_ = 100;  // of one processor: idle, or used by the tree
  bool known_ = true;
  int reads_ = 0;
};

TEST_F(ContentionTest, IsSampledEveryTwoMilliseconds) {
  EXPECT_TRUE(contention_.SampleDue(1));
  contention_.NoteSample({1, kProcessors, 10}, [] { return std::optional<uint64_t>(); });
  EXPECT_FALSE(contention_.SampleDue(9 + Contention::kSampleNs));
  EXPECT_TRUE(contention_.SampleDue(10 + Contention::kSampleNs));
}

TEST_F(ContentionTest, OneProcessAndItsEngineAreNone) {
  EXPECT_FALSE(Sample(3, 1000));
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(Sample(i % 3 == 0 ? 5 : 3, 1));
}

TEST_F(ContentionTest, ALoopOnEachProcessorIs) {
  EXPECT_FALSE(Sample(2, 100));
  EXPECT_TRUE(Sample(5, 2 * kOfWindow));
}

TEST_F(ContentionTest, ManyThreadsOfTheProgramAreNone) {
  percent_ = 100 * kProcessors;
  EXPECT_FALSE(Sample(8, 1000));
  percent_ = 100 * kProcessors - 40;
  EXPECT_FALSE(Sample(8, 1000)) << "others had 0.4 processors";
  percent_ = 100 * kProcessors - 60;
  EXPECT_TRUE(Sample(8, 2 * kOfWindow)) << "others had 0.6 processors";
}

TEST_F(ContentionTest, WhatIsNotKnownIsNone) {
  known_ = false;
  EXPECT_FALSE(Sample(8, 1000));
  known_ = true;
  EXPECT_TRUE(Sample(8, 2 * kOfWindow));
  known_ = false;
  EXPECT_TRUE(Sample(8, kOfSecond - kOfWindow)) << "it stays for a second";
  EXPECT_FALSE(Sample(8, 2 * kOfWindow));
}

TEST_F(ContentionTest, TimeThatDecreasesTellsNothing) {
  percent_ = 0;
  time_ns_ = 1'000'000'000;
  for (int i = 0; i < 900; ++i) {
    time_ns_ -= 1'000'000;
    EXPECT_FALSE(Sample(8, 1));
  }
  EXPECT_TRUE(Sample(8, 2 * kOfWindow)) << "no process ends";
}

TEST_F(ContentionTest, AWindowDoesNotBecomeLong) {
  percent_ = 100 * kProcessors;
  Sample(4, 100'000);  // many tasks, but not enough
  percent_ = 0;
  EXPECT_TRUE(Sample(5, 3 * kOfWindow)) << "the long time before does not count";
}

TEST_F(ContentionTest, ProcessorTimeIsReadOnlyWithManyTasks) {
  Sample(kProcessors + 1, 3);
  Sample(kProcessors, 1000);
  EXPECT_EQ(reads_, 0);
  percent_ = 100 * kProcessors;
  constexpr int kWindows = 50;
  Sample(8, kWindows * kOfWindow);
  EXPECT_GT(reads_, kWindows / 2);
  EXPECT_LE(reads_, kWindows + 1);
}

TEST_F(ContentionTest, ASingleHighSampleIsNone) {
  Sample(2, 100);
  EXPECT_FALSE(Sample(8, 1));
  EXPECT_FALSE(Sample(2, 3));
  EXPECT_EQ(reads_, 0);
}

TEST_F(ContentionTest, ALateSampleCountsForThoseThatWereMissed) {
  Sample(2, 100);
  EXPECT_FALSE(Sample(8, 1, Contention::kSampleNs)) << "2.75 on average";
  EXPECT_EQ(reads_, 0);
  EXPECT_FALSE(Sample(8, 1, 100 * Contention::kSampleNs)) << "processor time is compared from here";
  EXPECT_EQ(reads_, 1);
  EXPECT_TRUE(Sample(8, 1, Contention::kWindowNs));
}

TEST_F(ContentionTest, TheFirstSampleCountsForHalfAMean) {
  EXPECT_FALSE(Sample(5, 1)) << "2.5 on average";
  EXPECT_EQ(reads_, 0);
}

TEST_F(ContentionTest, EndsAfterASecond) {
  ASSERT_TRUE(Sample(6, 2 * kOfWindow));
  EXPECT_TRUE(Sample(1, kOfSecond - kOfWindow));
  EXPECT_FALSE(Sample(1, 2 * kOfWindow));
}

TEST_F(ContentionTest, EndsWhenOnlyTheProgramIsLeft) {
  ASSERT_TRUE(Sample(6, 2 * kOfWindow));
  percent_ = 100 * kProcessors;
  EXPECT_FALSE(Sample(6, kOfSecond + kOfWindow));
  EXPECT_FALSE(Sample(6, 1000));
}

TEST_F(ContentionTest, StaysBetweenTheTwoBounds) {
  ASSERT_TRUE(Sample(6, 2 * kOfWindow));
  EXPECT_TRUE(Sample(kProcessors + 1, 5000)) << "the lower bound is not reached";
  EXPECT_FALSE(Sample(kProcessors, 5000));
  EXPECT_FALSE(Sample(kProcessors + 1, 5000)) << "nor the upper one";
}

}  // namespace
}  // namespace uzswap
