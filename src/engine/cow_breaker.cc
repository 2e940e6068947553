#include "engine/cow_breaker.h"

namespace uzswap {

size_t BreakCow(CowPort& port, std::span<uint64_t> addresses, bool copying_pays,
                Statistics& statistics) {
  size_t broken = 0;
  for (const uint64_t address : addresses) {
    const bool shared = !port.MappedOnce(address).value_or(false);
    if (shared && !copying_pays) {
      statistics.shared_pages_kept.Add();
      continue;
    }
    if (shared) statistics.shared_pages_copied.Add();
    port.BreakCow(address);
    addresses[broken++] = address;
  }
  return broken;
}

}  // namespace uzswap
