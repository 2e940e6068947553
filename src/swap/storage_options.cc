#include "swap/storage_options.h"

#include <cerrno>

namespace uzswap {
namespace {

const char* WhatIsWrong(const StorageBackingOptions& backing) {
  if (!backing.wanted()) {
    if (backing.size_limit != Bytes(0)) return "a size limit is given, but no backing store";
    if (backing.write_limit != Bytes(0)) return "a write limit is given, but no backing store";
    if (backing.encrypt) return "encryption is asked for, but no backing store is given";
    return nullptr;
  }
  const bool has_path = backing.path != nullptr && *backing.path != '\0';
  if (has_path && backing.port != nullptr) return "both a backing path and a port are given";
  if (has_path && backing.path[0] != '/') return "the backing path must be absolute";
  if (backing.size_limit != Bytes(0) && backing.size_limit < StorageOptions::kBackingSizeMin) {
    return "the size limit of the backing store must be at least 1 MiB";
  }
  if (backing.write_limit != Bytes(0) && backing.write_period_s == 0) {
    return "a write limit needs a period of at least one second";
  }
  return nullptr;
}

const char* WhatIsWrong(const StorageOptions& options) {
  if (options.memory_limit < StorageOptions::kMemoryLimitMin) {
    return "the memory limit must be at least 64 KiB";
  }
  if (options.memory_limit > StorageOptions::kMemoryLimitMax) {
    return "the memory limit must be at most 8 TiB";
  }
  if (options.pool_limit > options.memory_limit) {
    return "the pool limit must not exceed the memory limit";
  }
  if (CodecById(FirstCodecOf(options.codec)) == nullptr) {
    return "the codec must be auto, lz4 or zstd";
  }
  const uint64_t dictionary = options.dictionary_max.raw();
  if (dictionary != 0 && (dictionary < kDictionaryBytesMin || dictionary > kDictionaryBytesMax)) {
    return "the size of a dictionary must be 0, or 256 bytes to 64 KiB";
  }
  if (options.pool != PoolKind::kZsmalloc && options.pool != PoolKind::kZbud) {
    return "the pool must be zsmalloc or zbud";
  }
  return WhatIsWrong(options.backing);
}

}  // namespace

Result<void> Validate(const StorageOptions& options) {
  const char* wrong = WhatIsWrong(options);
  if (wrong != nullptr) return Error{EINVAL, wrong};
  return {};
}

}  // namespace uzswap
