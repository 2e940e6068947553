// The preload library's memory and string functions, against those of the C library.
#include <cstring>
#include <gtest/gtest.h>
#include <vector>

#include "base/rng.h"

// The functions under test get names of their own.
#define memmove uz_memmove
#define memcpy uz_memcpy
#define memset uz_memset
#define memcmp uz_memcmp
#define bcmp uz_bcmp
#define explicit_bzero uz_explicit_bzero
#define __explicit_bzero_chk uz_explicit_bzero_chk
#define memchr uz_memchr
#define memrchr uz_memrchr
#define strlen uz_strlen
#define strnlen uz_strnlen
#define strcmp uz_strcmp
#define strncmp uz_strncmp
#define strncpy uz_strncpy
#define strchr uz_strchr
#define strrchr uz_strrchr
#include "memory.cc"
#undef memmove
#undef memcpy
#undef memset
#undef memcmp
#undef memchr
#undef memrchr
#undef strlen
#undef strncmp
#undef strncpy
#undef strchr
#undef strrchr

namespace {

constexpr size_t kBytes = 4096;
constexpr uint64_t kSeed = 20261127;
constexpr int kRounds = 20000;

std::vector<unsigned char> RandomBytes(uzswap::Rng& rng) {
  std::vector<unsigned char> bytes(kBytes);
  for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(rng.Below(256));
  return bytes;
}

// Mostly short, because each function treats short blocks by size.
size_t RandomLength(uzswap::Rng& rng, size_t most) {
  return rng.Below(2) == 0 ? rng.Below(std::min<size_t>(most, 140) + 1) : rng.Below(most + 1);
}

class FreestandingMemory : public testing::Test {
 protected:
  uzswap::Rng rng_{kSeed};

 private:
  testing::ScopedTrace trace_{__FILE__, __LINE__, "seed " + std::to_string(kSeed)};
};

TEST_F(FreestandingMemory, MovesOverlappingBlocksAsTheCLibraryDoes) {
  std::vector<unsigned char> ours = RandomBytes(rng_);
  std::vector<unsigned char> theirs = ours;
  for (int i = 0; i < kRounds; ++i) {
    const size_t length = RandomLength(rng_, kBytes);
    const size_t from = rng_.Below(kBytes - length + 1);
    const size_t to = rng_.Below(kBytes - length + 1);
    ASSERT_EQ(uz_memmove(&ours[0] + to, &ours[0] + from, length), &ours[0] + to);
    memmove(&theirs[0] + to, &theirs[0] + from, length);
    ASSERT_EQ(ours, theirs) << length << " bytes from " << from << " to " << to;
    const size_t at = rng_.Below(kBytes);
    ours[at] = theirs[at] = static_cast<unsigned char>(rng_.Below(256));
  }
}

TEST_F(FreestandingMemory, FillsExactlyTheBlock) {
  std::vector<unsigned char> ours = RandomBytes(rng_);
  std::vector<unsigned char> theirs = ours;
  for (int i = 0; i < kRounds; ++i) {
    const size_t length = RandomLength(rng_, kBytes);
    const size_t to = rng_.Below(kBytes - length + 1);
    const int value = static_cast<int>(rng_.Below(256));
    ASSERT_EQ(uz_memset(&ours[0] + to, value, length), &ours[0] + to);
    memset(&theirs[0] + to, value, length);
    ASSERT_EQ(ours, theirs) << length << " bytes at " << to;
  }
}

TEST_F(FreestandingMemory, ComparesWithTheSignOfTheFirstDifference) {
  std::vector<unsigned char> left = RandomBytes(rng_);
  std::vector<unsigned char> right = left;
  const auto sign = [](int value) { return (value > 0) - (value < 0); };
  for (int i = 0; i < kRounds; ++i) {
    const size_t length = RandomLength(rng_, kBytes);
    const size_t at = rng_.Below(kBytes - length + 1);
    const size_t change = rng_.Below(kBytes);
    right[change] = static_cast<unsigned char>(rng_.Below(256));
    ASSERT_EQ(sign(uz_memcmp(&left[0] + at, &right[0] + at, length)),
              sign(memcmp(&left[0] + at, &right[0] + at, length)))
        << length << " bytes at " << at << ", changed at " << change;
    right[change] = left[change];
  }
}

TEST_F(FreestandingMemory, FindsAndComparesText) {
  char text[64];
  char copy[64];
  char expected[64];
  for (int i = 0; i < kRounds; ++i) {
    const size_t length = rng_.Below(sizeof(text));
    for (size_t j = 0; j < length; ++j) text[j] = static_cast<char>('a' + rng_.Below(4));
    text[length] = '\0';
    const int wanted = 'a' + static_cast<int>(rng_.Below(5));
    ASSERT_EQ(uz_strlen(text), length);
    ASSERT_EQ(uz_strnlen(text, length / 2), length / 2);
    ASSERT_EQ(uz_strnlen(text, sizeof(text)), length);
    ASSERT_EQ(uz_strchr(text, wanted), strchr(text, wanted));
    ASSERT_EQ(uz_strrchr(text, wanted), strrchr(text, wanted));
    ASSERT_EQ(uz_memchr(text, wanted, length), memchr(text, wanted, length));
    const size_t part = rng_.Below(sizeof(copy) + 1);
    memset(copy, 'x', sizeof(copy));
    memset(expected, 'x', sizeof(expected));
    uz_strncpy(copy, text, part);
    // As the standard says: the copy is padded with zeroes.
    for (size_t j = 0; j < part; ++j) expected[j] = j < length ? text[j] : '\0';
    ASSERT_EQ(memcmp(copy, expected, sizeof(copy)), 0) << part;
    ASSERT_EQ(uz_strncmp(text, expected, length) == 0, strncmp(text, expected, length) == 0);
  }
  EXPECT_EQ(uz_strchr("abc", '\0')[0], '\0');
  EXPECT_LT(uz_strcmp("ab", "abc"), 0);
  EXPECT_GT(uz_strcmp("\xFF", "a"), 0);
}

}  // namespace
