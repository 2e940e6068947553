// MemoryResource: the objects of standard containers in a Region, so that they may take more memory
// than there is.
//
//     uzswap::MemoryResource memory(std::move(region));
//     std::pmr::map<int, std::pmr::string> names(&memory);
//
// uzswap/region_allocator.h says how objects are kept. A region that is full throws std::bad_alloc.
// In a program that is built without exceptions it ends the process; all files of a program have to
// be built the same way.
//
// Threads: any thread may allocate and free. Containers are not safe for several threads by
// themselves. In a forked child only the destructor of MemoryResource may be called: containers in
// it must neither be used nor destroyed there.
#ifndef UZSWAP_MEMORY_RESOURCE_H_
#define UZSWAP_MEMORY_RESOURCE_H_

#include <cstddef>
#include <cstdlib>
#include <memory_resource>
#include <new>
#include <utility>

#include "uzswap/region.h"
#include "uzswap/region_allocator.h"

namespace uzswap {

class MemoryResource final : public std::pmr::memory_resource {
 public:
  explicit MemoryResource(Region region) : allocator_(std::move(region)) {}

  // See RegionAllocator.
  [[nodiscard]] bool ok() const { return allocator_.ok(); }
  [[nodiscard]] const Region& region() const { return allocator_.region(); }
  [[nodiscard]] RegionAllocator::Statistics statistics() const { return allocator_.statistics(); }

 private:
  // Throws std::bad_alloc if the region is full, or the alignment larger than kAlignmentMax.
  void* do_allocate(size_t bytes, size_t alignment) override {
    void* object = allocator_.Allocate(bytes, alignment);
    if (object == nullptr) Fail();
    return object;
  }
  void do_deallocate(void* object, size_t bytes, size_t alignment) override {
    allocator_.Free(object, bytes, alignment);
  }
  [[nodiscard]] bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    return this == &other;
  }

  [[noreturn]] static void Fail() {
#ifdef __cpp_exceptions
    throw std::bad_alloc();
#else
    std::abort();
#endif
  }

  RegionAllocator allocator_;
};

}  // namespace uzswap

#endif  // UZSWAP_MEMORY_RESOURCE_H_
