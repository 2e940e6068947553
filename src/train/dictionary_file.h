// The file of a dictionary: `uzswap train` writes it, `uzswap run --dictionary` reads it.
//
//   offset  0  magic "uzswapd\n"
//           8  version of this format (1)             all numbers little-endian
//          12  codec: the trainer's format (CodecId; zstd)
//          16  version of the dictionary (DictionaryVersionOf)
//          20  bytes of content
//          24  XXH3 of the 24 bytes before and of the content
//          32  content
//
// Later formats keep the first 12 bytes. Pure functions over bytes. Any thread may call them.
#ifndef UZSWAP_TRAIN_DICTIONARY_FILE_H_
#define UZSWAP_TRAIN_DICTIONARY_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "codec/dictionary.h"

namespace uzswap {

inline constexpr size_t kDictionaryFileHeader = 32;
inline constexpr size_t kDictionaryFileMax = kDictionaryFileHeader + kDictionaryBytesMax;
inline constexpr uint32_t kDictionaryFileFormat = 1;

enum class DictionaryFileState : uint8_t {
  kGood,
  kNotADictionary,  // another kind of file
  kTruncated,
  kDamaged,  // a wrong checksum, or bytes that no writer writes
  kOtherCodec,
  kNewerFormat,
};

struct DictionaryFile {
  DictionaryFileState state = DictionaryFileState::kNotADictionary;
  std::span<const std::byte> content;  // kGood: a part of the file, and a dictionary
};
DictionaryFile ParseDictionaryFile(std::span<const std::byte> bytes);

// Requires: the content's size is that of a dictionary.
std::vector<std::byte> FormatDictionaryFile(std::span<const std::byte> content);

// Gives the header of a file the checksum that it should have. For tests and fuzz targets, whose
// other damage would never be looked at. Requires: bytes.size() >= kDictionaryFileHeader.
void RepairChecksum(std::span<std::byte> bytes);

}  // namespace uzswap

#endif  // UZSWAP_TRAIN_DICTIONARY_FILE_H_
