#include "codec/lz4_codec.h"

#include <lz4.h>

namespace uzswap {
namespace {

constexpr int kAcceleration = 1;

const char* Chars(std::span<const std::byte> bytes) {
  return reinterpret_cast<const char*>(bytes.data());
}
char* Chars(std::span<std::byte> bytes) { return reinterpret_cast<char*>(bytes.data()); }
int Length(std::span<const std::byte> bytes) { return static_cast<int>(bytes.size()); }

}  // namespace

size_t Lz4Codec::WorkspaceSize() const { return static_cast<size_t>(LZ4_sizeofState()); }

bool Lz4Codec::Prepare(std::span<std::byte> workspace) const {
  return workspace.size() >= WorkspaceSize();  // every call to LZ4 resets the state
}

size_t Lz4Codec::Deflate(std::span<std::byte> workspace, std::span<const std::byte> unit,
                         std::span<std::byte> out) const {
  const int size = LZ4_compress_fast_extState(workspace.data(), Chars(unit), Chars(out),
                                              Length(unit), Length(out), kAcceleration);
  return size > 0 ? static_cast<size_t>(size) : 0;
}

bool Lz4Codec::Inflate(std::span<std::byte> /*workspace*/, std::span<const std::byte> object,
                       std::span<std::byte> unit) const {
  const int size = LZ4_decompress_safe(Chars(object), Chars(unit), Length(object), Length(unit));
  return size == Length(unit);
}

}  // namespace uzswap
