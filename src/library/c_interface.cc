// The C interface: each function is one call of PageCache.
#include <cerrno>
#include <new>
#include <utility>

#include "library/c_interface_common.h"
#include "uzswap.h"
#include "uzswap/page_cache.h"

using uzswap::PageCache;
using uzswap::RememberError;

struct uzswap_cache {
  PageCache cache;
};

namespace {

thread_local uzswap::Error t_error;

std::span<const std::byte> BytesAt(const void* data, size_t bytes) {
  return {static_cast<const std::byte*>(data), bytes};
}
std::span<std::byte> BytesAt(void* data, size_t bytes) {
  return {static_cast<std::byte*>(data), bytes};
}

PageCache::Options OptionsFrom(const uzswap_cache_options& from) {
  PageCache::Options options;
  options.memory_bytes = from.memory_bytes;
  options.unit_bytes = from.unit_bytes;
  options.compression = static_cast<PageCache::Compression>(from.compression);
  options.store_timeout_ms = from.store_timeout_ms;
  options.backing = from.backing;
  options.backing_bytes = from.backing_bytes;
  options.encrypt = from.encrypt != 0;
  return options;
}

}  // namespace

uzswap_status uzswap::RememberError(Error error) {
  t_error = error;
  return error.errno_value == EINVAL ? UZSWAP_BAD_OPTION : UZSWAP_FAILED;
}

uzswap_status uzswap_cache_open(const uzswap_cache_options* options, uzswap_cache** cache) {
  if (options == nullptr || cache == nullptr) return RememberError({EINVAL, "a null pointer"});
  if (options->struct_bytes != sizeof(uzswap_cache_options)) {
    return RememberError({EINVAL, "struct_bytes: the size of uzswap_cache_options"});
  }
  if (options->compression > UZSWAP_COMPRESS_ZSTD) {
    return RememberError({EINVAL, "compression: 0 (auto), 1 (lz4) or 2 (zstd)"});
  }
  uzswap::Result<PageCache> opened = PageCache::Open(OptionsFrom(*options));
  if (!opened.ok()) return RememberError(opened.error());
  *cache = new (std::nothrow) uzswap_cache{std::move(opened).value()};
  return *cache != nullptr ? UZSWAP_OK : RememberError({ENOMEM, "memory for the cache"});
}

void uzswap_cache_close(uzswap_cache* cache) { delete cache; }

uint32_t uzswap_cache_create_area(uzswap_cache* cache, uzswap_lifetime lifetime) {
  return cache->cache.CreateArea(lifetime == UZSWAP_PERSISTENT ? PageCache::Lifetime::kPersistent
                                                               : PageCache::Lifetime::kEphemeral);
}

void uzswap_cache_destroy_area(uzswap_cache* cache, uint32_t area) {
  cache->cache.DestroyArea(area);
}

uzswap_status uzswap_cache_store(uzswap_cache* cache, uint32_t area, uint64_t index,
                                 const void* unit) {
  switch (cache->cache.Store(area, index, BytesAt(unit, cache->cache.unit_bytes()))) {
    case PageCache::Stored::kStored:
      return UZSWAP_OK;
    case PageCache::Stored::kFull:
      return UZSWAP_FULL;
    case PageCache::Stored::kUnknownArea:
      break;
  }
  return UZSWAP_NO_AREA;
}

uzswap_status uzswap_cache_load(uzswap_cache* cache, uint32_t area, uint64_t index, void* unit,
                                uzswap_keep keep) {
  const auto how = keep == UZSWAP_TAKE ? PageCache::Keep::kTake : PageCache::Keep::kKeep;
  switch (cache->cache.Load(area, index, BytesAt(unit, cache->cache.unit_bytes()), how)) {
    case PageCache::Loaded::kLoaded:
      return UZSWAP_OK;
    case PageCache::Loaded::kMiss:
      return UZSWAP_MISS;
    case PageCache::Loaded::kCorrupt:
      return UZSWAP_CORRUPT;
    case PageCache::Loaded::kIoError:
      break;
  }
  return UZSWAP_IO_ERROR;
}

uzswap_status uzswap_cache_invalidate(uzswap_cache* cache, uint32_t area, uint64_t index) {
  return cache->cache.Invalidate(area, index) ? UZSWAP_OK : UZSWAP_MISS;
}

uint64_t uzswap_cache_invalidate_area(uzswap_cache* cache, uint32_t area) {
  return cache->cache.InvalidateArea(area);
}

size_t uzswap_cache_store_many(uzswap_cache* cache, uint32_t area, uint64_t first,
                               const void* units, size_t count) {
  return cache->cache.StoreMany(area, first, BytesAt(units, count * cache->cache.unit_bytes()));
}

size_t uzswap_cache_load_many(uzswap_cache* cache, uint32_t area, uint64_t first, void* units,
                              size_t count) {
  return cache->cache.LoadMany(area, first, BytesAt(units, count * cache->cache.unit_bytes()));
}

void uzswap_cache_get_statistics(uzswap_cache* cache, uzswap_cache_statistics* statistics) {
  const PageCache::Statistics counted = cache->cache.statistics();
  uzswap_cache_statistics all = {};
  all.units = counted.units;
  all.units_on_disk = counted.units_on_disk;
  all.memory_bytes = counted.memory_bytes;
  all.object_bytes = counted.object_bytes;
  all.table_bytes = counted.table_bytes;
  all.disk_bytes = counted.disk_bytes;
  all.stores = counted.stores;
  all.loads = counted.loads;
  all.loads_from_disk = counted.loads_from_disk;
  all.misses = counted.misses;
  all.dropped = counted.dropped;
  all.refused = counted.refused;
  uzswap::FillStatistics(statistics, all);
}

const char* uzswap_error_text(void) { return t_error.what; }
int uzswap_error_number(void) { return t_error.errno_value; }
const char* uzswap_version(void) { return UZSWAP_VERSION; }
