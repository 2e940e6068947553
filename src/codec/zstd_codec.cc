#include "codec/zstd_codec.h"

#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

namespace uzswap {
namespace {

struct Layout {
  ZSTD_CCtx* compressor;
  ZSTD_DCtx* decompressor;
};

constexpr size_t kAlign = 64;
constexpr size_t kLayoutSize = kAlign;
static_assert(sizeof(Layout) <= kLayoutSize);

constexpr size_t RoundUp(size_t size) { return (size + kAlign - 1) & ~(kAlign - 1); }

ZSTD_compressionParameters Parameters(int level) {
  return ZSTD_getCParams(level, kCodecUnitMax, 0);
}
// One set of parameters for dictionaries of every size. With zstd's own choice the tables of a
// small dictionary can be larger than those of a large one.
ZSTD_compressionParameters DictionaryParameters() {
  return ZSTD_getCParams(kZstdDefaultLevel, kPageSize, kDictionaryBytesMax);
}

// The estimate is for the one-pass interface, the only one that we use. The slack is for the sticky
// parameters of ZSTD_compress2.
size_t CompressorSize(int level) {
  constexpr size_t kSlack = 16 << 10;
  return RoundUp(ZSTD_estimateCCtxSize_usingCParams(Parameters(level)) + kSlack);
}
size_t DecompressorSize() { return RoundUp(ZSTD_estimateDCtxSize()); }

Layout& LayoutOf(std::span<std::byte> workspace) {
  return *reinterpret_cast<Layout*>(workspace.data());
}

bool Set(ZSTD_CCtx* context, ZSTD_cParameter parameter, int value) {
  return ZSTD_isError(ZSTD_CCtx_setParameter(context, parameter, value)) == 0;
}

}  // namespace

size_t ZstdCodec::CompressorDictionaryBytes() {
  return RoundUp(
      ZSTD_estimateCDictSize_advanced(kDictionaryBytesMax, DictionaryParameters(), ZSTD_dlm_byRef));
}

size_t ZstdCodec::DecoderDictionaryBytes() {
  return RoundUp(ZSTD_estimateDDictSize(kDictionaryBytesMax, ZSTD_dlm_byRef));
}

const void* ZstdCodec::DigestForCompressor(std::span<const std::byte> content,
                                           std::span<std::byte> tables) {
  return ZSTD_initStaticCDict(tables.data(), tables.size(), content.data(), content.size(),
                              ZSTD_dlm_byRef, ZSTD_dct_fullDict, DictionaryParameters());
}

const void* ZstdCodec::DigestForDecoder(std::span<const std::byte> content,
                                        std::span<std::byte> tables) {
  return ZSTD_initStaticDDict(tables.data(), tables.size(), content.data(), content.size(),
                              ZSTD_dlm_byRef, ZSTD_dct_fullDict);
}

size_t ZstdCodec::WorkspaceSize() const {
  return kLayoutSize + CompressorSize(level_) + DecompressorSize();
}

bool ZstdCodec::Prepare(std::span<std::byte> workspace) const {
  if (workspace.size() < WorkspaceSize()) return false;
  std::byte* const compressor = workspace.data() + kLayoutSize;
  Layout& layout = LayoutOf(workspace);
  layout.compressor = ZSTD_initStaticCCtx(compressor, CompressorSize(level_));
  layout.decompressor =
      ZSTD_initStaticDCtx(compressor + CompressorSize(level_), DecompressorSize());
  if (layout.compressor == nullptr || layout.decompressor == nullptr) return false;
  // The magic number would cost four bytes for each page.
  return Set(layout.compressor, ZSTD_c_compressionLevel, level_) &&
         Set(layout.compressor, ZSTD_c_format, ZSTD_f_zstd1_magicless) &&
         Set(layout.compressor, ZSTD_c_checksumFlag, 0) &&
         Set(layout.compressor, ZSTD_c_dictIDFlag, 0) &&
         ZSTD_isError(ZSTD_DCtx_setParameter(layout.decompressor, ZSTD_d_format,
                                             ZSTD_f_zstd1_magicless)) == 0;
}

size_t ZstdCodec::Deflate(std::span<std::byte> workspace, std::span<const std::byte> unit,
                          std::span<std::byte> out, const Dictionary* dictionary) const {
  ZSTD_CCtx* const compressor = LayoutOf(workspace).compressor;
  const auto* const tables =
      dictionary == nullptr ? nullptr
                            : static_cast<const ZSTD_CDict*>(dictionary->zstd_compressor_tables());
  // A page that did not fit leaves its session open.
  if (ZSTD_isError(ZSTD_CCtx_reset(compressor, ZSTD_reset_session_only)) != 0) return 0;
  if (ZSTD_isError(ZSTD_CCtx_refCDict(compressor, tables)) != 0) return 0;
  const size_t size = ZSTD_compress2(compressor, out.data(), out.size(), unit.data(), unit.size());
  return ZSTD_isError(size) != 0 ? 0 : size;
}

bool ZstdCodec::Inflate(std::span<std::byte> workspace, std::span<const std::byte> object,
                        std::span<std::byte> unit, const Dictionary* dictionary) const {
  ZSTD_DCtx* const decompressor = LayoutOf(workspace).decompressor;
  const auto* const tables =
      dictionary == nullptr ? nullptr
                            : static_cast<const ZSTD_DDict*>(dictionary->zstd_decoder_tables());
  if (ZSTD_isError(ZSTD_DCtx_refDDict(decompressor, tables)) != 0) return false;
  const size_t size =
      ZSTD_decompressDCtx(decompressor, unit.data(), unit.size(), object.data(), object.size());
  return size == unit.size();  // an error code is larger than any unit
}

}  // namespace uzswap
