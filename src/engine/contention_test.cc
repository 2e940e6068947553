#include "engine/contention.h"

#include <gtest/gtest.h>

namespace uzswap {
namespace {

class ContentionTest : public testing::Test {
 protected:
  static constexpr uint32_t kProcessors = 2;

  // `count` samples, each after `step_ns`.
  bool Sample(uint32_t runnable, int count, uint64_t step_ns = Contention::kSampleNs) {
    bool contended = false;
    for (int i = 0; i < count; ++i) {
      now_ns_ += step_ns;
      unshared_ns_ += step_ns * unshared_percent_ / 100;
      const auto unshared = [this] {
        ++reads_;
        return unshared_ns_;
      };
      contended = contention_.NoteSample({runnable, kProcessors, now_ns_}, unshared);
    }
    return contended;
  }

  Contention contention_;
  uint64_t now_ns_ = 1;
  uint64_t unshared_ns_ = 1;
  uint64_t unshared_percent_ = 100;  // of one processor: idle, or used by the tree
  int reads_ = 0;
};

TEST_F(ContentionTest, IsSampledEveryTwoMilliseconds) {
  EXPECT_TRUE(contention_.SampleDue(1));
  contention_.NoteSample({1, kProcessors, 10}, [] { return uint64_t{0}; });
  EXPECT_FALSE(contention_.SampleDue(9 + Contention::kSampleNs));
  EXPECT_TRUE(contention_.SampleDue(10 + Contention::kSampleNs));
}

TEST_F(ContentionTest, OneProcessAndItsEngineAreNone) {
  EXPECT_FALSE(Sample(3, 1000));
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(Sample(i % 3 == 0 ? 5 : 3, 1));
}

TEST_F(ContentionTest, ALoopOnEachProcessorIs) {
  EXPECT_FALSE(Sample(2, 100));
  EXPECT_TRUE(Sample(5, 100));
}

TEST_F(ContentionTest, ManyThreadsOfTheProgramAreNone) {
  unshared_percent_ = 100 * kProcessors;
  EXPECT_FALSE(Sample(8, 1000));
  unshared_percent_ = 100 * kProcessors - 40;
  EXPECT_FALSE(Sample(8, 1000)) << "others had 0.4 processors";
  unshared_percent_ = 100 * kProcessors - 60;
  EXPECT_TRUE(Sample(8, 100)) << "others had 0.6 processors";
}

TEST_F(ContentionTest, TheEndOfAProcessTellsNothing) {
  unshared_percent_ = 0;
  unshared_ns_ = 1'000'000'000;
  for (int i = 0; i < 1000; ++i) {
    unshared_ns_ -= 1'000'000;
    EXPECT_FALSE(Sample(8, 1));
  }
  EXPECT_TRUE(Sample(8, 100)) << "no process ends";
}

TEST_F(ContentionTest, ProcessorTimeIsReadOnlyWithManyTasks) {
  Sample(kProcessors + 1, 3);
  Sample(kProcessors, 1000);
  EXPECT_EQ(reads_, 0);
  unshared_percent_ = 100 * kProcessors;
  const int windows = 50;
  Sample(8, windows * static_cast<int>(Contention::kWindowNs / Contention::kSampleNs));
  EXPECT_GT(reads_, windows / 2);
  EXPECT_LE(reads_, windows + 1);
}

TEST_F(ContentionTest, ASingleHighSampleIsNone) {
  Sample(2, 100);
  EXPECT_FALSE(Sample(8, 1));
  EXPECT_FALSE(Sample(2, 3));
}

TEST_F(ContentionTest, ALateSampleCountsForThoseThatWereMissed) {
  Sample(2, 100);
  EXPECT_FALSE(Sample(8, 1, Contention::kSampleNs)) << "2.75 on average";
  EXPECT_FALSE(Sample(8, 1, 100 * Contention::kSampleNs)) << "processor time is compared from here";
  EXPECT_TRUE(Sample(8, 1, Contention::kWindowNs));
}

TEST_F(ContentionTest, TheFirstSampleCountsForHalfAMean) {
  EXPECT_FALSE(Sample(7, 1, Contention::kWindowNs));
  EXPECT_TRUE(Sample(7, 1, Contention::kWindowNs));
}

TEST_F(ContentionTest, EndsAfterASecond) {
  ASSERT_TRUE(Sample(6, 50));
  const int of_second = static_cast<int>(Contention::kHoldNs / Contention::kSampleNs);
  EXPECT_TRUE(Sample(1, of_second - 50));
  EXPECT_FALSE(Sample(1, 60));
}

TEST_F(ContentionTest, EndsWhenOnlyTheProgramIsLeft) {
  ASSERT_TRUE(Sample(6, 50));
  unshared_percent_ = 100 * kProcessors;
  const int of_second = static_cast<int>(Contention::kHoldNs / Contention::kSampleNs);
  EXPECT_FALSE(Sample(6, 2 * of_second));
  EXPECT_FALSE(Sample(6, 1000));
}

TEST_F(ContentionTest, StaysBetweenTheTwoBounds) {
  ASSERT_TRUE(Sample(6, 50));
  EXPECT_TRUE(Sample(kProcessors + 1, 5000)) << "the lower bound is not reached";
  EXPECT_FALSE(Sample(kProcessors, 5000));
  EXPECT_FALSE(Sample(kProcessors + 1, 5000)) << "nor the upper one";
}

}  // namespace
}  // namespace uzswap
