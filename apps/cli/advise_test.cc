// advise on pages with known results, and on a running process.
#include "advise.h"

#include <unistd.h>

#include <cstring>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/rng.h"
#include "command_line.h"
#include "testing/run.h"

namespace uzswap::cli {
namespace {

using testing::Folder;

// 10 pages of zeroes, 20 of text, 10 of noise.
std::string KnownPages() {
  std::string bytes(40 * kPageSize, '\0');
  Rng rng(1);
  for (size_t i = 10 * kPageSize; i < 30 * kPageSize; ++i) {
    bytes[i] = i % 16 == 0 ? static_cast<char>('a' + rng.Below(26)) : "sixteen letters."[i % 16];
  }
  for (size_t i = 30 * kPageSize; i < bytes.size(); ++i) bytes[i] = static_cast<char>(rng.Next());
  return bytes;
}

Advice Advise(const std::string& path) {
  const OrRefusal<PageSample> sample = ReadPagesFile(path);
  EXPECT_EQ(RefusalOf(sample), nullptr);
  OrRefusal<Advice> advice = Measure(std::get<PageSample>(sample));
  EXPECT_EQ(RefusalOf(advice), nullptr);
  return std::get<Advice>(advice);
}

TEST(AdviseTest, CountsWhatIsInTheFile) {
  const Folder folder;
  const Advice advice = Advise(folder.File("known.pages", KnownPages()));
  EXPECT_EQ(advice.pages_sampled, 40u);
  ASSERT_EQ(advice.codecs.size(), 2u);
  for (const CodecAdvice& codec : advice.codecs) {
    EXPECT_EQ(codec.same_filled, 10u);
    EXPECT_EQ(codec.incompressible, 10u);
    EXPECT_GT(codec.stored_bytes, 0u);
    uint64_t in_histogram = 0;
    for (uint64_t count : codec.histogram) in_histogram += count;
    EXPECT_EQ(in_histogram, 30u);
    ASSERT_EQ(codec.pools.size(), 2u);
    EXPECT_EQ(codec.pools[0].pool, "zsmalloc");
    EXPECT_GE(codec.pools[0].frames, 10 + codec.stored_bytes / kPageSize);
    EXPECT_EQ(codec.pools[1].pool, "zbud");
    EXPECT_EQ(codec.pools[1].frames, 20u) << "two to a frame, noise alone";
    EXPECT_DOUBLE_EQ(codec.pools[1].ratio, 2.0);
  }
}

TEST(AdviseTest, JsonSaysTheSameAsTheTable) {
  const Folder folder;
  const Advice advice = Advise(folder.File("known.pages", KnownPages()));
  const nlohmann::json json = nlohmann::json::parse(ToJson(advice));
  EXPECT_EQ(json["pages"], 40);
  EXPECT_EQ(json["codecs"][1]["codec"], "zstd");
  EXPECT_EQ(json["codecs"][1]["same_filled_pages"], 10);
  EXPECT_EQ(json["codecs"][0]["pools"][1]["pool_bytes"], 20 * kPageSize);
  const std::string table = ToTable(advice);
  EXPECT_NE(table.find("25.0 % same-filled, 25.0 % incompressible"), std::string::npos) << table;
  EXPECT_NE(table.find("####"), std::string::npos);
}

TEST(AdviseTest, RefusesWhatAreNotPages) {
  const Folder folder;
  for (const std::string& text : {std::string(), std::string(4095, 'x'), std::string(4097, 'x')}) {
    const OrRefusal<PageSample> sample = ReadPagesFile(folder.File("odd", text));
    ASSERT_NE(RefusalOf(sample), nullptr);
    EXPECT_NE(RefusalOf(sample)->cause.find("whole pages"), std::string::npos);
  }
  EXPECT_NE(RefusalOf(ReadPagesFile(folder.path() + "/missing")), nullptr);
  EXPECT_NE(RefusalOf(ReadPagesFile(folder.path())), nullptr);
}

TEST(AdviseTest, ReadsALivingProcess) {
  const OrRefusal<PageSample> sample = ReadPagesOfProcess(static_cast<uint32_t>(getpid()));
  if (RefusalOf(sample) != nullptr) GTEST_SKIP() << RefusalOf(sample)->cause;
  EXPECT_GT(std::get<PageSample>(sample).count(), 10u);
  EXPECT_LE(std::get<PageSample>(sample).count(), kProcessSample);
}

TEST(AdviseTest, SaysWhichProcessIsNotThere) {
  const OrRefusal<PageSample> sample = ReadPagesOfProcess(UINT32_MAX);
  ASSERT_NE(RefusalOf(sample), nullptr);
  EXPECT_EQ(RefusalOf(sample)->cause, "there is no process 4294967295");
}

Request Parse(std::vector<const char*> words) {
  words.insert(words.begin(), "uzswap");
  return ParseCommandLine(static_cast<int>(words.size()), words.data());
}

TEST(AdviseTest, TheCommandLineTakesAFileOrAProcess) {
  const Request file = Parse({"advise", "--pages", "x", "--json"});
  ASSERT_NE(std::get_if<AdviseRequest>(&file), nullptr);
  EXPECT_EQ(std::get<AdviseRequest>(file).pages, "x");
  EXPECT_TRUE(std::get<AdviseRequest>(file).json);
  const Request process = Parse({"advise", "12"});
  ASSERT_NE(std::get_if<AdviseRequest>(&process), nullptr);
  EXPECT_EQ(std::get<AdviseRequest>(process).pid, 12u);
  for (const auto& words : std::vector<std::vector<const char*>>{
           {"advise"}, {"advise", "12", "--pages", "x"}, {"advise", "init"}, {"advise", "0"}}) {
    EXPECT_NE(std::get_if<Refusal>(&static_cast<const Request&>(Parse(words))), nullptr);
  }
}

}  // namespace
}  // namespace uzswap::cli
