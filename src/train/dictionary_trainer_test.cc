#include "train/dictionary_trainer.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <string>
#include <vector>

#include "base/testing/page_corpus.h"

namespace uzswap {
namespace {

using Buffer = std::vector<std::byte>;

Buffer PagesOf(PageKind kind, size_t count, uint64_t seed) {
  Buffer pages(count * kPageSize);
  for (size_t i = 0; i < count; ++i) {
    FillPageOf(kind, seed * 100'000 + i, std::span(pages).subspan(i * kPageSize, kPageSize));
  }
  return pages;
}

Buffer Joined(Buffer first, const Buffer& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

// Real contents: the code and the tables of this program.
Buffer OwnProgram(size_t first_page, size_t step, size_t count) {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  Buffer pages(count * kPageSize);
  for (size_t i = 0; i < count; ++i) {
    file.seekg(static_cast<std::streamoff>((first_page + i * step) * kPageSize));
    file.read(reinterpret_cast<char*>(pages.data() + i * kPageSize), kPageSize);
    UZ_CHECK(file.good());
  }
  return pages;
}

Buffer Train(const Buffer& pages, size_t bytes = kDictionaryBytesDefault) {
  Buffer out(bytes);
  const Result<size_t> trained = TrainDictionary(pages, out);
  EXPECT_TRUE(trained.ok()) << (trained.ok() ? "" : trained.error().what);
  out.resize(trained.ok() ? trained.value() : 0);
  return out;
}

int TrainErrno(const Buffer& pages, size_t bytes = kDictionaryBytesDefault) {
  Buffer out(bytes);
  const Result<size_t> trained = TrainDictionary(pages, out);
  return trained.ok() ? 0 : trained.error().errno_value;
}

uint64_t BytesWith(const Buffer& pages, const Buffer& content, const char* codec = "zstd") {
  const Result<uint64_t> bytes = CompressedBytes(*CodecByName(codec), pages, content);
  EXPECT_TRUE(bytes.ok());
  return bytes.ok() ? bytes.value() : 0;
}

TEST(DictionaryTrainerTest, ADictionaryMakesOtherPagesOfTheKindSmaller) {
  for (const PageKind kind : {PageKind::kText, PageKind::kPointers}) {
    const Buffer content = Train(PagesOf(kind, 128, 1));
    EXPECT_GE(content.size(), kDictionaryBytesMin);
    const Buffer others = PagesOf(kind, 64, 2);
    for (const char* codec : {"lz4", "zstd"}) {
      const uint64_t with = BytesWith(others, content, codec);
      const uint64_t without = BytesWith(others, {}, codec);
      EXPECT_LT(with, without) << PageKindName(kind) << ' ' << codec;
    }
  }
}

TEST(DictionaryTrainerTest, ADictionaryOfARealProgramMakesItsOtherPagesSmaller) {
  const Buffer content = Train(OwnProgram(0, 2, 128));
  const Buffer others = OwnProgram(1, 2, 128);
  EXPECT_LT(BytesWith(others, content) * 100, BytesWith(others, {}) * 98);
}

TEST(DictionaryTrainerTest, EqualPagesGiveEqualContent) {
  const Buffer pages = PagesOf(PageKind::kPointers, 64, 3);
  EXPECT_EQ(Train(pages), Train(pages));
  EXPECT_EQ(DictionaryVersionOf(Train(pages)), DictionaryVersionOf(Train(pages)));
}

TEST(DictionaryTrainerTest, TheSizeIsBounded) {
  const Buffer pages = PagesOf(PageKind::kText, 64, 4);
  EXPECT_EQ(TrainErrno(pages, 0), EINVAL);
  EXPECT_EQ(TrainErrno(pages, kDictionaryBytesMin - 1), EINVAL);
  EXPECT_EQ(TrainErrno(pages, kDictionaryBytesMax + 1), EINVAL);
  for (const size_t bytes : {size_t{4096}, kDictionaryBytesDefault, kDictionaryBytesMax}) {
    const Buffer content = Train(pages, bytes);
    EXPECT_LE(content.size(), bytes);
    EXPECT_GT(BytesWith(pages, content), 0u) << "it can be used";
  }
  // The trainer has a smallest size of its own. It must not return what is no dictionary.
  Buffer out(kDictionaryBytesMin);
  const Result<size_t> small = TrainDictionary(pages, out);
  if (small.ok()) {
    out.resize(small.value());
    EXPECT_GT(BytesWith(pages, out), 0u);
  } else {
    EXPECT_EQ(small.error().errno_value, EIO);
  }
}

TEST(DictionaryTrainerTest, PagesThatTeachNothingAreLeftOut) {
  const Buffer text = PagesOf(PageKind::kText, 64, 5);
  Buffer mixed = Joined(PagesOf(PageKind::kZero, 32, 5), text);
  mixed = Joined(mixed, PagesOf(PageKind::kRandom, 32, 5));
  mixed = Joined(mixed, text);
  mixed = Joined(mixed, PagesOf(PageKind::kWord, 32, 5));
  EXPECT_EQ(Train(mixed), Train(text));
}

TEST(DictionaryTrainerTest, TooFewUsefulPagesAreAnError) {
  const Buffer enough = PagesOf(PageKind::kText, kTrainingPagesMin, 6);
  const Buffer few = PagesOf(PageKind::kText, kTrainingPagesMin - 1, 6);
  EXPECT_EQ(TrainErrno(enough), 0);
  EXPECT_EQ(TrainErrno({}), ENODATA);
  EXPECT_EQ(TrainErrno(few), ENODATA);
  EXPECT_EQ(TrainErrno(Joined(few, few)), ENODATA) << "the same pages twice";
  EXPECT_EQ(TrainErrno(PagesOf(PageKind::kZero, 128, 6)), ENODATA);
  EXPECT_EQ(TrainErrno(PagesOf(PageKind::kRandom, 128, 6)), ENODATA);
  Buffer equal;
  for (int i = 0; i < 64; ++i) equal = Joined(equal, PagesOf(PageKind::kText, 1, 6));
  EXPECT_EQ(TrainErrno(equal), ENODATA);
}

TEST(DictionaryTrainerTest, ManyPagesAreSampled) {
  // Only every second page teaches something, so the samples are spread and not the first ones.
  Buffer pages = PagesOf(PageKind::kZero, kTrainingPagesMax, 7);
  pages = Joined(pages, PagesOf(PageKind::kText, kTrainingPagesMax, 7));
  EXPECT_GT(Train(pages).size(), 0u);
}

TEST(DictionaryTrainerTest, MeasuringCountsEachKindOfPage) {
  EXPECT_EQ(BytesWith(PagesOf(PageKind::kWord, 10, 8), {}), 0u);
  EXPECT_EQ(BytesWith(PagesOf(PageKind::kRandom, 10, 8), {}), 10 * kPageSize);
  EXPECT_EQ(BytesWith({}, {}), 0u);
  const uint64_t text = BytesWith(PagesOf(PageKind::kText, 10, 8), {});
  EXPECT_GT(text, 0u);
  EXPECT_LT(text, 10 * kPageSize);
  const Result<uint64_t> bad = CompressedBytes(*CodecByName("zstd"), {}, Buffer(1000));
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().errno_value, EINVAL);
}

TEST(DictionaryTrainerTest, AKnownDictionaryIsUsedAgainIfItIsAsGood) {
  const Buffer text = Train(PagesOf(PageKind::kText, 128, 9));
  const Buffer pointers = Train(PagesOf(PageKind::kPointers, 128, 9));
  const Buffer garbage(4096);
  const Buffer pages = PagesOf(PageKind::kText, 128, 10);
  const Buffer fresh = Train(pages);
  const auto choose = [&](const std::vector<std::span<const std::byte>>& known) {
    const Result<std::optional<size_t>> chosen = ChooseKnown(pages, known, fresh);
    EXPECT_TRUE(chosen.ok());
    return chosen.ok() ? chosen.value() : std::nullopt;
  };
  EXPECT_EQ(choose({}), std::nullopt);
  EXPECT_EQ(choose({pointers}), std::nullopt) << "for other pages";
  EXPECT_EQ(choose({garbage, {}}), std::nullopt);
  EXPECT_EQ(choose({text}), 0u);
  EXPECT_EQ(choose({garbage, pointers, text}), 2u);
  EXPECT_EQ(choose({fresh, text}), 0u) << "the better one, or the first of equals";
  EXPECT_EQ(choose({text, fresh, fresh}), 1u);
  EXPECT_FALSE(ChooseKnown(pages, {}, garbage).ok());
  EXPECT_FALSE(ChooseKnown(pages, {}, {}).ok());
}

TEST(DictionaryTrainerTest, PagesAreSplitInOrder) {
  Buffer pages(10 * kPageSize);
  for (size_t i = 0; i < 10; ++i) pages[i * kPageSize] = std::byte(i);
  const SplitPages split = Split(pages, 4);
  ASSERT_EQ(split.others.size(), 8 * kPageSize);
  ASSERT_EQ(split.chosen.size(), 2 * kPageSize);
  EXPECT_EQ(split.chosen[0], std::byte{3});
  EXPECT_EQ(split.chosen[kPageSize], std::byte{7});
  EXPECT_EQ(split.others[3 * kPageSize], std::byte{4});
  EXPECT_TRUE(Split({}, 2).others.empty());
  const SplitPages groups = Split(pages, 2, 3);
  ASSERT_EQ(groups.chosen.size(), 4 * kPageSize) << "the last group is not complete";
  EXPECT_EQ(groups.chosen[0], std::byte{3});
  EXPECT_EQ(groups.chosen[2 * kPageSize], std::byte{5});
  EXPECT_EQ(groups.others[3 * kPageSize], std::byte{6});
}

TEST(DictionaryTrainerTest, ProcessesOfOneKindShareADictionary) {
  struct Row {
    const char* what;
    Buffer pages;
    std::optional<size_t> known;
  };
  const std::vector<Buffer> contents = {Train(PagesOf(PageKind::kText, 128, 11)),
                                        Train(PagesOf(PageKind::kPointers, 128, 11)),
                                        Train(OwnProgram(0, 2, 128))};
  const std::vector<std::span<const std::byte>> known(contents.begin(), contents.end());
  const Row kTable[] = {
      {"text", PagesOf(PageKind::kText, 128, 12), 0},
      {"pointers", PagesOf(PageKind::kPointers, 128, 12), 1},
      {"program", OwnProgram(1, 2, 128), 2},
      {"too few to measure", PagesOf(PageKind::kText, kTrainingPagesMin, 12), std::nullopt},
  };
  for (const Row& row : kTable) {
    const auto trained = TrainOrReuse(row.pages, known, kDictionaryBytesDefault);
    ASSERT_TRUE(trained.ok()) << row.what;
    EXPECT_EQ(trained.value().known, row.known) << row.what;
    EXPECT_EQ(trained.value().content, row.known ? contents[*row.known] : Train(row.pages))
        << row.what;
    const auto fresh = TrainOrReuse(row.pages, {}, kDictionaryBytesDefault);
    ASSERT_TRUE(fresh.ok());
    EXPECT_EQ(fresh.value().known, std::nullopt);
    EXPECT_EQ(fresh.value().content, Train(row.pages)) << "trained from all of them";
  }
  const auto none = TrainOrReuse(PagesOf(PageKind::kZero, 64, 1), known, kDictionaryBytesDefault);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().errno_value, ENODATA);
}

}  // namespace
}  // namespace uzswap
