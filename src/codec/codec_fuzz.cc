// Uses arbitrary bytes in three ways. As an object: decompression must stay within its buffers. As
// a page: it must be the same after compression and decompression. As a dictionary: it is refused,
// or pages are the same after compression and decompression with it. The first byte selects the
// codec, whether a good dictionary is used, and where the object is split into two segments.
#include <cstring>
#include <span>

#include "codec/codec.h"
#include "codec/testing/sample_dictionary.h"

namespace {

using uzswap::CodecContext;
using uzswap::Dictionary;
using uzswap::kPageSize;

CodecContext& Context(bool zstd) {
  static CodecContext contexts[2];
  static const bool ready = contexts[0].Init(*uzswap::CodecByName("lz4")).ok() &&
                            contexts[1].Init(*uzswap::CodecByName("zstd")).ok();
  UZ_CHECK(ready);
  return contexts[zstd ? 1 : 0];
}

alignas(8) std::byte g_page[kPageSize];
alignas(8) std::byte g_back[kPageSize];
std::byte g_object[kPageSize];

// Memory for one dictionary of any size.
std::span<std::byte> DictionaryMemory(bool good) {
  static uzswap::os::Mapping memory[2];
  uzswap::os::Mapping& mine = memory[good ? 1 : 0];
  if (mine.empty()) {
    const uzswap::Bytes bytes(Dictionary::MemoryFor(uzswap::kDictionaryBytesMax));
    mine = uzswap::os::Mapping::Create(bytes, "fuzz").value();
  }
  return {mine.data(), mine.size()};
}

const Dictionary& GoodDictionary() {
  static Dictionary dictionary;
  static const bool good = dictionary.Digest(uzswap::SampleDictionary(uzswap::PageKind::kText, 1),
                                             DictionaryMemory(true));
  UZ_CHECK(good);
  return dictionary;
}

void AsObject(CodecContext& context, std::span<const std::byte> bytes, size_t cut,
              const Dictionary* dictionary) {
  cut = cut < bytes.size() ? cut : bytes.size();
  static_cast<void>(context.Decompress({bytes.first(cut), bytes.subspan(cut)}, g_page, dictionary));
}

void AsPage(CodecContext& context, std::span<const std::byte> bytes, const Dictionary* dictionary) {
  memset(g_page, 0, kPageSize);
  memcpy(g_page, bytes.data(), bytes.size() < kPageSize ? bytes.size() : kPageSize);
  uint64_t pattern = 0;
  if (uzswap::IsSameFilled(g_page, &pattern)) {
    uzswap::FillPage(pattern, g_back);
    UZ_CHECK_EQ(memcmp(g_page, g_back, kPageSize), 0);
  }
  const uzswap::CompressOutcome outcome = context.Compress(g_page, g_object, dictionary);
  switch (outcome.kind) {
    case uzswap::CompressKind::kIncompressible:
      return;
    case uzswap::CompressKind::kCompressed:
      UZ_CHECK(context.Decompress({std::span(g_object).first(outcome.size), {}}, g_back,
                                  dictionary) == uzswap::DecompressOutcome::kOk);
      break;
  }
  UZ_CHECK_EQ(memcmp(g_page, g_back, kPageSize), 0);
}

void AsDictionary(CodecContext& context, std::span<const std::byte> bytes) {
  Dictionary dictionary;
  if (dictionary.Digest(bytes, DictionaryMemory(false))) AsPage(context, bytes, &dictionary);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  CodecContext& context = Context((data[0] & 1) != 0);
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  const Dictionary* const dictionary = (data[0] & 2) != 0 ? &GoodDictionary() : nullptr;
  AsObject(context, bytes, data[0] >> 2, dictionary);
  AsPage(context, bytes, dictionary);
  AsDictionary(context, bytes);
  return 0;
}
