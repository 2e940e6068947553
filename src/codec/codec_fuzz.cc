// Uses arbitrary bytes in two ways. As an object: decompression must stay within its buffers. As a
// page: it must be the same after compression and decompression. The first byte selects the codec
// and where the object is split into two segments.
#include <cstring>
#include <span>

#include "codec/codec.h"

namespace {

using uzswap::CodecContext;
using uzswap::kPageSize;

CodecContext& Context(bool zstd) {
  static CodecContext contexts[2];
  static const bool ready = contexts[0].Init(*uzswap::CodecByName("lz4")).ok() &&
                            contexts[1].Init(*uzswap::CodecByName("zstd")).ok();
  UZ_CHECK(ready);
  return contexts[zstd ? 1 : 0];
}

alignas(8) std::byte g_page[kPageSize];
alignas(8) std::byte g_back[kPageSize];
std::byte g_object[kPageSize];

void AsObject(CodecContext& context, std::span<const std::byte> bytes, size_t cut) {
  cut = cut < bytes.size() ? cut : bytes.size();
  static_cast<void>(context.Decompress({bytes.first(cut), bytes.subspan(cut)}, g_page));
}

void AsPage(CodecContext& context, std::span<const std::byte> bytes) {
  memset(g_page, 0, kPageSize);
  memcpy(g_page, bytes.data(), bytes.size() < kPageSize ? bytes.size() : kPageSize);
  uint64_t pattern = 0;
  if (uzswap::IsSameFilled(g_page, &pattern)) {
    uzswap::FillPage(pattern, g_back);
    UZ_CHECK_EQ(memcmp(g_page, g_back, kPageSize), 0);
  }
  const uzswap::CompressOutcome outcome = context.Compress(g_page, g_object);
  switch (outcome.kind) {
    case uzswap::CompressKind::kIncompressible:
      return;
    case uzswap::CompressKind::kCompressed:
      UZ_CHECK(context.Decompress({std::span(g_object).first(outcome.size), {}}, g_back) ==
               uzswap::DecompressOutcome::kOk);
      break;
  }
  UZ_CHECK_EQ(memcmp(g_page, g_back, kPageSize), 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  CodecContext& context = Context((data[0] & 1) != 0);
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  AsObject(context, bytes, data[0] >> 1);
  AsPage(context, bytes);
  return 0;
}
