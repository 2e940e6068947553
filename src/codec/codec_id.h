// CodecId: the codecs, by number and by name.
//
// The numbers are written to backing stores and into memory that a tree of processes shares. They
// must never change. This is a header without a source file, so that programs can name a codec
// without linking it.
#ifndef UZSWAP_CODEC_CODEC_ID_H_
#define UZSWAP_CODEC_CODEC_ID_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace uzswap {

// kNone: the bytes are not compressed.
enum class CodecId : uint8_t { kNone = 0, kLz4 = 1, kZstd = 2 };

constexpr const char* Name(CodecId id) {
  switch (id) {
    case CodecId::kNone:
      return "none";
    case CodecId::kLz4:
      return "lz4";
    case CodecId::kZstd:
      return "zstd";
  }
  return "unknown";
}

// The codec with this name; nullopt for any other name, including "none".
constexpr std::optional<CodecId> CodecIdByName(std::string_view name) {
  for (const CodecId id : {CodecId::kLz4, CodecId::kZstd}) {
    if (name == Name(id)) return id;
  }
  return std::nullopt;
}

}  // namespace uzswap

#endif  // UZSWAP_CODEC_CODEC_ID_H_
