#include "learn/sample_reservoir.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "os/thread.h"

namespace uzswap {

Result<void> SampleReservoir::Init(uint64_t seed) {
  UZ_CHECK(memory_.empty());
  Result<os::Mapping> memory =
      os::Mapping::Create(Bytes(kPages * kPageSize), "mmap for sample pages");
  if (!memory.ok()) return memory.error();
  memory_ = std::move(memory).value();
  rng_ = Rng(seed);
  return {};
}

void SampleReservoir::OnCompressed(std::span<const std::byte, kPageSize> page) {
  if (!collecting()) return;
  if (busy_.exchange(true, std::memory_order_acquire)) return;
  // Read again: the first answer may be older than End.
  if (collecting()) {
    ++seen_;
    const uint32_t filled = filled_.load(std::memory_order_relaxed);
    if (filled < kPages) {
      // At a random place among those before it: otherwise the order would be that of the stores.
      const auto place = static_cast<uint32_t>(rng_.Below(filled + 1));
      if (place != filled) {
        memcpy(memory_.data() + filled * kPageSize, memory_.data() + place * kPageSize, kPageSize);
      }
      Put(place, page);
      filled_.store(filled + 1, std::memory_order_relaxed);
    } else if (const uint64_t place = rng_.Below(seen_); place < kPages) {
      Put(static_cast<uint32_t>(place), page);
    }
  }
  busy_.store(false, std::memory_order_release);
}

void SampleReservoir::Put(uint32_t index, std::span<const std::byte, kPageSize> page) {
  memcpy(memory_.data() + index * kPageSize, page.data(), kPageSize);
}

void SampleReservoir::Begin() {
  UZ_CHECK(!memory_.empty() && !collecting());
  TakeTurn();
  seen_ = 0;
  filled_.store(0, std::memory_order_relaxed);
  collecting_.store(true, std::memory_order_relaxed);
  busy_.store(false, std::memory_order_release);
}

void SampleReservoir::End() {
  TakeTurn();
  // The thread that takes the next turn sees it.
  collecting_.store(false, std::memory_order_relaxed);
  busy_.store(false, std::memory_order_release);
}

void SampleReservoir::TakeTurn() {
  while (busy_.exchange(true, std::memory_order_acquire)) os::YieldProcessor();
}

void SampleReservoir::Clear() {
  UZ_CHECK(!collecting());
  filled_.store(0, std::memory_order_relaxed);
  if (!memory_.empty()) memory_.Discard(0, memory_.size());
}

void SampleReservoir::ResetInChild() {
  collecting_.store(false, std::memory_order_relaxed);
  busy_.store(false, std::memory_order_relaxed);
  Clear();
}

std::span<const std::byte> SampleReservoir::training() const {
  UZ_CHECK(full() && !collecting());
  return {memory_.data(), kTrainingPages * kPageSize};
}

std::span<const std::byte> SampleReservoir::measuring() const {
  UZ_CHECK(full() && !collecting());
  return {memory_.data() + kTrainingPages * kPageSize, kMeasuringPages * kPageSize};
}

}  // namespace uzswap
