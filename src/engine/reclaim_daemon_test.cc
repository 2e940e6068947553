#include "engine/reclaim_daemon.h"

#include <gtest/gtest.h>

#include "engine/testing/fake_reclaim_port.h"

namespace uzswap {
namespace {

constexpr Bytes kLimit{64 << 20};
constexpr uint64_t kMiB = 1 << 20;
const Watermarks kMarks = WatermarksFor(kLimit);

using Calls = std::vector<std::string>;

class ReclaimDaemonTest : public testing::Test {
 protected:
  ReclaimDaemonTest() {
    port_.wanted = kMarks;
    daemon_.Init(port_, headroom_, kMarks);
    Use(Bytes(16 * kMiB));
  }

  // This process alone holds `bytes`.
  void Use(Bytes bytes) {
    port_.usage.anonymous = port_.usage.own = port_.usage.tree = bytes;
    port_.usage.headroom_pages = static_cast<int64_t>(PagesWithin(kMarks.target).raw()) -
                                 static_cast<int64_t>(PagesWithin(bytes).raw());
  }
  // Active, all of it registered, the first scan is over.
  void BeSettled(Bytes bytes) {
    Use(bytes);
    port_.is_active = true;
    port_.pages.resident = PagesWithin(bytes).raw();
    port_.pages.staged = kMarks.inactive;
    port_.storable = 1;  // so that no step is fruitless
    static_cast<void>(daemon_.Run());
    port_.storable = 0;
    port_.TakeCalls();
  }
  ReclaimOutcome Step() { return daemon_.Run().outcome; }

