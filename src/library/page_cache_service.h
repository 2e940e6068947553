// PageCache::Service: what is behind a PageCache.
//
//     unit of 4 KiB or less      one page of the cache; the rest of the page is zero
//     larger unit                pages index * n to index * n + n - 1; a lock of the unit's stripe
//                                makes the operation one
#ifndef UZSWAP_LIBRARY_PAGE_CACHE_SERVICE_H_
#define UZSWAP_LIBRARY_PAGE_CACHE_SERVICE_H_

#include <array>
#include <memory>

#include "base/mutex.h"
#include "library/service_threads.h"
#include "os/thread.h"
#include "swap/lease_pool.h"
#include "swap/storage_stack.h"
#include "uzswap/page_cache.h"

namespace uzswap {

class PageCache::Service {
 public:
  static Result<std::unique_ptr<Service>> Open(const Options& options);
  Service() = default;
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
  ~Service();

  [[nodiscard]] size_t unit_bytes() const { return unit_bytes_; }
  // In a child of the process that opened it. Its threads are not there, so it can only be left.
  [[nodiscard]] bool is_inherited() const { return os::ProcessNumber() != owner_; }
  Area CreateArea(Lifetime lifetime);
  void DestroyArea(Area area);
  Stored Store(Area area, uint64_t index, std::span<const std::byte> bytes);
  Loaded Load(Area area, uint64_t index, std::span<std::byte> bytes, Keep keep);
  bool Invalidate(Area area, uint64_t index);
  uint64_t InvalidateArea(Area area);
  // Reads units on the medium side by side, so that the next loads find them in memory.
  void Prefetch(Area area, uint64_t first, size_t units);
  [[nodiscard]] Statistics Count();

 private:
  static constexpr size_t kStripes = 64;
  using ContextPool = LeasePool<CacheContext>;

  struct Stripe {
    Mutex mutex{LockRank::kLibraryUnit};
  };
  // Locks the stripe of a unit that has several pages; does nothing for others.
  class UnitLock;
  class RoomWait;

  [[nodiscard]] bool Exists(Area area);
  // Ends the process if the caller's arguments break the contract.
  void RequireUnit(size_t bytes, uint64_t index) const;
  [[nodiscard]] SwapEntry EntryOf(Area area, uint64_t index, size_t page) const;
  StoreOutcome StorePages(CacheContext& context, Area area, uint64_t index,
                          std::span<const std::byte> bytes);
  StoreOutcome StoreWhenRoom(CacheContext& context, SwapEntry entry, ConstPageBytes page);
  LoadOutcome LoadPages(CacheContext& context, Area area, uint64_t index,
                        std::span<std::byte> bytes, Keep keep);
  bool InvalidatePages(CacheContext& context, Area area, uint64_t index);

  const uint32_t owner_ = os::ProcessNumber();
  size_t unit_bytes_ = 0;
  size_t pages_ = 0;  // of a unit
  uint64_t store_timeout_ns_ = 0;
  StorageStack stack_;
  ContextPool contexts_;
  ServiceThreads threads_;
  std::array<Stripe, kStripes> stripes_;
  RelaxedCounter refused_;
};

}  // namespace uzswap

#endif  // UZSWAP_LIBRARY_PAGE_CACHE_SERVICE_H_
