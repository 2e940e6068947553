#include "codec/dictionary.h"

#include <gtest/gtest.h>
#include <vector>

#include "base/testing/heap_watch.h"
#include "base/testing/page_corpus.h"
#include "codec/codec.h"
#include "codec/testing/codec_names.h"
#include "codec/testing/sample_dictionary.h"
#include "os/mapping.h"

namespace uzswap {
namespace {

using Unit = std::vector<std::byte>;

Unit MakePage(PageKind kind, uint64_t seed, size_t size = kPageSize) {
  Unit page(size);
  FillPageOf(kind, seed, page);
  return page;
}

// A dictionary with memory of its own.
class Digested {
 public:
  explicit Digested(const Unit& content, size_t room = kDictionaryBytesMax)
      : memory_(os::Mapping::Create(Bytes(Dictionary::MemoryFor(room)), "test").value()),
        good_(dictionary_.Digest(content, {memory_.data(), memory_.size()})) {}
  [[nodiscard]] bool good() const { return good_; }
  [[nodiscard]] const Dictionary& get() const { return dictionary_; }

 private:
  os::Mapping memory_;
  Dictionary dictionary_;
  bool good_;
};

class DictionaryCodecTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { ASSERT_TRUE(context_.Init(CodecToTest(GetParam())).ok()); }

  size_t SizeOf(const Unit& page, const Dictionary* dictionary) {
    Unit out(page.size());
    const CompressOutcome outcome = context_.Compress(page, out, dictionary);
    return outcome.kind == CompressKind::kCompressed ? outcome.size : page.size();
  }
  Unit Compressed(const Unit& page, const Dictionary* dictionary) {
    Unit out(page.size());
    const CompressOutcome outcome = context_.Compress(page, out, dictionary);
    EXPECT_EQ(outcome.kind, CompressKind::kCompressed);
    out.resize(outcome.size);
    return out;
  }

  CodecContext context_;
};

TEST_P(DictionaryCodecTest, EveryKindOfPageRoundTripsWithEveryDictionary) {
  for (const PageKind trained : {PageKind::kText, PageKind::kPointers, PageKind::kMixed}) {
    const Digested dictionary(SampleDictionary(trained, 1));
    ASSERT_TRUE(dictionary.good());
    for (int kind = 0; kind < kPageKinds; ++kind) {
      for (uint64_t seed = 0; seed < 20; ++seed) {
        const Unit page = MakePage(static_cast<PageKind>(kind), seed);
        Unit out(kPageSize);
        const CompressOutcome outcome = context_.Compress(page, out, &dictionary.get());
        if (outcome.kind == CompressKind::kIncompressible) {
          EXPECT_EQ(static_cast<PageKind>(kind), PageKind::kRandom);
          continue;
        }
        Unit back(kPageSize, std::byte{0xee});
        // Straddling two frames of the pool, too.
        const std::span<const std::byte> object = std::span(out).first(outcome.size);
        const size_t cut = outcome.size / 2;
        ASSERT_EQ(
            context_.Decompress({object.first(cut), object.subspan(cut)}, back, &dictionary.get()),
            DecompressOutcome::kOk);
        ASSERT_EQ(page, back) << PageKindName(static_cast<PageKind>(kind)) << " " << seed;
      }
    }
  }
}

TEST_P(DictionaryCodecTest, PagesThatResembleTheSamplesBecomeSmaller) {
  for (const PageKind kind : {PageKind::kText, PageKind::kPointers}) {
    const Digested dictionary(SampleDictionary(kind, 2, kDictionaryBytesDefault));
    ASSERT_TRUE(dictionary.good());
    size_t with = 0;
    size_t without = 0;
    for (uint64_t seed = 1000; seed < 1050; ++seed) {
      const Unit page = MakePage(kind, seed);
      with += SizeOf(page, &dictionary.get());
      without += SizeOf(page, nullptr);
    }
    EXPECT_LT(with, without) << PageKindName(kind);
  }
}

TEST_P(DictionaryCodecTest, UnitsOfFourPagesRoundTrip) {
  const Digested dictionary(SampleDictionary(PageKind::kText, 3, kDictionaryBytesMax));
  ASSERT_TRUE(dictionary.good());
  const Unit unit = MakePage(PageKind::kText, 4, kCodecUnitMax);
  const Unit object = Compressed(unit, &dictionary.get());
  Unit back(kCodecUnitMax);
  ASSERT_EQ(context_.Decompress({object, {}}, back, &dictionary.get()), DecompressOutcome::kOk);
  EXPECT_EQ(unit, back);
}

// An outcome depends only on the bytes and the dictionary, not on what the context did before.
TEST_P(DictionaryCodecTest, DictionariesAlternateInOneContext) {
  const Digested text(SampleDictionary(PageKind::kText, 5));
  const Digested heap(SampleDictionary(PageKind::kPointers, 5));
  ASSERT_TRUE(text.good() && heap.good());
  const Dictionary* const choices[] = {nullptr, &text.get(), &heap.get()};
  const Unit page = MakePage(PageKind::kMixed, 6);
  Unit expected[3];
  for (int i = 0; i < 3; ++i) expected[i] = Compressed(page, choices[i]);
  Rng rng(7);
  for (int round = 0; round < 300; ++round) {
    const uint64_t i = rng.Below(3);
    // A page that does not fit, and an object that is damaged, change nothing for the next one.
    Unit small(16);
    static_cast<void>(context_.Compress(MakePage(PageKind::kRandom, round), small, choices[i]));
    Unit back(kPageSize);
    static_cast<void>(
        context_.Decompress({std::span(expected[i]).first(9), {}}, back, choices[rng.Below(3)]));
    ASSERT_EQ(Compressed(page, choices[i]), expected[i]) << round;
    ASSERT_EQ(context_.Decompress({expected[i], {}}, back, choices[i]), DecompressOutcome::kOk);
    ASSERT_EQ(back, page) << round;
  }
}

TEST_P(DictionaryCodecTest, TheWrongDictionaryStaysWithinThePage) {
  const Digested right(SampleDictionary(PageKind::kText, 8));
  const Digested wrong(SampleDictionary(PageKind::kPointers, 8, 512));
  ASSERT_TRUE(right.good() && wrong.good());
  Unit guarded(kPageSize + 64, std::byte{0x5a});
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const Unit object = Compressed(MakePage(PageKind::kText, seed), &right.get());
    for (const Dictionary* dictionary : {static_cast<const Dictionary*>(nullptr), &wrong.get()}) {
      static_cast<void>(
          context_.Decompress({object, {}}, std::span(guarded).subspan(32, kPageSize), dictionary));
      for (size_t i = 0; i < 32; ++i) {
        ASSERT_EQ(guarded[i], std::byte{0x5a});
        ASSERT_EQ(guarded[guarded.size() - 1 - i], std::byte{0x5a});
      }
    }
  }
}

