/* The C interface from C: compiled as C11, linked with the shared library. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "uzswap.h"

enum { kUnit = 4096, kUnits = 200 };

static void Expect(int condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "FAILED: %s (%s)\n", what, uzswap_error_text());
  exit(1);
}

static void Fill(unsigned char* unit, unsigned number) {
  for (unsigned i = 0; i < kUnit; ++i) unit[i] = (unsigned char)(i % 64 == 0 ? number : i % 7);
}

static void CheckRefusals(void) {
  uzswap_cache* cache = NULL;
  uzswap_cache_options options = UZSWAP_CACHE_OPTIONS(1000);
  Expect(uzswap_cache_open(&options, &cache) == UZSWAP_BAD_OPTION, "too little memory is refused");
  Expect(strstr(uzswap_error_text(), "memory_bytes") != NULL, "the option is named");
  options.memory_bytes = 4 << 20;
  options.compression = 9;
  Expect(uzswap_cache_open(&options, &cache) == UZSWAP_BAD_OPTION, "no such compression");
  options.compression = UZSWAP_COMPRESS_LZ4;
  options.struct_bytes = 8;
  Expect(uzswap_cache_open(&options, &cache) == UZSWAP_BAD_OPTION, "another structure is refused");
  options.struct_bytes = sizeof options;
  options.backing = "/no/such/folder/file";
  Expect(uzswap_cache_open(&options, &cache) == UZSWAP_FAILED, "no medium");
  Expect(uzswap_error_number() != 0, "its errno");
  Expect(cache == NULL, "nothing was opened");
  uzswap_cache_close(NULL);
}

static void CheckRegion(void) {
  uzswap_region* region = NULL;
  uzswap_region_options options = UZSWAP_REGION_OPTIONS(32 << 20, 1000);
  Expect(uzswap_region_open(&options, &region) == UZSWAP_BAD_OPTION, "too little is refused");
  Expect(strstr(uzswap_error_text(), "memory_bytes") != NULL, "the option is named");
  options.memory_bytes = 4 << 20;
  options.struct_bytes = 1;
  Expect(uzswap_region_open(&options, &region) == UZSWAP_BAD_OPTION, "another structure");
  options.struct_bytes = sizeof options;
  Expect(uzswap_region_open(&options, &region) == UZSWAP_OK, "open");
  Expect(uzswap_region_size(region) == 32 << 20, "its size");
  unsigned* numbers = uzswap_region_data(region);
  const unsigned count = (32 << 20) / sizeof *numbers;
  for (unsigned i = 0; i < count; ++i) numbers[i] = i / 5;
  for (unsigned i = 0; i < count; i += 97) Expect(numbers[i] == i / 5, "a number");
  uzswap_region_statistics statistics = {.struct_bytes = sizeof statistics};
  uzswap_region_get_statistics(region, &statistics);
  Expect(statistics.resident_bytes + statistics.compressed_bytes <= 5 << 20, "the limit");
  Expect(statistics.faults > 0 && statistics.stored_pages > 0, "faults");
  uzswap_pin* pin = NULL;
  Expect(uzswap_region_pin(region, numbers, 32 << 20, &pin) == UZSWAP_FULL, "too much to pin");
  Expect(uzswap_region_pin(region, numbers, 8192, NULL) == UZSWAP_BAD_OPTION, "no place for it");
  Expect(uzswap_region_pin(region, numbers, 8192, &pin) == UZSWAP_OK, "pin");
  uzswap_region_get_statistics(region, &statistics);
  Expect(statistics.pinned_pages == 2, "two pages are pinned");
  for (unsigned i = 4096; i < count; i += 1024) Expect(numbers[i] == i / 5, "the others");
  int ends[2];
  static unsigned passed[8192 / sizeof *numbers];
  Expect(pipe(ends) == 0, "a pipe");
  Expect(write(ends[1], numbers, 8192) == 8192, "a system call on pinned memory");
  Expect(read(ends[0], passed, 8192) == 8192 && memcmp(passed, numbers, 8192) == 0, "its content");
  close(ends[0]);
  close(ends[1]);
  uzswap_pin_release(pin);
  uzswap_pin_release(NULL);
  uzswap_region_get_statistics(region, &statistics);
  Expect(statistics.pinned_pages == 0, "none is pinned");
  uzswap_region_advise(region, numbers, 1 << 20, UZSWAP_COLD);
  uzswap_region_advise(region, numbers, 1 << 20, UZSWAP_WILL_NEED);
  uzswap_region_discard(region, numbers, 32 << 20);
  Expect(numbers[12345] == 0, "what was discarded reads as zeroes");
  uzswap_region_close(region);
  uzswap_region_close(NULL);
}

int main(void) {
  CheckRefusals();
  CheckRegion();
  uzswap_cache* cache = NULL;
  const uzswap_cache_options options = UZSWAP_CACHE_OPTIONS(4 << 20);
  Expect(uzswap_cache_open(&options, &cache) == UZSWAP_OK, "open");
  const uint32_t area = uzswap_cache_create_area(cache, UZSWAP_PERSISTENT);
  Expect(area != 0, "an area");
  static unsigned char units[kUnits * kUnit];
  static unsigned char found[kUnits * kUnit];
  for (unsigned i = 0; i < kUnits; ++i) Fill(units + i * kUnit, i);
  Expect(uzswap_cache_store_many(cache, area, 10, units, kUnits) == kUnits, "store many");
  Expect(uzswap_cache_load_many(cache, area, 10, found, kUnits) == kUnits, "load many");
  Expect(memcmp(units, found, sizeof units) == 0, "what was stored is loaded");
  Expect(uzswap_cache_load(cache, area, 5, found, UZSWAP_KEEP) == UZSWAP_MISS, "a miss");
  Expect(uzswap_cache_load(cache, area, 10, found, UZSWAP_TAKE) == UZSWAP_OK, "take");
  Expect(uzswap_cache_load(cache, area, 10, found, UZSWAP_KEEP) == UZSWAP_MISS, "taken");
  Expect(uzswap_cache_store(cache, area, 10, units) == UZSWAP_OK, "store");
  Expect(uzswap_cache_invalidate(cache, area, 10) == UZSWAP_OK, "invalidate");
  Expect(uzswap_cache_invalidate(cache, area, 10) == UZSWAP_MISS, "invalidated");
  Expect(uzswap_cache_store(cache, 99999, 10, units) == UZSWAP_NO_AREA, "no such area");
  uzswap_cache_statistics statistics = {.struct_bytes = sizeof statistics};
  uzswap_cache_get_statistics(cache, &statistics);
  Expect(statistics.units == kUnits - 1, "units");
  Expect(statistics.object_bytes > 0 && statistics.object_bytes < sizeof units / 2, "object bytes");
  Expect(uzswap_cache_invalidate_area(cache, area) == kUnits - 1, "all that was left");
  uzswap_cache_destroy_area(cache, area);
  uzswap_cache_close(cache);
  printf("libuzswap %s: ok\n", uzswap_version());
  return 0;
}
