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

// Which codec new pages are compressed with. The numbers are those of CodecId.
enum class CodecMode : uint8_t {
  kAuto = 0,  // lz4 or zstd, by what both are seen to cost; cold objects are made denser
  kLz4 = 1,
  kZstd = 2,
};

constexpr const char* Name(CodecMode mode) {
  return mode == CodecMode::kAuto ? "auto" : Name(static_cast<CodecId>(mode));
}

// The mode with this name; nullopt for any other name.
constexpr std::optional<CodecMode> CodecModeByName(std::string_view name) {
  if (name == Name(CodecMode::kAuto)) return CodecMode::kAuto;
  const std::optional<CodecId> id = CodecIdByName(name);
  return id ? std::optional(static_cast<CodecMode>(*id)) : std::nullopt;
}

// The codec that stores begin with.
constexpr CodecId FirstCodecOf(CodecMode mode) {
  return mode == CodecMode::kAuto ? CodecId::kZstd : static_cast<CodecId>(mode);
}

}  // namespace uzswap

#endif  // UZSWAP_CODEC_CODEC_ID_H_
