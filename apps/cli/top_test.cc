#include <gtest/gtest.h>

#include "top_command.h"
#include "top_model.h"
#include "top_view.h"

namespace uzswap::cli {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kMiB = 1 << 20;

PsProcess Process(uint32_t pid, uint64_t usage, uint64_t faults, uint64_t fault_ns) {
  PsProcess process;
  process.identity = {pid, 1, 1};
  process.pid = pid;
  process.name = "program";
  process.usage = usage;
  process.figures[Figure::faults] = faults;
  process.figures[Figure::pool_total_size] = pid * kMiB;
  process.figures.fault_ns.sum = fault_ns;
  return process;
}

PsReport Report(std::vector<PsProcess> processes) {
  PsReport report;
  report.runs.push_back({7, 64 * kMiB, 32 * kMiB, "", std::move(processes)});
  return report;
}

std::string TextOf(const std::vector<TopLine>& lines) {
  std::string text;
  for (const TopLine& line : lines) text += line.text + "\n";
  return text;
}

TEST(TopModel, RatesComeFromTwoLooks) {
  TopModel model;
  model.Update(Report({Process(1, 0, 100, 0)}), kSecond);
  EXPECT_FALSE(model.runs()[0].processes[0].rates.has_value());
  model.Update(Report({Process(1, 0, 300, kSecond)}), 3 * kSecond);
  const TopProcess& process = model.runs()[0].processes[0];
  ASSERT_TRUE(process.rates.has_value());
  EXPECT_DOUBLE_EQ(process.rates->faults, 100);
  EXPECT_DOUBLE_EQ(process.rates->stall, 0.5);
  EXPECT_EQ(process.history, std::vector<double>{0.5});
}

TEST(TopModel, AProcessThatIsNewOrAnotherProgramHasNoOldRates) {
  TopModel model;
  model.Update(Report({Process(1, 0, 1'000'000, 0)}), kSecond);
  model.Update(Report({Process(1, 0, 1'000'000, 0), Process(2, 0, 50, 0)}), 2 * kSecond);
  EXPECT_FALSE(model.runs()[0].processes[1].rates.has_value());
  // exec: the counters of the new image begin at zero, its name can be the same.
  model.Update(Report({Process(1, 0, 10, 0)}), 3 * kSecond);
  EXPECT_DOUBLE_EQ(model.runs()[0].processes[0].rates->faults, 10);
  // It was not there for a look, so it is another process.
  model.Update(Report({Process(2, 0, 60, 0)}), 4 * kSecond);
  EXPECT_FALSE(model.runs()[0].processes[0].rates.has_value());
}

TEST(TopModel, ProcessesWithOneNumberAreApart) {
  PsProcess here = Process(1, 10, 0, 0);
  PsProcess elsewhere = Process(1, 5, 1000, 0);
  elsewhere.identity.pid_namespace = 2;
  PsProcess former = here;  // of a program that has executed itself
  TopModel model;
  model.Update(Report({here, elsewhere, former}), 0);
  here.figures[Figure::faults] = 7;
  elsewhere.figures[Figure::faults] = 1001;
  model.Update(Report({here, elsewhere, former}), kSecond);
  const std::vector<TopProcess>& shown = model.runs()[0].processes;
  ASSERT_EQ(shown.size(), 3u);
  EXPECT_DOUBLE_EQ(shown[0].rates->faults, 7);
  EXPECT_FALSE(shown[1].rates.has_value()) << "the former image";
  EXPECT_DOUBLE_EQ(shown[2].rates->faults, 1);
  EXPECT_EQ(shown[0].history.size(), 1u);
}

TEST(TopModel, KeepsALimitedHistory) {
  TopModel model;
  for (uint64_t i = 0; i < 3 * TopModel::kHistoryMax; ++i) {
    model.Update(Report({Process(1, 0, 0, i * kSecond / 4)}), (i + 1) * kSecond);
  }
  const std::vector<double>& history = model.runs()[0].processes[0].history;
  EXPECT_EQ(history.size(), TopModel::kHistoryMax);
  EXPECT_DOUBLE_EQ(history.back(), 0.25);
}

TEST(TopModel, SortsByEachOrder) {
  struct Case {
    TopOrder order;
    std::vector<uint32_t> pids;
  };
  const Case cases[] = {{TopOrder::kUsed, {2, 3, 1}},
                        {TopOrder::kStall, {1, 2, 3}},
                        {TopOrder::kFaults, {3, 1, 2}},
                        {TopOrder::kPool, {3, 2, 1}},
                        {TopOrder::kPid, {1, 2, 3}}};
  TopModel model;
  model.Update(Report({Process(1, 10, 0, 0), Process(2, 30, 0, 0), Process(3, 20, 0, 0)}), 0);
  model.Update(Report({Process(1, 10, 20, 300), Process(2, 30, 10, 200), Process(3, 20, 30, 100)}),
               kSecond);
  for (const Case& c : cases) {
    model.SetOrder(c.order);
    std::vector<uint32_t> pids;
    for (const TopProcess& process : model.runs()[0].processes) pids.push_back(process.now.pid);
    EXPECT_EQ(pids, c.pids) << Name(c.order);
    EXPECT_EQ(TopOrderByName(Name(c.order)), c.order);
  }
  EXPECT_EQ(TopOrderByName("size"), std::nullopt);
}

TEST(TopView, FitsTheScreen) {
  TopModel model;
  PsProcess process = Process(4'194'304, uint64_t{999} << 40, 0, 0);
  process.name = "a very long name of a program";
  process.figures[Figure::stored_pages] = uint64_t{1} << 40;
  process.figures.fault_ns.p99 = 900 * kSecond;
  PsReport report = Report({process});
  report.runs[0].backing = std::string(300, 'b');
  model.Update(report, kSecond);
  for (uint64_t i = 0; i < 200; ++i) {
    report.runs[0].processes[0].figures.fault_ns.sum += 16 * kSecond;
    report.runs[0].processes[0].figures[Figure::faults] += 123'456'789;
    model.Update(report, (i + 2) * kSecond);
  }
  for (const size_t columns : {1, 20, 79, 80, 81, 83, 120, 500}) {
    for (const TopLine& line : RenderTop(model, {columns, 1, true})) {
      EXPECT_LE(line.text.size(), columns) << line.text;
    }
  }
  const std::vector<TopLine> lines = RenderTop(model, {80, 1, false});
  EXPECT_EQ(lines.back().style, TopStyle::kRow);
  EXPECT_NE(lines.back().text.find("900s"), std::string::npos) << "80 columns hold all figures";
  for (const TopLine& line : TopHelp()) EXPECT_LE(line.text.size(), 90u);
}

TEST(TopView, ShowsWhatMatters) {
  TopModel model;
  PsProcess process = Process(12, 30 * kMiB, 0, 0);
  process.figures[Figure::stored_pages] = 1000;
  process.figures[Figure::same_filled_pages] = 100;
  process.figures[Figure::written_back_pages] = 300;
  process.figures[Figure::compressed_bytes] = 600 * 1024;
  process.figures.fault_ns.p99 = 80'000;
  PsReport report = Report({process});
  report.runs[0].backing = "/var/t\033mp";
  model.Update(report, 0);
  report.runs[0].processes[0].figures[Figure::faults] = 12'345;
  report.runs[0].processes[0].figures.fault_ns.sum = kSecond / 4;
  model.Update(report, kSecond);
  const std::string text = TextOf(RenderTop(model, {100, 1, false}));
  for (const char* part :
       {"1 run, 1 process ", "sorted by used", "run 7: 32.0M of 64.0M [||||||||||          ] 50 %",
        "backing /var/t?mp", "12 program", "30.0M", "4.00", "3.9M", "12.3k", "25%", "80us"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
}

TEST(TopView, AGraphShowsTheLastLooks) {
  TopModel model;
  uint64_t waited = 0;
  model.Update(Report({Process(1, 0, 0, 0)}), 0);
  const double stalls[] = {0, 0.001, 0.5, 1, 16};
  uint64_t look = 1;
  for (const double stall : stalls) {
    waited += static_cast<uint64_t>(stall * 1e9);
    model.Update(Report({Process(1, 0, 0, waited)}), look++ * kSecond);
  }
  const auto row = [&](size_t columns) {
    return RenderTop(model, {columns, 1, false}).back().text;
  };
  EXPECT_TRUE(row(120).ends_with("  .-##")) << row(120);
  EXPECT_TRUE(row(85).ends_with(" .-##")) << row(85);
}

TEST(TopView, SaysWhyNothingIsShown) {
  TopModel model;
  PsReport report;
  model.Update(report, 0);
  EXPECT_NE(TextOf(RenderTop(model, {})).find("no run of uzswap"), std::string::npos);
  report.unreadable = 2;
  report.other_versions = 1;
  model.Update(report, 1);
  const std::string text = TextOf(RenderTop(model, {}));
  EXPECT_NE(text.find("2 processes of other users cannot be read"), std::string::npos) << text;
  EXPECT_NE(text.find("1 run of another version"), std::string::npos) << text;
}

}  // namespace
}  // namespace uzswap::cli
