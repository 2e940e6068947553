#include "open_metrics.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <set>
#include <sstream>

#include "base/histogram.h"

namespace uzswap::cli {
namespace {

Report SampleReport() {
  Report report;
  report.command = {"/usr/bin/redis \"server\"\n"};
  report.options.limit = Bytes(64 << 20);
  report.wall_seconds = 1.5;
  report.processes_seen = 3;
  report.total[Figure::faults] = 12;
  report.total[Figure::resident_bytes] = 4096;
  report.total[Figure::activation_us] = 1500;
  report.total.fault_ns.count = 12;
  report.total.fault_ns.sum = 2'500'000'000;
  report.total.fault_ns.up_to[0] = 1;
  report.processes.push_back({7, "a\\b", true, {}});
  report.processes.push_back({7, "a\\b", true, {}});  // another record, during an exec
  report.processes.push_back({8, "ended", false, {}});
  report.processes.back().figures[Figure::faults] = 99;
  return report;
}

// Every line but comments, by its name and labels.
std::map<std::string, std::string> SamplesOf(const std::string& text) {
  std::map<std::string, std::string> samples;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with('#')) continue;
    const size_t space = line.rfind(' ');
    EXPECT_TRUE(samples.emplace(line.substr(0, space), line.substr(space + 1)).second) << line;
  }
  return samples;
}

TEST(OpenMetrics, FiguresHaveTheNamesAndUnitsOfTheConventions) {
  const std::string text = ToMetrics(SampleReport(), 42, MetricsFormat::kPrometheus);
  const auto samples = SamplesOf(text);
  const std::string labels = R"(run="42",command="redis \"server\"?")";
  const auto value = [&](const std::string& name, const std::string& more = "") {
    const auto found = samples.find("uzswap_" + name + "{" + labels + more + "}");
    return found == samples.end() ? "none" : found->second;
  };
  EXPECT_EQ(value("limit_bytes"), "67108864");
  EXPECT_EQ(value("faults_total"), "12");
  EXPECT_EQ(value("resident_bytes"), "4096");
  EXPECT_EQ(value("activation_seconds"), "0.0015");
  EXPECT_EQ(value("activation_us"), "none");
  EXPECT_EQ(value("run_seconds_total"), "1.500");
  EXPECT_EQ(value("fault_seconds_sum"), "2.5");
  EXPECT_EQ(value("fault_seconds_count"), "12");
  EXPECT_EQ(value("fault_seconds_bucket", R"(,le="1.024e-06")"), "1");
  EXPECT_EQ(value("fault_seconds_bucket", R"(,le="+Inf")"), "12");
  EXPECT_EQ(value("process_faults_total", R"(,pid="7",name="a\\b")"), "0");
  EXPECT_EQ(value("process_faults_total", R"(,pid="8",name="ended")"), "none");
}

// One TYPE and one HELP for each family, before its samples, which are together.
TEST(OpenMetrics, FamiliesAreDescribedOnceAndAreTogether) {
  for (const MetricsFormat format : {MetricsFormat::kPrometheus, MetricsFormat::kOpenMetrics}) {
    std::set<std::string> families;
    std::string family;
    bool counter = false;
    std::istringstream lines(ToMetrics(SampleReport(), 1, format));
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string hash, word, name, type;
      if (line == "# EOF") continue;
      if (line.starts_with('#')) {
        words >> hash >> word >> name >> type;
        if (word == "TYPE") {
          EXPECT_TRUE(families.insert(name).second) << name << " twice";
          family = name;
          counter = type == "counter";
        }
        EXPECT_EQ(name, family) << line;
        continue;
      }
      const std::string sample = line.substr(0, line.find('{'));
      EXPECT_TRUE(sample.starts_with(family)) << sample << " in " << family;
      EXPECT_EQ(counter, sample.ends_with("_total")) << sample;
    }
    EXPECT_GT(families.size(), kFigureCount);
  }
}

TEST(OpenMetrics, TheFormatsDifferInCountersAndTheEnd) {
  const std::string plain = ToMetrics(SampleReport(), 1, MetricsFormat::kPrometheus);
  const std::string open = ToMetrics(SampleReport(), 1, MetricsFormat::kOpenMetrics);
  EXPECT_NE(plain.find("# TYPE uzswap_faults_total counter\n"), std::string::npos);
  EXPECT_NE(open.find("# TYPE uzswap_faults counter\n"), std::string::npos);
  EXPECT_TRUE(open.ends_with("# EOF\n"));
  EXPECT_EQ(plain.find("# EOF"), std::string::npos);
  EXPECT_EQ(SamplesOf(plain), SamplesOf(open));
}

TEST(OpenMetrics, NotEveryProcessIsATimeSeries) {
  Report report = SampleReport();
  for (uint32_t pid = 100; pid < 600; ++pid) report.processes.push_back({pid, "worker", true, {}});
  const auto samples = SamplesOf(ToMetrics(report, 1, MetricsFormat::kPrometheus));
  const auto listed = std::count_if(samples.begin(), samples.end(), [](const auto& sample) {
    return sample.first.starts_with("uzswap_process_faults_total");
  });
  EXPECT_EQ(static_cast<size_t>(listed), kMetricsProcessesMax);
}

TEST(OpenMetrics, BoundsOfTheHistogramAreThoseOfItsBuckets) {
  LatencyHistogram histogram;
  for (size_t i = 0; i < kLatencyBounds; ++i) {
    const uint64_t bound = LatencyBoundNs(i);
    EXPECT_EQ(LatencyHistogram::LowerBound(LatencyHistogram::BucketOf(bound)), bound);
    histogram.Record(bound - 1);
    histogram.Record(bound);
    EXPECT_EQ(histogram.CountBelow(bound), 2 * i + 1) << "all that are below, and no more";
  }
}

}  // namespace
}  // namespace uzswap::cli
