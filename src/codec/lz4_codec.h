// Lz4Codec: the fast codec (Y. Collet's LZ4 block format, acceleration 1).
//
// The workspace is the compressor's hash table, about 16 KiB. Decompression needs no workspace.
// With a dictionary the compressor looks into the dictionary's table too (LZ4_attach_dictionary).
// codec.h describes the interface and its threads.
#ifndef UZSWAP_CODEC_LZ4_CODEC_H_
#define UZSWAP_CODEC_LZ4_CODEC_H_

#include "codec/codec.h"

namespace uzswap {

class Lz4Codec final : public Codec {
 public:
  constexpr Lz4Codec() = default;
  [[nodiscard]] const char* name() const override { return "lz4"; }
  [[nodiscard]] CodecId id() const override { return CodecId::kLz4; }

  // The tables of a dictionary: the compressor's hash table, filled (LZ4_loadDict).
  [[nodiscard]] static size_t DictionaryBytes();
  // Requires: tables.size() >= DictionaryBytes(), aligned to 8; `content` stays where it is.
  [[nodiscard]] static const void* DigestDictionary(std::span<const std::byte> content,
                                                    std::span<std::byte> tables);

 private:
  [[nodiscard]] size_t WorkspaceSize() const override;
  [[nodiscard]] bool Prepare(std::span<std::byte> workspace) const override;
  [[nodiscard]] size_t Deflate(std::span<std::byte> workspace, std::span<const std::byte> unit,
                               std::span<std::byte> out,
                               const Dictionary* dictionary) const override;
  [[nodiscard]] bool Inflate(std::span<std::byte> workspace, std::span<const std::byte> object,
                             std::span<std::byte> unit,
                             const Dictionary* dictionary) const override;
};

}  // namespace uzswap

#endif  // UZSWAP_CODEC_LZ4_CODEC_H_
