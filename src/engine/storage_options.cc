#include "engine/storage_options.h"

#include <algorithm>

namespace uzswap {

StorageOptions StorageOptionsFor(const Options& options, Bytes arena, Bytes dictionary,
                                 WearAccount* wear) {
  StorageOptions storage;
  if (options.dictionary != DictionaryMode::kOff) {
    storage.dictionary_max = std::max(dictionary, Bytes(kDictionaryBytesDefault));
  }
  storage.pool = options.pool;
  storage.codec = options.codec;
  storage.memory_limit = arena;
  // The limit may have been raised since the arena was decided on.
  storage.pool_limit = std::min(options.pool_limit, arena);
  // Incompressible pages cost less where they are, unless they can be written out.
  storage.keep_incompressible = KeepIncompressible::kIfWritable;
  storage.backing.path = options.backing;
  storage.backing.size_limit = options.backing_size;
  storage.backing.write_limit = options.write_limit;
  storage.backing.write_period_s = options.write_period_s;
  storage.backing.encrypt = options.encrypt;
  storage.backing.wear = wear;
  return storage;
}

}  // namespace uzswap
