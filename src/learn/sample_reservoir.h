// SampleReservoir: a fair selection of the pages that are stored, for training and for measuring.
//
//   store, store, store ... ──OnCompressed──> | training: 128 pages | measuring: 32 pages |
//
//             Begin                    End
//   [ idle ] ───────> [ collecting ] ───────> [ idle, Take returns the pages ] ──Clear──> [ idle ]
//
// Every page that was offered since Begin is among the samples with the same probability (J.
// Vitter, "Random Sampling with a Reservoir", algorithm R). The samples are in random order, so
// both parts are fair: a dictionary is measured on pages that it was not trained on.
//
// OnCompressed: any thread. A thread that finds another one at work skips its page; nobody waits,
// except End, for a page that is being copied. All else: one thread at a time, the owner. Memory is
// reserved by Init and used from the first sample until Clear.
#ifndef UZSWAP_LEARN_SAMPLE_RESERVOIR_H_
#define UZSWAP_LEARN_SAMPLE_RESERVOIR_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "base/rng.h"
#include "base/units.h"
#include "cache/store_observer.h"
#include "os/mapping.h"

namespace uzswap {

class SampleReservoir final : public StoreObserver {
 public:
  static constexpr uint32_t kTrainingPages = 128;
  static constexpr uint32_t kMeasuringPages = 32;
  static constexpr uint32_t kPages = kTrainingPages + kMeasuringPages;

  // Once. Fails with the errno of mmap.
  Result<void> Init(uint64_t seed);

  void OnCompressed(std::span<const std::byte, kPageSize> page) override;

  void Begin();
  // No page changes afterwards.
  void End();
  [[nodiscard]] bool collecting() const { return collecting_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool full() const { return filled_.load(std::memory_order_relaxed) == kPages; }
  // Returns the memory to the kernel. Requires: not collecting.
  void Clear();
  // In a forked child: the parent's threads are not there. The samples are gone.
  void ResetInChild();

  // Requires: full, not collecting. Valid until Clear.
  [[nodiscard]] std::span<const std::byte> training() const;
  [[nodiscard]] std::span<const std::byte> measuring() const;

 private:
  // Waits until no page is being copied. The caller stores false to `busy_` afterwards.
  void TakeTurn();
  void Put(uint32_t index, std::span<const std::byte, kPageSize> page);

  os::Mapping memory_;
  // Relaxed reads on the path of a store: seeing it late skips or offers one page more.
  std::atomic<bool> collecting_{false};
  // Held by the thread that changes what follows. Acquire and release.
  std::atomic<bool> busy_{false};
  std::atomic<uint32_t> filled_{0};
  uint64_t seen_ = 0;
  Rng rng_{1};
};

}  // namespace uzswap

#endif  // UZSWAP_LEARN_SAMPLE_RESERVOIR_H_
