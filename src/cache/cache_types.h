// The options of a CompressedCache and the outcomes of its operations.
#ifndef UZSWAP_CACHE_CACHE_TYPES_H_
#define UZSWAP_CACHE_CACHE_TYPES_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/units.h"
#include "cache/entry_index.h"
#include "codec/codec.h"
#include "codec/dictionary_set.h"
#include "codec/encoding.h"

namespace uzswap {

using PageBytes = std::span<std::byte, kPageSize>;
using ConstPageBytes = std::span<const std::byte, kPageSize>;

enum class [[nodiscard]] StoreOutcome : uint8_t{
    kStored,          // as an object, or as a pattern in the word
    kNoSpace,         // the pool is at its limit, or shrinks after it was there
    kIncompressible,  // the cache was told not to keep such pages
    kNoIndex,         // the area does not exist, is being destroyed, or the index is full
};

enum class [[nodiscard]] LoadOutcome : uint8_t{
    kLoaded,
    kMiss,     // never stored, invalidated, taken, or dropped
    kIoError,  // CacheContext::last_error() has the errno; the entry is unchanged
    kCorrupt,  // the stored bytes are damaged; the entry is unchanged
    kOnDisk,   // with kKeepFromMemory only; the entry is unchanged
};

enum class LoadMode : uint8_t {
  kExclusive,  // the page leaves the cache
  kKeep,       // the copy stays: an unchanged page need not be compressed again
  // As kKeep, but returns kOnDisk instead of waiting for a device. PrefetchMany reads the page.
  kKeepFromMemory,
};

// Whether an object that was chosen for writing is written.
enum class [[nodiscard]] EvictOutcome : uint8_t{
    kBegun,       // its bytes are in the span; Written or CancelWrite ends the write
    kGone,        // the entry has changed
    kInFlight,    // it is being loaded
    kReferenced,  // it was loaded since the writer last looked: spared this once
    kDropped,     // it was ephemeral
};

struct [[nodiscard]] EvictResult {
  EvictOutcome outcome = EvictOutcome::kGone;
  uint64_t token = 0;
  Encoding encoding;
  std::span<const std::byte> object;  // in the writer's context, until its next call
};

enum class [[nodiscard]] RecompressOutcome : uint8_t{
    kMadeDenser,
    kKept,     // it would have freed nothing; not tried again
    kGone,     // the entry has changed, or is in flight
    kNoSpace,  // the pool had no room for the new object
};

struct CacheOptions {
  const Codec* codec = nullptr;  // of stores; must be given
  bool choose_codec = false;     // CodecChooser decides instead: zstd at first
  // What stores may use; must be given, outlives the cache's entries, and serves no other cache.
  DictionarySet* dictionaries = nullptr;
  bool keep_incompressible = true;   // uncompressed, so that they age and are written back
  size_t object_max = kPageSize;     // a page that compresses to more counts as incompressible
  uint64_t pool_limit = UINT64_MAX;  // bytes of the pool's frames
  uint32_t readahead_frames = 64;
  IndexOptions index;
};

}  // namespace uzswap

#endif  // UZSWAP_CACHE_CACHE_TYPES_H_
