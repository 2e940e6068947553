// RegionReclaim: takes pages out of a region: victims -> staging frames -> pool.
//
//     chunks of 512 pages, dealt to the shards:    0 1 2 3 0 1 2 3 0 ...
//
//     shard   hand over its resident pages ──Isolate──> StagingRing ──Store──> pool, disk
//
// A shard has its own lock, hand and ring, so threads that fault at the same time reclaim from
// different shards. The lock is not held while pages are compressed; one thread at a time stores
// pages of a shard.
//
// Victims. Nobody knows which resident pages are used. A page that was touched while it was staged
// is in use: it becomes as old as RegionWord::kAgeMax, and the hand makes it younger by one each
// time it passes. A page that was loaded, or was never out, leaves when the hand meets it first. So
// the staged pages are the inactive list of a second-chance policy.
//
//   outcome of a move   what follows
//   kDone               Staged
//   kGone               the kernel has no page: Empty
//   kBusy, kRefused     pinned, or locked by the program: spared for kAgeMax passes
//   kRetry, kNoMemory   the words are given back as they were
//
//   outcome of a store  what follows
//   kSlot, kSameFilled  Stored, SameFilled
//   kIncompressible     moved back: Resident, spared for kAgeMax passes
//   kNoSpace            moved back: Resident
//
// Any thread, also in a signal handler. Nothing allocates after Init.
#ifndef UZSWAP_REGION_REGION_RECLAIM_H_
#define UZSWAP_REGION_REGION_RECLAIM_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/mutex.h"
#include "base/result.h"
#include "cache/cache_context.h"
#include "region/region_memory.h"
#include "region/staging_ring.h"

namespace uzswap {

class RegionReclaim {
 public:
  static constexpr uint64_t kChunkPages = 512;
  static constexpr uint32_t kShardsMax = 8;

  // Once. `memory` outlives this, and is complete except for what happens to its words. Registers
  // the frames. Fails with the errno of mmap or of userfaultfd.
  Result<void> Init(RegionMemory& memory);

  // Isolates and stores a batch of pages of one shard, each time of the next one. Returns how many
  // pages of memory were freed. 0: there was nothing to gain in this shard, or another thread works
  // on it.
  size_t EvictSome(CacheContext& context);
  // The resident pages of the range are the next victims.
  void Prefer(uint64_t first, uint64_t pages);

  [[nodiscard]] uint32_t shards() const { return shard_count_; }

 private:
  static constexpr uint32_t kIsolateBatch = 32;
  static constexpr uint32_t kStoreBatch = 16;
  static constexpr uint64_t kScanMax = uint64_t{1} << 15;

  struct Shard {
    Mutex mutex{LockRank::kRegion};
    StagingRing ring UZ_GUARDED_BY(mutex);
    uint64_t pages = 0;                         // of its chunks
    uint64_t hand UZ_GUARDED_BY(mutex) = 0;     // less than pages
    bool storing UZ_GUARDED_BY(mutex) = false;  // a thread is between Pop and Release
  };
  struct Victim {
    uint64_t page = 0;
    RegionWord word;  // before it was claimed
  };
  struct Staged {
    uint64_t page = 0;
    uint32_t frame = 0;
    RegionWord word;  // before it was claimed
  };
  struct Batch {
    std::array<StagingRing::Oldest, kStoreBatch> frames;
    size_t count = 0;
    uint64_t head = 0;  // of the ring, behind the batch
  };

  [[nodiscard]] uint64_t PageOf(uint32_t shard, uint64_t index) const {
    return ((index / kChunkPages * shard_count_ + shard) * kChunkPages) + index % kChunkPages;
  }
  uint64_t PagesOf(uint32_t shard) const;
  size_t EvictFrom(uint32_t number, CacheContext& context);
  void Isolate(uint32_t number, Shard& shard, uint32_t want) UZ_REQUIRES(shard.mutex);
  // Claims adjacent victims from the hand on.
  size_t ClaimRun(uint32_t number, Shard& shard, uint64_t* scan_left, Victim* run, size_t want)
      UZ_REQUIRES(shard.mutex);
  size_t MoveRun(Shard& shard, const Victim* run, size_t count) UZ_REQUIRES(shard.mutex);
  bool IsVictim(uint64_t page, RegionWord word);
  static void PopBatch(Shard& shard, Batch* batch) UZ_REQUIRES(shard.mutex);
  // False if the page is not in the frame any more.
  bool ClaimStaged(const StagingRing::Oldest& oldest, Staged* staged);
  size_t StoreBatch(Shard& shard, CacheContext& context, const Batch& batch);
  // Returns true if the memory of the frame can be given back.
  bool StoreOne(CacheContext& context, const Staged& staged);
  void Return(const Staged& staged, uint32_t age);

  RegionMemory* memory_ = nullptr;
  std::array<Shard, kShardsMax> shards_;
  uint32_t shard_count_ = 0;
  uint32_t staged_target_ = 0;           // of each shard
  std::atomic<uint32_t> next_shard_{0};  // relaxed: it only spreads the work
};

}  // namespace uzswap

#endif  // UZSWAP_REGION_REGION_RECLAIM_H_
