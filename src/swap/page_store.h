// PageStore: stores and loads pages of 4 KiB by swap slot.
//
//   Store   page -> kSlot(slot)            compressed, in the pool or later on disk
//                 | kSameFilled(pattern)   the page repeats one 32-bit word; nothing is stored
//                 | kUnchanged             the slot that the page kept holds the same content
//                 | kIncompressible        compression saves too little; nothing is stored
//                 | kNoSpace               the pool is at its limit, or there is no frame or slot
//   Load    slot -> page
//                 | kOnDisk                the caller cannot wait: call Prefetch, then Load again
//                 | kLost                  the page cannot be read back;
//                                          CacheContext::last_error() has the errno, or 0 if the
//                                          bytes are damaged
//
//            Store                        Free
//   [ free ] -----> [ holds one page ] -----------> [ free ]
//                      ^         | Load, Prefetch: any number of times
//                      +---------+
//
// A page that does not verify is never delivered: Load returns kLost, the slot stays allocated,
// and a later Load tries again.
//
// Any thread may call Store, Load, Prefetch and Free, each with its own CacheContext. The slot
// belongs to one owner: nobody calls Load for a slot while another thread frees it. Prefetch,
// LoadIfStored and Store (with `kept`) may meet a slot that is freed. Only Prefetch, LoadIfStored
// and Load(kAnywhere) wait for a device. Nothing allocates memory after Init.
#ifndef UZSWAP_SWAP_PAGE_STORE_H_
#define UZSWAP_SWAP_PAGE_STORE_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/units.h"
#include "cache/compressed_cache.h"
#include "frame/frame_arena.h"
#include "swap/swap_slots.h"

namespace uzswap {

enum class StoredAs : uint8_t { kSlot, kUnchanged, kSameFilled, kIncompressible, kNoSpace };

struct [[nodiscard]] StoredPage {
  StoredAs as = StoredAs::kIncompressible;
  SwapSlot slot{};       // kSlot, kUnchanged
  uint32_t pattern = 0;  // kSameFilled
};

enum class LoadFrom : uint8_t { kMemory, kAnywhere };
// kGone: only from LoadIfStored.
enum class [[nodiscard]] LoadedPage : uint8_t{kLoaded, kOnDisk, kLost, kGone};

class PageStore {
 public:
  // An object larger than this would save less than an eighth of a page.
  static constexpr size_t kObjectMax = kPageSize / 8 * 7;

  // Once. `cache` and `arena` outlive the store; the cache's objects lie in the arena. At most
  // `slots_max` pages are stored at a time.
  Result<void> Init(CompressedCache* cache, const FrameArena* arena, uint32_t slots_max);

  // Drops all stored pages. Requires: no other thread uses the store. The engine never closes its
  // store: the pages of a process end with it.
  void Close(CacheContext& context);

  // `kept` may hold the same content, or be not valid; another thread may free it at any time, and
  // the caller must know whether it did. A slot on disk counts as different unless it was
  // prefetched. Requires: the page does not
  // change until this returns.
  StoredPage Store(CacheContext& context, ConstPageBytes page, SwapSlot kept = SwapSlot());
  // Requires: the slot holds a page.
  LoadedPage Load(CacheContext& context, SwapSlot slot, PageBytes page, LoadFrom from);
  // As Load(kAnywhere), for a slot that another thread may free at any time: kGone if it is empty.
  // If the slot was allocated again meanwhile, the page may be the content of its new owner; the
  // caller must know whether the slot was freed, and drop the page then.
  LoadedPage LoadIfStored(CacheContext& context, SwapSlot slot, PageBytes page);
  // Reads pages from disk into frames of the cache, so that Load finds them in memory. At most
  // CompressedCache::kPrefetchMax slots. A slot that was freed meanwhile, or that cannot be read,
  // is skipped; Load reports the error.
  void Prefetch(CacheContext& context, std::span<const SwapSlot> slots);
  // Requires: the slot holds a page.
  void Free(CacheContext& context, SwapSlot slot);

  // The memory that the pool takes now, idle frames included.
  [[nodiscard]] Bytes PoolBytes() const { return ToBytes(arena_->frames_populated()); }
  [[nodiscard]] uint32_t slots_in_use() { return slots_.in_use(); }
  [[nodiscard]] CompressedCache& cache() { return *cache_; }
  // The area of its pages.
  [[nodiscard]] AreaId area() const { return area_; }
  // Requires: the caller is the only thread of a forked child, and the cache has been reset.
  void ResetAfterFork() { slots_.ResetAfterFork(); }

 private:
  [[nodiscard]] SwapEntry EntryOf(SwapSlot slot) const { return {area_, slot.raw()}; }

  CompressedCache* cache_ = nullptr;
  const FrameArena* arena_ = nullptr;
  AreaId area_ = kNoArea;
  SwapSlots slots_;
};

}  // namespace uzswap

#endif  // UZSWAP_SWAP_PAGE_STORE_H_
