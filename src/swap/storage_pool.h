// StoragePool: an arena and the pool that the options name, in one object and without a heap.
//
//   FrameArena   | U U . U . . U U U . - - - - |   U in use by the pool
//                                                  . idle: free, the kernel holds memory for it
//   Trim         1. objects move out of sparse     - free, without memory
//                   frames: U becomes .
//                2. whole blocks of 2 MiB are emptied and go back to the kernel in one call
//                3. idle frames go back to the kernel, except kIdleFrames: . becomes -
//
// Pool and arena may be used by any thread, as their headers say. Trim: one thread at a time.
#ifndef UZSWAP_SWAP_STORAGE_POOL_H_
#define UZSWAP_SWAP_STORAGE_POOL_H_

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "base/units.h"
#include "frame/block_reclaimer.h"
#include "frame/frame_arena.h"
#include "pool/pool_kind.h"
#include "pool/zbud_pool.h"
#include "pool/zsmalloc_pool.h"

namespace uzswap {

// What one call of Trim achieved.
struct TrimResult {
  uint32_t objects_moved = 0;
  uint32_t frames_freed = 0;  // by moving their objects; they are idle afterwards
  PageCount frames_released;  // their memory went back to the kernel
  bool more = false;          // idle frames are left that should be released
};

class StoragePool {
 public:
  // Idle frames kept for the next stores, so that they need not ask the kernel.
  static constexpr uint64_t kIdleFrames = 64;
  static constexpr uint64_t kReleaseFrames = 128;  // of one Trim

  // Once. The arena has as many frames as `limit` has pages; memory is taken when it is used.
  // A store that finds no handle is refused.
  Result<void> Init(PoolKind kind, Bytes limit, uint32_t objects_per_frame);

  // Requires: Init.
  Pool& pool() {
    if (zbud_) return *zbud_;
    return *zsmalloc_;
  }
  FrameArena& arena() { return arena_; }

  // The bytes of all objects, at most kCountEveryNs old. The thread that calls Trim.
  Bytes ObjectBytes();

  // A bounded amount of work: up to kCompactFrames frames are compacted, and kReleaseFrames
  // released. Never waits. The release of a frame flushes the TLBs of all processors: ten thousand
  // at once would take the calling thread 100 ms, in which it looks after nothing else.
  TrimResult Trim();

 private:
  static constexpr size_t kCompactFrames = 64;
  // A count of all objects visits every shard. It is renewed not more often than this.
  static constexpr uint64_t kCountEveryNs = 2'000'000;
  // Looking for a block scans the whole arena. Without this many idle frames there is none.
  static constexpr uint64_t kBlocksEveryNs = 100'000'000;
  static constexpr uint64_t kIdleFramesForBlocks = BlockReclaimer::kFramesPerBlock / 2;

  void CompactSparseFrames(TrimResult& result);
  void ReleaseBlocks(TrimResult& result);
  void ReleaseIdleFrames(TrimResult& result);
  [[nodiscard]] PageCount IdleFrames() const;

  FrameArena arena_;
  BlockReclaimer blocks_{arena_};
  std::optional<ZbudPool> zbud_;
  std::optional<ZsmallocPool> zsmalloc_;
  uint64_t counted_ns_ = 0;
  Bytes object_bytes_;  // at counted_ns_
  uint64_t blocks_ns_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_SWAP_STORAGE_POOL_H_
