// Dictionaries for tests: made in a millisecond from the pages of base/testing/page_corpus.h.
//
// Equal arguments give equal content. Different seeds give different versions.
#ifndef UZSWAP_CODEC_TESTING_SAMPLE_DICTIONARY_H_
#define UZSWAP_CODEC_TESTING_SAMPLE_DICTIONARY_H_

#include <vector>

#define ZDICT_STATIC_LINKING_ONLY
#include <zdict.h>

#include "base/check.h"
#include "base/testing/page_corpus.h"
#include "codec/dictionary.h"

namespace uzswap {

// A dictionary of at most `bytes` bytes for pages of `kind`.
inline std::vector<std::byte> SampleDictionary(PageKind kind, uint64_t seed, size_t bytes = 4096) {
  constexpr size_t kSamples = 16;
  std::vector<std::byte> samples(kSamples * kPageSize);
  for (size_t i = 0; i < kSamples; ++i) {
    FillPageOf(kind, seed * kSamples + i, std::span(samples).subspan(i * kPageSize, kPageSize));
  }
  const std::vector<size_t> sizes(kSamples, kPageSize);
  std::vector<std::byte> dictionary(bytes);
  // Room for the entropy tables, which stand before the content.
  constexpr size_t kTables = 512;
  const size_t content = bytes < kTables + 256 ? 256 : bytes - kTables;
  const size_t size = ZDICT_finalizeDictionary(
      dictionary.data(), bytes, samples.data(), content < samples.size() ? content : samples.size(),
      samples.data(), sizes.data(), kSamples, ZDICT_params_t{});
  UZ_CHECK(ZDICT_isError(size) == 0);
  dictionary.resize(size);
  return dictionary;
}

}  // namespace uzswap

#endif  // UZSWAP_CODEC_TESTING_SAMPLE_DICTIONARY_H_
