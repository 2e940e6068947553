// Keeps 1 GiB of numbers in 256 MiB of memory, as ordinary memory.
#include <uzswap/region.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

int main() {
  constexpr uint64_t kBytes = uint64_t{1} << 30;
  auto created = uzswap::Region::Create({.size = kBytes, .memory_bytes = kBytes / 4});
  if (!created.ok()) {
    std::fprintf(stderr, "%s: %s\n", created.error().what,
                 std::strerror(created.error().errno_value));
    return 1;
  }
  uzswap::Region& region = created.value();
  auto* numbers = reinterpret_cast<uint64_t*>(region.data());
  constexpr uint64_t kNumbers = kBytes / sizeof(uint64_t);
  for (uint64_t i = 0; i < kNumbers; ++i) numbers[i] = i / 3;
  for (uint64_t i = 0; i < kNumbers; i += 997) {
    if (numbers[i] != i / 3) return 2;
  }
  // A system call needs its memory pinned.
  const auto pin = region.PinRange(numbers, 4096);
  if (!pin.ok()) return 3;
  const auto counts = region.statistics();
  std::printf("%llu MiB uncompressed, %llu MiB compressed, %llu faults\n",
              static_cast<unsigned long long>(counts.resident_bytes >> 20),
              static_cast<unsigned long long>(counts.compressed_bytes >> 20),
              static_cast<unsigned long long>(counts.faults));
  return counts.resident_bytes + counts.compressed_bytes <= kBytes / 4 + (4 << 20) ? 0 : 4;
}
