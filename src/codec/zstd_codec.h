// ZstdCodec: the dense codec (Zstandard frames without the magic number and without a checksum).
//
//   workspace   | Layout | compression context | decompression context |
//
// zstd's static initializers make both contexts inside the workspace. Such contexts cannot
// allocate: a call that needs more memory fails. A failed compression is an incompressible page.
// The tables of a dictionary are static too (ZSTD_initStaticCDict, ZSTD_initStaticDDict). They are
// attached to the contexts by reference for each page.
// codec.h describes the interface and its threads.
#ifndef UZSWAP_CODEC_ZSTD_CODEC_H_
#define UZSWAP_CODEC_ZSTD_CODEC_H_

#include "codec/codec.h"

namespace uzswap {

inline constexpr int kZstdDefaultLevel = 1;

class ZstdCodec final : public Codec {
 public:
  constexpr explicit ZstdCodec(int level) : level_(level) {}
  [[nodiscard]] const char* name() const override { return "zstd"; }
  [[nodiscard]] CodecId id() const override { return CodecId::kZstd; }
  [[nodiscard]] int level() const { return level_; }

  // The tables of a dictionary, in bytes; the same for every size of content.
  [[nodiscard]] static size_t CompressorDictionaryBytes();
  [[nodiscard]] static size_t DecoderDictionaryBytes();
  // nullptr if `content` is not a dictionary of zstd's format. Requires: `tables` has the bytes
  // above, aligned to 8; `content` stays where it is.
  [[nodiscard]] static const void* DigestForCompressor(std::span<const std::byte> content,
                                                       std::span<std::byte> tables);
  [[nodiscard]] static const void* DigestForDecoder(std::span<const std::byte> content,
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

  int level_;
};

}  // namespace uzswap

#endif  // UZSWAP_CODEC_ZSTD_CODEC_H_
