#include "engine/daemon_urgency.h"

#include <gtest/gtest.h>
#include <utility>
#include <vector>

namespace uzswap {
namespace {

using os::Urgency;

std::vector<Urgency> g_set;

class DaemonUrgencyTest : public testing::Test {
 protected:
  DaemonUrgencyTest() { g_set.clear(); }

  // What was set since the last call.
  static std::vector<Urgency> Taken() { return std::exchange(g_set, {}); }

  DaemonUrgency urgency_{[](Urgency urgency) { g_set.push_back(urgency); }};
};

using Changes = std::vector<Urgency>;

constexpr uint64_t kLong = DaemonUrgency::kWatchingNs;
constexpr uint64_t kShort = kLong - 1;

TEST_F(DaemonUrgencyTest, RealTimeFromTheStartToTheEndOfTheFirstReclaim) {
  urgency_.Begin(false);
  EXPECT_EQ(Taken(), Changes{Urgency::kRealTime});
  urgency_.NoteStep({.pause_ns = kShort, .now_ns = 1});
  urgency_.NoteStep({.active = true, .now_ns = 2});
  urgency_.NoteStep({.active = true, .over_limit = true, .now_ns = 3});
  EXPECT_EQ(Taken(), Changes{});
  urgency_.NoteStep({.active = true, .pause_ns = kShort, .now_ns = 4});
  EXPECT_EQ(Taken(), Changes{Urgency::kPreferred});
  urgency_.NoteStep({.active = true, .now_ns = 5});
  EXPECT_EQ(Taken(), Changes{}) << "it has settled once";
}

TEST_F(DaemonUrgencyTest, RealTimeWhileThereIsMuchHeadroom) {
  urgency_.Begin(false);
  urgency_.NoteStep({.active = true, .pause_ns = kLong, .now_ns = 1});
  EXPECT_EQ(Taken(), Changes{Urgency::kRealTime});
  urgency_.NoteStep({.active = true, .pause_ns = kShort, .now_ns = 2});
  urgency_.NoteStep({.active = true, .now_ns = 3});
  EXPECT_EQ(Taken(), Changes{Urgency::kPreferred});
  urgency_.NoteStep({.active = true, .pause_ns = kLong, .now_ns = 4});
  EXPECT_EQ(Taken(), Changes{Urgency::kRealTime});
}

TEST_F(DaemonUrgencyTest, RealTimeAboveTheLimit) {
  urgency_.Begin(false);
  urgency_.NoteStep({.active = true, .pause_ns = kShort, .now_ns = 1});
  Taken();
  urgency_.NoteStep({.active = true, .over_limit = true, .now_ns = 2});
  EXPECT_EQ(Taken(), Changes{Urgency::kRealTime});
  urgency_.NoteStep({.active = true, .over_limit = true, .pause_ns = kShort, .now_ns = 3});
  EXPECT_EQ(Taken(), Changes{});
  urgency_.NoteStep({.active = true, .now_ns = 4});
  EXPECT_EQ(Taken(), Changes{Urgency::kPreferred});
}

TEST_F(DaemonUrgencyTest, ABurstEndsAndTheNextBeginsBelowTheLimit) {
  urgency_.Begin(false);
  urgency_.NoteStep({.active = true, .over_limit = true, .now_ns = 1});
  urgency_.NoteStep({.active = true, .over_limit = true, .now_ns = 1 + DaemonUrgency::kBurstMaxNs});
  EXPECT_EQ(Taken(), Changes{Urgency::kRealTime});
  urgency_.NoteStep({.active = true, .over_limit = true, .now_ns = 2 + DaemonUrgency::kBurstMaxNs});
  EXPECT_EQ(Taken(), Changes{Urgency::kPreferred});
  urgency_.NoteStep({.active = true, .over_limit = true, .now_ns = 3 + DaemonUrgency::kBurstMaxNs});
  EXPECT_EQ(Taken(), Changes{});
  urgency_.NoteStep({.active = true, .now_ns = 4 + DaemonUrgency::kBurstMaxNs});
  urgency_.NoteStep({.active = true, .over_limit = true, .now_ns = 5 + DaemonUrgency::kBurstMaxNs});
  EXPECT_EQ(Taken(), Changes{Urgency::kRealTime});
}

TEST_F(DaemonUrgencyTest, AnOrdinaryOneIsSoUntilItsFirstStep) {
  urgency_.Begin(true);
  EXPECT_EQ(Taken(), Changes{Urgency::kPreferred});
  urgency_.NoteStep({.pause_ns = kLong, .now_ns = 1});
  EXPECT_EQ(Taken(), Changes{Urgency::kRealTime}) << "not active: it only watches";
}

TEST_F(DaemonUrgencyTest, LowerHoldsUntilTheNextStep) {
  urgency_.Begin(false);
  Taken();
  urgency_.Lower();
  urgency_.Lower();
  EXPECT_EQ(Taken(), Changes{Urgency::kPreferred});
  urgency_.NoteStep({.pause_ns = kLong, .now_ns = 1});
  EXPECT_EQ(Taken(), Changes{Urgency::kRealTime});
}

}  // namespace
}  // namespace uzswap
