#include "codec/dictionary_set.h"

#include <atomic>
#include <gtest/gtest.h>
#include <thread>
#include <vector>

#include "base/rng.h"
#include "codec/codec.h"
#include "codec/testing/sample_dictionary.h"

namespace uzswap {
namespace {

using Content = std::vector<std::byte>;

Content Sample(uint64_t seed) { return SampleDictionary(PageKind::kText, seed, 1024); }

class DictionarySetTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(set_.Init(Bytes(4096)).ok()); }
  void TearDown() override { set_.Audit(); }
  [[nodiscard]] uint32_t CurrentVersion() const {
    return set_.OwnersView(set_.current()).version();
  }

  DictionarySet set_;
};

TEST_F(DictionarySetTest, IsEmptyAtFirst) {
  const AcquiredDictionary none = set_.Acquire();
  EXPECT_EQ(none.slot, kNoDictionary);
  EXPECT_EQ(none.dictionary, nullptr);
  EXPECT_EQ(set_.Of(kNoDictionary), nullptr);
  EXPECT_EQ(set_.VersionOf(kNoDictionary), 0u);
  set_.AddReference(kNoDictionary);
  set_.Release(kNoDictionary);
  set_.Retire();
  EXPECT_EQ(set_.Collect(), 0u);
  EXPECT_EQ(set_.MemoryInUse(), Bytes(0));
}

TEST_F(DictionarySetTest, ARetiredDictionaryStaysUntilItsLastReferenceGoes) {
  const Content first = Sample(1);
  const Content second = Sample(2);
  ASSERT_EQ(set_.Install(first), InstallOutcome::kInstalled);
  const AcquiredDictionary one = set_.Acquire();
  ASSERT_EQ(set_.VersionOf(one.slot), DictionaryVersionOf(first));
  set_.AddReference(one.slot);
  ASSERT_EQ(set_.Install(second), InstallOutcome::kInstalled);
  const AcquiredDictionary two = set_.Acquire();
  EXPECT_NE(two.slot, one.slot);
  EXPECT_EQ(set_.slots_in_use(), 2u);
  EXPECT_EQ(set_.Collect(), 0u);
  EXPECT_TRUE(std::ranges::equal(set_.Of(one.slot)->content(), first));
  set_.Release(one.slot);
  EXPECT_EQ(set_.Collect(), 0u);
  EXPECT_FALSE(set_.Collectable());
  set_.Release(one.slot);
  EXPECT_TRUE(set_.Collectable());
  EXPECT_EQ(set_.Collect(), 1u);
  EXPECT_FALSE(set_.Collectable());
  EXPECT_EQ(set_.slots_in_use(), 1u);
  EXPECT_EQ(set_.References(), 1u);
  set_.Release(two.slot);
}

TEST_F(DictionarySetTest, TheSameContentIsNotInstalledTwice) {
  ASSERT_EQ(set_.Install(Sample(1)), InstallOutcome::kInstalled);
  EXPECT_EQ(set_.Install(Sample(1)), InstallOutcome::kAlreadyCurrent);
  ASSERT_EQ(set_.Install(Sample(2)), InstallOutcome::kInstalled);
  // It is not current any more, and nothing refers to it.
  EXPECT_EQ(set_.Install(Sample(1)), InstallOutcome::kInstalled);
  EXPECT_EQ(set_.Collect(), 1u);
}

TEST_F(DictionarySetTest, APreparedDictionaryIsTheOwnersOnly) {
  ASSERT_EQ(set_.Install(Sample(1)), InstallOutcome::kInstalled);
  const uint32_t version = CurrentVersion();
  DictionarySlot slot = kNoDictionary;
  ASSERT_EQ(set_.Prepare(Sample(2), &slot), InstallOutcome::kInstalled);
  EXPECT_EQ(CurrentVersion(), version);
  EXPECT_EQ(set_.OwnersView(slot).version(), DictionaryVersionOf(Sample(2)));
  EXPECT_EQ(set_.Collect(), 0u) << "it is not retired";
  set_.Abandon(slot);
  EXPECT_EQ(set_.slots_in_use(), 1u);
  ASSERT_EQ(set_.Prepare(Sample(3), &slot), InstallOutcome::kInstalled);
  set_.Commit(slot);
  EXPECT_EQ(CurrentVersion(), DictionaryVersionOf(Sample(3)));
  EXPECT_EQ(set_.Collect(), 1u);
}

TEST_F(DictionarySetTest, RefusalsLeaveTheCurrentDictionary) {
  ASSERT_EQ(set_.Install(Sample(1)), InstallOutcome::kInstalled);
  const uint32_t version = CurrentVersion();
  EXPECT_EQ(set_.Install(Content(1024)), InstallOutcome::kNotADictionary);
  EXPECT_EQ(set_.Install(Content(8192)), InstallOutcome::kNotADictionary);
  EXPECT_EQ(CurrentVersion(), version);
  DictionarySet never_initialised;
  EXPECT_EQ(never_initialised.Install(Sample(1)), InstallOutcome::kNoMemory);
  EXPECT_EQ(never_initialised.Acquire().slot, kNoDictionary);
}

