// Lz4Codec: the fast codec (Y. Collet's LZ4 block format, acceleration 1).
//
// The workspace is the compressor's hash table, about 16 KiB. Decompression needs no workspace.
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

 private:
  [[nodiscard]] size_t WorkspaceSize() const override;
  [[nodiscard]] bool Prepare(std::span<std::byte> workspace) const override;
  [[nodiscard]] size_t Deflate(std::span<std::byte> workspace, std::span<const std::byte> unit,
                               std::span<std::byte> out) const override;
  [[nodiscard]] bool Inflate(std::span<std::byte> workspace, std::span<const std::byte> object,
                             std::span<std::byte> unit) const override;
};

}  // namespace uzswap

#endif  // UZSWAP_CODEC_LZ4_CODEC_H_
