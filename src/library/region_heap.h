// RegionHeap: objects of any size in memory that may be swapped out.
//
//     the region, in slabs of 64 KiB               in ordinary memory
//     +--------+--------+-----------------+        +------------------------------------------+
//     | 48 48  | 320    | one large object|  <---  | a Slab each: class, used objects, links; |
//     +--------+--------+-----------------+        | a bit for each object                    |
//                                                  +------------------------------------------+
//
// All tables are outside of the region: to allocate and to free touches no page of it, so neither
// waits for a page that is compressed or on disk, and neither makes a page be written. Free lists
// in the objects, as in other allocators, would do both.
//
//   states of a slab
//     kFree
//     kClass         has objects of one size class, or none
//     kHead, kBody   the first and the other slabs of a large object
//     kLeaving       its pages are being discarded; then it is kFree
//
// Small objects come from the lowest slabs and large ones from the highest. Of a class, the slab
// that was the last to be full and had an object freed is used first: its pages are probably in
// memory. A slab without objects goes back, but each class keeps one, until another class or a
// large object finds no room.
//
// Invariants: `used` of a slab is the number of its bits. A slab of a class is in the list of the
// class if and only if it has room. A class has at most one slab without objects, and empty_ names
// it. The bitmap of free slabs has just those in state kFree, and all are below free_below_.
//
// Threads: any. The lock is not held while pages are discarded.
#ifndef UZSWAP_LIBRARY_REGION_HEAP_H_
#define UZSWAP_LIBRARY_REGION_HEAP_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bitmap.h"
#include "base/mutex.h"
#include "base/thread_annotations.h"
#include "os/virtual_array.h"
#include "uzswap/region_allocator.h"

namespace uzswap {

class RegionHeap {
 public:
  static constexpr size_t kSlabBytes = RegionAllocator::kAlignmentMax;
  static constexpr size_t kSmallestBytes = 16;
  static constexpr size_t kLargestOfClass = size_t{16} << 10;

  using Counts = RegionAllocator::Statistics;

  // Makes the pages of a range read as zeroes and take no memory.
  struct Discarder {
    void (*discard)(void* context, void* start, size_t bytes);
    void* context;
  };

  // `memory` outlives the heap, and nobody else uses it. It is used from the first multiple of
  // kSlabBytes on.
  RegionHeap(std::span<std::byte> memory, Discarder discarder);
  RegionHeap(const RegionHeap&) = delete;
  // Objects that were not freed are no error: the memory belongs to the owner.
  ~RegionHeap() = default;

  // False if `memory` has no whole slab, or there is no address space for the tables: then nothing
  // can be allocated.
  [[nodiscard]] bool ok() const { return slab_count_ != 0; }
  // Null if there is no room, or if the alignment is no power of two of at most kSlabBytes. The
  // content is undefined.
  void* Allocate(size_t bytes, size_t alignment) UZ_EXCLUDES(mutex_);
  // Requires: `object` is from Allocate with these two numbers, and was not freed.
  void Free(void* object, size_t bytes, size_t alignment) UZ_EXCLUDES(mutex_);

  [[nodiscard]] Counts Count() const UZ_EXCLUDES(mutex_);
  // Checks all invariants.
  void Audit() const UZ_EXCLUDES(mutex_);

  // The size class of an object, or kClasses if it is a large one.
  static constexpr size_t kClasses = 36;
  static size_t ClassOf(size_t bytes, size_t alignment);
  static size_t BytesOf(size_t size_class);

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr size_t kBitWords = kSlabBytes / kSmallestBytes / 64;

  enum class SlabState : uint8_t { kFree, kClass, kHead, kBody, kLeaving };
  struct Slab {
    uint32_t next = kNone;  // kClass with room: neighbours in the list of the class
    uint32_t previous = kNone;
    uint32_t used = 0;  // kClass: objects; kHead: slabs of the large object
    SlabState state = SlabState::kFree;
    uint8_t size_class = 0;
  };
  struct SlabBits {
    uint64_t words[kBitWords];
  };
  static uint32_t ObjectsOf(size_t size_class);

  [[nodiscard]] std::byte* StartOf(size_t slab) const { return base_ + slab * kSlabBytes; }
  void* TryAllocate(size_t bytes, size_t size_class) UZ_EXCLUDES(mutex_);
  void* AllocateSmall(size_t size_class) UZ_REQUIRES(mutex_);
  void* AllocateLarge(size_t bytes) UZ_REQUIRES(mutex_);
  // The slab if it goes back, or kNone.
  uint32_t FreeSmall(uint32_t slab, const void* object, size_t size_class) UZ_REQUIRES(mutex_);
  // The number of its slabs.
  uint32_t FreeLarge(uint32_t first, const void* object) UZ_REQUIRES(mutex_);
  void Leave(uint32_t first, uint32_t count) UZ_REQUIRES(mutex_);
  // Discards the pages of slabs in state kLeaving, which are free then.
  void GiveBack(uint32_t first, uint32_t count) UZ_EXCLUDES(mutex_);
  // The slabs that classes keep without objects. False if there are none.
  bool GiveBackEmpty() UZ_EXCLUDES(mutex_);
  void Push(uint32_t slab) UZ_REQUIRES(mutex_);
  void Remove(uint32_t slab) UZ_REQUIRES(mutex_);

  std::byte* base_ = nullptr;  // aligned to kSlabBytes
  uint32_t slab_count_ = 0;
  Discarder discarder_;
  os::VirtualArray<Slab> slabs_;
  os::VirtualArray<SlabBits> bits_;
  os::VirtualArray<uint64_t> free_words_;
  mutable Mutex mutex_{LockRank::kLibraryHeap};
  Bitmap free_ UZ_GUARDED_BY(mutex_);
  uint32_t free_below_ UZ_GUARDED_BY(mutex_) = 0;
  std::array<uint32_t, kClasses> rooms_ UZ_GUARDED_BY(mutex_);  // first of each list
  std::array<uint32_t, kClasses> empty_ UZ_GUARDED_BY(mutex_);
  Counts counts_ UZ_GUARDED_BY(mutex_);
};

}  // namespace uzswap

#endif  // UZSWAP_LIBRARY_REGION_HEAP_H_
