// Dictionaries under the compressed cache: who holds a reference, for how long, and what happens to
// pages whose dictionary is an old one.
#include <gtest/gtest.h>
#include <vector>

#include "cache/testing/cache_fixture.h"
#include "codec/testing/sample_dictionary.h"

namespace uzswap {
namespace {

constexpr uint64_t kText = 2;  // a version whose page is text
constexpr uint64_t kRandom = 4;

class CacheDictionaryTest : public testing::TestWithParam<const char*> {
 protected:
  CacheDictionaryTest() : fixture_(Options(GetParam())) { fixture_.Attach(); }
  static FixtureOptions Options(const char* codec) {
    FixtureOptions options;
    options.codec = codec;
    options.zsmalloc = true;
    return options;
  }
  void Install(uint64_t seed) {
    ASSERT_EQ(fixture_.dictionaries.Install(SampleDictionary(PageKind::kText, seed)),
              InstallOutcome::kInstalled);
  }
  [[nodiscard]] uint64_t References() const { return fixture_.dictionaries.References(); }
  [[nodiscard]] uint32_t Slots() {
    static_cast<void>(fixture_.dictionaries.Collect());
    return fixture_.dictionaries.slots_in_use();
  }

  CacheFixture fixture_;
};

TEST_P(CacheDictionaryTest, PagesOfEveryDictionaryComeBack) {
  std::vector<uint64_t> versions;
  for (uint64_t i = 0; i < 100; ++i) {
    if (i % 10 == 5) Install(i);
    ASSERT_EQ(fixture_.Put(i, i), StoreOutcome::kStored);
    if (i % 3 == 0) static_cast<void>(fixture_.BeginWriting(i));
  }
  fixture_.store.WaitForWrites();
  EXPECT_GT(fixture_.Counted().zswpwb.Get(), 0u);
  for (uint64_t i = 0; i < 100; ++i) EXPECT_TRUE(fixture_.Is(i, i)) << i;
  fixture_.cache.Audit();
  fixture_.cache.InvalidateArea(fixture_.context, fixture_.area);
  EXPECT_EQ(References(), 0u);
  EXPECT_EQ(Slots(), 1u) << "only the current one";
}

TEST_P(CacheDictionaryTest, OnlyObjectsThatUseADictionaryHoldIt) {
  Install(1);
  ASSERT_EQ(fixture_.Put(1, kText), StoreOutcome::kStored);
  EXPECT_EQ(References(), 1u);
  ASSERT_EQ(fixture_.Put(2, kRandom), StoreOutcome::kStored);
  ASSERT_EQ(fixture_.Put(3, 0), StoreOutcome::kStored) << "same-filled";
  EXPECT_EQ(References(), 1u);
  ASSERT_EQ(fixture_.Put(1, kText), StoreOutcome::kStored) << "superseded";
  EXPECT_EQ(References(), 1u);
  EXPECT_EQ(fixture_.Get(1, LoadMode::kExclusive), LoadOutcome::kLoaded);
  EXPECT_EQ(References(), 0u);
}

TEST_P(CacheDictionaryTest, ARefusedStoreHoldsNothing) {
  Install(1);
  fixture_.cache.SetKeepIncompressible(false);
  EXPECT_EQ(fixture_.Put(1, kRandom), StoreOutcome::kIncompressible);
  fixture_.cache.SetKeepIncompressible(true);
  // Until the arena is full: then the pool has no frame for the object.
  FixtureOptions options = Options(GetParam());
  options.frames = 16;
  CacheFixture small(options);
  ASSERT_EQ(small.dictionaries.Install(SampleDictionary(PageKind::kText, 1)),
            InstallOutcome::kInstalled);
  uint64_t stored = 0;
  for (uint64_t i = 0; i < 2000; ++i) {
    if (small.Put(i, kText + kPageKinds * i) == StoreOutcome::kStored) ++stored;
  }
  EXPECT_LT(stored, 2000u);
  EXPECT_EQ(small.dictionaries.References(), stored);
  small.cache.Audit();
}

TEST_P(CacheDictionaryTest, WritingAndMovingKeepOneReference) {
  Install(1);
  fixture_.PutOnDisk(1, kText);
  EXPECT_EQ(References(), 1u);
  Install(2);
  EXPECT_EQ(Slots(), 2u);
  // The record moves to another segment, and still names the version that it was made with.
  fixture_.store.WaitForWrites();
  ASSERT_EQ(fixture_.store.Clean(1001), CleanOutcome::kCleaned);
  fixture_.store.WaitForWrites();
  EXPECT_EQ(fixture_.Counted().relocated.Get(), 1u);
  EXPECT_EQ(References(), 1u);
  EXPECT_TRUE(fixture_.Is(1, kText));
  ASSERT_TRUE(fixture_.cache.Invalidate(fixture_.context, fixture_.At(1)));
  EXPECT_EQ(Slots(), 1u);
}

TEST_P(CacheDictionaryTest, ALostOrFailedWriteLeavesOneReference) {
  Install(1);
  ASSERT_EQ(fixture_.Put(1, kText), StoreOutcome::kStored);
  fixture_.port.Hold();
  ASSERT_EQ(fixture_.BeginWriting(1), EvictOutcome::kBegun);
  ASSERT_EQ(fixture_.Put(1, kText + kPageKinds), StoreOutcome::kStored) << "wins over the write";
  fixture_.port.Release();
  fixture_.store.WaitForWrites();
  EXPECT_EQ(fixture_.Counted().writes_lost.Get(), 1u);
  EXPECT_EQ(References(), 1u);
  fixture_.port.Plan(os::IoFault::kError, fixture_.port.calls() + 1, EIO);
  ASSERT_EQ(fixture_.BeginWriting(1), EvictOutcome::kBegun);
  fixture_.store.WaitForWrites();
  fixture_.port.Heal();
  EXPECT_EQ(References(), 1u);
  fixture_.cache.Audit();
}

TEST_P(CacheDictionaryTest, ReadAheadUsesTheDictionaryOfTheRecord) {
  Install(1);
  fixture_.PutOnDisk(1, kText);
  Install(2);
  ASSERT_TRUE(fixture_.ReadAhead(1));
  EXPECT_TRUE(fixture_.Is(1, kText));
  EXPECT_EQ(References(), 1u);
}

TEST_P(CacheDictionaryTest, ADamagedVersionIsNotUsed) {
  Install(1);
  fixture_.PutOnDisk(1, kText);
  // Every bit of the record's header and of its first bytes: none gives a wrong page.
  for (size_t bit = 0; bit < size_t{40} * 8; ++bit) {
    fixture_.port.bytes()[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    const LoadOutcome outcome = fixture_.Get(1);
    if (outcome == LoadOutcome::kLoaded) {
      EXPECT_EQ(fixture_.got, PageOf(kText)) << bit;
    }
    fixture_.port.bytes()[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
  }
  EXPECT_TRUE(fixture_.Is(1, kText));
}

// A record that is whole, but was made with another dictionary: as if places had been mixed up.
TEST_P(CacheDictionaryTest, ARecordOfAnotherVersionIsRefused) {
  Install(1);
  fixture_.PutOnDisk(1, kText);
  const std::vector<std::byte> first(fixture_.port.bytes().begin(),
                                     fixture_.port.bytes().begin() + kPageSize);
  const RecordView view = ReadRecord(first, nullptr, {});
  ASSERT_EQ(view.outcome, RecordOutcome::kOk);
  ASSERT_NE(view.encoding.dictionary, 0u);
  for (const uint32_t version : {0u, view.encoding.dictionary ^ 1}) {
    std::vector<std::byte> forged(view.bytes);
    static_cast<void>(
        WriteRecord(forged, view.key, {view.encoding.codec, version}, {view.payload, {}}, nullptr));
    std::copy(forged.begin(), forged.end(), fixture_.port.bytes().begin());
    EXPECT_EQ(fixture_.Get(1), LoadOutcome::kCorrupt);
  }
  EXPECT_EQ(fixture_.Counted().load_wrong_dictionary.Get(), 2u);
  std::copy(first.begin(), first.end(), fixture_.port.bytes().begin());
  EXPECT_TRUE(fixture_.Is(1, kText));
}

INSTANTIATE_TEST_SUITE_P(All, CacheDictionaryTest, testing::Values("lz4", "zstd"),
                         [](const auto& each) { return std::string(each.param); });

TEST(CacheRecompressTest, MovesObjectsToTheCurrentDictionary) {
  FixtureOptions options;
  options.zsmalloc = true;
  CacheFixture fixture(options);
  fixture.Attach();
  ASSERT_EQ(fixture.dictionaries.Install(SampleDictionary(PageKind::kText, 1, 512)),
            InstallOutcome::kInstalled);
  ASSERT_EQ(fixture.Put(1, kText), StoreOutcome::kStored);
  const DictionarySlot old = fixture.dictionaries.current();
  ASSERT_EQ(fixture.dictionaries.Install(SampleDictionary(PageKind::kText, 2)),
            InstallOutcome::kInstalled);
  ASSERT_EQ(fixture.cache.Recompress(fixture.context, fixture.Candidate(1), *CodecByName("zstd")),
            RecompressOutcome::kMadeDenser);
  EXPECT_EQ(fixture.dictionaries.ReferencesOf(old), 0u);
  EXPECT_EQ(fixture.dictionaries.ReferencesOf(fixture.dictionaries.current()), 1u);
  EXPECT_TRUE(fixture.Is(1, kText));
  // The same codec and the same dictionary would give the same object.
  const uint64_t kept = fixture.Counted().recompress_kept.Get();
  EXPECT_EQ(fixture.cache.Recompress(fixture.context, fixture.Candidate(1), *CodecByName("zstd")),
            RecompressOutcome::kKept);
  EXPECT_EQ(fixture.Counted().recompress_kept.Get(), kept + 1);
  fixture.cache.Audit();
}

// Fast zstd, then dense zstd with the same dictionary. What is dense is left alone.
TEST(CacheRecompressTest, StayingObjectsBecomeDense) {
  FixtureOptions options;
  options.codec = "zstd";
  options.zsmalloc = true;
  CacheFixture fixture(options);
  fixture.Attach();
  ASSERT_TRUE(fixture.context.PrepareDense().ok());
  ASSERT_EQ(fixture.dictionaries.Install(SampleDictionary(PageKind::kText, 1)),
            InstallOutcome::kInstalled);
  ASSERT_EQ(fixture.Put(1, kText), StoreOutcome::kStored);
  const DictionarySlot old = fixture.dictionaries.current();
  const auto densify = [&fixture] {
    return fixture.cache.Recompress(fixture.context, fixture.Candidate(1), DenseCodec());
  };
  ASSERT_EQ(densify(), RecompressOutcome::kMadeDenser);
  EXPECT_TRUE(fixture.Is(1, kText));
  EXPECT_EQ(fixture.dictionaries.ReferencesOf(old), 1u);
  const uint64_t word = CachePeer::WordOf(fixture.cache, fixture.At(1)).raw();
  EXPECT_EQ(densify(), RecompressOutcome::kKept) << "it is dense";
  EXPECT_EQ(CachePeer::WordOf(fixture.cache, fixture.At(1)).raw(), word)
      << "compressed again without gain, it would be marked";
  EXPECT_EQ(fixture.cache.Recompress(fixture.context, fixture.Candidate(1), *CodecByName("zstd")),
            RecompressOutcome::kKept)
      << "fast zstd is not tried on dense objects";
  EXPECT_TRUE(fixture.Is(1, kText));
  fixture.cache.Audit();
}

TEST(CacheRecompressTest, AnUncompressedPageIsCountedOut) {
  FixtureOptions options;
  options.zsmalloc = true;
  CacheFixture fixture(options);
  fixture.Attach();
  // lz4 does not compress it within 8 bytes less than a page; zstd's entropy coder does.
  TestPage page;
  Rng rng(1);
  for (std::byte& byte : page.bytes) byte = static_cast<std::byte>(rng.Below(64));
  ASSERT_EQ(fixture.cache.Store(fixture.context, fixture.At(1), page.view()),
            StoreOutcome::kStored);
  const auto uncompressed = [&] {
    const CacheCounters& sum = fixture.Counted();
    return sum.uncompressed_in.Get() - sum.uncompressed_out.Get();
  };
  ASSERT_EQ(uncompressed(), 1u);
  ASSERT_EQ(fixture.cache.Recompress(fixture.context, fixture.Candidate(1), *CodecByName("zstd")),
            RecompressOutcome::kMadeDenser);
  EXPECT_EQ(uncompressed(), 0u);
}

}  // namespace
}  // namespace uzswap
