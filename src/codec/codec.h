// Codec: turns a page into fewer bytes and back, without ever asking anybody for memory.
//
//   page (4096 bytes)                                         object (1 .. out.size() bytes)
//   +-----------------+   CodecContext::Compress      kCompressed      [##########]
//   |                 | ------------------------->    kIncompressible  it would not be smaller
//   +-----------------+
//            ^            CodecContext::Decompress
//            +-----------------------------------     ObjectView: one or two pieces, since an
//                                                     object may straddle two pool frames
//
// A Codec is immutable and shared by everybody. What it scribbles on while it works lives in
// a CodecContext, an own mapping taken once in Init: one context for each thread that works,
// handed down by its owner (nothing here is thread-local: the engine's threads inside a
// foreign program have no such storage to spare).
//
// Invariants: an outcome depends on the bytes alone, never on what the context did before.
// Compress never writes past `out`; what lies in `out` beyond the size returned is undefined.
// Decompress accepts any bytes at all: it reads inside the object, writes inside the page, and
// says kCorrupt unless the object is exactly one page long when unfolded. It cannot notice
// every flipped bit: checksums are the duty of whoever keeps objects where bits may flip.
//
// Errors: Init fails with the errno of mmap. Afterwards nothing can fail.
#ifndef UZSWAP_CODEC_CODEC_H_
#define UZSWAP_CODEC_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "codec/codec_id.h"
#include "os/mapping.h"

namespace uzswap {

// The largest unit a context accepts: four pages compressed as one.
inline constexpr size_t kCodecUnitMax = 4 * kPageSize;

// An object as its keeper has it. `second` is empty unless the object straddles two frames.
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
  ~Codec() = default;  // codecs are static objects; nobody deletes one through this face

 private:
  friend class CodecContext;
  [[nodiscard]] virtual size_t WorkspaceSize() const = 0;
  // Makes a zeroed workspace ready. False if it is too small, which is a bug.
  [[nodiscard]] virtual bool Prepare(std::span<std::byte> workspace) const = 0;
  // The size of the object, or 0 if it does not fit into `out`.
  [[nodiscard]] virtual size_t Deflate(std::span<std::byte> workspace,
                                       std::span<const std::byte> unit,
                                       std::span<std::byte> out) const = 0;
  // True if `object` unfolds to exactly unit.size() bytes.
  [[nodiscard]] virtual bool Inflate(std::span<std::byte> workspace,
                                     std::span<const std::byte> object,
                                     std::span<std::byte> unit) const = 0;
};

// "lz4" or "zstd" (level 1); nullptr for any other name. The objects live for ever.
const Codec* CodecByName(std::string_view name);
// The codec that can read what `id` names; nullptr for kNone and unknown values.
const Codec* CodecById(CodecId id);

// One thread's workspace for one codec.
class CodecContext {
 public:
  CodecContext() = default;
  CodecContext(CodecContext&&) = default;
  CodecContext& operator=(CodecContext&&) = default;

  // Once, before anything else. `codec` must outlive the context.
  Result<void> Init(const Codec& codec);

  // Requires: `page` is aligned to 8, a whole number of words, at most kCodecUnitMax; `out`
  // does not overlap it. The size of `out` is the acceptance threshold: an object that does
  // not fit is incompressible.
  CompressOutcome Compress(std::span<const std::byte> page, std::span<std::byte> out);

  // Requires: the object does not overlap the page. On kCorrupt the page's bytes are undefined.
  DecompressOutcome Decompress(const ObjectView& object, std::span<std::byte> page);

  [[nodiscard]] const Codec& codec() const { return *codec_; }

 private:
  const Codec* codec_ = nullptr;
  os::Mapping memory_;  // the codec's workspace, then the bounce buffer
  std::span<std::byte> workspace_;
  std::span<std::byte> bounce_;  // makes a straddling object contiguous
};

// True if all 64-bit words of `page` equal its first, which is stored in `pattern`. Costs a few
// loads on ordinary pages. A codec does not look for such pages; whoever stores pages asks first.
// Requires: as Compress.
[[nodiscard]] bool IsSameFilled(std::span<const std::byte> page, uint64_t* pattern);
// Writes the page of which IsSameFilled found the pattern.
void FillPage(uint64_t pattern, std::span<std::byte> page);

}  // namespace uzswap

#endif  // UZSWAP_CODEC_CODEC_H_
