#include "control.h"

#include <unistd.h>

#include <gtest/gtest.h>
#include <utility>

namespace uzswap::cli {
namespace {

constexpr Bytes MiB(uint64_t count) { return Bytes(count << 20); }
constexpr Bytes kMachine = MiB(4096);

Options Running(Bytes limit, Bytes pool_limit) {
  Options options;
  options.limit = limit;
  options.pool_limit = pool_limit;
  return options;
}

NewLimits Decide(const Options& now, const std::vector<std::string>& changes) {
  const auto decided = DecideNewLimits(now, changes, kMachine);
  EXPECT_EQ(RefusalOf(decided), nullptr);
  return std::get<NewLimits>(decided);
}

TEST(NewLimitsTest, APoolLimitKeepsItsShareUnlessItIsNamed) {
  const Options now = Running(MiB(200), MiB(40));
  EXPECT_EQ(Decide(now, {"limit=100M"}).limit, MiB(100));
  EXPECT_EQ(Decide(now, {"limit=100M"}).pool_limit, MiB(20));
  EXPECT_EQ(Decide(now, {"limit=400M"}).pool_limit, MiB(80));
  EXPECT_EQ(Decide(now, {"limit=100M", "pool-limit=50%"}).pool_limit, MiB(50));
  EXPECT_EQ(Decide(now, {"pool-limit=50%", "limit=100M"}).pool_limit, MiB(50)) << "in any order";
  EXPECT_EQ(Decide(now, {"pool-limit=10M"}).limit, MiB(200));
  EXPECT_EQ(Decide(now, {"pool-limit=10M"}).pool_limit, MiB(10));
  const Options without = Running(MiB(200), Bytes(0));
  EXPECT_EQ(Decide(without, {"limit=100M"}).pool_limit, Bytes(0));
}

TEST(NewLimitsTest, TheLastOfEqualNamesCounts) {
  const Options now = Running(MiB(200), Bytes(0));
  EXPECT_EQ(Decide(now, {"limit=100M", "limit=150M"}).limit, MiB(150));
}

TEST(NewLimitsTest, ALimitAboveTheMachineGetsANote) {
  EXPECT_NE(Decide(Running(MiB(200), Bytes(0)), {"limit=8G"}).note.find("never be reached"),
            std::string::npos);
}

TEST(NewLimitsTest, RefusesByNameAndWithAFix) {
  struct Row {
    std::vector<std::string> changes;
    const char* cause;
  };
  const Row kTable[] = {
      {{}, "nothing is to be changed"},
      {{"300M"}, "NAME=VALUE"},
      {{"limit="}, "NAME=VALUE"},
      {{"=300M"}, "cannot be changed"},
      {{"limit=much"}, "is not a size"},
      {{"limit=1M"}, "too small"},
      {{"limit=0"}, "is zero"},
      {{"limit=auto"}, "no cgroup"},
      {{"codec=lz4"}, "'codec' cannot be changed"},
      {{"pool-limit=0%"}, "1% to 100%"},
      {{"pool-limit=300M"}, "more than the limit"},
      {{"limit=100M", "pool-limit=150M"}, "more than the limit"},
  };
  for (const Row& row : kTable) {
    const auto decided = DecideNewLimits(Running(MiB(200), MiB(40)), row.changes, kMachine);
    const Refusal* refusal = RefusalOf(decided);
    ASSERT_NE(refusal, nullptr) << row.cause;
    EXPECT_EQ(refusal->status, kCannotDo);
    EXPECT_NE(refusal->cause.find(row.cause), std::string::npos) << refusal->cause;
    EXPECT_FALSE(refusal->fix.empty()) << refusal->cause;
  }
  const auto no_pool = DecideNewLimits(Running(MiB(200), Bytes(0)), {"pool-limit=10M"}, kMachine);
  ASSERT_NE(RefusalOf(no_pool), nullptr);
  EXPECT_NE(RefusalOf(no_pool)->fix.find("--pool-limit"), std::string::npos);
}

TEST(ShrinkWatchTest, GoesOnWhileThereIsProgress) {
  using State = ShrinkWatch::State;
  constexpr uint64_t kPatience = ShrinkWatch::kPatienceNs;
  ShrinkWatch watch(MiB(10), 0);
  EXPECT_EQ(watch.Note(MiB(100), 0), State::kGoesOn);
  EXPECT_EQ(watch.Note(MiB(99), kPatience - 1), State::kGoesOn);
  EXPECT_EQ(watch.Note(MiB(120), 2 * kPatience - 2), State::kGoesOn) << "since the last progress";
  EXPECT_EQ(watch.Note(MiB(99), 2 * kPatience - 1), State::kStuck);
  EXPECT_EQ(watch.Note(MiB(50), 2 * kPatience), State::kGoesOn);
  EXPECT_EQ(watch.Note(MiB(10), 2 * kPatience + 1), State::kReached);
}

TEST(ShrinkWatchTest, ATrickleIsNoProgress) {
  ShrinkWatch watch(MiB(10), 0);
  EXPECT_EQ(watch.Note(MiB(100), 0), ShrinkWatch::State::kGoesOn);
  const Bytes less = MiB(100) - (ShrinkWatch::kProgressMin - Bytes(1));
  EXPECT_EQ(watch.Note(less, ShrinkWatch::kPatienceNs), ShrinkWatch::State::kStuck);
}

TEST(FindRunTest, ByItsHolderOrAProcess) {
  Options options;
  options.limit = MiB(100);
  const auto found = [&](uint32_t holder) {
    FoundSessions sessions;
    sessions.sessions.push_back({holder, std::move(Session::Create(options)).value()});
    sessions.sessions.push_back({holder + 1, std::move(Session::Create(options)).value()});
    return sessions;
  };
  constexpr uint32_t kHolder = 0x7ffffff0;  // no process has such a number
  auto by_holder = FindRun(found(kHolder), kHolder + 1);
  ASSERT_EQ(RefusalOf(by_holder), nullptr);
  EXPECT_EQ(std::get<FoundSession>(by_holder).holder, kHolder + 1);

  FoundSessions sessions = found(kHolder);
  Session& second = sessions.sessions[1].session;
  const ProcessRecord record = *second.Claim("a program");
  auto by_process = FindRun(std::move(sessions), static_cast<uint32_t>(getpid()));
  ASSERT_EQ(RefusalOf(by_process), nullptr);
  FoundSession& run = std::get<FoundSession>(by_process);
  EXPECT_EQ(run.holder, kHolder + 1);
  run.session.Retire(record);

  FoundSessions hidden = found(kHolder);
  hidden.unreadable = 1;
  const auto none = FindRun(std::move(hidden), 1);
  ASSERT_NE(RefusalOf(none), nullptr);
  EXPECT_NE(RefusalOf(none)->fix.find("as root"), std::string::npos);
}

}  // namespace
}  // namespace uzswap::cli
