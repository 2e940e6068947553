// ZstdCodec: the dense codec (Zstandard frames without the magic number and without a checksum).
//
//   workspace   | Layout | compression context | decompression context | kDense: its dictionary |
//
// zstd's static initializers make both contexts inside the workspace. Such contexts cannot
// allocate: a call that needs more memory fails. A failed compression is an incompressible page.
// The tables of a dictionary are static too (ZSTD_initStaticCDict, ZSTD_initStaticDDict). They are
// attached to the contexts by reference for each page.
//
// There are two efforts with one format: what one compresses, the other decompresses. kFast is for
// pages that have just been evicted. kDense is for pages that have stayed in the pool: objects are
// a tenth smaller, and compression takes four times as long (docs/decisions/0035). Its tables of a
// dictionary differ from those of kFast. They are in the workspace, because only the writer has
// such a context, and are made again when the dictionary changes. codec.h describes the interface
// and its threads.
#ifndef UZSWAP_CODEC_ZSTD_CODEC_H_
#define UZSWAP_CODEC_ZSTD_CODEC_H_

#include "codec/codec.h"

namespace uzswap {

enum class ZstdEffort : uint8_t { kFast, kDense };

class ZstdCodec final : public Codec {
 public:
  constexpr explicit ZstdCodec(ZstdEffort effort) : effort_(effort) {}
  [[nodiscard]] const char* name() const override { return "zstd"; }
  [[nodiscard]] CodecId id() const override { return CodecId::kZstd; }

  // The tables of a dictionary, in bytes; the same for every size of content.
  [[nodiscard]] static size_t CompressorDictionaryBytes();
  [[nodiscard]] static size_t DecoderDictionaryBytes();
  // Of these tables, those that a workspace of kDense has.
  [[nodiscard]] static size_t DenseDictionaryBytes();
  // nullptr if `content` is not a dictionary of zstd's format. Requires: `tables` has the bytes
  // above, aligned to 8; `content` stays where it is.
  [[nodiscard]] static const void* DigestForCompressor(std::span<const std::byte> content,
                                                       std::span<std::byte> tables);
  [[nodiscard]] static const void* DigestForDecoder(std::span<const std::byte> content,
                                                    std::span<std::byte> tables);

 private:
  // The tables with which this effort compresses. nullptr: they cannot be made.
  [[nodiscard]] const void* TablesOf(std::span<std::byte> workspace,
                                     const Dictionary& dictionary) const;
  [[nodiscard]] size_t WorkspaceSize() const override;
  [[nodiscard]] bool Prepare(std::span<std::byte> workspace) const override;
  [[nodiscard]] size_t Deflate(std::span<std::byte> workspace, std::span<const std::byte> unit,
                               std::span<std::byte> out,
                               const Dictionary* dictionary) const override;
  [[nodiscard]] bool Inflate(std::span<std::byte> workspace, std::span<const std::byte> object,
                             std::span<std::byte> unit,
                             const Dictionary* dictionary) const override;

  ZstdEffort effort_;
};

}  // namespace uzswap

#endif  // UZSWAP_CODEC_ZSTD_CODEC_H_
