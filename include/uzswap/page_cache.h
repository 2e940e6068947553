// PageCache: holds units of data compressed in memory, and the coldest of them in a file.
//
//        Store(area, index, bytes)                Load(area, index, bytes)
//                 |                                          ^
//                 v                                          |
//     +--------------------------+   coldest units   +---------------+
//     |  compressed, in memory   | ----------------> |  file, device |
//     |  at most memory_bytes    |                   |  (if given)   |
//     +--------------------------+                   +---------------+
//
// The interface is that of frontswap and cleancache: areas, store, load, invalidate. A *unit* is a
// piece of data of one size, the same for the whole cache (512 bytes to 64 KiB). It is named by its
// area and by an index that the caller chooses.
//
//   persistent area   a unit that was stored can be loaded until it is invalidated or replaced
//   ephemeral area    for what can be made again: the coldest units are dropped when memory is
//                     short, and a load may miss
//
//            Store                             Store: replaced
//   [ empty ] -------------------> [ stored ] ----------------> [ stored ]
//       ^                              | Invalidate, Load with kTake, Store that is refused;
//       +------------------------------+ ephemeral: dropped
//
// A Store that is refused removes the older unit of this index: old data is worse than none. The
// caller still has the new data.
//
// Threads: any thread may call any function. Operations on one unit take effect one after the
// other. Open starts two service threads, which block all signals; the destructor ends them. A
// forked child must not use the cache of its parent; it may destroy its copy, which does nothing.
//
// Memory: compressed units take at most memory_bytes. Tables come on top
// (statistics().table_bytes): about 110 bytes for each unit of 4 KiB, and 110 KiB for each thread
// that uses the cache at the same time. Nothing is taken from the program's heap for units.
//
// Indexes: an area keeps a table for 64 neighbouring pages of 4 KiB (576 bytes, and up to 4 KiB
// more where indexes are scattered) from the first use of one of them until the area is destroyed.
// A cache has 4 million such tables. So indexes should be dense, not hashes.
#ifndef UZSWAP_PAGE_CACHE_H_
#define UZSWAP_PAGE_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "uzswap/compression.h"
#include "uzswap/export.h"
#include "uzswap/result.h"

namespace uzswap {

class UZSWAP_API PageCache {
 public:
  static constexpr size_t kUnitBytesMin = 512;
  static constexpr size_t kUnitBytesMax = size_t{64} << 10;
  static constexpr uint64_t kMemoryBytesMin = uint64_t{1} << 20;
  static constexpr uint32_t kAreasMax = 1024;
  // The largest index of a unit is kIndexMax divided by the 4-KiB pages of a unit.
  static constexpr uint64_t kIndexMax = (uint64_t{1} << 36) - 1;

  using Compression = uzswap::Compression;

  struct Options {
    uint64_t memory_bytes = 0;  // must be given: at least kMemoryBytesMin
    size_t unit_bytes = 4096;   // a power of two, kUnitBytesMin to kUnitBytesMax
    Compression compression = Compression::kAuto;
    // A file that does not exist, a directory for an unlinked file, or a block device. An absolute
    // path; nullptr: none. It is read by Open only. What is on the medium is not kept for a later
    // Open.
    const char* backing = nullptr;
    uint64_t backing_bytes = 0;  // at most so much on the medium; 0: no limit
    bool encrypt = false;        // what is on the medium, with a key that only this process has
    // A Store waits while room is made. It is refused if none has been made for so long, or if
    // none can be made.
    uint32_t store_timeout_ms = 1000;
  };

  // What an area is for; see above.
  enum class Lifetime : uint8_t { kPersistent, kEphemeral };
  // Names an area of one cache. 0 names none.
  using Area = uint32_t;

  enum class [[nodiscard]] Stored : uint8_t{
      kStored,
      kFull,         // no room in memory, and none can be made on the medium
      kUnknownArea,  // the area does not exist, or the tables are full
  };
  enum class [[nodiscard]] Loaded : uint8_t{
      kLoaded,
      kMiss,     // not stored, invalidated, or dropped
      kIoError,  // the medium failed; the unit is still there, a later Load tries again
      kCorrupt,  // what was read is damaged; never delivered
  };
  enum class Keep : uint8_t {
    kKeep,
    kTake,  // the unit leaves the cache
  };

  struct Statistics {
    uint64_t units = 0;          // stored now
    uint64_t units_on_disk = 0;  // of these, on the medium
    uint64_t memory_bytes = 0;   // of compressed units, unused parts of pages included
    uint64_t object_bytes = 0;   // the same without the unused parts
    uint64_t table_bytes = 0;    // of everything else
    uint64_t disk_bytes = 0;     // of compressed units on the medium
    uint64_t stores = 0;         // since Open; units of more than 4 KiB count once for each 4 KiB
    uint64_t loads = 0;
    uint64_t loads_from_disk = 0;
    uint64_t misses = 0;
    uint64_t dropped = 0;  // units of ephemeral areas
    uint64_t refused = 0;  // stores
  };

  // Fails with EINVAL if an option makes no sense (the error names it), and with the errno of mmap
  // or of the medium. A medium that cannot be used is an error here, never later.
  static Result<PageCache> Open(const Options& options);

  PageCache(PageCache&& other) noexcept;
  PageCache& operator=(PageCache&& other) noexcept;
  PageCache(const PageCache&) = delete;
  PageCache& operator=(const PageCache&) = delete;
  // Drops everything. Requires: no other thread uses the cache.
  ~PageCache();

  [[nodiscard]] size_t unit_bytes() const;

  // 0: there are kAreasMax areas.
  [[nodiscard]] Area CreateArea(Lifetime lifetime);
  // Invalidates all its units. Requires: no other thread uses the area.
  void DestroyArea(Area area);

  // Requires: bytes.size() is unit_bytes(); the bytes do not change until this returns; the index
  // is small enough (kIndexMax).
  Stored Store(Area area, uint64_t index, std::span<const std::byte> bytes);
  // Requires: bytes.size() is unit_bytes(). If nothing is loaded the bytes are unspecified.
  Loaded Load(Area area, uint64_t index, std::span<std::byte> bytes, Keep keep = Keep::kKeep);
  // True if it was stored.
  bool Invalidate(Area area, uint64_t index);
  // Returns how many units were stored; a unit of more than 4 KiB counts once for each 4 KiB.
  uint64_t InvalidateArea(Area area);

  // Batches: units of ascending indexes from `first` on, one behind the other in memory. Units on
  // the medium are read side by side. Both return how many units were stored or loaded, and stop at
  // the first that was not.
  // Requires: bytes.size() is a multiple of unit_bytes().
  size_t StoreMany(Area area, uint64_t first, std::span<const std::byte> bytes);
  size_t LoadMany(Area area, uint64_t first, std::span<std::byte> bytes);

  [[nodiscard]] Statistics statistics() const;

 private:
  class Service;
  explicit PageCache(std::unique_ptr<Service> service);

  // A forked child leaves what it has inherited as it is.
  struct Leave {
    void operator()(Service* service) const;
  };

  std::unique_ptr<Service, Leave> service_;
};

}  // namespace uzswap

#endif  // UZSWAP_PAGE_CACHE_H_