  Headroom headroom_;
  FakeReclaimPort port_{headroom_};
  ReclaimDaemon daemon_;
};

TEST_F(ReclaimDaemonTest, AStepSaysWhenTheLimitIsExceeded) {
  BeSettled(kLimit);
  EXPECT_FALSE(daemon_.Run().over_limit);
  Use(kLimit + Bytes(1));
  EXPECT_TRUE(daemon_.Run().over_limit);
  port_.usage.minor = true;
  EXPECT_FALSE(daemon_.Run().over_limit) << "the others hold the memory";
}

TEST_F(ReclaimDaemonTest, AllPartsFollowAnotherLimit) {
  BeSettled(Bytes(32 * kMiB));
  EXPECT_EQ(port_.counts.limit_changes.Get(), 0u);
  port_.wanted = WatermarksFor(Bytes(30 * kMiB));
  EXPECT_TRUE(daemon_.Run().over_limit) << "32 MiB are used";
  EXPECT_EQ(port_.counts.limit_changes.Get(), 1u);
  EXPECT_EQ(port_.used.limit, Bytes(30 * kMiB));
  EXPECT_EQ(port_.used.frames, kMarks.frames) << "they were made for the first limit";
  static_cast<void>(daemon_.Run());
  EXPECT_EQ(port_.counts.limit_changes.Get(), 1u) << "told once";
  port_.wanted = kMarks;
  EXPECT_FALSE(daemon_.Run().over_limit);
  EXPECT_EQ(port_.used, kMarks);
}

TEST_F(ReclaimDaemonTest, TheFramesAreThoseOfTheLimitAtWhichItBecomesActive) {
  Use(Bytes(16 * kMiB));
  EXPECT_EQ(Step(), ReclaimOutcome::kWatching);
  port_.wanted = WatermarksFor(Bytes(512 * kMiB));
  EXPECT_EQ(Step(), ReclaimOutcome::kWatching);
  EXPECT_EQ(port_.used.frames, WatermarksFor(Bytes(512 * kMiB)).frames);
}

// The limit was raised far since.
TEST_F(ReclaimDaemonTest, NoMoreStayStagedThanTheFramesPermit) {
  BeSettled(Bytes(16 * kMiB));
  port_.wanted = WatermarksFor(Bytes(4096 * kMiB));
  static_cast<void>(daemon_.Run());
  EXPECT_EQ(port_.used.frames, kMarks.frames);
  EXPECT_EQ(port_.used.inactive, kMarks.frames.raw() / 6);
  EXPECT_EQ(port_.used.inactive, kMarks.inactive);
}

TEST_F(ReclaimDaemonTest, ANewRequestDoesNotCountTheDead) {
  BeSettled(Bytes(16 * kMiB));
  static_cast<void>(daemon_.Run());
  EXPECT_FALSE(port_.Called("mark dead"));
  port_.wanted = WatermarksFor(kLimit, Bytes(40 * kMiB));
  static_cast<void>(daemon_.Run());
  EXPECT_TRUE(port_.Called("mark dead"));
  port_.TakeCalls();
  static_cast<void>(daemon_.Run());
  EXPECT_FALSE(port_.Called("mark dead")) << "once";
}

TEST_F(ReclaimDaemonTest, ToShrinkIsToBecomeActiveWithoutExceedingALimit) {
  Use(Bytes(16 * kMiB));
  EXPECT_EQ(Step(), ReclaimOutcome::kWatching);
  port_.wanted = WatermarksFor(kLimit, Bytes(8 * kMiB));
  const ReclaimDaemon::Step step = daemon_.Run();
  EXPECT_TRUE(port_.is_active);
  EXPECT_FALSE(step.over_limit);
  EXPECT_EQ(port_.used.target, Bytes(8 * kMiB));
  EXPECT_EQ(port_.used.limit, kLimit);
}

TEST_F(ReclaimDaemonTest, WatchesUntilUsageNearsTheLimit) {
  struct Case {
    const char* what;
    Bytes anonymous;
    Bytes tree;
    ReclaimOutcome outcome;
  };
  const Bytes small(ReclaimDaemon::kActivePagesMin * kPageSize);
  const Case cases[] = {
      {"little in a small tree", small, small, ReclaimOutcome::kWatching},
      {"just below the mark", kMarks.adopt - Bytes(1), kMarks.adopt - Bytes(1),
       ReclaimOutcome::kWatching},
      {"a tiny process of a large tree", small - Bytes(kPageSize), kLimit,
       ReclaimOutcome::kWatching},
      {"a process just large enough, of a tree at the mark", small, kMarks.adopt,
       ReclaimOutcome::kEnoughRoom},
  };
  for (const Case& c : cases) {
    FakeReclaimPort port(headroom_);
    port.wanted = kMarks;
    ReclaimDaemon daemon;
    daemon.Init(port, headroom_, kMarks);
    port.usage.anonymous = port.usage.own = c.anonymous;
    port.usage.tree = c.tree;
    port.usage.headroom_pages = kMarks.room_high;
    EXPECT_EQ(daemon.Run().outcome, c.outcome) << c.what;
    EXPECT_EQ(port.Called("activate"), c.outcome != ReclaimOutcome::kWatching) << c.what;
  }
}

TEST_F(ReclaimDaemonTest, ScansAndMeasuresMetadataInTheStepThatActivates) {
  Use(kMarks.adopt);
  EXPECT_EQ(Step(), ReclaimOutcome::kEnoughRoom);
  EXPECT_EQ(port_.TakeCalls(), (Calls{"activate", "scan", "metadata"}));
  EXPECT_EQ(Step(), ReclaimOutcome::kEnoughRoom);
  EXPECT_EQ(port_.TakeCalls(), (Calls{"storage"}));
}

TEST_F(ReclaimDaemonTest, ActivationThatFailedIsNotTriedAgain) {
  port_.can_activate = false;
  Use(kLimit);
  EXPECT_EQ(Step(), ReclaimOutcome::kRefused);
  EXPECT_EQ(Step(), ReclaimOutcome::kRefused);
  EXPECT_EQ(port_.TakeCalls(), (Calls{"activate"}));
  Use(Bytes(kMiB));
  EXPECT_EQ(Step(), ReclaimOutcome::kWatching);
  EXPECT_EQ(daemon_.outcomes(ReclaimOutcome::kRefused), 2u);
  EXPECT_TRUE(port_.huge_pages);
}

TEST_F(ReclaimDaemonTest, MakesRoomBetweenTheMarksOnlyOnceItHasBegun) {
  BeSettled(Bytes(16 * kMiB));
  struct Case {
    int64_t room;
    ReclaimOutcome outcome;
  };
  const Case cases[] = {
      {kMarks.room_low, ReclaimOutcome::kEnoughRoom},
      {kMarks.room_low - 1, ReclaimOutcome::kProgress},
      {kMarks.room_low, ReclaimOutcome::kProgress},
      {kMarks.room_high - 1, ReclaimOutcome::kProgress},
      {kMarks.room_high, ReclaimOutcome::kEnoughRoom},
      {kMarks.room_high - 1, ReclaimOutcome::kEnoughRoom},
      {kMarks.room_low - 1, ReclaimOutcome::kProgress},
  };
  for (const Case& c : cases) {
    port_.usage.headroom_pages = c.room;
    port_.storable = 1;
    EXPECT_EQ(Step(), c.outcome) << c.room;
  }
  // A process that holds much less than the others leaves the work to them.
  port_.usage.minor = true;
  EXPECT_EQ(Step(), ReclaimOutcome::kEnoughRoom);
}

TEST_F(ReclaimDaemonTest, OneBatchInOrder) {
  BeSettled(Bytes(16 * kMiB));
  port_.usage.headroom_pages = kMarks.room_low - 1;
  port_.storable = 20;
  EXPECT_EQ(Step(), ReclaimOutcome::kProgress);
  EXPECT_EQ(port_.TakeCalls(),
            (Calls{"storage", "store 16", "store 16", "store 16", "store 16", "release 128"}));
}

TEST_F(ReclaimDaemonTest, IsolatesWhenFewAreStagedOrThereIsNoHeadroom) {
  BeSettled(Bytes(16 * kMiB));
  struct Case {
    size_t staged;
    int64_t room;
    bool isolates;
  };
  const Case cases[] = {
      {kMarks.inactive / 2, 0, false},
      {kMarks.inactive / 2 - 1, 0, true},
      {kMarks.inactive, -1, true},
  };
  for (const Case& c : cases) {
    port_.pages.staged = c.staged;
    port_.usage.headroom_pages = c.room;
    port_.releasable = 1;
    EXPECT_EQ(Step(), ReclaimOutcome::kProgress);
    EXPECT_EQ(port_.Called("isolate 64"), c.isolates) << c.staged << " staged, room " << c.room;
    port_.TakeCalls();
  }
}

TEST_F(ReclaimDaemonTest, WhatFollowsWhenNothingWasSaved) {
  struct Case {
    const char* what;
    uint32_t dead;
    bool shrinking;
    ReclaimOutcome outcome;
    Calls last;  // the actions after the release of frames
  };
  const Case cases[] = {
      {"a process is gone", 1, false, ReclaimOutcome::kTreeShrank, {"mark dead"}},
      {"gone, and the writer works", 1, true, ReclaimOutcome::kTreeShrank, {"mark dead"}},
      {"the writer works", 0, true, ReclaimOutcome::kWriterBusy, {"mark dead"}},
      {"nothing", 0, false, ReclaimOutcome::kNoProgress, {"mark dead", "break cow 64"}},
  };
  BeSettled(Bytes(16 * kMiB));
  port_.usage.headroom_pages = 0;
  for (const Case& c : cases) {
    port_.dead = c.dead;
    port_.writer_state.shrinking = c.shrinking;
    const ReclaimDaemon::Step step = daemon_.Run();
    EXPECT_EQ(step.outcome, c.outcome) << c.what;
    EXPECT_EQ(step.pause_ns == 0, c.outcome == ReclaimOutcome::kTreeShrank) << c.what;
    const Calls calls = port_.TakeCalls();
    const size_t common = 6;  // storage, four stores, release
    ASSERT_GE(calls.size(), common) << c.what;
    EXPECT_EQ(Calls(calls.begin() + common, calls.end()), c.last) << c.what;
  }
}

// Steps without progress until the first that reports usage above the limit. After the first it has
// been above for long enough.
int StepsUntilOverLimit(ReclaimDaemon& daemon, FakeReclaimPort& port) {
  for (int i = 1; i <= 10'000; ++i) {
    if (daemon.Run().outcome == ReclaimOutcome::kOverLimit) return i;
    if (i == 1) port.now_ns += ReclaimDaemon::kFruitlessNs;
  }
  return -1;
}

TEST_F(ReclaimDaemonTest, DoesNotWarnAtOnce) {
  BeSettled(kLimit + Bytes(kMiB));
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(Step(), ReclaimOutcome::kNoProgress);
  port_.now_ns += ReclaimDaemon::kFruitlessNs - 1;
  EXPECT_EQ(Step(), ReclaimOutcome::kNoProgress);
  port_.now_ns += 1;
  EXPECT_EQ(Step(), ReclaimOutcome::kOverLimit);
}

TEST_F(ReclaimDaemonTest, AProcessThatEndsGetsFiveSeconds) {
  BeSettled(kLimit + Bytes(kMiB));
  port_.ending = true;
  constexpr int kStepsOfASecond = 50;
  constexpr uint64_t kStepNs = 1'000'000'000 / kStepsOfASecond;
  EXPECT_EQ(Step(), ReclaimOutcome::kNoProgress);  // above the limit since now
  for (int i = 1; i < 5 * kStepsOfASecond; ++i) {
    port_.now_ns += kStepNs;
    EXPECT_EQ(Step(), ReclaimOutcome::kNoProgress);
  }
  EXPECT_EQ(port_.counts.limit_exceeded.Get(), 0u);
  port_.now_ns += kStepNs;
  Step();
  EXPECT_EQ(port_.counts.limit_exceeded.Get(), 1u);
}

TEST_F(ReclaimDaemonTest, AfterTheEndItWarnsAsUsually) {
  BeSettled(kLimit + Bytes(kMiB));
  port_.ending = true;
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Step(), ReclaimOutcome::kNoProgress);
  port_.now_ns += ReclaimDaemon::kFruitlessNs;
  EXPECT_EQ(Step(), ReclaimOutcome::kNoProgress);
  port_.ending = false;
  EXPECT_EQ(Step(), ReclaimOutcome::kOverLimit);
}

TEST_F(ReclaimDaemonTest, WarnsAfterEnoughStepsWithoutProgress) {
  BeSettled(kLimit + Bytes(kMiB));
  EXPECT_EQ(StepsUntilOverLimit(daemon_, port_), ReclaimDaemon::kFruitlessMax + 1);
  EXPECT_EQ(port_.counts.limit_exceeded.Get(), 1u);
  EXPECT_TRUE(port_.Called("warn 65"));
  // It stays so, and is counted each time.
  EXPECT_EQ(Step(), ReclaimOutcome::kOverLimit);
  EXPECT_EQ(port_.counts.limit_exceeded.Get(), 2u);
  // Progress begins the count anew.
  port_.storable = 1;
  EXPECT_EQ(Step(), ReclaimOutcome::kProgress);
  EXPECT_EQ(StepsUntilOverLimit(daemon_, port_), ReclaimDaemon::kFruitlessMax + 1);
}

// The headroom is that of the working set, so nothing is reclaimed, but the limit is exceeded.
TEST_F(ReclaimDaemonTest, WarnsWhileTheWorkingSetIsSpared) {
  BeSettled(kLimit + Bytes(kMiB));
  port_.usage.headroom_pages = kMarks.room_high;
  port_.usage.spared = true;
  EXPECT_EQ(Step(), ReclaimOutcome::kNoProgress);
  EXPECT_EQ(port_.TakeCalls(), (Calls{"storage", "mark dead"}));
  EXPECT_EQ(StepsUntilOverLimit(daemon_, port_), ReclaimDaemon::kFruitlessMax);
  EXPECT_TRUE(port_.Called("warn 65"));
  port_.dead = 1;
  EXPECT_EQ(Step(), ReclaimOutcome::kTreeShrank);
  port_.dead = 0;
  port_.writer_state.shrinking = true;
  EXPECT_EQ(Step(), ReclaimOutcome::kWriterBusy);
  port_.usage.headroom_pages = kMarks.room_low - 1;
  port_.storable = 1;
  EXPECT_EQ(Step(), ReclaimOutcome::kProgress);
}

TEST_F(ReclaimDaemonTest, AWriterThatCanWriteGetsMoreTime) {
  BeSettled(kLimit + Bytes(kMiB));
  port_.writer_state.can_write = true;
  EXPECT_EQ(StepsUntilOverLimit(daemon_, port_),
            ReclaimDaemon::kFruitlessMax * ReclaimDaemon::kWriterPatience + 1);
}

TEST_F(ReclaimDaemonTest, AtTheLimitThereIsNoWarning) {
  BeSettled(kLimit);
  EXPECT_EQ(StepsUntilOverLimit(daemon_, port_), -1);
  EXPECT_EQ(port_.counts.limit_exceeded.Get(), 0u);
}

TEST_F(ReclaimDaemonTest, UsageThatStaysAboveTheLimitIsToldInSpiteOfProgress) {
  BeSettled(kLimit + Bytes(kMiB));
  port_.usage.headroom_pages = -1;
  port_.storable = 1'000'000;
  EXPECT_EQ(Step(), ReclaimOutcome::kProgress);
  port_.now_ns += ReclaimDaemon::kOverLimitNs - 1;
  EXPECT_EQ(Step(), ReclaimOutcome::kProgress);
  EXPECT_FALSE(port_.Called("warn in spite of progress 65"));
  // Below it for one step: it begins anew.
  Use(kLimit);
  Step();
  Use(kLimit + Bytes(kMiB));
  Step();
  port_.now_ns += ReclaimDaemon::kOverLimitNs - 1;
  Step();
  EXPECT_FALSE(port_.Called("warn in spite of progress 65"));
  port_.now_ns += 1;
  EXPECT_EQ(Step(), ReclaimOutcome::kProgress);
  EXPECT_TRUE(port_.Called("warn in spite of progress 65"));
  EXPECT_EQ(port_.counts.limit_exceeded.Get(), 1u);
}

TEST_F(ReclaimDaemonTest, PagesThatAreSharedAreMadeMovableAboveTheLimit) {
  BeSettled(Bytes(16 * kMiB));
  port_.storable = 1'000'000;
  for (const Bytes tree : {kLimit, kLimit + Bytes(1)}) {
    Use(tree);
    EXPECT_EQ(Step(), ReclaimOutcome::kProgress);
    EXPECT_EQ(port_.Called("break cow 64"), tree > kLimit);
    port_.TakeCalls();
  }
}

TEST_F(ReclaimDaemonTest, ScansOnGrowthOrAfterAWhile) {
  BeSettled(Bytes(16 * kMiB));
  const auto grow = [this](uint64_t pages) { Use(port_.usage.own + Bytes(pages * kPageSize)); };
  EXPECT_EQ(Step(), ReclaimOutcome::kEnoughRoom);
  EXPECT_FALSE(port_.Called("scan"));
  grow(ReclaimDaemon::kScanPages - 1);
  EXPECT_EQ(Step(), ReclaimOutcome::kEnoughRoom);
  EXPECT_FALSE(port_.Called("scan"));
  grow(1);
  port_.scan_adopts = 40;
  EXPECT_EQ(Step(), ReclaimOutcome::kEnoughRoom);
  EXPECT_TRUE(port_.Called("scan"));
  EXPECT_FALSE(port_.Called("metadata"));
  // 24 of 64 pages are left outside: the next scan is due 64 pages above that.
  port_.TakeCalls();
  grow(ReclaimDaemon::kScanPages - 1);
  EXPECT_EQ(Step(), ReclaimOutcome::kEnoughRoom);
  EXPECT_FALSE(port_.Called("scan"));
  grow(1);
  EXPECT_EQ(Step(), ReclaimOutcome::kEnoughRoom);
  EXPECT_TRUE(port_.Called("scan"));
  // Staging and pool frames are ours, not growth.
  port_.TakeCalls();
  grow(200);
  port_.pages.staging_populated = 100;
  port_.pages.pool_populated = 100;
  port_.counts.compressed_bytes.Set(100 * kPageSize);
  EXPECT_EQ(Step(), ReclaimOutcome::kEnoughRoom);
  EXPECT_FALSE(port_.Called("scan"));
  // Without growth: after half a second.
  port_.now_ns += ReclaimDaemon::kScanEveryNs - 1;
  EXPECT_EQ(Step(), ReclaimOutcome::kEnoughRoom);
  EXPECT_FALSE(port_.Called("scan"));
  port_.now_ns += 1;
  EXPECT_EQ(Step(), ReclaimOutcome::kEnoughRoom);
  EXPECT_TRUE(port_.Called("scan"));
  EXPECT_TRUE(port_.Called("metadata"));
}

TEST_F(ReclaimDaemonTest, TrimsThePoolAtEveryScanThatTimeAsksFor) {
  BeSettled(Bytes(16 * kMiB));
  for (int i = 0; i < 3; ++i) {
    const uint64_t before = port_.trims;
    EXPECT_EQ(Step(), ReclaimOutcome::kEnoughRoom);
    EXPECT_EQ(port_.trims, before) << "nothing asks for it";
    port_.now_ns += ReclaimDaemon::kScanEveryNs;
    EXPECT_EQ(Step(), ReclaimOutcome::kEnoughRoom);
    EXPECT_EQ(port_.trims, before + 1);
    EXPECT_EQ(port_.TakeCalls(), (Calls{"storage", "storage", "scan", "metadata"}));
  }
}

TEST_F(ReclaimDaemonTest, GoesOnTrimmingInLaterStepsAsLongAsThereIsMore) {
  BeSettled(Bytes(16 * kMiB));
  port_.now_ns += ReclaimDaemon::kScanEveryNs;
  port_.trims_left = 3;
  const uint64_t before = port_.trims;
  for (const uint64_t trims : {2, 3, 3}) {
    EXPECT_EQ(Step(), ReclaimOutcome::kEnoughRoom);
    EXPECT_EQ(port_.trims, before + trims);
  }
  // Under pressure it is progress: the next step follows at once.
  Use(kMarks.limit);
  port_.pages.resident = PagesWithin(kMarks.limit).raw();
  port_.trims_left = 2;
  EXPECT_EQ(Step(), ReclaimOutcome::kProgress);
  EXPECT_EQ(Step(), ReclaimOutcome::kNoProgress);
}

TEST_F(ReclaimDaemonTest, ForbidsHugePagesWhileTheLimitIsNear) {
  struct Case {
    Bytes usage;
    bool permitted;
  };
  const Case cases[] = {{kMarks.adopt, false},
                        {kMarks.adopt - Bytes(kPageSize), false},
                        {Bytes(kMarks.adopt.raw() / 8 * 7), false},
                        {Bytes(kMarks.adopt.raw() / 8 * 7 - 1), true},
                        {kMarks.adopt - Bytes(1), true},
                        {kMarks.adopt, false}};
  for (const Case& c : cases) {
    Use(c.usage);
    port_.now_ns += ReclaimDaemon::kScanEveryNs;
    EXPECT_EQ(Step(), ReclaimOutcome::kEnoughRoom);
    EXPECT_EQ(port_.huge_pages, c.permitted) << c.usage.raw();
  }
}

TEST_F(ReclaimDaemonTest, EveryOutcomeIsCounted) {
  BeSettled(Bytes(16 * kMiB));
  const uint64_t before = daemon_.outcomes(ReclaimOutcome::kEnoughRoom);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Step(), ReclaimOutcome::kEnoughRoom);
  EXPECT_EQ(daemon_.outcomes(ReclaimOutcome::kEnoughRoom), before + 5);
  EXPECT_EQ(daemon_.outcomes(ReclaimOutcome::kWriterBusy), 0u);
}

