// Arbitrary bytes as the file of a dictionary. What is good is a dictionary that compresses pages
// and decompresses them again.
//
// The first byte: 1, the magic and the format are made valid; 2, the size in the header; 4, the
// version; 8, the checksum.
#include <algorithm>
#include <cstring>
#include <vector>

#include "base/testing/page_corpus.h"
#include "codec/codec.h"
#include "train/dictionary_file.h"
#include "train/digested_dictionary.h"

namespace {

using uzswap::kDictionaryFileHeader;

void Repair(uint8_t flags, std::span<std::byte> file) {
  if (file.size() < kDictionaryFileHeader) return;
  const std::span<const std::byte> content = file.subspan(kDictionaryFileHeader);
  const uint32_t numbers[] = {uzswap::DictionaryVersionOf(content),
                              static_cast<uint32_t>(content.size())};
  if ((flags & 1) != 0) memcpy(file.data(), "uzswapd\n\x01\0\0\0\x02\0\0\0", 16);
  if ((flags & 4) != 0) memcpy(file.data() + 16, &numbers[0], sizeof(uint32_t));
  if ((flags & 2) != 0) memcpy(file.data() + 20, &numbers[1], sizeof(uint32_t));
  if ((flags & 8) != 0) uzswap::RepairChecksum(file);
}

void Use(std::span<const std::byte> content) {
  static std::byte page[uzswap::kPageSize];
  static const bool filled = [] {
    uzswap::FillPageOf(uzswap::PageKind::kMixed, 1, page);
    return true;
  }();
  UZ_CHECK(filled);
  const auto dictionary = uzswap::DigestedDictionary::Make(content);
  UZ_CHECK(dictionary.ok());
  for (const char* name : {"lz4", "zstd"}) {
    uzswap::CodecContext context;
    UZ_CHECK(context.Init(*uzswap::CodecByName(name)).ok());
    std::byte object[uzswap::kPageSize];
    std::byte back[uzswap::kPageSize];
    const auto outcome = context.Compress(page, object, dictionary.value().get());
    if (outcome.kind != uzswap::CompressKind::kCompressed) continue;
    const uzswap::ObjectView view{std::span(object).first(outcome.size), {}};
    UZ_CHECK(context.Decompress(view, back, dictionary.value().get()) ==
             uzswap::DecompressOutcome::kOk);
    UZ_CHECK(memcmp(page, back, sizeof(page)) == 0);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto* const bytes = reinterpret_cast<const std::byte*>(data + 1);
  std::vector<std::byte> file(bytes, bytes + size - 1);
  Repair(data[0], file);
  const uzswap::DictionaryFile parsed = uzswap::ParseDictionaryFile(file);
  UZ_CHECK_EQ(parsed.content.empty(), parsed.state != uzswap::DictionaryFileState::kGood);
  if (parsed.content.empty()) return 0;
  // Only one file has this content.
  UZ_CHECK(std::ranges::equal(uzswap::FormatDictionaryFile(parsed.content), file));
  Use(parsed.content);
  return 0;
}
