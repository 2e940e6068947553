#include "engine/growth_watch.h"

#include <gtest/gtest.h>

namespace uzswap {
namespace {

constexpr uint64_t kMs = 1'000'000;

class FakeGrowthPort final : public GrowthPort {
 public:
  uint64_t NowNs() override { return now_ns; }
  void RefreshHeadroom() override { ++refreshes; }
  int64_t UnregisteredPages() override { return unregistered; }
  void ScanMappings() override {
    ++scans;
    unregistered = left;
    now_ns += scan_ns;
  }

  uint64_t now_ns = 1000 * kMs;
  int64_t unregistered = 0;
  int64_t left = 0;      // not registered after a scan
  uint64_t scan_ns = 0;  // that a scan takes
  int refreshes = 0;
  int scans = 0;
};

class GrowthWatchTest : public testing::Test {
 protected:
  GrowthWatchTest() { watch_.Init(port_); }

  // Nothing has been registered for a while, and the daemon is late.
  void BeLate() {
    watch_.Expect(0);
    port_.now_ns += GrowthWatch::kLateNs;
  }

  FakeGrowthPort port_;
  GrowthWatch watch_;
};

TEST_F(GrowthWatchTest, DoesNothingBeforeTheDaemonHasBegun) {
  port_.unregistered = 1'000'000;
  EXPECT_EQ(watch_.CheckLate(), GrowthWatch::Outcome::kNotLate);
  EXPECT_EQ(watch_.TimeoutMs(), GrowthWatch::kTimeoutMaxMs);
  EXPECT_EQ(port_.refreshes, 0);
}

TEST_F(GrowthWatchTest, WaitsForThePauseAndTwoMilliseconds) {
  struct Case {
    uint64_t pause_ns;
    int timeout_ms;
  };
  for (const Case& c : {Case{0, 2}, Case{1, 3}, Case{500'000, 3}, Case{3 * kMs, 5},
                        Case{10'000 * kMs, GrowthWatch::kTimeoutMaxMs}}) {
    watch_.Expect(c.pause_ns);
    EXPECT_EQ(watch_.TimeoutMs(), c.timeout_ms) << c.pause_ns;
  }
  watch_.Expect(3 * kMs);
  port_.now_ns += 5 * kMs - 1;
  EXPECT_EQ(watch_.CheckLate(), GrowthWatch::Outcome::kNotLate);
  EXPECT_EQ(watch_.TimeoutMs(), 1) << "rounded up: a look that is too early does nothing";
  port_.now_ns += 1;
  EXPECT_EQ(watch_.TimeoutMs(), 0);
  EXPECT_EQ(watch_.CheckLate(), GrowthWatch::Outcome::kLooked);
  EXPECT_EQ(port_.refreshes, 1);
  EXPECT_EQ(watch_.TimeoutMs(), 2);
}

TEST_F(GrowthWatchTest, ADaemonThatMeasuresAgainIsNotLate) {
  BeLate();
  watch_.Expect(kMs);
  EXPECT_EQ(watch_.CheckLate(), GrowthWatch::Outcome::kNotLate);
}

TEST_F(GrowthWatchTest, ScansWhenMuchGrewThatIsNotRegistered) {
  constexpr int64_t kGrowth = UnregisteredGrowth::kScanPages;
  BeLate();
  port_.unregistered = kGrowth - 1;
  EXPECT_EQ(watch_.CheckLate(), GrowthWatch::Outcome::kLooked);
  port_.now_ns += GrowthWatch::kLateNs;
  port_.unregistered = kGrowth;
  port_.left = 10;
  EXPECT_EQ(watch_.CheckLate(), GrowthWatch::Outcome::kScanned);
  EXPECT_EQ(port_.scans, 1);
  // What stays unregistered does not ask for a scan again.
  port_.now_ns += GrowthWatch::kLateNs;
  EXPECT_EQ(watch_.CheckLate(), GrowthWatch::Outcome::kLooked);
  port_.now_ns += GrowthWatch::kLateNs;
  port_.unregistered = 10 + kGrowth;
  EXPECT_EQ(watch_.CheckLate(), GrowthWatch::Outcome::kScanned);
}

TEST_F(GrowthWatchTest, FaultsGetMostOfTheTimeBesideLongScans) {
  BeLate();
  port_.unregistered = 1000;
  port_.left = 0;
  port_.scan_ns = 20 * kMs;
  EXPECT_EQ(watch_.CheckLate(), GrowthWatch::Outcome::kScanned);
  port_.unregistered = 1000;
  EXPECT_EQ(watch_.TimeoutMs(), 20 * static_cast<int>(GrowthWatch::kPauseFactor));
  port_.now_ns += 20 * GrowthWatch::kPauseFactor * kMs - 1;
  EXPECT_EQ(watch_.CheckLate(), GrowthWatch::Outcome::kNotLate);
  port_.now_ns += 1;
  EXPECT_EQ(watch_.CheckLate(), GrowthWatch::Outcome::kScanned);
}

TEST_F(GrowthWatchTest, AForkedChildWaitsForItsOwnDaemon) {
  BeLate();
  watch_.ResetInChild();
  EXPECT_EQ(watch_.CheckLate(), GrowthWatch::Outcome::kNotLate);
}

}  // namespace
}  // namespace uzswap
