// Evictor: victims -> staging -> store -> release.
//
//   VictimPolicy      PageMover        StoreSink (without the lock)        PageMover
//   which pages --> Isolate --> Staged --> BeginStore, Store, FinishStore --> ToFree
//                                                                    --> ReleaseFrames --> kernel
//
// Pages wait in the staging frames, oldest first, so that a page that is touched again costs a move
// and no decompression. One caller can isolate while another stores: a StoreBatch is begun and
// finished under the lock, and compressed without it. What the program does meanwhile decides in
// FinishStore who wins (reclaim/page_contents.h).
//
//   outcome of a move   what the evictor does
//   kDone               the pages are Staged
//   kGone               the page is Untracked, the next one is tried
//   kBusy               pinned or shared with a forked child: refused, and kept for TakeBusyPages
//   kRefused            locked, not writable, or a border of mappings lies in the run: half of the
//                       run is tried, at last one page, which then is refused
//   kRetry, kNoMemory   stop; the caller tries again later
//
// Everything it stands on can be replaced by a test or is plain memory, so it is tested without a
// kernel (evictor_test.cc). All calls under the owner's lock, except Store. Nothing allocates.
#ifndef UZSWAP_RECLAIM_EVICTOR_H_
#define UZSWAP_RECLAIM_EVICTOR_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/statistics.h"
#include "reclaim/page_contents.h"
#include "reclaim/page_mover.h"
#include "reclaim/victim_policy.h"
#include "reclaim/watermarks.h"

namespace uzswap {

class Evictor {
 public:
  static constexpr size_t kStoreBatchMax = 16;
  static_assert(kStoreBatchMax <= CompressedCache::kPrefetchMax);
  static constexpr size_t kBusyMax = 256;

  // All outlive this.
  struct Parts {
    PageTable* table = nullptr;
    StagingFrames* frames = nullptr;
    PageContents* contents = nullptr;
    VictimPolicy* policy = nullptr;
    PageMover* mover = nullptr;
    StoreSink* sink = nullptr;
    Headroom* headroom = nullptr;
    Statistics* statistics = nullptr;
  };

  // Pages on their way into the pool.
  struct StoreBatch {
    FrameId frames[kStoreBatchMax];
    const std::byte* pages[kStoreBatchMax];
    SwapSlot kept[kStoreBatchMax];
    StoredPage outcomes[kStoreBatchMax];
    size_t count = 0;
  };

  void Init(const Parts& parts) { parts_ = parts; }

  // Moves up to `want` victims into staging frames. Returns how many.
  size_t Isolate(size_t want);
  // The last sweep found nothing to isolate. Faults do not sweep again until the reclaim daemon,
  // which calls Isolate, has tried.
  [[nodiscard]] bool last_sweep_failed() const { return last_sweep_failed_; }

  // Takes up to `max` of the oldest staged pages, at most kStoreBatchMax.
  void BeginStore(size_t max, StoreBatch* batch);
  // Without the lock. One caller at a time for each context. Kept slots on disk are read, and
  // compared, only if the caller can wait for the device.
  enum class KeptOnDisk : uint8_t { kRead, kLeave };
  static void Store(StoreSink& sink, CacheContext& context, StoreBatch* batch,
                    KeptOnDisk kept_on_disk);
  // Returns how many frames can be released now.
  size_t FinishStore(const StoreBatch& batch);
  // Pages between BeginStore and FinishStore.
  [[nodiscard]] size_t storing() const { return storing_; }
  // Does storing still gain anything? False after many incompressible pages in a row.
  [[nodiscard]] bool StoringGains() const { return incompressible_streak_ <= kStreakMax; }

  // Gives up to `max` frames in state ToFree back to the kernel. Returns how many.
  size_t ReleaseFrames(size_t max);

  // The addresses of pages that could not be isolated because they are shared with a forked child,
  // or pinned. Forgets what it returns.
  size_t TakeBusyPages(std::span<uint64_t> addresses);
  // Isolates these pages, which could not be isolated and now can: they were copied, and a copy
  // that waits for the hand uses memory. A page that is not Resident, or is pinned, is left out. If
  // no frame is Empty the page is a victim from now on. Returns how many were isolated.
  size_t IsolatePages(std::span<const uint64_t> addresses);

  // While frozen nothing is isolated, begun or released.
  void SetFrozen(bool frozen) { frozen_ = frozen; }
  [[nodiscard]] bool frozen() const { return frozen_; }

 private:
  static constexpr size_t kStreakMax = 256;
  // Each refusal costs a system call.
  static constexpr size_t kRefusalsMax = 64;

  enum class RunOutcome : uint8_t { kIsolated, kRefused, kStop };

  RunOutcome IsolateRun(const VictimRun& victims, size_t* isolated);
  RunOutcome Refuse(const VictimRun& victims, os::PortOutcome outcome);
  bool FinishOne(FrameId frame, const StoredPage& stored);
  void ReturnIncompressible(FrameId frame);
  void ChargePool();

  Parts parts_;
  size_t storing_ = 0;
  int64_t pool_pages_ = 0;  // charged to the headroom so far
  size_t incompressible_streak_ = 0;
  uint64_t busy_[kBusyMax] = {};
  size_t busy_count_ = 0;
  bool last_sweep_failed_ = false;
  bool frozen_ = false;
};

}  // namespace uzswap

#endif  // UZSWAP_RECLAIM_EVICTOR_H_
