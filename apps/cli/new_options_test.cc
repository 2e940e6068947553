#include "new_options.h"

#include <gtest/gtest.h>
#include <variant>

namespace uzswap::cli {
namespace {

constexpr Bytes MiB(uint64_t count) { return Bytes(count << 20); }
constexpr Bytes kMachine = MiB(4096);

Options Running(Bytes limit, Bytes pool_limit, const char* backing = "/var/tmp") {
  Options options;
  options.limit = limit;
  options.pool_limit = pool_limit;
  if (backing != nullptr) {
    EXPECT_TRUE(SetBacking(options, backing));
  }
  return options;
}

NewOptions Decide(const Options& now, const std::vector<std::string>& changes,
                  const os::CgroupLimit* cgroup = nullptr) {
  const auto decided = DecideNewOptions(now, changes, cgroup, kMachine);
  EXPECT_EQ(RefusalOf(decided), nullptr);
  return std::get<NewOptions>(decided);
}

Bytes LimitOf(const Options& now, const std::vector<std::string>& changes) {
  return Decide(now, changes).options.limit;
}
Bytes PoolOf(const Options& now, const std::vector<std::string>& changes) {
  return Decide(now, changes).options.pool_limit;
}

TEST(NewOptionsTest, APoolLimitKeepsItsShareUnlessItIsNamed) {
  const Options now = Running(MiB(200), MiB(40));
  EXPECT_EQ(LimitOf(now, {"limit=100M"}), MiB(100));
  EXPECT_EQ(PoolOf(now, {"limit=100M"}), MiB(20));
  EXPECT_EQ(PoolOf(now, {"limit=400M"}), MiB(80));
  EXPECT_EQ(PoolOf(now, {"limit=100M", "pool-limit=50%"}), MiB(50));
  EXPECT_EQ(PoolOf(now, {"pool-limit=50%", "limit=100M"}), MiB(50)) << "in any order";
  EXPECT_EQ(LimitOf(now, {"pool-limit=10M"}), MiB(200));
  EXPECT_EQ(PoolOf(now, {"pool-limit=10M"}), MiB(10));
  EXPECT_EQ(PoolOf(Running(MiB(200), Bytes(0)), {"limit=100M"}), Bytes(0));
}

TEST(NewOptionsTest, APoolLimitIsExactAtAnySize) {
  constexpr Bytes kHuge(UINT64_MAX / 2);
  EXPECT_EQ(PoolLimitAt(Running(MiB(300), Bytes(MiB(100).raw() + 1)), MiB(300)),
            Bytes(MiB(100).raw() + 1))
      << "the same limit";
  EXPECT_EQ(PoolLimitAt(Running(kHuge, kHuge - Bytes(3)), kHuge), kHuge - Bytes(3));
  EXPECT_EQ(PoolLimitAt(Running(MiB(3), MiB(1)), MiB(6)), MiB(2));
  EXPECT_EQ(PoolLimitAt(Running(MiB(1), MiB(1)), kHuge), kHuge);
  EXPECT_EQ(PoolLimitAt(Running(MiB(1), Bytes(UINT64_MAX)), kHuge), kHuge) << "a damaged session";
  EXPECT_EQ(PoolLimitAt(Running(Bytes(0), MiB(1)), MiB(8)), MiB(8)) << "a damaged session";
  EXPECT_EQ(PoolLimitAt(Running(MiB(200), MiB(20)), Bytes(4096)), Bytes(4096))
      << "below the least pool limit";
  EXPECT_EQ(PoolLimitAt(Running(MiB(200), MiB(20)), Bytes(0)), Bytes(0));
}

TEST(NewOptionsTest, SaysWhetherThePoolLimitWasNamed) {
  const Options now = Running(MiB(200), MiB(40));
  EXPECT_FALSE(Decide(now, {"limit=100M"}).names_pool);
  EXPECT_TRUE(Decide(now, {"limit=100M", "pool-limit=10M"}).names_pool);
}

// Nothing leaves the pools: while the run shrinks they grow.
TEST(NewOptionsTest, WithoutABackingStoreAPoolLimitStaysWithinTheLimit) {
  const Options now = Running(MiB(200), MiB(40), nullptr);
  EXPECT_EQ(PoolOf(now, {"limit=100M"}), MiB(40));
  EXPECT_EQ(PoolOf(now, {"limit=30M"}), MiB(30));
  EXPECT_EQ(PoolOf(now, {"limit=400M"}), MiB(40));
  EXPECT_EQ(PoolOf(now, {"limit=100M", "pool-limit=10M"}), MiB(10));
}

TEST(NewOptionsTest, TheOtherOptionsStay) {
  const Options now = Running(MiB(200), MiB(40));
  Options expected = now;
  expected.limit = MiB(100);
  expected.pool_limit = MiB(20);
  const Options decided = Decide(now, {"limit=100M"}).options;
  EXPECT_STREQ(decided.backing, expected.backing);
  EXPECT_EQ(decided.codec, expected.codec);
}

TEST(NewOptionsTest, CodecAndWriteLimit) {
  const Options now = Running(MiB(200), MiB(40));
  EXPECT_EQ(Decide(now, {"codec=lz4"}).options.codec, CodecMode::kLz4);
  EXPECT_EQ(Decide(now, {"codec=zstd", "codec=auto"}).options.codec, CodecMode::kAuto);
  const Options limited = Decide(now, {"write-limit=1G/h"}).options;
  EXPECT_EQ(limited.write_limit, MiB(1024));
  EXPECT_EQ(limited.write_period_s, 3600u);
  const Options off = Decide(limited, {"write-limit=off"}).options;
  EXPECT_EQ(off.write_limit, Bytes(0));
  EXPECT_EQ(off.write_period_s, 0u);
  EXPECT_EQ(Decide(limited, {"codec=lz4"}).options.write_limit, MiB(1024)) << "it stays";
}

TEST(NewOptionsTest, TheLastOfEqualNamesCounts) {
  const Options now = Running(MiB(200), Bytes(0));
  EXPECT_EQ(LimitOf(now, {"limit=100M", "limit=150M"}), MiB(150));
}

TEST(NewOptionsTest, ALimitAboveTheMachineGetsANote) {
  EXPECT_NE(Decide(Running(MiB(200), Bytes(0)), {"limit=8G"}).note.find("never be reached"),
            std::string::npos);
}

// It is the cgroup of the run, not that of the command.
TEST(NewOptionsTest, ATighterCgroupGetsANote) {
  const Options now = Running(MiB(200), Bytes(0));
  const os::CgroupLimit cgroup{MiB(150), "/sys/fs/cgroup/job/memory.max"};
  const NewOptions above = Decide(now, {"limit=180M"}, &cgroup);
  EXPECT_EQ(above.options.limit, MiB(180));
  EXPECT_NE(above.note.find("/sys/fs/cgroup/job/memory.max"), std::string::npos) << above.note;
  EXPECT_EQ(Decide(now, {"limit=120M"}, &cgroup).note, "");
  EXPECT_EQ(Decide(now, {"limit=auto"}, &cgroup).options.limit, MiB(150 - 24));
}

TEST(NewOptionsTest, RefusesByNameAndWithAFix) {
  struct Row {
    std::vector<std::string> changes;
    const char* cause;
  };
  const Row kTable[] = {
      {{}, "nothing is to be changed"},
      {{"300M"}, "NAME=VALUE"},
      {{"limit="}, "NAME=VALUE"},
      {{"=300M"}, "is not an option"},
      {{"limit=much"}, "is not a size"},
      {{"limit=1M"}, "too small"},
      {{"limit=0"}, "is zero"},
      {{"limit=auto"}, "no cgroup"},
      {{"codec=gzip"}, "is not a codec"},
      {{"write-limit=1G/year"}, "unknown period"},
      {{"write-limit=much"}, "is not a size"},
      {{"pool=zbud"}, "'pool' is not an option"},
      {{"pool-limit=0%"}, "1% to 100%"},
      {{"pool-limit=300M"}, "more than the limit"},
      {{"limit=100M", "pool-limit=150M"}, "more than the limit"},
      {{"limit=100M", "pool-limit=10M", "pool=zbud"}, "'pool' is not an option"},
  };
  for (const Row& row : kTable) {
    const auto decided =
        DecideNewOptions(Running(MiB(200), MiB(40)), row.changes, nullptr, kMachine);
    const Refusal* refusal = RefusalOf(decided);
    ASSERT_NE(refusal, nullptr) << row.cause;
    EXPECT_EQ(refusal->status, kCannotDo);
    EXPECT_NE(refusal->cause.find(row.cause), std::string::npos) << refusal->cause;
    EXPECT_FALSE(refusal->fix.empty()) << refusal->cause;
  }
  const auto no_file = DecideNewOptions(Running(MiB(200), Bytes(0), nullptr), {"write-limit=1G/d"},
                                        nullptr, kMachine);
  ASSERT_NE(RefusalOf(no_file), nullptr);
  EXPECT_NE(RefusalOf(no_file)->fix.find("--backing"), std::string::npos);
  const auto no_pool =
      DecideNewOptions(Running(MiB(200), Bytes(0)), {"pool-limit=10M"}, nullptr, kMachine);
  ASSERT_NE(RefusalOf(no_pool), nullptr);
  EXPECT_NE(RefusalOf(no_pool)->fix.find("--pool-limit"), std::string::npos);
}

}  // namespace
}  // namespace uzswap::cli
