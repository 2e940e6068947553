#include "codec/dictionary.h"

#include <cstring>

#include "base/check.h"
#include "codec/lz4_codec.h"
#include "codec/zstd_codec.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace uzswap {
namespace {

constexpr size_t kAlign = 64;

constexpr size_t RoundUp(size_t size) { return (size + kAlign - 1) & ~(kAlign - 1); }

uint32_t VersionOfHash(uint64_t hash) {
  constexpr uint64_t kMask = (uint64_t{1} << kDictionaryVersionBits) - 1;
  const auto version = static_cast<uint32_t>(hash & kMask);
  return version == 0 ? 1 : version;
}

}  // namespace

uint32_t DictionaryVersionOf(std::span<const std::byte> content) {
  return VersionOfHash(XXH3_64bits(content.data(), content.size()));
}

size_t Dictionary::MemoryFor(size_t content_bytes) {
  return RoundUp(content_bytes) + RoundUp(Lz4Codec::DictionaryBytes()) +
         RoundUp(ZstdCodec::CompressorDictionaryBytes()) +
         RoundUp(ZstdCodec::DecoderDictionaryBytes());
}

bool Dictionary::Digest(std::span<const std::byte> content, std::span<std::byte> memory) {
  *this = {};
  if (content.size() < kDictionaryBytesMin || content.size() > kDictionaryBytesMax) return false;
  UZ_CHECK_GE(memory.size(), MemoryFor(content.size()));
  UZ_CHECK_EQ(reinterpret_cast<uintptr_t>(memory.data()) % kAlign, 0u);
  memcpy(memory.data(), content.data(), content.size());
  const std::span<const std::byte> copy = memory.first(content.size());
  std::span<std::byte> rest = memory.subspan(RoundUp(content.size()));
  const auto take = [&rest](size_t bytes) {
    const std::span<std::byte> part = rest.first(RoundUp(bytes));
    rest = rest.subspan(RoundUp(bytes));
    return part;
  };
  const void* const lz4 = Lz4Codec::DigestDictionary(copy, take(Lz4Codec::DictionaryBytes()));
  const void* const compressor =
      ZstdCodec::DigestForCompressor(copy, take(ZstdCodec::CompressorDictionaryBytes()));
  const void* const decoder =
      ZstdCodec::DigestForDecoder(copy, take(ZstdCodec::DecoderDictionaryBytes()));
  if (lz4 == nullptr || compressor == nullptr || decoder == nullptr) return false;
  content_ = copy;
  lz4_ = lz4;
  zstd_compressor_ = compressor;
  zstd_decoder_ = decoder;
  hash_ = XXH3_64bits(copy.data(), copy.size());
  version_ = VersionOfHash(hash_);
  return true;
}

}  // namespace uzswap
