// Page contents for tests and benchmarks. They are computed from a seed, without input files.
//
//   kZero kWord        one repeated word          kText   words of a small vocabulary
//   kPointers          a heap of small objects    kRandom incompressible
//   kMostlyZero        a few bytes are not zero   kMixed  half text, half random
#ifndef UZSWAP_BASE_TESTING_PAGE_CORPUS_H_
#define UZSWAP_BASE_TESTING_PAGE_CORPUS_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/rng.h"
#include "base/units.h"

namespace uzswap {

enum class PageKind : uint8_t {
  kZero,
  kWord,
  kText,
  kPointers,
  kRandom,
  kMostlyZero,
  kMixed,
};
inline constexpr int kPageKinds = 7;

inline const char* PageKindName(PageKind kind) {
  static constexpr const char* kNames[kPageKinds] = {"zero",   "word",       "text", "pointers",
                                                     "random", "mostlyzero", "mixed"};
  return kNames[static_cast<int>(kind)];
}

inline void FillText(Rng& rng, std::span<std::byte> out) {
  static constexpr const char* kWords[] = {
      "page ",  "frame ",  "swap ",    "cache ", "the ",      "of ",    "and ",    "compressed ",
      "entry ", "is ",     "written ", "to ",    "device ",   "a ",     "memory ", "reclaim ",
      "slot ",  "handle ", "object, ", "when ",  "pressure ", "lru.\n", "which ",  "0x7f3a "};
  size_t at = 0;
  while (at < out.size()) {
    const char* word = kWords[rng.Below(std::size(kWords))];
    for (; *word != '\0' && at < out.size(); ++word) out[at++] = static_cast<std::byte>(*word);
  }
}

// Objects of 48 bytes: a type pointer, a count, a pointer into the heap, a small number, a short
// string, zero.
inline void FillPointers(Rng& rng, std::span<std::byte> out) {
  const uint64_t heap = 0x7f3a12000000u + (rng.Below(1 << 12) << 12);
  for (size_t at = 0; at + 8 <= out.size(); at += 8) {
    uint64_t word = 0;
    switch (at / 8 % 6) {
      case 0:
        word = 0x55d0c8e01000u + 0x80 * rng.Below(4);
        break;
      case 1:
        word = 1 + rng.Below(3);
        break;
      case 2:
        word = heap + (rng.Below(1 << 14) << 4);
        break;
      case 3:
        word = rng.Below(100000);
        break;
      case 4:
        word = 0x006e6f6974616c65u;  // the string "elation"
        break;
      default:
        break;
    }
    memcpy(out.data() + at, &word, 8);
  }
}

inline void FillRandom(Rng& rng, std::span<std::byte> out) {
  for (size_t at = 0; at + 8 <= out.size(); at += 8) {
    const uint64_t word = rng.Next();
    memcpy(out.data() + at, &word, 8);
  }
}

// The same seed and kind always give the same bytes. Requires: page.size() % 16 == 0.
inline void FillPageOf(PageKind kind, uint64_t seed, std::span<std::byte> page) {
  Rng rng(seed * 16 + static_cast<uint64_t>(kind));
  memset(page.data(), 0, page.size());
  switch (kind) {
    case PageKind::kZero:
      return;
    case PageKind::kWord: {
      const uint64_t word = rng.Next();
      for (size_t at = 0; at < page.size(); at += 8) memcpy(page.data() + at, &word, 8);
      return;
    }
    case PageKind::kText:
      return FillText(rng, page);
    case PageKind::kPointers:
      return FillPointers(rng, page);
    case PageKind::kRandom:
      return FillRandom(rng, page);
    case PageKind::kMostlyZero:
      for (int i = 0; i < 20; ++i) page[rng.Below(page.size())] = std::byte{1};
      return;
    case PageKind::kMixed:
      FillText(rng, page.first(page.size() / 2));
      FillRandom(rng, page.subspan(page.size() / 2));
      return;
  }
}

}  // namespace uzswap

#endif  // UZSWAP_BASE_TESTING_PAGE_CORPUS_H_