TEST_F(DictionarySetTest, WithoutAFreeSlotNothingChanges) {
  std::vector<DictionarySlot> held;
  for (uint64_t i = 0; i < DictionarySet::kSlots; ++i) {
    ASSERT_EQ(set_.Install(Sample(i)), InstallOutcome::kInstalled);
    held.push_back(set_.Acquire().slot);
  }
  const uint32_t version = CurrentVersion();
  EXPECT_EQ(set_.Install(Sample(99)), InstallOutcome::kNoSlot);
  EXPECT_EQ(CurrentVersion(), version);
  set_.Release(held.front());
  EXPECT_EQ(set_.Install(Sample(99)), InstallOutcome::kInstalled);
  for (size_t i = 1; i < held.size(); ++i) set_.Release(held[i]);
  EXPECT_EQ(set_.Collect(), held.size() - 1);
}

// Against a model: which content each reference needs, in any order of all calls.
TEST_F(DictionarySetTest, RandomOperationsAgreeWithAModel) {
  const uint64_t seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE(seed);
  Rng rng(seed);
  constexpr uint64_t kContents = 24;
  std::vector<Content> contents;
  for (uint64_t i = 0; i < kContents; ++i) contents.push_back(Sample(i));
  struct Reference {
    DictionarySlot slot;
    uint64_t content;
  };
  std::vector<Reference> references;
  uint64_t current = kContents;  // none
  for (int step = 0; step < 20000; ++step) {
    const uint64_t choice = rng.Below(100);
    if (choice < 3) {
      const uint64_t next = rng.Below(kContents);
      const InstallOutcome outcome = set_.Install(contents[next]);
      ASSERT_EQ(outcome == InstallOutcome::kAlreadyCurrent, next == current);
      if (outcome == InstallOutcome::kInstalled) current = next;
    } else if (choice < 4) {
      set_.Retire();
      current = kContents;
    } else if (choice < 10) {
      static_cast<void>(set_.Collect());
    } else if (choice < 50) {
      const AcquiredDictionary got = set_.Acquire();
      ASSERT_EQ(got.slot == kNoDictionary, current == kContents);
      if (got.slot != kNoDictionary) references.push_back({got.slot, current});
    } else if (!references.empty()) {
      const uint64_t at = rng.Below(references.size());
      const Reference each = references[at];
      ASSERT_EQ(set_.VersionOf(each.slot), DictionaryVersionOf(contents[each.content]));
      if (choice < 60) {
        set_.AddReference(each.slot);
        references.push_back(each);
      } else {
        set_.Release(each.slot);
        references[at] = references.back();
        references.pop_back();
      }
    }
    ASSERT_EQ(set_.References(), references.size());
  }
  for (const Reference& each : references) set_.Release(each.slot);
}

// One thread installs, retires and collects; others compress and decompress with what they acquire.
TEST_F(DictionarySetTest, AnAcquiredDictionaryDoesNotChange) {
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> pages{0};
  const auto use = [&](uint64_t seed) {
    CodecContext context;
    UZ_CHECK(context.Init(*CodecByName("zstd")).ok());
    Content page(kPageSize);
    Content out(kPageSize);
    Content back(kPageSize);
    for (; !stop.load(std::memory_order_relaxed); ++seed) {
      FillPageOf(PageKind::kText, seed, page);
      const AcquiredDictionary got = set_.Acquire();
      const CompressOutcome made = context.Compress(page, out, got.dictionary);
      UZ_CHECK(made.kind == CompressKind::kCompressed);
      const DecompressOutcome outcome =
          context.Decompress({std::span(out).first(made.size), {}}, back, set_.Of(got.slot));
      UZ_CHECK(outcome == DecompressOutcome::kOk && page == back);
      set_.Release(got.slot);
      pages.fetch_add(1, std::memory_order_relaxed);
    }
  };
  std::thread one(use, 1);
  std::thread two(use, 1000000);
  std::vector<Content> contents;
  for (uint64_t i = 0; i < 8; ++i) contents.push_back(Sample(i));
  for (int round = 0; round < 300 || pages.load(std::memory_order_relaxed) < 300; ++round) {
    static_cast<void>(set_.Install(contents[round % contents.size()]));
    if (round % 16 == 0) set_.Retire();
  }
  stop.store(true, std::memory_order_relaxed);
  one.join();
  two.join();
  set_.Retire();
  static_cast<void>(set_.Collect());
  EXPECT_EQ(set_.slots_in_use(), 0u);
}

}  // namespace
}  // namespace uzswap
