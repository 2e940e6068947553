#include "train/known_dictionaries.h"

#include <algorithm>
#include <deque>
#include <gtest/gtest.h>
#include <vector>

#include "base/rng.h"

namespace uzswap {
namespace {

using Buffer = std::vector<std::byte>;

Buffer Content(uint64_t number, size_t bytes = 1000) {
  Rng rng(number);
  Buffer content(bytes);
  for (std::byte& byte : content) byte = std::byte(rng.Next());
  return content;
}

constexpr uint32_t kOwner = 1000;

class KnownDictionariesTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::vector<Buffer> All() const {
    std::vector<Buffer> all;
    for (size_t i = 0; i < KnownDictionaries::kSlots; ++i) {
      const auto content = known_.At(i);
      if (!content.empty()) all.emplace_back(content.begin(), content.end());
    }
    return all;
  }
  [[nodiscard]] bool Has(const Buffer& content) const {
    return std::ranges::count(All(), content) == 1;
  }

  std::vector<uint64_t> words_ =
      std::vector<uint64_t>(KnownDictionaries::MemoryBytes().raw() / 8 + 1);
  KnownDictionaries known_{std::as_writable_bytes(std::span(words_)), kOwner};
};

TEST_F(KnownDictionariesTest, MemoryOfZeroesHasNone) {
  EXPECT_TRUE(All().empty());
  EXPECT_LT(KnownDictionaries::MemoryBytes().raw(), KnownDictionaries::kSlots * 17 * 1024);
  EXPECT_DEATH(known_.Use(0), "");
}

TEST_F(KnownDictionariesTest, AnotherObjectOverTheMemorySeesThem) {
  known_.Add(Content(1));
  known_.Add(Content(2, KnownDictionaries::kContentMax));
  const KnownDictionaries other(std::as_writable_bytes(std::span(words_)), kOwner);
  EXPECT_TRUE(std::ranges::equal(other.At(0), Content(1)));
  EXPECT_TRUE(std::ranges::equal(other.At(1), Content(2, KnownDictionaries::kContentMax)));
}

TEST_F(KnownDictionariesTest, WrongSizesAreNotAdded) {
  for (const size_t bytes :
       {size_t{0}, kDictionaryBytesMin - 1, KnownDictionaries::kContentMax + 1}) {
    known_.Add(Content(1, bytes));
  }
  EXPECT_TRUE(All().empty());
  known_.Add(Content(1, kDictionaryBytesMin));
  EXPECT_EQ(All().size(), 1u);
}

// Whatever byte is wrong: such a dictionary is not there, and its slot is used first.
TEST_F(KnownDictionariesTest, ADamagedOneIsNotThere) {
  for (uint64_t i = 0; i < KnownDictionaries::kSlots; ++i) known_.Add(Content(i));
  const std::vector<uint64_t> good = words_;
  const auto bytes = std::as_writable_bytes(std::span(words_));
  // The clock, then the first slot: bytes, version, owner, use, content.
  for (const size_t at : {8, 9, 11, 12, 14, 32, 32 + 999}) {
    words_ = good;
    bytes[at] ^= std::byte{1};
    EXPECT_FALSE(Has(Content(0))) << at;
    EXPECT_TRUE(Has(Content(1)));
    known_.Add(Content(99));
    EXPECT_EQ(All().size(), KnownDictionaries::kSlots);
    EXPECT_TRUE(Has(Content(99)));
  }
}

TEST_F(KnownDictionariesTest, AnotherUserDoesNotSeeThem) {
  KnownDictionaries others(std::as_writable_bytes(std::span(words_)), 0);
  known_.Add(Content(1));
  for (size_t i = 0; i < KnownDictionaries::kSlots; ++i) EXPECT_TRUE(others.At(i).empty());
  others.Add(Content(1));
  others.Add(Content(2));
  EXPECT_TRUE(std::ranges::equal(others.At(1), Content(1))) << "the same content twice";
  EXPECT_EQ(All().size(), 1u);
  // It takes the place of the oldest one, whose ever it is.
  for (uint64_t i = 3; i <= 7; ++i) others.Add(Content(i));
  EXPECT_TRUE(Has(Content(1)));
  others.Add(Content(8));
  EXPECT_TRUE(All().empty());
}

// Against a list: the last one is the one that was used last.
TEST_F(KnownDictionariesTest, FollowsAModel) {
  constexpr uint64_t kSeed = 20261129;
  printf("seed %lu\n", static_cast<unsigned long>(kSeed));
  Rng rng(kSeed);
  std::deque<uint64_t> model;
  for (int round = 0; round < 2000; ++round) {
    const uint64_t number = rng.Below(20);
    const auto found = std::ranges::find(model, number);
    if (found != model.end()) {
      model.erase(found);
    } else if (model.size() == KnownDictionaries::kSlots) {
      model.pop_front();
    }
    model.push_back(number);
    known_.Add(Content(number));
    ASSERT_EQ(All().size(), model.size()) << "round " << round;
    for (const uint64_t kept : model) ASSERT_TRUE(Has(Content(kept))) << "round " << round;
  }
}

}  // namespace
}  // namespace uzswap
