// What is decided before anything is started: the limit, the machine, the command line.
#include <stdlib.h>

#include <cerrno>
#include <gtest/gtest.h>

#include "command_line.h"
#include "limit.h"
#include "surroundings.h"

namespace uzswap::cli {
namespace {

constexpr Bytes MiB(uint64_t count) { return Bytes(count << 20); }
constexpr Bytes kMachine = MiB(4096);

std::string CauseOf(const std::optional<std::string>& asked, const os::CgroupLimit* cgroup,
                    Bytes machine = kMachine) {
  const auto outcome = DecideLimit(asked, cgroup, machine);
  const Refusal* refusal = RefusalOf(outcome);
  if (refusal == nullptr) return "";
  EXPECT_EQ(refusal->status, kCannotDo);
  EXPECT_FALSE(refusal->fix.empty()) << refusal->cause;
  return refusal->cause;
}

LimitDecision Decide(const std::optional<std::string>& asked, const os::CgroupLimit* cgroup) {
  const auto outcome = DecideLimit(asked, cgroup, kMachine);
  EXPECT_EQ(RefusalOf(outcome), nullptr);
  return std::get<LimitDecision>(outcome);
}

TEST(LimitTest, HeadroomIsAShareAndAtLeast24MiB) {
  EXPECT_EQ(Headroom(MiB(100)), MiB(24));
  EXPECT_EQ(Headroom(MiB(400)), MiB(24));
  EXPECT_EQ(Headroom(MiB(1000)), MiB(60));
}

TEST(LimitTest, TakesSizes) {
  EXPECT_EQ(Decide("200M", nullptr).limit, MiB(200));
  EXPECT_EQ(Decide("200M", nullptr).note, "");
  EXPECT_EQ(Decide("8M", nullptr).limit, MiB(8));
  const LimitDecision huge = Decide("1T", nullptr);
  EXPECT_EQ(huge.limit, Bytes(uint64_t{1} << 40));
  EXPECT_NE(huge.note.find("never be reached"), std::string::npos) << huge.note;
  const os::CgroupLimit cgroup{MiB(100), "memory.max"};
  EXPECT_NE(Decide("200M", &cgroup).note.find("the kernel will kill first"), std::string::npos);
  const os::CgroupLimit high{MiB(100), "/sys/fs/cgroup/app/memory.high"};
  EXPECT_NE(Decide("200M", &high).note.find("slows the program down"), std::string::npos);
  EXPECT_EQ(Decide("200M", &high).note.find("kill"), std::string::npos);
}

TEST(LimitTest, RefusesNonsenseByName) {
  EXPECT_NE(CauseOf("0", nullptr).find("is zero"), std::string::npos);
  EXPECT_NE(CauseOf("-5M", nullptr).find("negative"), std::string::npos);
  EXPECT_NE(CauseOf("lots", nullptr).find("is not a size"), std::string::npos);
  EXPECT_NE(CauseOf("5Q", nullptr).find("unknown unit"), std::string::npos);
  EXPECT_NE(CauseOf("", nullptr).find("is empty"), std::string::npos);
  EXPECT_NE(CauseOf("99999999999T", nullptr).find("64 bits"), std::string::npos);
  EXPECT_NE(CauseOf("8191K", nullptr).find("too small"), std::string::npos);
  EXPECT_NE(CauseOf("1", nullptr).find("8.0 MiB"), std::string::npos);
}

TEST(LimitTest, AutoNeedsACgroupWithRoom) {
  EXPECT_NE(CauseOf("auto", nullptr).find("no cgroup"), std::string::npos);
  const os::CgroupLimit tiny{MiB(31), "memory.max"};
  EXPECT_NE(CauseOf("auto", &tiny).find("leaves no memory"), std::string::npos);
  const os::CgroupLimit least{MiB(32), "memory.max"};
  EXPECT_EQ(Decide("auto", &least).limit, MiB(8));
  const os::CgroupLimit cgroup{MiB(200), "memory.max"};
  EXPECT_EQ(Decide("auto", &cgroup).limit, MiB(176));
  EXPECT_NE(Decide("auto", &cgroup).note.find("headroom of 24.0 MiB"), std::string::npos);
  const os::CgroupLimit above{MiB(8192), "memory.max"};
  EXPECT_EQ(Decide("auto", &above).limit, kMachine - Headroom(kMachine));
}

TEST(LimitTest, WithoutAWordTheCgroupElseTheMachine) {
  const os::CgroupLimit cgroup{MiB(200), "memory.max"};
  EXPECT_EQ(Decide(std::nullopt, &cgroup).limit, MiB(176));
  EXPECT_EQ(Decide(std::nullopt, nullptr).limit, kMachine - Headroom(kMachine));
}

TEST(LimitTest, SizesReadWell) {
  EXPECT_EQ(Human(Bytes(1024)), "1.0 KiB");
  EXPECT_EQ(Human(MiB(200)), "200.0 MiB");
  EXPECT_EQ(Human(MiB(2048)), "2048.0 MiB");
  EXPECT_EQ(Human(MiB(20480)), "20.0 GiB");
  EXPECT_EQ(Human(Bytes(uint64_t{1} << 40)), "1.0 TiB");
}

struct Surrounding {
  const char* what;
  os::UffdProbe probe;
  os::UffdSurroundings around;
  const char* cause;
  const char* fix;
};

TEST(SurroundingsTest, EachCauseHasItsOwnMessageAndFix) {
  using os::kUffdFeaturesNeeded;
  constexpr uint64_t kNoMove = kUffdFeaturesNeeded & ~os::abi::kUffdFeatureMove;
  const Surrounding kTable[] = {
      {"no kernel support", {ENOSYS, ENOENT, 0}, {{}, false, false}, "built without", "CONFIG"},
      {"plain user",
       {EPERM, EACCES, 0},
       {0, true, false},
       "not permitted",
       "sysctl vm.unprivileged_userfaultfd=1"},
      {"plain user, device",
       {EPERM, EACCES, 0},
       {0, true, false},
       "/dev/userfaultfd is closed",
       "setfacl -m u:NAME:rw /dev/userfaultfd"},
      {"container, filter says EPERM",
       {EPERM, ENOENT, 0},
       {0, false, true},
       "not permitted",
       "seccomp"},
      {"container, only the filter",
       {EPERM, ENOENT, 0},
       {1, false, true},
       "seccomp filter",
       "--security-opt seccomp"},
      {"container, filter says ENOSYS",
       {ENOSYS, ENOENT, 0},
       {0, false, true},
       "seccomp filter",
       "--device /dev/userfaultfd"},
      {"old kernel, plain user",
       {EPERM, EACCES, 0},
       {0, true, false, false},
       "no PAGEMAP_SCAN",
       "linux-image-6.12-amd64"},
      {"old kernel", {0, 0, kNoMove}, {1, true, false}, "not UFFDIO_MOVE", "6.8"},
      {"no events", {0, 0, os::abi::kUffdFeatureMove}, {1, true, false}, "events", "6.8"},
      {"no descriptors", {EMFILE, EMFILE, 0}, {1, true, false}, "Too many open files", "ulimit"},
  };
  for (const Surrounding& row : kTable) {
    const auto refusal = CheckUserfaultfd(row.probe, row.around, "6.1.0");
    ASSERT_TRUE(refusal.has_value()) << row.what;
    EXPECT_EQ(refusal->status, kCannotDo);
    EXPECT_NE(refusal->cause.find(row.cause), std::string::npos) << row.what << refusal->cause;
    EXPECT_NE(refusal->fix.find(row.fix), std::string::npos) << row.what << refusal->fix;
  }
  EXPECT_FALSE(CheckUserfaultfd({0, ENOENT, kUffdFeaturesNeeded}, {}, "6.8").has_value());
  EXPECT_FALSE(CheckUserfaultfd({EPERM, 0, kUffdFeaturesNeeded}, {}, "6.8").has_value());
}

Request Parse(std::vector<const char*> words) {
  words.insert(words.begin(), "uzswap");
  return ParseCommandLine(static_cast<int>(words.size()), words.data());
}

RunRequest ParseRun(const std::vector<const char*>& words) {
  const Request request = Parse(words);
  const RunRequest* run = std::get_if<RunRequest>(&request);
  EXPECT_NE(run, nullptr) << (std::holds_alternative<Refusal>(request)
                                  ? std::get<Refusal>(request).cause
                                  : "not a run");
  return run != nullptr ? *run : RunRequest{};
}

TEST(CommandLineTest, OptionsEndWhereTheCommandBegins) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(ParseRun({"run", "--", "ls", "-l"}).command, (Words{"ls", "-l"}));
  EXPECT_EQ(ParseRun({"run", "ls", "-l"}).command, (Words{"ls", "-l"}));
  EXPECT_EQ(ParseRun({"run", "ls", "--", "x"}).command, (Words{"ls", "--", "x"}));
  EXPECT_EQ(ParseRun({"run", "--", "--odd"}).command, (Words{"--odd"}));
  EXPECT_EQ(ParseRun({"run", "--", "a", "--", "b"}).command, (Words{"a", "--", "b"}));
  EXPECT_EQ(ParseRun({"run", "--limit", "5M", "a", "--limit", "6M"}).limit, "5M");
  EXPECT_EQ(ParseRun({"run", "--limit", "5M", "a", "--limit", "6M"}).command,
            (Words{"a", "--limit", "6M"}));
  EXPECT_EQ(ParseRun({"run", "--summary", "--", "a", "--help"}).command, (Words{"a", "--help"}));
  EXPECT_EQ(ParseRun({"run", "a", "--help"}).command, (Words{"a", "--help"}));
}

TEST(CommandLineTest, ReadsEveryOption) {
  const RunRequest run =
      ParseRun({"run",       "--limit=auto",   "--codec", "zstd",
                "--pool",    "zbud",           "--stats", "s.json",
                "--summary", "--pool-limit",   "20%",     "--backing",
                "/b",        "--backing-size", "4G",      "--backing-write-limit",
                "10G/d",     "--encrypt",      "--",      "a"});
  EXPECT_EQ(run.limit, "auto");
  EXPECT_EQ(run.codec, CodecMode::kZstd);
  EXPECT_EQ(run.pool, PoolKind::kZbud);
  EXPECT_EQ(run.stats, "s.json");
  EXPECT_TRUE(run.summary);
  EXPECT_EQ(run.backing.pool_limit, "20%");
  EXPECT_EQ(run.backing.path, "/b");
  EXPECT_EQ(run.backing.size, "4G");
  EXPECT_EQ(run.backing.write_limit, "10G/d");
  EXPECT_TRUE(run.backing.encrypt);
  const RunRequest plain = ParseRun({"run", "--", "a"});
  EXPECT_FALSE(plain.limit.has_value());
  EXPECT_FALSE(plain.backing.path.has_value());
  EXPECT_FALSE(plain.backing.pool_limit.has_value());
  EXPECT_FALSE(plain.backing.encrypt);
  EXPECT_EQ(ParseRun({"run", "--backing", "", "--", "a"}).backing.path, "")
      << "given, although an empty variable of a script may be the reason";
}

TEST(CommandLineTest, ADictionaryIsLearnedNotUsedOrRead) {
  EXPECT_EQ(ParseRun({"run", "--", "a"}).dictionary, DictionaryMode::kAuto);
  EXPECT_FALSE(ParseRun({"run", "--dictionary", "auto", "--", "a"}).dictionary_file.has_value());
  EXPECT_EQ(ParseRun({"run", "--dictionary", "off", "--", "a"}).dictionary, DictionaryMode::kOff);
  const RunRequest file = ParseRun({"run", "--dictionary", "./off", "--", "a"});
  EXPECT_EQ(file.dictionary, DictionaryMode::kAuto) << "it continues to learn";
  EXPECT_EQ(file.dictionary_file, "./off");
}

TEST(CommandLineTest, VariablesStandInForOptions) {
  setenv("UZSWAP_LIMIT", "300M", 1);
  setenv("UZSWAP_CODEC", "zstd", 1);
  setenv("UZSWAP_POOL", "", 1);
  setenv("UZSWAP_SUMMARY", "1", 1);
  const RunRequest run = ParseRun({"run", "--", "a"});
  const RunRequest beaten = ParseRun({"run", "--limit", "1G", "--codec", "lz4", "--", "a"});
  for (const char* name : {"UZSWAP_LIMIT", "UZSWAP_CODEC", "UZSWAP_POOL", "UZSWAP_SUMMARY"}) {
    unsetenv(name);
  }
  EXPECT_EQ(run.limit, "300M");
  EXPECT_EQ(run.codec, CodecMode::kZstd);
  EXPECT_EQ(run.pool, PoolKind::kZsmalloc);
  EXPECT_TRUE(run.summary);
  EXPECT_EQ(beaten.limit, "1G");
  EXPECT_EQ(beaten.codec, CodecMode::kLz4);
}

TEST(CommandLineTest, VariablesStandInForTheBackingFileToo) {
  const std::vector<std::pair<const char*, const char*>> kVariables = {
      {"UZSWAP_BACKING", "/b"},
      {"UZSWAP_BACKING_SIZE", "4G"},
      {"UZSWAP_BACKING_WRITE_LIMIT", "10G/d"},
      {"UZSWAP_POOL_LIMIT", ""},
      {"UZSWAP_ENCRYPT", "yes"}};
  for (const auto& [name, value] : kVariables) setenv(name, value, 1);
  const BackingRequest run = ParseRun({"run", "--", "a"}).backing;
  const BackingRequest beaten = ParseRun({"run", "--backing", "/c", "--", "a"}).backing;
  setenv("UZSWAP_SESSION", "/proc/1/fd/3", 1);
  const BackingRequest below = ParseRun({"run", "--", "a"}).backing;
  const BackingRequest anew = ParseRun({"run", "--backing", "/c", "--", "a"}).backing;
  unsetenv("UZSWAP_SESSION");
  setenv("UZSWAP_ENCRYPT", "no", 1);
  const BackingRequest open = ParseRun({"run", "--", "a"}).backing;
  setenv("UZSWAP_ENCRYPT", "perhaps", 1);
  const Request unclear = Parse({"run", "--", "a"});
  for (const auto& [name, value] : kVariables) unsetenv(name);
  EXPECT_EQ(run.path, "/b");
  EXPECT_EQ(run.size, "4G");
  EXPECT_EQ(run.write_limit, "10G/d");
  EXPECT_FALSE(run.pool_limit.has_value()) << "empty counts as unset";
  EXPECT_TRUE(run.encrypt);
  EXPECT_FALSE(run.path_is_inherited);
  EXPECT_EQ(beaten.path, "/c");
  EXPECT_TRUE(below.path_is_inherited);
  EXPECT_FALSE(below.pool_limit_is_inherited);
  EXPECT_FALSE(anew.path_is_inherited);
  EXPECT_FALSE(open.encrypt);
  EXPECT_TRUE(std::holds_alternative<Refusal>(unclear));
}

TEST(CommandLineTest, RefusesWith125) {
  const std::vector<std::vector<const char*>> kTable = {
      {},
      {"run"},
      {"run", "--"},
      {"run", "--limit"},
      {"run", "--bogus", "--", "a"},
      {"run", "--bogus", "a"},
      {"run", "--codec", "lzma", "--", "a"},
      {"run", "--pool", "slab", "--", "a"},
      {"run", "--backing"},
      {"walk", "--", "a"},
      {"check", "extra"},
  };
  for (const auto& words : kTable) {
    const Request request = Parse(words);
    const Refusal* refusal = std::get_if<Refusal>(&request);
    ASSERT_NE(refusal, nullptr) << (words.size() > 1 ? words[1] : "");
    EXPECT_EQ(refusal->status, kCannotDo);
    EXPECT_FALSE(refusal->fix.empty()) << refusal->cause;
  }
}

TEST(CommandLineTest, PrintsHelpAndVersion) {
  for (const std::vector<const char*>& words : {std::vector<const char*>{"--help"},
                                                {"help"},
                                                {"help", "run"},
                                                {"run", "--help"},
                                                {"--version"},
                                                {"help", "check"},
                                                {"check", "--help"}}) {
    EXPECT_TRUE(std::holds_alternative<PrintRequest>(Parse(words))) << words[0];
  }
  const std::string help = std::get<PrintRequest>(Parse({"help", "run"})).text;
  for (const char* part : {"UZSWAP_LIMIT", "UZSWAP_POOL_LIMIT", "UZSWAP_BACKING", "--encrypt",
                           "UZSWAP_BACKING_SIZE", "UZSWAP_BACKING_WRITE_LIMIT", "/var/tmp"}) {
    EXPECT_NE(help.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(help.find("not yet"), std::string::npos);
  const std::string list = std::get<PrintRequest>(Parse({"top", "--help"})).text;
  EXPECT_NE(list.find("--interval"), std::string::npos) << "of the command, not of uzswap";
  const Request unknown = Parse({"help", "nothing"});
  ASSERT_TRUE(std::holds_alternative<Refusal>(unknown));
  EXPECT_NE(std::get<Refusal>(unknown).cause.find("'nothing'"), std::string::npos);
}

}  // namespace
}  // namespace uzswap::cli
