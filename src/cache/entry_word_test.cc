#include "cache/entry_word.h"

#include <gtest/gtest.h>
#include <sstream>
#include <string>

#include "cache/swap_entry.h"

namespace uzswap {
namespace {

TEST(EntryKeyTest, PacksAreaAndOffset) {
  const EntryKey key(SwapEntry{(1u << 28) - 1, EntryKey::kOffsetMax});
  EXPECT_EQ(key.area(), (1u << 28) - 1);
  EXPECT_EQ(key.offset(), EntryKey::kOffsetMax);
  EXPECT_EQ(EntryKey::FromRaw(key.raw()), key);
}

TEST(EntryWordTest, PatternsComeBackOrAreRefused) {
  const struct {
    uint64_t pattern;
    bool fits;  // 56 bits with sign, or 32 bits twice
  } table[] = {
      {0, true},
      {UINT64_MAX, true},
      {1, true},
      {uint64_t{0x7f} << 48, true},
      {uint64_t{0x80} << 48, false},
      {(uint64_t{1} << 55) - 1, true},
      {uint64_t{1} << 55, false},
      {~((uint64_t{1} << 55) - 1), true},
      {~(uint64_t{1} << 55), false},
      {0x5a5a5a5a5a5a5a5a, true},
      {0xdeadbeefdeadbeef, true},
      {0x123456789abcdef0, false},
  };
  for (const auto& [pattern, fits] : table) {
    const std::optional<EntryWord> word = EntryWord::SameFilled(pattern);
    ASSERT_EQ(word.has_value(), fits) << std::hex << pattern;
    if (!fits) continue;
    EXPECT_EQ(word->kind(), EntryKind::kSameFilled);
    EXPECT_EQ(word->pattern(), pattern) << std::hex << pattern;
    EXPECT_FALSE(word->in_pool());
  }
  EXPECT_FALSE(EntryWord().in_pool());
}

TEST(EntryWordTest, TheDictionaryGoesWithTheContent) {
  const DiskPlace place((1u << DiskPlace::kSegmentBits) - 1, (1u << 18) - 8, 8191);
  for (DictionarySlot slot = 0; slot <= DictionarySet::kSlots; ++slot) {
    const Handle handle(UINT32_MAX, UINT16_MAX);
    const EntryWord pooled = EntryWord::Pooled(handle, CodecId::kZstd, slot);
    const EntryWord touched = pooled.WithReferenced(true).WithTried();
    for (const EntryWord word : {pooled, touched, touched.AsWriting(), touched.AsPooled()}) {
      EXPECT_EQ(word.dictionary(), slot);
      EXPECT_EQ(word.handle(), handle);
      EXPECT_EQ(word.codec(), CodecId::kZstd);
    }
    const EntryWord on_disk = EntryWord::OnDisk(place, slot);
    EXPECT_EQ(on_disk.kind(), EntryKind::kOnDisk);
    EXPECT_EQ(on_disk.dictionary(), slot);
    EXPECT_EQ(on_disk.place(), place);
  }
  // The bits of a pattern are not a dictionary.
  EXPECT_EQ(EntryWord::SameFilled(UINT64_MAX)->dictionary(), kNoDictionary);
  EXPECT_EQ(EntryWord().dictionary(), kNoDictionary);
}

TEST(EntryWordTest, StatesOfOneContentDifferOnlyInState) {
  const EntryWord pooled = EntryWord::Pooled(Handle(UINT32_MAX, UINT16_MAX), CodecId::kZstd);
  EXPECT_EQ(pooled.handle(), Handle(UINT32_MAX, UINT16_MAX));
  EXPECT_EQ(pooled.codec(), CodecId::kZstd);
  const EntryWord touched = pooled.WithReferenced(true).WithTried();
  EXPECT_TRUE(touched.referenced() && touched.tried());
  EXPECT_NE(touched, pooled);
  EXPECT_EQ(touched.handle(), pooled.handle());
  EXPECT_EQ(touched.codec(), pooled.codec());
  const EntryWord writing = touched.AsWriting();
  EXPECT_EQ(writing.kind(), EntryKind::kWriting);
  EXPECT_FALSE(writing.referenced());
  EXPECT_EQ(writing.AsPooled().handle(), pooled.handle());
  const DiskPlace place((1u << 22) - 1, (1u << 18) - 8, 4096);
  EXPECT_EQ(EntryWord::OnDisk(place).place(), place);
}

// Every pair of kinds under every event: exactly the arrows of the picture in the header.
TEST(EntryWordTest, OnlyTheArrowsOfThePictureExist) {
  const EntryWord words[] = {EntryWord(), *EntryWord::SameFilled(7),
                             EntryWord::Pooled(Handle(1, 1), CodecId::kLz4),
                             EntryWord::Pooled(Handle(1, 1), CodecId::kLz4).AsWriting(),
                             EntryWord::OnDisk(DiskPlace(1, 0, 9))};
  const char* const allowed[] = {
      // from Empty, SameFilled, Pooled, Writing, OnDisk; to e s p w d
      "esp esp esp esp esp",  // kStore
      "- e e e e",            // kTake
      "- e e e e",            // kInvalidate
      "- - e - -",            // kDrop
      "- - p p -",            // kTouch
      "- - p - -",            // kAge
      "- - w - -",            // kBeginWrite
      "- - - d -",            // kWritten
      "- - - p -",            // kWriteFailed
      "- - - - d",            // kRelocate
      "- - p - -",            // kRecompress
  };
  const std::string names = "espwd";
  int arrows = 0;
  for (int event = 0; event <= static_cast<int>(EntryEvent::kRecompress); ++event) {
    std::istringstream row(allowed[event]);
    for (const EntryWord& from : words) {
      std::string to_names;
      row >> to_names;
      for (size_t to = 0; to < 5; ++to) {
        EntryWord word = from;
        if (to_names.find(names[to]) != std::string::npos) {
          Transition(word, static_cast<EntryEvent>(event), words[to]);
          EXPECT_EQ(word, words[to]);
          ++arrows;
        }
      }
    }
  }
  EXPECT_EQ(arrows, 15 + 4 + 4 + 1 + 2 + 1 + 1 + 1 + 1 + 1 + 1);
}

TEST(EntryWordDeathTest, AnArrowThatDoesNotExistIsABug) {
  EntryWord word;
  EXPECT_DEATH(Transition(word, EntryEvent::kTake, EntryWord()), "rule.from");
  word = EntryWord::OnDisk(DiskPlace(1, 0, 9));
  EXPECT_DEATH(Transition(word, EntryEvent::kWritten, word), "rule.from");
  EXPECT_DEATH(Transition(word, EntryEvent::kStore, word), "rule.to");
}

}  // namespace
}  // namespace uzswap
