#include "codec/lz4_codec.h"

#define LZ4_STATIC_LINKING_ONLY
#include <lz4.h>

namespace uzswap {
namespace {

constexpr int kAcceleration = 1;

const char* Chars(std::span<const std::byte> bytes) {
  return reinterpret_cast<const char*>(bytes.data());
}
char* Chars(std::span<std::byte> bytes) { return reinterpret_cast<char*>(bytes.data()); }
int Length(std::span<const std::byte> bytes) { return static_cast<int>(bytes.size()); }

size_t DeflateWith(const Dictionary& dictionary, std::span<std::byte> workspace,
                   std::span<const std::byte> unit, std::span<std::byte> out) {
  // A fast reset is not enough: a stream whose last page did not fit is undefined.
  LZ4_stream_t* const stream = LZ4_initStream(workspace.data(), sizeof(LZ4_stream_t));
  LZ4_attach_dictionary(stream, static_cast<const LZ4_stream_t*>(dictionary.lz4_tables()));
  const int size = LZ4_compress_fast_continue(stream, Chars(unit), Chars(out), Length(unit),
                                              Length(out), kAcceleration);
  return size > 0 ? static_cast<size_t>(size) : 0;
}

}  // namespace

size_t Lz4Codec::DictionaryBytes() { return sizeof(LZ4_stream_t); }

const void* Lz4Codec::DigestDictionary(std::span<const std::byte> content,
                                       std::span<std::byte> tables) {
  LZ4_stream_t* const stream = LZ4_initStream(tables.data(), tables.size());
  if (stream == nullptr) return nullptr;
  return LZ4_loadDict(stream, Chars(content), Length(content)) > 0 ? stream : nullptr;
}

size_t Lz4Codec::WorkspaceSize() const { return static_cast<size_t>(LZ4_sizeofState()); }

bool Lz4Codec::Prepare(std::span<std::byte> workspace) const {
  return workspace.size() >= WorkspaceSize();  // every call to LZ4 resets the state
}

size_t Lz4Codec::Deflate(std::span<std::byte> workspace, std::span<const std::byte> unit,
                         std::span<std::byte> out, const Dictionary* dictionary) const {
  if (dictionary != nullptr) return DeflateWith(*dictionary, workspace, unit, out);
  const int size = LZ4_compress_fast_extState(workspace.data(), Chars(unit), Chars(out),
                                              Length(unit), Length(out), kAcceleration);
  return size > 0 ? static_cast<size_t>(size) : 0;
}

bool Lz4Codec::Inflate(std::span<std::byte> /*workspace*/, std::span<const std::byte> object,
                       std::span<std::byte> unit, const Dictionary* dictionary) const {
  const std::span<const std::byte> content =
      dictionary != nullptr ? dictionary->content() : std::span<const std::byte>();
  const int size = LZ4_decompress_safe_usingDict(Chars(object), Chars(unit), Length(object),
                                                 Length(unit), Chars(content), Length(content));
  return size == Length(unit);
}

}  // namespace uzswap
