// advise on pages with known results, and on a running process.
#include "advise.h"

#include <unistd.h>

#include <cstring>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/rng.h"
#include "base/testing/page_corpus.h"
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
  ASSERT_EQ(advice.codecs.size(), 3u);
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

// Groups of four pages: the fourth one of text, for training, the others of pointers and noise.
std::string PagesWithAPattern() {
  std::string bytes(400 * kPageSize, '\0');
  const auto all = std::as_writable_bytes(std::span(bytes.data(), bytes.size()));
  for (size_t i = 0; i < 400; ++i) {
    const size_t group = i / kUnitPages % 4;
    const PageKind kind = group == 3   ? PageKind::kText
                          : group == 2 ? PageKind::kRandom
                                       : PageKind::kPointers;
    FillPageOf(kind, i, all.subspan(i * kPageSize, kPageSize));
  }
  return bytes;
}

TEST(AdviseTest, ADictionaryIsMeasuredOnOtherPages) {
  const Folder folder;
  const Advice advice = Advise(folder.File("pattern.pages", PagesWithAPattern()));
  EXPECT_EQ(advice.pages_sampled, 400u);
  EXPECT_EQ(advice.pages_measured, 300u);
  EXPECT_EQ(advice.dictionary.training_pages, 100u);
  EXPECT_GT(advice.dictionary.bytes, 0u);
  EXPECT_GT(advice.dictionary.memory_bytes, advice.dictionary.bytes);
  constexpr const char* kRows[] = {"lz4", "zstd", kDenseRow};
  ASSERT_EQ(advice.codecs.size(), 6u);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(advice.codecs[i].codec, kRows[i / 2]);
    EXPECT_EQ(advice.codecs[i].dictionary, i % 2 == 1);
    EXPECT_EQ(advice.codecs[i].incompressible, 100u) << "no page of text is measured";
  }
  ASSERT_EQ(advice.units.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(advice.units[i].codec, i < 2 ? "lz4" : "zstd");
    EXPECT_EQ(advice.units[i].dictionary, i % 2 == 1);
    EXPECT_GT(advice.units[i].stored_bytes, 100 * kPageSize);
    EXPECT_LT(advice.units[i].stored_bytes, 300 * kPageSize);
  }
  const nlohmann::json json = nlohmann::json::parse(ToJson(advice));
  EXPECT_EQ(json["pages_measured"], 300);
  EXPECT_EQ(json["dictionary"]["training_pages"], 100);
  EXPECT_EQ(json["codecs"][3]["dictionary"], true);
  EXPECT_EQ(json["units"].size(), 4u);
  EXPECT_EQ(json["units"][1]["dictionary"], true);
  const std::string table = ToTable(advice);
  EXPECT_NE(table.find("trained from 100 pages; the rows are about 300 others"), std::string::npos)
      << table;
  EXPECT_NE(table.find("16K units"), std::string::npos);
}

TEST(AdviseTest, WithoutADictionaryAllPagesAreMeasured) {
  const Folder folder;
  const Advice advice = Advise(folder.File("known.pages", KnownPages()));
  EXPECT_EQ(advice.pages_measured, 40u);
  EXPECT_EQ(advice.dictionary.bytes, 0u);
  EXPECT_EQ(advice.units.size(), 2u);
  EXPECT_NE(ToTable(advice).find("No dictionary"), std::string::npos);
}

TEST(AdviseTest, FewerPagesThanAUnitHaveNone) {
  const Folder folder;
  const Advice advice = Advise(folder.File("few.pages", KnownPages().substr(0, 3 * kPageSize)));
  EXPECT_TRUE(advice.units.empty());
  EXPECT_EQ(nlohmann::json::parse(ToJson(advice))["units"].size(), 0u);
}

TEST(AdviseTest, TheLastLineSaysWhatToUse) {
  constexpr uint64_t kPages = 10'000;
  constexpr uint64_t kMemory = 25 * kPageSize;  // of the dictionary
  struct Row {
    const char* what;
    uint64_t lz4, lz4_with, zstd, zstd_with;  // frames; 0: no dictionary
    const char* line;
  };
  const Row kTable[] = {
      {"zstd with a dictionary", 5000, 4500, 4000, 3000, "--codec zstd --dictionary auto: 3.3"},
      {"zstd at its border", 5000, 0, 4000, 0, "--codec zstd --dictionary off: 2.5"},
      {"zstd below its border", 5000, 0, 4001, 0, "--codec lz4 --dictionary off: 2.0"},
      {"lz4 with a dictionary", 5000, 4000, 3900, 3800, "--codec lz4 --dictionary auto: 2.5"},
      {"a dictionary at its border", 5000, 4725, 5000, 5000, "--codec lz4 --dictionary auto"},
      {"its own memory counts", 5000, 4726, 5000, 5000, "--codec lz4 --dictionary off: 2.0"},
      {"at the border of compression", 8333, 0, 8333, 0, "--codec lz4 --dictionary off: 1.2"},
      {"hardly compressible", 8400, 0, 8400, 0, "use: nothing"},
  };
  for (const Row& row : kTable) {
    Advice advice;
    advice.pages_there = advice.pages_sampled = advice.pages_measured = kPages;
    const auto add = [&advice](const char* codec, bool dictionary, uint64_t frames) {
      if (frames == 0) return;
      CodecAdvice one;
      one.codec = codec;
      one.dictionary = dictionary;
      one.pools.push_back(
          {"zsmalloc", frames, static_cast<double>(kPages) / static_cast<double>(frames)});
      advice.codecs.push_back(one);
    };
    add("lz4", false, row.lz4);
    add("lz4", true, row.lz4_with);
    add("zstd", false, row.zstd);
    add("zstd", true, row.zstd_with);
    if (row.lz4_with != 0) advice.dictionary = {100, 16384, kMemory};
    const std::string table = ToTable(advice);
    EXPECT_NE(table.find(std::string("use: ") + (row.line[0] == 'u' ? row.line + 5 : row.line)),
              std::string::npos)
        << row.what << table.substr(table.rfind("\n  use"));
  }
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
