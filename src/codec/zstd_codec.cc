#include "codec/zstd_codec.h"

#include "codec/dictionary.h"

#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

namespace uzswap {
namespace {

struct Layout {
  ZSTD_CCtx* compressor;
  ZSTD_DCtx* decompressor;
  // kDense: memory for the tables of a dictionary, and the dictionary that they are of.
  std::byte* tables;
  const ZSTD_CDict* dense;
  const std::byte* content;
  uint64_t hash;
};

constexpr size_t kAlign = 64;
constexpr size_t kLayoutSize = kAlign;
static_assert(sizeof(Layout) <= kLayoutSize);

constexpr int kFastLevel = 1;

constexpr size_t RoundUp(size_t size) { return (size + kAlign - 1) & ~(kAlign - 1); }

// kDense was measured on heaps of CPython, node, redis and Java (docs/decisions/0035). Larger
// tables gain nothing on a page; the strategies that follow take five times as long.
ZSTD_compressionParameters AtEffort(ZstdEffort effort, ZSTD_compressionParameters fast) {
  if (effort == ZstdEffort::kFast) return fast;
  ZSTD_compressionParameters dense = fast;
  dense.hashLog = 13;
  dense.chainLog = 13;
  dense.searchLog = 3;
  dense.minMatch = 4;
  dense.strategy = ZSTD_lazy2;
  return dense;
}

ZSTD_compressionParameters Parameters(ZstdEffort effort) {
  return AtEffort(effort, ZSTD_getCParams(kFastLevel, kCodecUnitMax, 0));
}
// One set of parameters for dictionaries of every size. With zstd's own choice the tables of a
// small dictionary can be larger than those of a large one.
ZSTD_compressionParameters DictionaryParameters(ZstdEffort effort) {
  return AtEffort(effort, ZSTD_getCParams(kFastLevel, kPageSize, kDictionaryBytesMax));
}

// The estimate is for the one-pass interface, the only one that we use. The slack is for the sticky
// parameters of ZSTD_compress2.
size_t CompressorSize(ZstdEffort effort) {
  constexpr size_t kSlack = 16 << 10;
  return RoundUp(ZSTD_estimateCCtxSize_usingCParams(Parameters(effort)) + kSlack);
}
size_t DecompressorSize() { return RoundUp(ZSTD_estimateDCtxSize()); }

size_t TablesSize(ZstdEffort effort) {
  return RoundUp(ZSTD_estimateCDictSize_advanced(kDictionaryBytesMax, DictionaryParameters(effort),
                                                 ZSTD_dlm_byRef));
}

const ZSTD_CDict* DigestWith(ZstdEffort effort, std::span<const std::byte> content, void* tables) {
  return ZSTD_initStaticCDict(tables, TablesSize(effort), content.data(), content.size(),
                              ZSTD_dlm_byRef, ZSTD_dct_fullDict, DictionaryParameters(effort));
}

Layout& LayoutOf(std::span<std::byte> workspace) {
  return *reinterpret_cast<Layout*>(workspace.data());
}

bool Set(ZSTD_CCtx* context, ZSTD_cParameter parameter, unsigned value) {
  return ZSTD_isError(ZSTD_CCtx_setParameter(context, parameter, static_cast<int>(value))) == 0;
}

bool SetDense(ZSTD_CCtx* context) {
  const ZSTD_compressionParameters dense = Parameters(ZstdEffort::kDense);
  return Set(context, ZSTD_c_hashLog, dense.hashLog) &&
         Set(context, ZSTD_c_chainLog, dense.chainLog) &&
         Set(context, ZSTD_c_searchLog, dense.searchLog) &&
         Set(context, ZSTD_c_minMatch, dense.minMatch) &&
         Set(context, ZSTD_c_strategy, dense.strategy);
}

// The tables of `dictionary` for kDense. They refer to the content, so its address must be the same
// too.
const ZSTD_CDict* DenseTables(Layout& layout, const Dictionary& dictionary) {
  const std::span<const std::byte> content = dictionary.content();
  if (layout.content != content.data() || layout.hash != dictionary.hash()) {
    layout.content = content.data();
    layout.hash = dictionary.hash();
    layout.dense = DigestWith(ZstdEffort::kDense, content, layout.tables);
  }
  return layout.dense;
}

}  // namespace

size_t ZstdCodec::CompressorDictionaryBytes() { return TablesSize(ZstdEffort::kFast); }

size_t ZstdCodec::DenseDictionaryBytes() { return TablesSize(ZstdEffort::kDense); }

size_t ZstdCodec::DecoderDictionaryBytes() {
  return RoundUp(ZSTD_estimateDDictSize(kDictionaryBytesMax, ZSTD_dlm_byRef));
}

const void* ZstdCodec::DigestForCompressor(std::span<const std::byte> content,
                                           std::span<std::byte> tables) {
  return DigestWith(ZstdEffort::kFast, content, tables.data());
}

const void* ZstdCodec::DigestForDecoder(std::span<const std::byte> content,
                                        std::span<std::byte> tables) {
  return ZSTD_initStaticDDict(tables.data(), tables.size(), content.data(), content.size(),
                              ZSTD_dlm_byRef, ZSTD_dct_fullDict);
}

size_t ZstdCodec::WorkspaceSize() const {
  const size_t tables = effort_ == ZstdEffort::kDense ? TablesSize(effort_) : 0;
  return kLayoutSize + CompressorSize(effort_) + DecompressorSize() + tables;
}

bool ZstdCodec::Prepare(std::span<std::byte> workspace) const {
  if (workspace.size() < WorkspaceSize()) return false;
  std::byte* const compressor = workspace.data() + kLayoutSize;
  std::byte* const decompressor = compressor + CompressorSize(effort_);
  Layout& layout = LayoutOf(workspace);
  layout.compressor = ZSTD_initStaticCCtx(compressor, CompressorSize(effort_));
  layout.decompressor = ZSTD_initStaticDCtx(decompressor, DecompressorSize());
  layout.tables = decompressor + DecompressorSize();
  if (layout.compressor == nullptr || layout.decompressor == nullptr) return false;
  // The magic number would cost four bytes for each page.
  return Set(layout.compressor, ZSTD_c_compressionLevel, kFastLevel) &&
         (effort_ == ZstdEffort::kFast || SetDense(layout.compressor)) &&
         Set(layout.compressor, ZSTD_c_format, ZSTD_f_zstd1_magicless) &&
         Set(layout.compressor, ZSTD_c_checksumFlag, 0) &&
         Set(layout.compressor, ZSTD_c_dictIDFlag, 0) &&
         ZSTD_isError(ZSTD_DCtx_setParameter(layout.decompressor, ZSTD_d_format,
                                             ZSTD_f_zstd1_magicless)) == 0;
}

const void* ZstdCodec::TablesOf(std::span<std::byte> workspace,
                                const Dictionary& dictionary) const {
  if (effort_ == ZstdEffort::kFast) return dictionary.zstd_compressor_tables();
  return DenseTables(LayoutOf(workspace), dictionary);
}

size_t ZstdCodec::Deflate(std::span<std::byte> workspace, std::span<const std::byte> unit,
                          std::span<std::byte> out, const Dictionary* dictionary) const {
  ZSTD_CCtx* const compressor = LayoutOf(workspace).compressor;
  const void* const tables = dictionary == nullptr ? nullptr : TablesOf(workspace, *dictionary);
  if (dictionary != nullptr && tables == nullptr) return 0;
  // A page that did not fit leaves its session open.
  if (ZSTD_isError(ZSTD_CCtx_reset(compressor, ZSTD_reset_session_only)) != 0) return 0;
  const auto* const reference = static_cast<const ZSTD_CDict*>(tables);
  if (ZSTD_isError(ZSTD_CCtx_refCDict(compressor, reference)) != 0) return 0;
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
