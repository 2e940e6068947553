// The C interface of Region: each function is one call of it.
#include <cerrno>
#include <new>
#include <utility>

#include "library/c_interface_common.h"
#include "uzswap.h"
#include "uzswap/region.h"

using uzswap::Region;
using uzswap::RememberError;

struct uzswap_region {
  Region region;
};
struct uzswap_pin {
  Region::Pin pin;
};

uzswap_status uzswap_region_open(const uzswap_region_options* options, uzswap_region** region) {
  if (options == nullptr || region == nullptr) return RememberError({EINVAL, "a null pointer"});
  if (options->struct_bytes != sizeof(uzswap_region_options)) {
    return RememberError({EINVAL, "struct_bytes: the size of uzswap_region_options"});
  }
  if (options->compression > UZSWAP_COMPRESS_ZSTD) {
    return RememberError({EINVAL, "compression: 0 (auto), 1 (lz4) or 2 (zstd)"});
  }
  Region::Options wanted;
  wanted.size = options->size;
  wanted.memory_bytes = options->memory_bytes;
  wanted.compression = static_cast<Region::Compression>(options->compression);
  wanted.backing = options->backing;
  wanted.backing_bytes = options->backing_bytes;
  wanted.encrypt = options->encrypt != 0;
  uzswap::Result<Region> created = Region::Create(wanted);
  if (!created.ok()) return RememberError(created.error());
  *region = new (std::nothrow) uzswap_region{std::move(created).value()};
  return *region != nullptr ? UZSWAP_OK : RememberError({ENOMEM, "memory for the region"});
}

void uzswap_region_close(uzswap_region* region) { delete region; }
void* uzswap_region_data(uzswap_region* region) { return region->region.data(); }
uint64_t uzswap_region_size(uzswap_region* region) { return region->region.size(); }

uzswap_status uzswap_region_pin(uzswap_region* region, const void* start, size_t bytes,
                                uzswap_pin** pin) {
  if (pin == nullptr) return RememberError({EINVAL, "a null pointer"});
  auto* made = new (std::nothrow) uzswap_pin;
  if (made == nullptr) return UZSWAP_FULL;
  uzswap::Result<Region::Pin> pinned = region->region.PinRange(start, bytes);
  if (!pinned.ok()) {
    delete made;
    return pinned.error().errno_value == EIO ? UZSWAP_IO_ERROR : UZSWAP_FULL;
  }
  made->pin = std::move(pinned).value();
  *pin = made;
  return UZSWAP_OK;
}

void uzswap_pin_release(uzswap_pin* pin) { delete pin; }

void uzswap_region_advise(uzswap_region* region, const void* start, size_t bytes,
                          uzswap_advice advice) {
  const bool needed = advice == UZSWAP_WILL_NEED;
  region->region.Advise(start, bytes, needed ? Region::Advice::kWillNeed : Region::Advice::kCold);
}

void uzswap_region_discard(uzswap_region* region, void* start, size_t bytes) {
  region->region.Discard(start, bytes);
}

void uzswap_region_get_statistics(uzswap_region* region, uzswap_region_statistics* statistics) {
  const Region::Statistics counted = region->region.statistics();
  uzswap_region_statistics all = {};
  all.resident_bytes = counted.resident_bytes;
  all.compressed_bytes = counted.compressed_bytes;
  all.stored_pages = counted.stored_pages;
  all.disk_bytes = counted.disk_bytes;
  all.pinned_pages = counted.pinned_pages;
  all.faults = counted.faults;
  all.first_touches = counted.first_touches;
  all.faults_from_disk = counted.faults_from_disk;
  all.over_budget = counted.over_budget;
  uzswap::FillStatistics(statistics, all);
}

int uzswap_region_handle_signal(const void* information, const void* context) {
  return Region::HandleSignal(information, context) ? 1 : 0;
}