TEST(PollPause, FollowsTheHeadroomAndGrowsForAQuietProcess) {
  PollPause pause;
  constexpr int64_t kRoom = 1536;  // 6 MiB: a millisecond
  uint64_t faults = 0;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(pause.Next({kRoom, ++faults, 100, false}), 1'000'000u) << "faults " << i;
  }
  for (int i = 0; i < PollPause::kQuietLooks; ++i) {
    EXPECT_EQ(pause.Next({kRoom, faults, 100, false}), 1'000'000u) << "quiet " << i;
  }
  EXPECT_EQ(pause.Next({kRoom, faults, 100, false}), PollPause::kQuietNs);
  EXPECT_EQ(pause.Next({kRoom, faults, 100, true}), PollPause::kSmallQuietNs);
  // A longer interval stays.
  EXPECT_EQ(pause.Next({int64_t{1} << 30, faults, 100, false}), kIntervalMaxNs);
  // Growth ends the quiet.
  EXPECT_EQ(pause.Next({kRoom, faults, 101, false}), 1'000'000u);
  EXPECT_EQ(pause.Next({-5, faults, 101, false}), kIntervalMinNs);
  // Without progress an idle process is looked at rarely at once, a busy one as always.
  EXPECT_EQ(pause.Next({-5, faults, 101, false, true}), PollPause::kFruitlessQuietNs);
  EXPECT_EQ(pause.Next({-5, ++faults, 101, false, true}), kIntervalMinNs);
}