TEST_P(DictionaryCodecTest, AsksNobodyForMemory) {
  const Unit content = SampleDictionary(PageKind::kText, 9);
  Result<os::Mapping> memory =
      os::Mapping::Create(Bytes(Dictionary::MemoryFor(content.size())), "test");
  ASSERT_TRUE(memory.ok());
  const Unit page = MakePage(PageKind::kText, 10);
  Unit out(kPageSize);
  Unit back(kPageSize);
  Dictionary dictionary;
  const uint64_t before = HeapCalls();
  ASSERT_GT(before, 0u) << "the hook does not work";
  const bool good = dictionary.Digest(content, {memory.value().data(), memory.value().size()});
  const CompressOutcome outcome = context_.Compress(page, out, &dictionary);
  const DecompressOutcome result =
      context_.Decompress({std::span(out).first(outcome.size), {}}, back, &dictionary);
  EXPECT_EQ(HeapCalls(), before);
  EXPECT_TRUE(good);
  EXPECT_EQ(result, DecompressOutcome::kOk);
}

INSTANTIATE_TEST_SUITE_P(All, DictionaryCodecTest, testing::ValuesIn(kCodecNames),
                         [](const auto& each) { return std::string(each.param); });

// The efforts share a format, and each dictionary's content.
TEST(DenseCodecTest, ItsObjectsAreSmallerAndAreZstds) {
  CodecContext fast;
  CodecContext dense;
  ASSERT_TRUE(fast.Init(*CodecByName("zstd")).ok());
  ASSERT_TRUE(dense.Init(DenseCodec()).ok());
  EXPECT_EQ(DenseCodec().id(), CodecId::kZstd);
  for (const PageKind kind : {PageKind::kText, PageKind::kPointers}) {
    const Digested dictionary(SampleDictionary(kind, 8, kDictionaryBytesDefault));
    ASSERT_TRUE(dictionary.good());
    for (const Dictionary* const use :
         {static_cast<const Dictionary*>(nullptr), &dictionary.get()}) {
      size_t fast_bytes = 0;
      size_t dense_bytes = 0;
      for (uint64_t seed = 3000; seed < 3050; ++seed) {
        const Unit page = MakePage(kind, seed);
        Unit object(kPageSize);
        fast_bytes += fast.Compress(page, object, use).size;
        const CompressOutcome made = dense.Compress(page, object, use);
        ASSERT_EQ(made.kind, CompressKind::kCompressed);
        dense_bytes += made.size;
        object.resize(made.size);
        Unit back(kPageSize);
        ASSERT_EQ(fast.Decompress({object, {}}, back, use), DecompressOutcome::kOk);
        ASSERT_EQ(back, page);
      }
      EXPECT_LT(dense_bytes, fast_bytes) << PageKindName(kind) << (use != nullptr ? " with" : "");
    }
  }
}

