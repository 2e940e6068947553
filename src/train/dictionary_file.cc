#include "train/dictionary_file.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"
#include "codec/codec.h"
#include "train/dictionary_trainer.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace uzswap {
namespace {

constexpr char kMagic[] = {'u', 'z', 's', 'w', 'a', 'p', 'd', '\n'};

struct Header {
  char magic[sizeof(kMagic)];
  uint32_t format;
  uint32_t codec;
  uint32_t version;
  uint32_t bytes;
  uint64_t checksum;
};
static_assert(sizeof(Header) == kDictionaryFileHeader);
static_assert(offsetof(Header, checksum) == 24);
static_assert(std::endian::native == std::endian::little, "the numbers are little-endian");

constexpr size_t kBeforeContent = offsetof(Header, checksum);
constexpr size_t kCommonBytes = offsetof(Header, codec);  // the same in all formats

uint64_t ChecksumOf(std::span<const std::byte> bytes) {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  XXH3_64bits_update(&state, bytes.data(), kBeforeContent);
  XXH3_64bits_update(&state, bytes.data() + kDictionaryFileHeader,
                     bytes.size() - kDictionaryFileHeader);
  return XXH3_64bits_digest(&state);
}

bool CanBeUsed(std::span<const std::byte> content) {
  return CompressedBytes(*CodecById(CodecId::kZstd), {}, content).ok();
}

DictionaryFileState StateOf(std::span<const std::byte> bytes) {
  const size_t magic = std::min(bytes.size(), sizeof(kMagic));
  if (magic == 0 || memcmp(bytes.data(), kMagic, magic) != 0) {
    return DictionaryFileState::kNotADictionary;
  }
  Header header{};
  memcpy(&header, bytes.data(), std::min(bytes.size(), sizeof(header)));
  if (bytes.size() < kCommonBytes) return DictionaryFileState::kTruncated;
  if (header.format > kDictionaryFileFormat) return DictionaryFileState::kNewerFormat;
  if (header.format != kDictionaryFileFormat) return DictionaryFileState::kDamaged;
  if (bytes.size() < sizeof(header)) return DictionaryFileState::kTruncated;
  if (header.bytes < kDictionaryBytesMin || header.bytes > kDictionaryBytesMax) {
    return DictionaryFileState::kDamaged;
  }
  const size_t size = sizeof(header) + header.bytes;
  if (bytes.size() < size) return DictionaryFileState::kTruncated;
  if (bytes.size() > size || ChecksumOf(bytes) != header.checksum) {
    return DictionaryFileState::kDamaged;
  }
  if (header.codec != static_cast<uint32_t>(CodecId::kZstd)) {
    return DictionaryFileState::kOtherCodec;
  }
  const std::span<const std::byte> content = bytes.subspan(sizeof(header));
  const bool good = DictionaryVersionOf(content) == header.version && CanBeUsed(content);
  return good ? DictionaryFileState::kGood : DictionaryFileState::kDamaged;
}

}  // namespace

DictionaryFile ParseDictionaryFile(std::span<const std::byte> bytes) {
  DictionaryFile file;
  file.state = StateOf(bytes);
  if (file.state == DictionaryFileState::kGood) file.content = bytes.subspan(sizeof(Header));
  return file;
}

std::vector<std::byte> FormatDictionaryFile(std::span<const std::byte> content) {
  UZ_CHECK(content.size() >= kDictionaryBytesMin && content.size() <= kDictionaryBytesMax);
  Header header{};
  memcpy(header.magic, kMagic, sizeof(kMagic));
  header.format = kDictionaryFileFormat;
  header.codec = static_cast<uint32_t>(CodecId::kZstd);
  header.version = DictionaryVersionOf(content);
  header.bytes = static_cast<uint32_t>(content.size());
  std::vector<std::byte> bytes(sizeof(header) + content.size());
  memcpy(bytes.data(), &header, sizeof(header));
  memcpy(bytes.data() + sizeof(header), content.data(), content.size());
  RepairChecksum(bytes);
  return bytes;
}

void RepairChecksum(std::span<std::byte> bytes) {
  UZ_CHECK_GE(bytes.size(), kDictionaryFileHeader);
  const uint64_t checksum = ChecksumOf(bytes);
  memcpy(bytes.data() + kBeforeContent, &checksum, sizeof(checksum));
}

}  // namespace uzswap