TEST(PollPause, WhatIsWastedIsASmallPartOfTheTime) {
  struct Case {
    const char* what;
    int64_t headroom_pages;
    uint64_t wasted_ns;
    uint64_t pause_ns;
  };
  constexpr int64_t kRoom = 1536;  // 6 MiB: a millisecond
  constexpr uint64_t kTimes = PollPause::kWastedTimes;
  constexpr uint64_t kMax = PollPause::kWastedMaxNs;
  const Case cases[] = {
      {"nothing", -5, 0, kIntervalMinNs},
      {"as much as the interval permits", -5, kIntervalMinNs / kTimes, kIntervalMinNs},
      {"more", -5, kIntervalMinNs / kTimes + 1, kIntervalMinNs + kTimes},
      {"nearly the most", -5, kMax / kTimes - 1, kMax - kTimes},
      {"the most", -5, kMax / kTimes, kMax},
      {"more than that", -5, kMax / kTimes + 1, kMax},
      {"a second", -5, 1'000'000'000, kMax},
      {"less than the interval", kRoom, 100'000, 1'000'000},
      {"more than the interval", kRoom, 200'000, 200'000 * kTimes},
      {"a second, and the interval is longer", int64_t{1} << 30, 1'000'000'000, kIntervalMaxNs},
  };
  for (const Case& c : cases) {
    // Busy: it faults, or it grows, or it does neither for the first time.
    PollPause pause;
    uint64_t faults = 0;
    uint64_t resident = 100;
    EXPECT_EQ(pause.Next({c.headroom_pages, ++faults, resident, false, false, c.wasted_ns}),
              c.pause_ns)
        << c.what;
    EXPECT_EQ(pause.Next({c.headroom_pages, faults, ++resident, false, false, c.wasted_ns}),
              c.pause_ns)
        << c.what;
    EXPECT_EQ(pause.Next({c.headroom_pages, faults, resident, false, false, c.wasted_ns}),
              c.pause_ns)
        << c.what;
    // Fruitless for longer: a busy process as before, an idle one rarely.
    EXPECT_EQ(pause.Next({c.headroom_pages, ++faults, resident, false, true, c.wasted_ns}),
              c.pause_ns)
        << c.what;
    EXPECT_EQ(pause.Next({c.headroom_pages, faults, resident, false, true, c.wasted_ns}),
              std::max(c.pause_ns, PollPause::kFruitlessQuietNs))
        << c.what;
    // It ends with the waste.
    EXPECT_EQ(pause.Next({-5, ++faults, resident, false, false, 0}), kIntervalMinNs) << c.what;
  }
}

}  // namespace
}  // namespace uzswap
