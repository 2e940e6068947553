#include "system/churn/pattern.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace uzswap::churn {
namespace {

uint64_t g_seed = 1;
unsigned g_random_percent = 5;

constexpr char kDictionary[32][9] = {
    "the page", " is held", " in the ",  "cache of", " frames\n", "\"name\": ", "\"value\":",
    "compress", "0000000,", " return ",  "version ", "Package:",  "Depends:",   " libc6 (",
    ">= 2.36)", "Section:", " static ",  "uint64_t", "nullptr;",  "}\n\n    ",  "if (this",
    "->next) ", "descript", "        ",  "Maintain", "er: Debi",  "an GNU/L",   "inux\n\n\n",
    " of the ", "program.", "\"items\"", "[1,2,3],"};

// One step of a generator whose state is its counter: words can be made in any order.
uint64_t WordAt(uint64_t base, size_t index) { return Mix(base + index * 0x9e3779b97f4a7c15u); }

void FillText(uint64_t base, PageImage& image) {
  for (size_t i = 1; i < kPageWords; i += 4) {
    uint64_t random = WordAt(base, i);
    for (size_t j = i; j < std::min(i + 4, kPageWords); ++j) {
      std::memcpy(&image.words[j], kDictionary[random & 31], sizeof(uint64_t));
      random >>= 5;
    }
  }
}

void FillPointers(uint64_t base, PageImage& image) {
  const uint64_t heap = 0x00007f0000000000u | (WordAt(base, 0) & 0xff000000u);
  for (size_t i = 1; i < kPageWords; ++i) {
    const bool number = (i & 3) == 3;
    image.words[i] = number ? i : heap + (WordAt(base, i) & 0xfffff0);
  }
}

void FillSparse(uint64_t base, PageImage& image) {
  std::memset(image.words, 0, sizeof(image.words));
  for (size_t i = 0; i < 12; ++i) {
    image.words[1 + WordAt(base, i) % (kPageWords - 1)] = WordAt(base, 100 + i);
  }
}

}  // namespace

uint64_t Mix(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

void SetPatternSeed(uint64_t seed, unsigned random_percent) {
  g_seed = seed;
  g_random_percent = random_percent;
}

uint64_t PageName::Pack() const {
  return (uint64_t{region} << (kPageBits + kVersionBits)) | (uint64_t{page} << kVersionBits) |
         version;
}

PageName PageName::Unpack(uint64_t packed) {
  PageName name;
  name.version = static_cast<uint32_t>(packed & ((1u << kVersionBits) - 1));
  name.page = static_cast<uint32_t>((packed >> kVersionBits) & ((1u << kPageBits) - 1));
  name.region = static_cast<uint32_t>(packed >> (kPageBits + kVersionBits));
  return name;
}

void FillImage(PageName name, PageImage& image) {
  if (name.version == 0) {
    std::memset(image.words, 0, sizeof(image.words));
    return;
  }
  const uint64_t packed = name.Pack();
  const uint64_t base = Mix(packed ^ g_seed);
  const unsigned draw = static_cast<unsigned>(base % 100);
  if (draw < g_random_percent) {
    for (size_t i = 1; i < kPageWords; ++i) image.words[i] = WordAt(base, i);
  } else if (draw < g_random_percent + 8) {
    std::fill(image.words, image.words + kPageWords, packed);
  } else if (draw < 30) {
    FillSparse(base, image);
  } else if (draw < 55) {
    FillPointers(base, image);
  } else {
    FillText(base, image);
  }
  image.words[0] = packed;
}

void ExpectedImage(uint32_t region, uint32_t page, const PageModel& model, PageImage& image) {
  FillImage({region, page, model.version}, image);
  if (model.patch_begin == model.patch_end) return;
  PageImage patch;
  FillImage({region, page, model.patch_version}, patch);
  std::memcpy(image.bytes() + model.patch_begin, patch.bytes() + model.patch_begin,
              static_cast<size_t>(model.patch_end - model.patch_begin));
}

void FillBytes(uint64_t tag, std::byte* out, size_t length) {
  const uint64_t base = Mix(tag ^ g_seed);
  for (size_t at = 0; at < length; at += 8) {
    const uint64_t word = (at & 8) != 0 ? tag : WordAt(base, at / 64);
    std::memcpy(out + at, &word, std::min<size_t>(8, length - at));
  }
}

size_t FirstDifference(uint64_t tag, const std::byte* data, size_t length) {
  constexpr size_t kChunk = 4096;
  std::byte expected[kChunk];
  const uint64_t base = Mix(tag ^ g_seed);
  for (size_t start = 0; start < length; start += kChunk) {
    const size_t here = std::min(kChunk, length - start);
    for (size_t at = 0; at < here; at += 8) {
      const size_t offset = start + at;
      const uint64_t word = (offset & 8) != 0 ? tag : WordAt(base, offset / 64);
      std::memcpy(expected + at, &word, std::min<size_t>(8, here - at));
    }
    if (std::memcmp(expected, data + start, here) == 0) continue;
    size_t at = 0;
    while (expected[at] == data[start + at]) ++at;
    return start + at;
  }
  return length;
}

void Describe(const uint64_t* words, char* text, size_t size) {
  const bool zero = std::all_of(words, words + kPageWords, [](uint64_t word) { return word == 0; });
  if (zero) {
    std::snprintf(text, size, "zeroes");
    return;
  }
  const PageName name = PageName::Unpack(words[0]);
  PageImage image;
  FillImage(name, image);
  const bool whole = std::memcmp(image.words, words, kPageBytes) == 0;
  std::snprintf(text, size, "%s region %u page %u version %u", whole ? "exactly" : "perhaps",
                name.region, name.page, name.version);
}

}  // namespace uzswap::churn
