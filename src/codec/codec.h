// Codec: compresses a page and decompresses it again. It never allocates memory while it does so.
//
//   page (4096 bytes)                                         object (1 .. out.size() bytes)
//   +-----------------+   CodecContext::Compress      kCompressed      [##########]
//   |                 | ------------------------->    kIncompressible  it would not be smaller
//   +-----------------+
//            ^            CodecContext::Decompress
//            +-----------------------------------     ObjectView: one or two segments, because an
//                                                     object may straddle two pool frames
//
// With a Dictionary (dictionary.h) objects are smaller; they need the same dictionary to become
// pages again. Which one that is, the caller must know: an object does not say it. With another
// dictionary, or without, the outcome is kCorrupt or a page with other bytes.
//
// A Codec is immutable and all threads share it. Its working memory is in a CodecContext, a mapping
// of its own that Init creates once. Each thread that uses a codec has one context, which it gets
// from the context's owner. Nothing here is thread-local, because the engine's threads run inside
// another program and have no such storage to spare.
//
// Invariants: an outcome depends only on the bytes, not on earlier use of the context. Compress
// never writes past `out`. The bytes of `out` beyond the returned size are undefined. Decompress
// accepts any bytes. It reads only inside the object and writes only inside the page. It returns
// kCorrupt unless the object decompresses to exactly one page. It cannot detect every flipped bit;
// a store whose bits may flip must keep checksums.
//
// Errors: Init fails with the errno of mmap. After that no function can fail.
#ifndef UZSWAP_CODEC_CODEC_H_
#define UZSWAP_CODEC_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "codec/codec_id.h"
#include "codec/dictionary.h"
#include "os/mapping.h"

namespace uzswap {

// The largest unit that a context accepts: four pages compressed as one.
inline constexpr size_t kCodecUnitMax = 4 * kPageSize;

// An object in the memory of its pool. `second` is empty unless the object straddles two frames.
struct ObjectView {
  std::span<const std::byte> first;
  std::span<const std::byte> second;
  [[nodiscard]] size_t size() const { return first.size() + second.size(); }
  // Requires: to.size() >= size().
  void CopyTo(std::span<std::byte> to) const;
};

enum class CompressKind : uint8_t { kCompressed, kIncompressible };

struct [[nodiscard]] CompressOutcome {
  CompressKind kind = CompressKind::kIncompressible;
  uint32_t size = 0;  // kCompressed: bytes of `out` used, at least 1
};

enum class [[nodiscard]] DecompressOutcome : uint8_t{kOk, kCorrupt};

class Codec {
 public:
  Codec(const Codec&) = delete;
  Codec& operator=(const Codec&) = delete;

  [[nodiscard]] virtual const char* name() const = 0;
  [[nodiscard]] virtual CodecId id() const = 0;

 protected:
  constexpr Codec() = default;
  ~Codec() = default;  // codecs are static objects and are never deleted through Codec

 private:
  friend class CodecContext;
  [[nodiscard]] virtual size_t WorkspaceSize() const = 0;
  // Initializes a zeroed workspace. Returns false if it is too small, which is a bug.
  [[nodiscard]] virtual bool Prepare(std::span<std::byte> workspace) const = 0;
  // Compresses `unit`. Returns the size of the object, or 0 if it does not fit into `out`.
  [[nodiscard]] virtual size_t Deflate(std::span<std::byte> workspace,
                                       std::span<const std::byte> unit, std::span<std::byte> out,
                                       const Dictionary* dictionary) const = 0;
  // Decompresses `object`. Returns true if it decompresses to exactly unit.size() bytes.
  [[nodiscard]] virtual bool Inflate(std::span<std::byte> workspace,
                                     std::span<const std::byte> object, std::span<std::byte> unit,
                                     const Dictionary* dictionary) const = 0;
};

// "lz4" or "zstd" (level 1); nullptr for any other name. The objects live until the process ends.
const Codec* CodecByName(std::string_view name);
// The codec with this id; nullptr for kNone and unknown values.
const Codec* CodecById(CodecId id);

// zstd with more effort, for pages that have stayed compressed for long. The same id: its objects
// are zstd's.
const Codec& DenseCodec();

// The workspace of one thread for one codec. Used by one thread at a time.
class CodecContext {
 public:
  CodecContext() = default;
  CodecContext(CodecContext&&) = default;
  CodecContext& operator=(CodecContext&&) = default;

  // Call once, before any other function. `codec` must outlive the context.
  Result<void> Init(const Codec& codec);

  // Requires: `page` is aligned to 8, is a multiple of 8 bytes, and has at most kCodecUnitMax
  // bytes. `out` does not overlap it. The size of `out` is the acceptance threshold: an object that
  // does not fit is incompressible. `dictionary`: nullptr for none; else not empty.
  CompressOutcome Compress(std::span<const std::byte> page, std::span<std::byte> out,
                           const Dictionary* dictionary = nullptr);

  // Requires: the object does not overlap the page. After kCorrupt the page's bytes are undefined.
  // Requires: `dictionary` is the one that the object was compressed with.
  DecompressOutcome Decompress(const ObjectView& object, std::span<std::byte> page,
                               const Dictionary* dictionary = nullptr);

  [[nodiscard]] const Codec& codec() const { return *codec_; }

 private:
  const Codec* codec_ = nullptr;
  os::Mapping memory_;  // the codec's workspace, then the bounce buffer
  std::span<std::byte> workspace_;
  std::span<std::byte> bounce_;  // makes a straddling object contiguous
};

// True if all 64-bit words of `page` equal its first word, which is stored in `pattern`. On
// ordinary pages this costs a few loads. A codec does not detect such pages; the caller that stores
// pages checks first. Requires: as Compress.
[[nodiscard]] bool IsSameFilled(std::span<const std::byte> page, uint64_t* pattern);
// Fills the page with the pattern that IsSameFilled found.
void FillPage(uint64_t pattern, std::span<std::byte> page);
// The same for a page that repeats a word of 32 bits.
inline void FillPageWithWord(uint32_t word, std::span<std::byte> page) {
  FillPage((uint64_t{word} << 32) | word, page);
}

}  // namespace uzswap

#endif  // UZSWAP_CODEC_CODEC_H_
