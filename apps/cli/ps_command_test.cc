#include "ps_command.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "session/session.h"

namespace uzswap::cli {
namespace {

Session MakeSession(Bytes limit) {
  Options options;
  options.limit = limit;
  return std::move(Session::Create(options)).value();
}

const PsRun* OwnRun(const PsReport& report, uint64_t limit) {
  const auto found =
      std::find_if(report.runs.begin(), report.runs.end(), [limit](const PsRun& run) {
        return run.runner == static_cast<uint32_t>(getpid()) && run.limit == limit;
      });
  return found == report.runs.end() ? nullptr : &*found;
}

TEST(PsCommandTest, FindsTheSessionsOfProcessesAndTheirFigures) {
  constexpr uint64_t kLimit = 123 << 20;
  EXPECT_EQ(OwnRun(FindRuns(), kLimit), nullptr);
  Session session = MakeSession(Bytes(kLimit));
  const ProcessRecord record = *session.Claim("a program");
  record.statistics().faults.Add(42);
  record.statistics().resident_bytes.Set(10 << 20);
  static_cast<void>(record.Publish(Bytes(12 << 20), Bytes(2 << 20)));
  {
    const PsReport report = FindRuns();
    const PsRun* run = OwnRun(report, kLimit);
    ASSERT_NE(run, nullptr);
    EXPECT_EQ(run->usage, uint64_t{12} << 20);
    ASSERT_EQ(run->processes.size(), 1u);
    EXPECT_EQ(run->processes[0].pid, static_cast<uint32_t>(getpid()));
    EXPECT_EQ(run->processes[0].name, "a program");
    EXPECT_EQ(run->processes[0].figures[Figure::faults], 42u);
    const std::string table = ToTable(report);
    EXPECT_NE(table.find("12.0M of 123.0M used"), std::string::npos) << table;
    EXPECT_NE(table.find("a program"), std::string::npos) << table;
    const nlohmann::json json = nlohmann::json::parse(ToJson(report));
    ASSERT_EQ(json["runs"].size(), report.runs.size());
    for (const nlohmann::json& each : json["runs"]) {
      if (each["limit"] != kLimit) continue;
      EXPECT_EQ(each["processes"][0]["faults"], 42);
    }
  }
  session.Retire(record);
}

TEST(PsCommandTest, ASessionIsListedOnce) {
  constexpr uint64_t kLimit = 124 << 20;
  const Session session = MakeSession(Bytes(kLimit));
  const int again = dup(session.descriptor());
  const PsReport report = FindRuns();
  const auto same = [](const PsRun& run) { return run.limit == kLimit; };
  EXPECT_EQ(std::count_if(report.runs.begin(), report.runs.end(), same), 1);
  close(again);
}

TEST(PsCommandTest, WhatIsNoSessionIsNotShown) {
  std::string root = testing::TempDir() + "/ps-XXXXXX";
  ASSERT_NE(mkdtemp(root.data()), nullptr);
  const std::filesystem::path folder(root);
  std::filesystem::create_directories(folder / "12" / "fd");
  std::filesystem::create_directories(folder / "self");
  std::filesystem::create_directories(folder / "13");
  // The link of a session leads nowhere: its process has ended.
  std::filesystem::create_symlink("/memfd:uzswap-session (deleted)", folder / "12" / "fd" / "3");
  std::filesystem::create_symlink("/dev/null", folder / "12" / "fd" / "4");
  const PsReport report = FindRuns(root);
  EXPECT_TRUE(report.runs.empty());
  EXPECT_EQ(report.other_versions, 0u);
  EXPECT_EQ(ToTable(report), "no run of uzswap\n");
  EXPECT_EQ(nlohmann::json::parse(ToJson(report))["runs"].size(), 0u);
  EXPECT_TRUE(FindRuns(root + "/nothing").runs.empty());
  std::filesystem::remove_all(folder);
}

TEST(PsCommandTest, NamesCannotMoveTheCursor) {
  PsReport report;
  report.runs.push_back({.runner = 1, .backing = "/a\nb", .processes = {}});
  report.runs[0].processes.push_back(
      {.identity = {}, .pid = 2, .name = "x\033[2Jy", .usage = 0, .figures = {}});
  const std::string table = ToTable(report);
  EXPECT_NE(table.find("x?[2Jy"), std::string::npos) << table;
  EXPECT_NE(table.find("/a?b"), std::string::npos) << table;
}

TEST(PsCommandTest, ProgramsWithoutRightsAreTold) {
  PsReport report;
  report.unreadable = 3;
  EXPECT_NE(ToTable(report).find("fix: run this as root"), std::string::npos);
  report.other_versions = 1;
  EXPECT_NE(ToTable(report).find("1 of another version"), std::string::npos);
}

}  // namespace
}  // namespace uzswap::cli
