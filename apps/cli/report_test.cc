#include <unistd.h>

#include <gtest/gtest.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "stats_file.h"
#include "testing/run.h"
#include "watch.h"

namespace uzswap::cli {
namespace {

using Json = nlohmann::json;
using testing::Folder;

constexpr Options kOptions{Bytes(64 << 20), CodecMode::kZstd, PoolKind::kZbud};

Json JsonOf(const Watch& watch, bool running) {
  return Json::parse(ToJson(watch.MakeReport(running)));
}

void ExpectBalanced(const Json& json) {
  const uint64_t elsewhere =
      json["running"].get<bool>() ? json["at_exit"]["stored_pages"].get<uint64_t>() : 0;
  EXPECT_EQ(json["zswpout"].get<uint64_t>(), json["zswpin"].get<uint64_t>() +
                                                 json["invalidated_pages"].get<uint64_t>() +
                                                 json["stored_pages"].get<uint64_t>() + elsewhere);
}

class ReportTest : public ::testing::Test {
 protected:
  ReportTest() : session_(std::move(Session::Create(kOptions)).value()), watch_(session_, {"a"}) {}
  ProcessRecord Life(const char* name) {
    const ProcessRecord record = *session_.Claim(name);
    record.statistics().zswpout.Add(10);
    record.statistics().zswpin.Add(4);
    record.statistics().invalidated_pages.Add(1);
    record.statistics().stored_pages.Set(5);
    record.statistics().resident_bytes.Set(1 << 20);
    record.statistics().fault_ns.Record(5000);
    record.Publish(Bytes(1 << 20), Bytes(1 << 18));
    return record;
  }
  Session session_;
  Watch watch_;
};

TEST_F(ReportTest, TheAccountBalancesWhileProcessesComeAndGo) {
  session_.Retire(Life("first"));
  watch_.Sweep();
  Life("second");
  Json live = JsonOf(watch_, true);
  EXPECT_TRUE(live["exit_status"].is_null());
  EXPECT_EQ(live["zswpout"], 20);
  EXPECT_EQ(live["stored_pages"], 5) << "gauges are of the living";
  EXPECT_EQ(live["at_exit"]["stored_pages"], 5);
  EXPECT_EQ(live["resident_bytes"], 1 << 20);
  EXPECT_EQ(live["processes"].size(), 2u);
  EXPECT_EQ(live["processes"][0]["name"], "first");
  EXPECT_EQ(live["processes"][0]["running"], false);
  EXPECT_EQ(live["processes"][1]["running"], true);
  ExpectBalanced(live);

  const Json last = JsonOf(watch_, false);
  EXPECT_EQ(last["stored_pages"], 10) << "at the end, what each held when it ended";
  EXPECT_EQ(last["limit"], 64 << 20);
  EXPECT_EQ(last["codec"], "zstd");
  EXPECT_EQ(last["pool"], "zbud");
  EXPECT_EQ(last["resident_bytes_peak"], 1 << 20);
  EXPECT_EQ(last["pool_total_size_peak"], 1 << 18);
  EXPECT_EQ(last["fault_ns"]["max"], 5000);
  ExpectBalanced(last);
}

TEST_F(ReportTest, TheCountersOfTheBrokerAreReported) {
  session_.broker_counters().refused_joins.Add(3);
  const Json json = JsonOf(watch_, false);
  EXPECT_EQ(json["broker"]["refused_joins"], 3);
  EXPECT_EQ(json["broker"]["connections"], 0);
}

TEST_F(ReportTest, RecordsAreBoundedTheAccountIsNot) {
  constexpr size_t kLives = Watch::kRecordsMax + 50;
  for (size_t i = 0; i < kLives; ++i) {
    session_.Retire(Life("short"));
    watch_.Sweep();
  }
  const Json json = JsonOf(watch_, false);
  EXPECT_EQ(json["processes"].size(), Watch::kRecordsMax);
  EXPECT_EQ(json["processes_seen"], kLives);
  EXPECT_EQ(json["zswpout"], 10 * kLives);
  ExpectBalanced(json);
}

TEST(ReportTextTest, ArgumentsNeedNotBeText) {
  Report report;
  report.command = {"caf\xE9", "a\nb\"c"};
  const Json json = Json::parse(ToJson(report));
  EXPECT_EQ(json["command"][1], "a\nb\"c");
}

// kOptions, and a folder to write to.
Options BackedOptions() {
  Options options = kOptions;
  options.pool_limit = Bytes(16 << 20);
  options.backing_size = Bytes(uint64_t{1} << 30);
  options.write_limit = Bytes(uint64_t{2} << 30);
  options.write_period_s = 86400;
  options.encrypt = true;
  UZ_CHECK(SetBacking(options, "/var/tmp"));
  return options;
}

TEST(ReportTextTest, JsonTellsWhatWasAskedOfTheBackingFile) {
  Report report;
  report.options = kOptions;
  const Json without = Json::parse(ToJson(report));
  for (const char* name :
       {"pool_limit", "backing", "backing_size", "write_limit", "write_period_s"}) {
    ASSERT_TRUE(without.contains(name)) << name;
    EXPECT_TRUE(without[name].is_null()) << name;
  }
  EXPECT_EQ(without["encrypt"], false);
  report.options = BackedOptions();
  const Json with = Json::parse(ToJson(report));
  EXPECT_EQ(with["pool_limit"], 16 << 20);
  EXPECT_EQ(with["backing"], "/var/tmp");
  EXPECT_EQ(with["backing_size"], 1 << 30);
  EXPECT_EQ(with["write_limit"], uint64_t{2} << 30);
  EXPECT_EQ(with["write_period_s"], 86400);
  EXPECT_EQ(with["encrypt"], true);
}

TEST(ReportTextTest, TheTableHasABackingRowWhenThereIsOne) {
  Report report;
  report.options = kOptions;
  EXPECT_EQ(ToTable(report).find("backing"), std::string::npos);
  EXPECT_EQ(ToTable(report).find("pool limit"), std::string::npos);
  report.options = BackedOptions();
  const std::string table = ToTable(report);
  for (const char* part : {"16.0 MiB   25.0 % of the limit",
                           "1024.0 MiB   /var/tmp, encrypted, at most 2048.0 MiB/d written"}) {
    EXPECT_NE(table.find(part), std::string::npos) << part << "\n" << table;
  }
  report.options.backing_size = Bytes(0);
  EXPECT_NE(ToTable(report).find("no bound   /var/tmp"), std::string::npos) << ToTable(report);
}

TEST(ReportTextTest, TheTableSaysWhatMatters) {
  Report report;
  report.command = {"python3"};
  report.options = kOptions;
  report.wall_seconds = 12.345;
  report.total[Figure::resident_bytes_peak] = 48 << 20;
  report.total[Figure::pool_total_size_peak] = 10 << 20;
  report.total[Figure::metadata_bytes] = 3 << 20;
  report.total[Figure::stored_pages] = 7680;
  report.total[Figure::pool_total_size] = 10 << 20;
  report.total[Figure::faults] = 1234567;
  report.total[Figure::faults_zero] = 234'000;
  report.total[Figure::swapcache_hits] = 567;
  report.total[Figure::compressed_bytes] = 9 << 20;
  report.total[Figure::same_filled_pages] = 512;
  report.total[Figure::written_back_pages] = 256;
  report.total[Figure::zswpwb] = 77;
  report.total[Figure::backing_reads] = 12;
  report.total[Figure::backing_written_bytes] = 2 << 20;
  Latency& faults = report.total.fault_ns;
  faults.sum = 1'234'500'000;
  faults.p50 = 8100;
  faults.p99 = 24000;
  faults.max = 1'200'000;
  const std::string table = ToTable(report);
  for (const char* part :
       {"python3 ended with status 0 after 12.35 s", "64.0 MiB   zstd, zbud",
        "48.0 MiB   75.0 % of the limit", "10.0 MiB", "3.0 MiB   of peak resident",
        "3.00   9.0 MiB compressed, in frames of 10.0 MiB",
        "1,000,000   of stored pages, 567 not compressed yet, 234,000 first touches, ",
        " first touches, 0 on pages that were present", "1.23 s   10.0 % of the run",
        "77   12 read again, 2.0 MiB written", "1,234,567   p50 8.1 µs, p99 24.0 µs, max 1.2 ms"}) {
    EXPECT_NE(table.find(part), std::string::npos) << part << "\n" << table;
  }
  report.signal = 9;
  report.total[Figure::limit_exceeded] = 2;
  EXPECT_NE(ToTable(report).find("killed by signal 9"), std::string::npos);
  EXPECT_NE(ToTable(report).find("over limit"), std::string::npos);
}

TEST(ReportTextTest, AdviceIsGivenWhenTheLimitIsFarOff) {
  constexpr uint64_t kMiB = 1 << 20;
  struct Case {
    uint64_t peak, ever_stored, waited_ms, first_touches;
    const char* advice;  // empty: none
  };
  // A limit of 64 MiB; the run took 10 s and had 100 faults.
  const Case cases[] = {{20 * kMiB, 0, 0, 0, "25.0 MiB would be enough"},
                        {3 * kMiB, 0, 0, 0, "8.0 MiB would be enough"},
                        {26 * kMiB, 0, 0, 0, ""},
                        {20 * kMiB, 1, 0, 0, ""},
                        {40 * kMiB, 0, 9000, 100, ""},
                        {64 * kMiB, 1000, 4000, 0, ""},
                        {64 * kMiB, 1000, 9000, 80, ""},
                        {64 * kMiB, 1000, 6000, 0, "a larger --limit"}};
  for (const Case& c : cases) {
    Report report;
    report.options = kOptions;
    report.wall_seconds = 10;
    report.total[Figure::resident_bytes_peak] = c.peak;
    report.total[Figure::zswpout] = c.ever_stored;
    report.total[Figure::faults] = 100;
    report.total[Figure::faults_zero] = c.first_touches;
    report.total.fault_ns.sum = c.waited_ms * 1'000'000;
    const std::string table = ToTable(report);
    EXPECT_EQ(table.find("advice") == std::string::npos, c.advice[0] == '\0') << table;
    EXPECT_NE(table.find(c.advice), std::string::npos) << table;
    report.processes_unmanaged = 1;
    EXPECT_EQ(ToTable(report).find("advice"), std::string::npos);
  }
}

TEST(StatsFileTest, ReplacesTheFileAsAWhole) {
  const Folder folder;
  const std::string path = folder.path() + "/s.json";
  {
    auto opened = StatsFile::Open(path);
    const StatsFile& file = std::get<StatsFile>(opened);
    EXPECT_TRUE(file.live());
    EXPECT_NE(access(path.c_str(), F_OK), 0) << "nothing is there before the first writing";
    EXPECT_EQ(file.Write("one"), 0);
    EXPECT_EQ(testing::ReadFile(path), "one");
    EXPECT_EQ(file.Write("two"), 0);
  }
  EXPECT_EQ(testing::ReadFile(path), "two");
  { auto unused = StatsFile::Open(path); }
  EXPECT_EQ(testing::ReadFile(path), "two") << "opening alone destroys nothing";
}

TEST(StatsFileTest, FollowsLinksAndSparesDevices) {
  const Folder folder;
  const std::string target = folder.File("target", "old");
  const std::string link = folder.path() + "/link";
  ASSERT_EQ(symlink(target.c_str(), link.c_str()), 0);
  auto opened = StatsFile::Open(link);
  EXPECT_EQ(std::get<StatsFile>(opened).Write("new"), 0);
  EXPECT_EQ(testing::ReadFile(target), "new");

  auto device = StatsFile::Open("/dev/null");
  EXPECT_FALSE(std::get<StatsFile>(device).live());
  EXPECT_EQ(std::get<StatsFile>(device).Write("gone"), 0);
}

TEST(StatsFileTest, RefusesBeforeAnythingStarts) {
  const Folder folder;
  for (const std::string& path :
       {folder.path(), folder.path() + "/none/s.json", folder.File("file", "") + "/s.json",
        std::string("/proc/s.json"), std::string("/dev/full/s")}) {
    const auto opened = StatsFile::Open(path);
    const Refusal* refusal = RefusalOf(opened);
    ASSERT_NE(refusal, nullptr) << path;
    EXPECT_NE(refusal->cause.find("cannot be written"), std::string::npos) << refusal->cause;
  }
}

}  // namespace
}  // namespace uzswap::cli
