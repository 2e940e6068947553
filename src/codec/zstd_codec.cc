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
                          std::span<std::byte> out) const {
  const size_t size = ZSTD_compress2(LayoutOf(workspace).compressor, out.data(), out.size(),
                                     unit.data(), unit.size());
  return ZSTD_isError(size) != 0 ? 0 : size;
}

bool ZstdCodec::Inflate(std::span<std::byte> workspace, std::span<const std::byte> object,
                        std::span<std::byte> unit) const {
  const size_t size = ZSTD_decompressDCtx(LayoutOf(workspace).decompressor, unit.data(),
                                          unit.size(), object.data(), object.size());
  return size == unit.size();  // an error code is larger than any unit
}

}  // namespace uzswap
