#include "train/dictionary_file.h"

#include <algorithm>
#include <cstring>
#include <gtest/gtest.h>
#include <vector>

#include "codec/testing/sample_dictionary.h"

namespace uzswap {
namespace {

using Buffer = std::vector<std::byte>;
using State = DictionaryFileState;

Buffer GoodFile() { return FormatDictionaryFile(SampleDictionary(PageKind::kText, 1, 2048)); }

State StateOf(const Buffer& bytes) {
  const DictionaryFile file = ParseDictionaryFile(bytes);
  EXPECT_EQ(file.content.empty(), file.state != State::kGood);
  return file.state;
}

void Write32(Buffer& file, size_t offset, uint32_t value) {
  memcpy(file.data() + offset, &value, sizeof(value));
}

TEST(DictionaryFileTest, WhatIsWrittenIsRead) {
  for (const size_t bytes : {size_t{1024}, kDictionaryBytesDefault, kDictionaryBytesMax}) {
    const Buffer content = SampleDictionary(PageKind::kText, 1, bytes);
    const Buffer file = FormatDictionaryFile(content);
    EXPECT_EQ(file.size(), kDictionaryFileHeader + content.size());
    const DictionaryFile parsed = ParseDictionaryFile(file);
    EXPECT_EQ(parsed.state, State::kGood);
    EXPECT_TRUE(std::ranges::equal(parsed.content, content));
  }
}

// The format is a contract.
TEST(DictionaryFileTest, TheHeaderIsAsDescribed) {
  const Buffer content = SampleDictionary(PageKind::kText, 1, 2048);
  const Buffer file = FormatDictionaryFile(content);
  EXPECT_EQ(memcmp(file.data(), "uzswapd\n\x01\0\0\0\x02\0\0\0", 16), 0);
  const uint32_t numbers[] = {DictionaryVersionOf(content), static_cast<uint32_t>(content.size())};
  EXPECT_EQ(memcmp(file.data() + 16, numbers, sizeof(numbers)), 0);
}

TEST(DictionaryFileTest, EachFaultHasItsName) {
  struct Row {
    const char* what;
    State expected;
    void (*damage)(Buffer&);
    bool repair;  // the checksum
  };
  const Row kTable[] = {
      {"nothing", State::kGood, [](Buffer&) {}, true},
      {"empty", State::kNotADictionary, [](Buffer& f) { f.clear(); }, false},
      {"text", State::kNotADictionary, [](Buffer& f) { f[0] = std::byte{'x'}; }, true},
      {"another line end", State::kNotADictionary, [](Buffer& f) { f[7] = std::byte{'\r'}; }, true},
      {"the magic alone", State::kTruncated, [](Buffer& f) { f.resize(8); }, false},
      {"a part of the magic", State::kTruncated, [](Buffer& f) { f.resize(3); }, false},
      {"a part of the header", State::kTruncated, [](Buffer& f) { f.resize(31); }, false},
      {"the header alone", State::kTruncated, [](Buffer& f) { f.resize(32); }, true},
      {"one byte less", State::kTruncated, [](Buffer& f) { f.pop_back(); }, true},
      {"one byte more", State::kDamaged, [](Buffer& f) { f.push_back({}); }, true},
      {"format 0", State::kDamaged, [](Buffer& f) { Write32(f, 8, 0); }, true},
      {"format 2", State::kNewerFormat, [](Buffer& f) { Write32(f, 8, 2); }, false},
      {"format 2, short", State::kNewerFormat,
       [](Buffer& f) {
         Write32(f, 8, 2);
         f.resize(12);
       },
       false},
      {"lz4", State::kOtherCodec, [](Buffer& f) { Write32(f, 12, 1); }, true},
      {"an unknown codec", State::kOtherCodec, [](Buffer& f) { Write32(f, 12, 77); }, true},
      {"a flipped codec", State::kDamaged, [](Buffer& f) { Write32(f, 12, 1); }, false},
      {"another version", State::kDamaged, [](Buffer& f) { f[16] ^= std::byte{1}; }, true},
      {"too small", State::kDamaged, [](Buffer& f) { Write32(f, 20, kDictionaryBytesMin - 1); },
       true},
      {"too large", State::kDamaged, [](Buffer& f) { Write32(f, 20, kDictionaryBytesMax + 1); },
       true},
      {"very large", State::kDamaged, [](Buffer& f) { Write32(f, 20, UINT32_MAX); }, true},
      {"content", State::kDamaged, [](Buffer& f) { f.back() ^= std::byte{1}; }, false},
      {"checksum", State::kDamaged, [](Buffer& f) { f[24] ^= std::byte{1}; }, false},
  };
  for (const Row& row : kTable) {
    Buffer file = GoodFile();
    row.damage(file);
    if (row.repair) RepairChecksum(file);
    EXPECT_EQ(StateOf(file), row.expected) << row.what;
  }
}

TEST(DictionaryFileTest, ContentThatIsNoDictionaryIsDamaged) {
  const Buffer file = FormatDictionaryFile(Buffer(1000, std::byte{1}));
  EXPECT_EQ(StateOf(file), State::kDamaged);
}

TEST(DictionaryFileTest, EveryBitCounts) {
  const Buffer good = GoodFile();
  for (size_t bit = 0; bit < good.size() * 8; bit += bit < 256 ? 1 : 37) {
    Buffer file = good;
    file[bit / 8] ^= std::byte(1 << bit % 8);
    EXPECT_NE(StateOf(file), State::kGood) << bit;
  }
}

TEST(DictionaryFileTest, EveryLengthIsRefused) {
  const Buffer good = GoodFile();
  for (size_t bytes = 1; bytes < good.size(); ++bytes) {
    EXPECT_EQ(StateOf(Buffer(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(bytes))),
              State::kTruncated);
  }
}

}  // namespace
}  // namespace uzswap
