// What the options take and what they refuse, and how the environment carries them.
#include "session/options.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace uzswap {
namespace {

constexpr Bytes KiB(uint64_t count) { return Bytes(count << 10); }
constexpr Bytes MiB(uint64_t count) { return Bytes(count << 20); }
constexpr Bytes GiB(uint64_t count) { return Bytes(count << 30); }
constexpr Bytes kLimit = MiB(200);

struct Taken {
  const char* text;
  Bytes bytes;
  uint32_t period_s = 0;
};

struct Refused {
  const char* text;
  const char* why;
};

void ExpectTaken(const Taken& row, const ParsedBound& got) {
  ASSERT_TRUE(got.ok()) << row.text << " " << got.error;
  EXPECT_EQ(got.bytes, row.bytes) << row.text;
  EXPECT_EQ(got.period_s, row.period_s) << row.text;
}

void ExpectRefused(const Refused& row, const ParsedBound& got) {
  ASSERT_FALSE(got.ok()) << row.text;
  EXPECT_NE(std::string(got.error).find(row.why), std::string::npos) << row.text << got.error;
}

TEST(OptionsTest, AWriteLimitIsASizeInAPeriod) {
  for (const Taken& row : {Taken{"10G", GiB(10), 86400},
                           {"10G/d", GiB(10), 86400},
                           {"50M/s", MiB(50), 1},
                           {"1.5GiB/h", MiB(1536), 3600},
                           {"512k/min", KiB(512), 60}}) {
    ExpectTaken(row, ParseWriteLimit(row.text));
  }
  for (const Refused& row : {Refused{"", "is empty"},
                             {"/d", "is empty"},
                             {"10G/", "unknown period"},
                             {"10G/day", "unknown period"},
                             {"10G/D", "unknown period"},
                             {"10G/d/d", "unknown period"},
                             {"10G/ d", "unknown period"},
                             {"0/s", "is zero"},
                             {"-1G/d", "negative"},
                             {"10Q/d", "unknown unit"},
                             {"much", "not a size"},
                             {"99999999T/s", "64 bits"}}) {
    ExpectRefused(row, ParseWriteLimit(row.text));
  }
}

TEST(OptionsTest, APoolLimitIsASizeOrAShareOfTheLimit) {
  for (const Taken& row : {Taken{"40M", MiB(40)},
                           {"200M", MiB(200)},
                           {"64K", KiB(64)},
                           {"1%", MiB(2)},
                           {"20%", MiB(40)},
                           {"100%", MiB(200)}}) {
    ExpectTaken(row, ParsePoolLimit(row.text, kLimit));
  }
  for (const Refused& row : {Refused{"", "is empty"},
                             {"%", "1% to 100%"},
                             {"0%", "1% to 100%"},
                             {"101%", "1% to 100%"},
                             {"-5%", "1% to 100%"},
                             {"2.5%", "1% to 100%"},
                             {"20%%", "1% to 100%"},
                             {"99999999999999999999%", "1% to 100%"},
                             {"0", "is zero"},
                             {"201M", "more than the limit"},
                             {"63K", "too small"},
                             {"20p", "unknown unit"}}) {
    ExpectRefused(row, ParsePoolLimit(row.text, kLimit));
  }
  EXPECT_TRUE(ParsePoolLimit("1%", kLimitMin).ok()) << "the least share of the least limit";
  const Bytes huge{UINT64_MAX};
  EXPECT_EQ(ParsePoolLimit("100%", huge).bytes, huge) << "no overflow on the way";
}

TEST(OptionsTest, ABackingSizeIsAtLeastAMebibyte) {
  ExpectTaken({"1M", MiB(1)}, ParseBackingSize("1M"));
  ExpectTaken({"4G", GiB(4)}, ParseBackingSize("4G"));
  for (const Refused& row : {Refused{"", "is empty"},
                             {"0", "is zero"},
                             {"1023K", "least is 1M"},
                             {"20%", "unknown unit"}}) {
    ExpectRefused(row, ParseBackingSize(row.text));
  }
}

TEST(OptionsTest, PeriodsAreWrittenAsTheyAreRead) {
  for (const char* text : {"5M/s", "5M/min", "5M/h", "5M/d"}) {
    EXPECT_EQ(std::string("5M") + PeriodSuffix(ParseWriteLimit(text).period_s), text);
  }
  EXPECT_STREQ(PeriodSuffix(7), "");
}

TEST(OptionsTest, ABackingPathIsAbsoluteAndFits) {
  Options options;
  EXPECT_TRUE(SetBacking(options, "/var/tmp"));
  for (const std::string& bad :
       {std::string(), std::string("var/tmp"), "/" + std::string(kBackingPathMax - 1, 'a')}) {
    EXPECT_FALSE(SetBacking(options, bad)) << bad;
    EXPECT_STREQ(options.backing, "/var/tmp") << "nothing is changed";
  }
  const std::string longest = "/" + std::string(kBackingPathMax - 2, 'a');
  EXPECT_TRUE(SetBacking(options, longest));
  EXPECT_EQ(options.backing, longest);
  EXPECT_TRUE(SetBacking(options, "/b"));
  EXPECT_STREQ(options.backing, "/b");
}

TEST(OptionsTest, ThePoolsDefaultBoundIsAFifthWithABackingFile) {
  Options options;
  options.limit = kLimit;
  EXPECT_EQ(DefaultPoolLimit(options), Bytes(0));
  ASSERT_TRUE(SetBacking(options, "/var/tmp"));
  EXPECT_EQ(DefaultPoolLimit(options), MiB(40));
}

EnvironmentOptions FromVariables(std::vector<const char*> variables) {
  variables.push_back(nullptr);
  return OptionsFromEnvironment(variables.data());
}

TEST(OptionsTest, TheEnvironmentCarriesThemAll) {
  const EnvironmentOptions given = FromVariables(
      {"UZSWAP_LIMIT=200M", "UZSWAP_BACKING=/var/tmp/x", "UZSWAP_BACKING_SIZE=4G",
       "UZSWAP_BACKING_WRITE_LIMIT=50M/s", "UZSWAP_ENCRYPT=1", "UZSWAP_POOL_LIMIT=10%"});
  ASSERT_EQ(given.bad_variable, nullptr) << given.bad_variable;
  EXPECT_STREQ(given.options.backing, "/var/tmp/x");
  EXPECT_EQ(given.options.backing_size, GiB(4));
  EXPECT_EQ(given.options.write_limit, MiB(50));
  EXPECT_EQ(given.options.write_period_s, 1u);
  EXPECT_TRUE(given.options.encrypt);
  EXPECT_EQ(given.options.pool_limit, MiB(20));
}

TEST(OptionsTest, WhatTheEnvironmentLeavesOutHasItsDefault) {
  const Options with = FromVariables({"UZSWAP_BACKING=/v", "UZSWAP_LIMIT=200M"}).options;
  EXPECT_EQ(with.pool_limit, MiB(40));
  EXPECT_EQ(with.backing_size, Bytes(0));
  EXPECT_EQ(with.write_limit, Bytes(0));
  EXPECT_FALSE(with.encrypt);
  const Options without = FromVariables({"UZSWAP_LIMIT=200M"}).options;
  EXPECT_EQ(without.pool_limit, Bytes(0));
  EXPECT_STREQ(without.backing, "");
}

TEST(OptionsTest, AFlagIsReadAsTheCommandLineReadsIt) {
  for (const char* no : {"", "0", "false", "False", "no", "OFF", "n", "f", "disable"}) {
    const std::string variable = std::string("UZSWAP_ENCRYPT=") + no;
    EXPECT_FALSE(FromVariables({"UZSWAP_BACKING=/v", variable.c_str()}).options.encrypt) << no;
  }
  for (const char* yes : {"1", "true", "yes", "on", "Y", "2"}) {
    const std::string variable = std::string("UZSWAP_ENCRYPT=") + yes;
    EXPECT_TRUE(FromVariables({"UZSWAP_BACKING=/v", variable.c_str()}).options.encrypt) << yes;
  }
}

TEST(OptionsTest, ABadVariableIsNamed) {
  for (const char* bad :
       {"UZSWAP_LIMIT=1M", "UZSWAP_BACKING=relative", "UZSWAP_BACKING=", "UZSWAP_BACKING_SIZE=1K",
        "UZSWAP_BACKING_SIZE=", "UZSWAP_BACKING_WRITE_LIMIT=1G/y", "UZSWAP_POOL_LIMIT=0%",
        "UZSWAP_POOL_LIMIT=201M", "UZSWAP_POOL_LIMIT="}) {
    const std::string name = std::string(bad).substr(0, std::string(bad).find('='));
    const EnvironmentOptions given = FromVariables({bad, "UZSWAP_LIMIT=200M", "UZSWAP_BACKING=/v"});
    ASSERT_NE(given.bad_variable, nullptr) << bad;
    EXPECT_EQ(given.bad_variable, name) << bad;
  }
  for (const char* alone :
       {"UZSWAP_BACKING_SIZE=1G", "UZSWAP_BACKING_WRITE_LIMIT=1G", "UZSWAP_ENCRYPT=1"}) {
    const std::string name = std::string(alone).substr(0, std::string(alone).find('='));
    const EnvironmentOptions given = FromVariables({"UZSWAP_LIMIT=200M", alone});
    ASSERT_NE(given.bad_variable, nullptr) << alone;
    EXPECT_EQ(given.bad_variable, name) << "there is nothing to write to";
  }
}

}  // namespace
}  // namespace uzswap