// Its tables of a dictionary are made anew when a slot of memory has another one.
TEST(DenseCodecTest, ADictionaryThatReplacesAnotherInItsMemory) {
  CodecContext context;
  ASSERT_TRUE(context.Init(DenseCodec()).ok());
  const size_t room = Dictionary::MemoryFor(kDictionaryBytesMax);
  const os::Mapping memory = os::Mapping::Create(Bytes(room), "test").value();
  const Unit page = MakePage(PageKind::kText, 9);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Dictionary dictionary;
    ASSERT_TRUE(
        dictionary.Digest(SampleDictionary(PageKind::kText, seed), {memory.data(), memory.size()}));
    Unit object(kPageSize);
    const CompressOutcome made = context.Compress(page, object, &dictionary);
    ASSERT_EQ(made.kind, CompressKind::kCompressed);
    object.resize(made.size);
    Unit back(kPageSize);
    ASSERT_EQ(context.Decompress({object, {}}, back, &dictionary), DecompressOutcome::kOk);
    ASSERT_EQ(back, page) << seed;
  }
}

TEST(DictionaryTest, EqualContentHasEqualVersion) {
  const Unit one = SampleDictionary(PageKind::kText, 1);
  EXPECT_EQ(DictionaryVersionOf(one), DictionaryVersionOf(Unit(one)));
  Unit other = one;
  other.back() ^= std::byte{1};
  EXPECT_NE(DictionaryVersionOf(one), DictionaryVersionOf(other));
  for (size_t size = 0; size < 2000; ++size) {
    const uint32_t version = DictionaryVersionOf(std::span(one).first(size));
    EXPECT_NE(version, 0u);
    EXPECT_LT(version, uint32_t{1} << kDictionaryVersionBits);
  }
}

TEST(DictionaryTest, WhatIsNotADictionaryIsRefused) {
  const Unit good = SampleDictionary(PageKind::kText, 1, 8192);
  Unit no_magic = good;
  no_magic[0] ^= std::byte{1};
  Unit tables = good;
  for (size_t i = 8; i < 40; ++i) tables[i] = std::byte{0xff};
  struct {
    const char* what;
    Unit content;
    bool accepted;
  } const cases[] = {
      {"a dictionary", good, true},
      {"nothing", {}, false},
      {"too short", Unit(good.begin(), good.begin() + kDictionaryBytesMin - 1), false},
      {"another magic number", no_magic, false},
      {"damaged entropy tables", tables, false},
      {"text", MakePage(PageKind::kText, 1), false},
      {"zeroes", Unit(4096), false},
      {"too long", Unit(kDictionaryBytesMax + 1), false},
  };
  for (const auto& each : cases) {
    const Digested digested(each.content);
    EXPECT_EQ(digested.good(), each.accepted) << each.what;
    EXPECT_EQ(digested.get().empty(), !each.accepted) << each.what;
    EXPECT_EQ(digested.get().version() != 0, each.accepted) << each.what;
  }
}

// A slot has memory for the largest content, and any smaller one must fit into it.
TEST(DictionaryTest, LargerContentNeverTakesLessMemory) {
  size_t before = 0;
  for (size_t bytes = kDictionaryBytesMin; bytes <= kDictionaryBytesMax; bytes += 251) {
    const size_t needed = Dictionary::MemoryFor(bytes);
    EXPECT_GE(needed, before) << bytes;
    before = needed;
  }
  for (const size_t bytes : {size_t{1024}, size_t{4096}, size_t{16384}, size_t{65536}}) {
    const Unit content = SampleDictionary(PageKind::kPointers, 1, bytes);
    EXPECT_TRUE(Digested(content, content.size()).good()) << bytes;
  }
}

}  // namespace
}  // namespace uzswap
