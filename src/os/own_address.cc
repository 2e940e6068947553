#include "os/own_address.h"

#include <atomic>
#include <cstring>
#include <span>

#include "base/units.h"
#include "os/random.h"

namespace uzswap::os {
namespace {

// 2 MiB: what one table of the last level maps. The start is a multiple of it.
constexpr int kTableShift = 21;

// 0: not chosen yet. Relaxed: only the uniqueness of the addresses matters.
std::atomic<uint64_t> g_next{0};

uint64_t RandomStart() {
  uint64_t random = 0;
  // Without random bytes they begin at the start.
  if (!FillRandom(std::as_writable_bytes(std::span(&random, 1))).ok()) random = 0;
  // The upper half is left for what is mapped.
  constexpr uint64_t kStarts = (kOwnAddressesEnd - kOwnAddressesStart) / 2 >> kTableShift;
  return kOwnAddressesStart + (random % kStarts << kTableShift);
}

}  // namespace

void* NextOwnAddress(size_t bytes) {
  const uint64_t length = RoundUpToPage(bytes);
  if (g_next.load(std::memory_order_relaxed) == 0) {
    uint64_t unchosen = 0;
    g_next.compare_exchange_strong(unchosen, RandomStart(), std::memory_order_relaxed);
  }
  const uint64_t address = g_next.fetch_add(length, std::memory_order_relaxed);
  // After 16 TiB the kernel chooses.
  if (address + length > kOwnAddressesEnd) return nullptr;
  return reinterpret_cast<void*>(address);
}

}  // namespace uzswap::os
