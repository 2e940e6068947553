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
      contended = contention_.NoteSample(runnable, kProcessors, now_ns_);
    }
    return contended;
  }

  Contention contention_;
  uint64_t now_ns_ = 1;
};

TEST_F(ContentionTest, IsSampledEveryTwoMilliseconds) {
  EXPECT_TRUE(contention_.SampleDue(1));
  contention_.NoteSample(1, kProcessors, 10);
  EXPECT_FALSE(contention_.SampleDue(9 + Contention::kSampleNs));
  EXPECT_TRUE(contention_.SampleDue(10 + Contention::kSampleNs));
}

TEST_F(ContentionTest, OneProcessAndItsEngineAreNone) {
  EXPECT_FALSE(Sample(3, 1000));
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(Sample(i % 3 == 0 ? 5 : 3, 1));
}

TEST_F(ContentionTest, ALoopOnEachProcessorIs) {
  EXPECT_FALSE(Sample(2, 100));
  EXPECT_TRUE(Sample(5, 30));
}

TEST_F(ContentionTest, ASingleHighSampleIsNone) {
  Sample(2, 100);
  EXPECT_FALSE(Sample(8, 1));
  EXPECT_FALSE(Sample(2, 3));
}

TEST_F(ContentionTest, ALateSampleCountsForThoseThatWereMissed) {
  Sample(2, 100);
  EXPECT_FALSE(Sample(8, 1, Contention::kSampleNs)) << "2.75 on average";
  EXPECT_TRUE(Sample(8, 1, 100 * Contention::kSampleNs));
}

TEST_F(ContentionTest, TheFirstSampleCountsForHalfAMean) {
  EXPECT_FALSE(Sample(7, 1));
  EXPECT_TRUE(Sample(7, 1));
}

TEST_F(ContentionTest, EndsASecondAfterTheLastHighMean) {
  ASSERT_TRUE(Sample(6, 20));
  const int of_second = static_cast<int>(Contention::kHoldNs / Contention::kSampleNs);
  EXPECT_TRUE(Sample(1, of_second - 1));
  EXPECT_FALSE(Sample(1, 10));
}

TEST_F(ContentionTest, StaysBetweenTheTwoBounds) {
  ASSERT_TRUE(Sample(6, 20));
  EXPECT_TRUE(Sample(kProcessors + 1, 5000)) << "the lower bound is not reached";
  EXPECT_FALSE(Sample(kProcessors, 5000));
  EXPECT_FALSE(Sample(kProcessors + 1, 5000)) << "nor the upper one";
}

}  // namespace
}  // namespace uzswap
