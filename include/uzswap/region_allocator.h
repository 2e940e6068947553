// RegionAllocator: objects of any size in a Region, so that they may take more memory than there
// is.
//
//     program ──> RegionAllocator ──> Region: slabs of 64 KiB with objects of one size
//                        |
//                        `── tables in ordinary memory: 528 bytes for each slab that was ever used
//
// To allocate or to free an object touches none of the region's pages: neither waits for a page
// that is compressed or on disk. When the last object of a slab is freed, the slab's pages are
// given back, also those that are compressed or on disk. Each of the 36 sizes keeps one empty slab,
// until there is no other room.
//
// An object above 16 KiB takes whole slabs of the region, but of the memory only what is touched.
// The content of a new object is undefined. The first up to 64 KiB of the region are not used.
//
// What Region says of system calls is true of objects here: pin what read(2) or a mutex uses, and
// release the pin before the object is freed, or its memory is not given back.
//
// Threads: any thread may allocate and free. In a forked child only the destructor may be called.
#ifndef UZSWAP_REGION_ALLOCATOR_H_
#define UZSWAP_REGION_ALLOCATOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "uzswap/export.h"
#include "uzswap/region.h"

namespace uzswap {

class UZSWAP_API RegionAllocator {
 public:
  static constexpr size_t kAlignmentMax = size_t{64} << 10;

  struct Statistics {
    uint64_t objects = 0;
    uint64_t object_bytes = 0;  // rounded up to size classes; objects above 16 KiB: to 64 KiB
    uint64_t slab_bytes = 0;    // of the region, in use by slabs; what they hold may be swapped out
    uint64_t table_bytes = 0;   // most that the tables can take of ordinary memory
  };

  // Takes the region. Nobody else may use its memory.
  explicit RegionAllocator(Region region);
  RegionAllocator(const RegionAllocator&) = delete;
  RegionAllocator& operator=(const RegionAllocator&) = delete;
  // All objects are gone with the region, whether they were freed or not.
  ~RegionAllocator();

  // False if the region has no whole slab, or there is no address space for the tables: then every
  // allocation fails.
  [[nodiscard]] bool ok() const;
  // Null if the region is full (what another thread is just giving back is not free yet), or if
  // `alignment` is no power of two of at most kAlignmentMax. The object may be in memory that has
  // to be brought back when it is touched.
  [[nodiscard]] void* Allocate(size_t bytes, size_t alignment) noexcept;
  // Requires: `object` is from Allocate with the same numbers, and was not freed. Ends the process
  // with a message if that is not so, as far as it is noticed.
  void Free(void* object, size_t bytes, size_t alignment) noexcept;

  [[nodiscard]] const Region& region() const;
  [[nodiscard]] Statistics statistics() const;

 private:
  class Service;
  std::unique_ptr<Service> service_;
};

}  // namespace uzswap

#endif  // UZSWAP_REGION_ALLOCATOR_H_
