#include "environment_repair.h"

#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

namespace uzswap {
namespace {

using Library = EnvironmentRepair::Library;
using Lines = std::vector<std::string>;

const char kLibrary[] = "/lib/uzswap.so";

// A null-terminated array of the lines.
std::vector<const char*> ArrayOf(const Lines& lines) {
  std::vector<const char*> array;
  for (const std::string& line : lines) array.push_back(line.c_str());
  array.push_back(nullptr);
  return array;
}

class EnvironmentRepairTest : public testing::Test {
 protected:
  void Remember(const Lines& lines) { repair_->Remember(ArrayOf(lines).data(), kLibrary); }
  // What the program gets. The memory is as large as the plan says, so that a sanitizer finds what
  // is written beyond it.
  Lines Repair(const Lines& given, Library library = Library::kWanted) {
    const std::vector<const char*> array = ArrayOf(given);
    const EnvironmentRepair::Plan plan = repair_->MakePlan(array.data(), library);
    changed_ = plan.bytes != 0;
    if (!changed_) return given;
    const std::unique_ptr<char[]> memory(new char[plan.bytes]);
    char** const made = repair_->Build(array.data(), plan, library, memory.get());
    EXPECT_EQ(static_cast<void*>(made), memory.get());
    Lines lines;
    for (char** line = made; *line != nullptr; ++line) lines.emplace_back(*line);
    return lines;
  }

  std::unique_ptr<EnvironmentRepair> repair_ = std::make_unique<EnvironmentRepair>();
  bool changed_ = false;
};

TEST_F(EnvironmentRepairTest, WhatAProgramGets) {
  Remember({"HOME=/", "LD_PRELOAD=/lib/uzswap.so", "UZSWAP_SESSION=s", "UZSWAP_LIMIT=1"});
  ASSERT_TRUE(repair_->usable());
  struct Case {
    const char* what;
    Lines given;
    Lines expected;
    Library library = Library::kWanted;
  };
  const std::string session = "UZSWAP_SESSION=s";
  const std::string limit = "UZSWAP_LIMIT=1";
  const std::string preload = "LD_PRELOAD=/lib/uzswap.so";
  const Case cases[] = {
      {"unchanged", {"A=1", preload, session}, {"A=1", preload, session}},
      {"env -i", {}, {session, limit, preload}},
      {"env -i A=1", {"A=1"}, {"A=1", session, limit, preload}},
      {"only LD_PRELOAD was lost", {session, "A=1"}, {session, "A=1", preload}},
      {"only the session was lost", {preload}, {preload, session, limit}},
      {"another library", {"LD_PRELOAD=x.so", session}, {session, preload + ":x.so"}},
      {"spaces, empty entries",
       {"LD_PRELOAD=: x.so  y.so:", session},
       {session, preload + ":x.so:y.so"}},
      {"an empty list", {"LD_PRELOAD=", session}, {session, preload}},
      {"two of them: the last one counts",
       {"LD_PRELOAD=x.so", preload, session},
       {"LD_PRELOAD=x.so", preload, session}},
      {"two of them, none names the library",
       {"LD_PRELOAD=x.so", "LD_PRELOAD=y.so", session},
       {session, preload + ":y.so"}},
      {"an inner run has a session of its own",
       {preload, "UZSWAP_SESSION=t"},
       {preload, "UZSWAP_SESSION=t"}},
      {"an inner run with a limit only", {preload, "UZSWAP_LIMIT=2"}, {preload, "UZSWAP_LIMIT=2"}},
      {"a sanitizer stays in front",
       {"LD_PRELOAD=x.so:/usr/lib/libasan.so.8", session},
       {session, "LD_PRELOAD=/usr/lib/libasan.so.8:/lib/uzswap.so:x.so"}},
      {"not for this program",
       {"A=1", preload, session},
       {"A=1", session, "LD_PRELOAD="},
       Library::kLeftOut},
      {"not for this program, with another library",
       {preload + ":x.so", session},
       {session, "LD_PRELOAD=x.so"},
       Library::kLeftOut},
      {"not for this program, and not there", {"A=1"}, {"A=1"}, Library::kLeftOut},
      {"a name that only begins alike",
       {"LD_PRELOADED=1", session},
       {"LD_PRELOADED=1", session, preload}},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Repair(c.given, c.library), c.expected) << c.what;
    EXPECT_EQ(changed_, c.given != c.expected) << c.what;
  }
}

TEST_F(EnvironmentRepairTest, TheFormerEnvironmentIsCopied) {
  {
    Lines lines = {"LD_PRELOAD=/lib/uzswap.so", "UZSWAP_SESSION=before"};
    Remember(lines);
    lines[1].assign("UZSWAP_SESSION=after!");
  }
  EXPECT_EQ(Repair({}), (Lines{"UZSWAP_SESSION=before", "LD_PRELOAD=/lib/uzswap.so"}));
}

TEST_F(EnvironmentRepairTest, IsNotUsableWhereItCannotKnow) {
  const Lines no_preload = {"UZSWAP_SESSION=s"};
  const Lines other = {"LD_PRELOAD=/lib/uzswap.so.old", "UZSWAP_SESSION=s"};
  const Lines large = {"LD_PRELOAD=/lib/uzswap.so", "UZSWAP_SESSION=" + std::string(20000, 's')};
  for (const Lines& lines : {no_preload, other, large}) {
    repair_ = std::make_unique<EnvironmentRepair>();
    Remember(lines);
    EXPECT_FALSE(repair_->usable());
  }
  repair_ = std::make_unique<EnvironmentRepair>();
  const Lines named = {"LD_PRELOAD=/lib/uzswap.so"};
  repair_->Remember(ArrayOf(named).data(), nullptr);
  EXPECT_FALSE(repair_->usable());
  const std::string long_path(5000, 'p');
  repair_->Remember(ArrayOf(named).data(), long_path.c_str());
  EXPECT_FALSE(repair_->usable());
}

}  // namespace
}  // namespace uzswap
