// Keeps 64 MiB of data in 16 MiB of memory and a file.
#include <uzswap/page_cache.h>

#include <cstdio>
#include <cstring>
#include <vector>

int main() {
  auto opened = uzswap::PageCache::Open({.memory_bytes = 16 << 20, .backing = "/var/tmp"});
  if (!opened.ok()) {
    std::fprintf(stderr, "%s: %s\n", opened.error().what, std::strerror(opened.error().errno_value));
    return 1;
  }
  uzswap::PageCache& cache = opened.value();
  const auto area = cache.CreateArea(uzswap::PageCache::Lifetime::kPersistent);
  std::vector<std::byte> page(cache.unit_bytes());
  for (uint64_t i = 0; i < 16384; ++i) {
    for (size_t at = 0; at < page.size(); ++at) page[at] = std::byte(at % 5 == 0 ? i * at : at);
    if (cache.Store(area, i, page) != uzswap::PageCache::Stored::kStored) return 2;
  }
  for (uint64_t i = 0; i < 16384; ++i) {
    if (cache.Load(area, i, page) != uzswap::PageCache::Loaded::kLoaded) return 3;
    if (page[5] != std::byte(i * 5)) return 4;
  }
  const auto counts = cache.statistics();
  std::printf("%llu pages, %llu of them on disk, %llu KiB in memory\n",
              static_cast<unsigned long long>(counts.units),
              static_cast<unsigned long long>(counts.units_on_disk),
              static_cast<unsigned long long>(counts.memory_bytes >> 10));
  return counts.memory_bytes <= 16 << 20 ? 0 : 5;
}
