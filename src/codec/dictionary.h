// Dictionary: content that a codec assumes to stand before every page, digested for all codecs.
//
//   memory   | content | lz4: hash table | zstd: compressor's tables | zstd: decoder's tables |
//
// A page that resembles others compresses to a fraction if the codec has seen the others: matches
// may refer to the dictionary. An object can only be decompressed with the dictionary that it was
// compressed with. The *version* names the content: equal content has the same version in every
// process, and on disk.
//
// The content is in the format of zstd's trainer (ZDICT): entropy tables, then sample bytes. lz4
// uses the same bytes as plain content. Digesting is done once; after that a dictionary is
// immutable and any thread may use it. The tables are made in memory of the caller by the static
// initialisers of both libraries, so nothing allocates.
#ifndef UZSWAP_CODEC_DICTIONARY_H_
#define UZSWAP_CODEC_DICTIONARY_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace uzswap {

// Sizes of a dictionary's content, in bytes. On program heaps 16 KiB give 97 % of what 64 KiB give.
inline constexpr size_t kDictionaryBytesMin = 256;
inline constexpr size_t kDictionaryBytesDefault = size_t{16} << 10;
inline constexpr size_t kDictionaryBytesMax = size_t{64} << 10;

// The version of a dictionary with this content: 24 bits of its hash (XXH3), never 0.
inline constexpr int kDictionaryVersionBits = 24;
[[nodiscard]] uint32_t DictionaryVersionOf(std::span<const std::byte> content);

class Dictionary {
 public:
  Dictionary() = default;

  // Memory that Digest needs for content of at most `content_bytes`, in bytes. More content never
  // needs less memory.
  [[nodiscard]] static size_t MemoryFor(size_t content_bytes);

  // Copies `content` to `memory` and makes the tables. False if it is not a dictionary of the
  // format above, or its size is out of bounds; the dictionary is then empty.
  // Requires: memory.size() >= MemoryFor(content.size()), aligned to 64. It outlives the use.
  [[nodiscard]] bool Digest(std::span<const std::byte> content, std::span<std::byte> memory);

  [[nodiscard]] bool empty() const { return content_.empty(); }
  // 0 if it is empty.
  [[nodiscard]] uint32_t version() const { return version_; }
  // Of the content (XXH3), all 64 bits.
  [[nodiscard]] uint64_t hash() const { return hash_; }
  [[nodiscard]] std::span<const std::byte> content() const { return content_; }

  // --- For the codecs ---
  [[nodiscard]] const void* lz4_tables() const { return lz4_; }
  [[nodiscard]] const void* zstd_compressor_tables() const { return zstd_compressor_; }
  [[nodiscard]] const void* zstd_decoder_tables() const { return zstd_decoder_; }

 private:
  std::span<const std::byte> content_;
  const void* lz4_ = nullptr;
  const void* zstd_compressor_ = nullptr;
  const void* zstd_decoder_ = nullptr;
  uint64_t hash_ = 0;
  uint32_t version_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_CODEC_DICTIONARY_H_
