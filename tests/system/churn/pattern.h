// Pattern: the content of each page of the churn, computed from its name alone.
//
//   PageName = region (16 bits) | page (20) | version (28)       version 0: never written, zeroes
//
// The content follows from the name and the run's seed, never from the address, so a mapping may
// be moved, copied by fork, or read through the kernel and still be checked. The first word of a
// written page is its name: a page at a wrong address shows where it belongs.
//
// Kinds are drawn from the name: text-like, pointer-like, mostly zero, one repeated word, random;
// together they compress about as a program's memory does. A page may carry one patch: the bytes
// [patch_begin, patch_end) of another version of it.
#ifndef UZSWAP_TESTS_SYSTEM_CHURN_PATTERN_H_
#define UZSWAP_TESTS_SYSTEM_CHURN_PATTERN_H_

#include <cstddef>
#include <cstdint>

namespace uzswap::churn {

inline constexpr size_t kPageBytes = 4096;
inline constexpr size_t kPageWords = kPageBytes / sizeof(uint64_t);

struct PageImage {
  alignas(4096) uint64_t words[kPageWords];
  [[nodiscard]] const std::byte* bytes() const { return reinterpret_cast<const std::byte*>(words); }
  [[nodiscard]] std::byte* bytes() { return reinterpret_cast<std::byte*>(words); }
};

struct PageName {
  uint32_t region = 0;
  uint32_t page = 0;
  uint32_t version = 0;

  static constexpr uint32_t kVersionBits = 28;
  static constexpr uint32_t kPageBits = 20;
  [[nodiscard]] uint64_t Pack() const;
  static PageName Unpack(uint64_t packed);
};

// What the program believes of one page.
struct PageModel {
  uint32_t version = 0;
  uint32_t patch_version = 0;
  uint16_t patch_begin = 0;
  uint16_t patch_end = 0;  // equal to patch_begin: no patch
};

uint64_t Mix(uint64_t value);

// To be set once, before anything is filled.
void SetPatternSeed(uint64_t seed, unsigned random_percent);

void FillImage(PageName name, PageImage& image);
void ExpectedImage(uint32_t region, uint32_t page, const PageModel& model, PageImage& image);

// Bytes of any length under a tag, for blocks of the heap.
void FillBytes(uint64_t tag, std::byte* out, size_t length);
// The offset of the first byte of `data` that differs from FillBytes(tag), or `length`.
size_t FirstDifference(uint64_t tag, const std::byte* data, size_t length);

// "zeroes", "region 3 page 17 version 12 (whole)", ...: what these words are, for the report.
void Describe(const uint64_t* words, char* text, size_t size);

}  // namespace uzswap::churn

#endif  // UZSWAP_TESTS_SYSTEM_CHURN_PATTERN_H_
