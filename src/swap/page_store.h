// PageStore: the pager's view of the compressed cache. One page in, a short word out; and back.
//
//   Store   page -> kSlot(number)         compressed, in the pool or later on disk
//                 | kSameFilled(pattern)  the page repeats one 32-bit word; nothing is held
//                 | kIncompressible                 compression gains nothing worth a frame
//                 | kNoSpace              the pool is at its bound, or has no frame
//   Load    number -> page
//                 | kOnDisk               and the caller cannot wait: Prefetch, then again
//                 | kLost                 it cannot be read back; error() says why
//
// Any thread may call any of these, each with a context of its own. A number is good for any
// number of loads until Free. Nothing here waits for a device but Prefetch and a load that was
// told it may. Wrong bytes are never delivered: what does not verify is kLost.
#ifndef UZSWAP_SWAP_PAGE_STORE_H_
#define UZSWAP_SWAP_PAGE_STORE_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "cache/compressed_cache.h"
#include "frame/frame_arena.h"
#include "swap/swap_slots.h"

namespace uzswap {

enum class StoredAs : uint8_t { kSlot, kSameFilled, kIncompressible, kNoSpace };

struct [[nodiscard]] StoredPage {
  StoredAs as = StoredAs::kIncompressible;
  uint32_t slot = 0;     // kSlot
  uint32_t pattern = 0;  // kSameFilled
};

enum class LoadFrom : uint8_t { kMemory, kAnywhere };
enum class [[nodiscard]] LoadedPage : uint8_t{kLoaded, kOnDisk, kLost};

class PageStore {
 public:
  // An object above this size would gain less than an eighth of a page.
  static constexpr size_t kObjectMax = kPageSize / 8 * 7;

  // `cache` and `arena` outlive the store; the cache's objects lie in the arena. At most
  // `slots_max` pages are stored at a time.
  Result<void> Init(CompressedCache* cache, const FrameArena* arena, uint32_t slots_max);

  // Drops whatever is stored. Requires: nobody else uses the store. The engine never does: a
  // process's pages end with it.
  void Close(CacheContext& context);

  StoredPage Store(CacheContext& context, ConstPageBytes page);
  LoadedPage Load(CacheContext& context, uint32_t slot, PageBytes page, LoadFrom from);
  // Brings pages that are on disk near, so that Load finds them in memory; at most
  // CompressedCache::kPrefetchMax. What cannot be read is found out by Load.
  void Prefetch(CacheContext& context, std::span<const uint32_t> slots);
  void Free(CacheContext& context, uint32_t slot);

  // What the pool costs now, idle frames included.
  [[nodiscard]] Bytes PoolBytes() const { return ToBytes(arena_->frames_populated()); }
  [[nodiscard]] uint32_t slots_in_use() { return slots_.in_use(); }
  [[nodiscard]] CompressedCache& cache() { return *cache_; }
  // Requires: the only thread of a forked child; the cache has been reset.
  void ResetAfterFork() { slots_.ResetAfterFork(); }

 private:
  [[nodiscard]] SwapEntry EntryOf(uint32_t slot) const { return {area_, slot}; }

  CompressedCache* cache_ = nullptr;
  const FrameArena* arena_ = nullptr;
  AreaId area_ = kNoArea;
  SwapSlots slots_;
};

}  // namespace uzswap

#endif  // UZSWAP_SWAP_PAGE_STORE_H_
