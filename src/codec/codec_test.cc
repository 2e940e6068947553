#include "codec/codec.h"

#include <cstring>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/testing/heap_watch.h"
#include "base/testing/page_corpus.h"
#include "codec/testing/codec_names.h"

namespace uzswap {
namespace {

using Unit = std::vector<std::byte>;

Unit MakeUnit(PageKind kind, uint64_t seed, size_t size = kPageSize) {
  Unit unit(size);
  FillPageOf(kind, seed, unit);
  return unit;
}

class CodecTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { ASSERT_TRUE(context_.Init(CodecToTest(GetParam())).ok()); }
  // Compresses a page that must be compressible, and returns the object.
  Unit Compressed(const Unit& page) {
    Unit out(page.size());
    const CompressOutcome outcome = context_.Compress(page, out);
    EXPECT_EQ(outcome.kind, CompressKind::kCompressed);
    out.resize(outcome.size);
    return out;
  }

  CodecContext context_;
};

TEST_P(CodecTest, RoundTripsEveryKindOfPage) {
  for (int kind = 0; kind < kPageKinds; ++kind) {
    for (uint64_t seed = 0; seed < 50; ++seed) {
      const Unit page = MakeUnit(static_cast<PageKind>(kind), seed);
      Unit out(kPageSize);
      Unit back(kPageSize, std::byte{0xee});
      const CompressOutcome outcome = context_.Compress(page, out);
      switch (outcome.kind) {
        case CompressKind::kCompressed:
          ASSERT_EQ(context_.Decompress({std::span(out).first(outcome.size), {}}, back),
                    DecompressOutcome::kOk);
          break;
        case CompressKind::kIncompressible:
          EXPECT_EQ(static_cast<PageKind>(kind), PageKind::kRandom);
          continue;
      }
      ASSERT_EQ(page, back) << PageKindName(static_cast<PageKind>(kind)) << " " << seed;
    }
  }
}

TEST_P(CodecTest, ObjectsMayStraddleAtAnyByte) {
  const Unit page = MakeUnit(PageKind::kText, 1);
  const Unit object = Compressed(page);
  for (size_t cut = 0; cut <= object.size(); ++cut) {
    const std::span<const std::byte> bytes(object);
    Unit back(kPageSize);
    ASSERT_EQ(context_.Decompress({bytes.first(cut), bytes.subspan(cut)}, back),
              DecompressOutcome::kOk);
    ASSERT_EQ(page, back) << cut;
  }
}

TEST_P(CodecTest, ThresholdIsTheRoomGiven) {
  const Unit page = MakeUnit(PageKind::kText, 2);
  const size_t size = Compressed(page).size();
  for (const size_t room : {size_t{0}, size_t{1}, size / 2, size + 64, kPageSize, 2 * kPageSize}) {
    // The guard bytes after the output buffer must never change.
    Unit out(room + 16, std::byte{0x5a});
    const CompressOutcome outcome = context_.Compress(page, std::span(out).first(room));
    if (room < size) {
      EXPECT_EQ(outcome.kind, CompressKind::kIncompressible) << room;
    } else {
      EXPECT_EQ(outcome.kind, CompressKind::kCompressed) << room;
      EXPECT_LE(outcome.size, room);
    }
    for (size_t i = room; i < out.size(); ++i) ASSERT_EQ(out[i], std::byte{0x5a});
  }
}

TEST_P(CodecTest, RandomPagesAreNeverGrown) {
  const Unit page = MakeUnit(PageKind::kRandom, 3);
  Unit out(2 * kPageSize);
  EXPECT_EQ(context_.Compress(page, out).kind, CompressKind::kIncompressible);
}

TEST_P(CodecTest, UnitsOfFourPagesCompressBetterThanFourPages) {
  const Unit unit = MakeUnit(PageKind::kText, 4, kCodecUnitMax);
  const Unit object = Compressed(unit);
  Unit back(kCodecUnitMax);
  ASSERT_EQ(context_.Decompress({object, {}}, back), DecompressOutcome::kOk);
  EXPECT_EQ(unit, back);
  size_t apart = 0;
  for (size_t at = 0; at < kCodecUnitMax; at += kPageSize) {
    apart += Compressed(Unit(unit.begin() + at, unit.begin() + at + kPageSize)).size();
  }
  EXPECT_LT(object.size(), apart);
}

TEST_P(CodecTest, OutcomeDoesNotDependOnHistory) {
  const Unit page = MakeUnit(PageKind::kPointers, 5);
  const Unit before = Compressed(page);
  for (uint64_t seed = 0; seed < 40; ++seed) Compressed(MakeUnit(PageKind::kText, seed));
  Unit back(kPageSize);
  EXPECT_EQ(context_.Decompress({std::span(before).first(3), {}}, back),
            DecompressOutcome::kCorrupt);
  EXPECT_EQ(Compressed(page), before);
}

TEST_P(CodecTest, EveryTruncationIsNoticed) {
  const Unit object = Compressed(MakeUnit(PageKind::kText, 6));
  Unit back(kPageSize);
  for (size_t size = 0; size < object.size(); ++size) {
    ASSERT_EQ(context_.Decompress({std::span(object).first(size), {}}, back),
              DecompressOutcome::kCorrupt)
        << size;
  }
}

TEST_P(CodecTest, LongAndShortPagesAreNoticed) {
  const Unit object = Compressed(MakeUnit(PageKind::kText, 7));
  Unit small(kPageSize - 8);
  Unit large(kPageSize + 8);
  EXPECT_EQ(context_.Decompress({object, {}}, small), DecompressOutcome::kCorrupt);
  EXPECT_EQ(context_.Decompress({object, {}}, large), DecompressOutcome::kCorrupt);
  const Unit longer = MakeUnit(PageKind::kText, 8, kPageSize);
  EXPECT_EQ(context_.Decompress({longer, {}}, large), DecompressOutcome::kCorrupt);
}

TEST_P(CodecTest, FlippedBitsNeverReachOutsideThePage) {
  const Unit object = Compressed(MakeUnit(PageKind::kText, 9));
  Unit guarded(kPageSize + 64, std::byte{0x5a});
  size_t noticed = 0;
  for (size_t bit = 0; bit < object.size() * 8; ++bit) {
    Unit damaged = object;
    damaged[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
    // Not every flipped bit changes the length, so both outcomes are correct.
    const DecompressOutcome outcome =
        context_.Decompress({damaged, {}}, std::span(guarded).subspan(32, kPageSize));
    if (outcome == DecompressOutcome::kCorrupt) ++noticed;
    for (size_t i = 0; i < 32; ++i) {
      ASSERT_EQ(guarded[i], std::byte{0x5a});
      ASSERT_EQ(guarded[guarded.size() - 1 - i], std::byte{0x5a});
    }
  }
  EXPECT_GT(noticed, 0u);
}

TEST_P(CodecTest, GarbageIsRefusedOrHarmless) {
  Rng rng(10);
  Unit guarded(kPageSize + 64, std::byte{0x5a});
  int accepted = 0;
  for (int round = 0; round < 2000; ++round) {
    Unit garbage(1 + rng.Below(kPageSize - 1));
    for (std::byte& byte : garbage) byte = static_cast<std::byte>(rng.Next());
    const DecompressOutcome outcome =
        context_.Decompress({garbage, {}}, std::span(guarded).subspan(32, kPageSize));
    if (outcome == DecompressOutcome::kOk) ++accepted;
    for (size_t i = 0; i < 32; ++i) {
      ASSERT_EQ(guarded[i], std::byte{0x5a}) << "round " << round;
      ASSERT_EQ(guarded[guarded.size() - 1 - i], std::byte{0x5a}) << "round " << round;
    }
  }
  // The decompressed length is checked exactly, so random bytes are accepted very rarely.
  EXPECT_LE(accepted, 2);
}

TEST_P(CodecTest, AsksNobodyForMemory) {
  Unit pages[kPageKinds];
  for (int kind = 0; kind < kPageKinds; ++kind) {
    pages[kind] = MakeUnit(static_cast<PageKind>(kind), 11);
  }
  const Unit unit = MakeUnit(PageKind::kMixed, 12, kCodecUnitMax);
  Unit out(kCodecUnitMax);
  Unit back(kCodecUnitMax);
  const uint64_t before = HeapCalls();
  ASSERT_GT(before, 0u) << "the hook does not work";
  for (const Unit& page : pages) {
    const CompressOutcome outcome = context_.Compress(page, out);
    static_cast<void>(context_.Decompress({std::span(out).first(outcome.size), {}},
                                          std::span(back).first(kPageSize)));
  }
  const CompressOutcome outcome = context_.Compress(unit, out);
  const DecompressOutcome result =
      context_.Decompress({std::span(out).first(outcome.size), {}}, back);
  EXPECT_EQ(HeapCalls(), before);
  EXPECT_EQ(result, DecompressOutcome::kOk);
}

INSTANTIATE_TEST_SUITE_P(All, CodecTest, testing::ValuesIn(kCodecNames),
                         [](const auto& each) { return std::string(each.param); });

TEST(SameFilledTest, AFilledPageIsFoundAgain) {
  for (const PageKind kind : {PageKind::kZero, PageKind::kWord}) {
    const Unit page = MakeUnit(kind, 3);
    uint64_t pattern = 0;
    ASSERT_TRUE(IsSameFilled(page, &pattern)) << PageKindName(kind);
    Unit back(kPageSize, std::byte{0xee});
    FillPage(pattern, back);
    EXPECT_EQ(page, back) << PageKindName(kind);
  }
}

TEST(SameFilledTest, OneDifferingByteIsEnough) {
  Unit page = MakeUnit(PageKind::kWord, 1);
  uint64_t pattern = 0;
  ASSERT_TRUE(IsSameFilled(page, &pattern));
  EXPECT_EQ(memcmp(&pattern, page.data(), 8), 0);
  for (size_t at = 0; at < kPageSize; ++at) {
    page[at] ^= std::byte{1};
    ASSERT_FALSE(IsSameFilled(page, &pattern)) << at;
    page[at] ^= std::byte{1};
  }
  // A pattern shorter than a word, whose length divides it, repeats the word. A longer pattern does
  // not.
  for (size_t at = 0; at < kPageSize; ++at) page[at] = static_cast<std::byte>(at % 4);
  EXPECT_TRUE(IsSameFilled(page, &pattern));
  for (size_t at = 0; at < kPageSize; ++at) page[at] = static_cast<std::byte>(at % 16);
  EXPECT_FALSE(IsSameFilled(page, &pattern));
}

TEST(CodecRegistryTest, NamesAndIdsAgree) {
  for (const char* name : {"lz4", "zstd"}) {
    const Codec* codec = CodecByName(name);
    ASSERT_NE(codec, nullptr);
    EXPECT_STREQ(codec->name(), name);
    EXPECT_EQ(CodecById(codec->id()), codec);
  }
  EXPECT_EQ(CodecByName("lzo"), nullptr);
  EXPECT_EQ(CodecByName(""), nullptr);
  EXPECT_EQ(CodecById(CodecId::kNone), nullptr);
  EXPECT_EQ(CodecById(static_cast<CodecId>(99)), nullptr);
}

}  // namespace
}  // namespace uzswap
