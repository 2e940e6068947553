// MemoryResource: the objects of standard containers in a Region, so that they may take more memory
// than there is.
//
//     uzswap::MemoryResource memory(std::move(region));
//     std::pmr::map<int, std::pmr::string> names(&memory);
//
// A region that is full throws std::bad_alloc. In a program without exceptions it ends the process.
//
// Threads: any thread may allocate and free. Containers are not safe for several threads by
// themselves. In a forked child nothing here may be used, and containers must not be destroyed.
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

  [[nodiscard]] Region& region() { return allocator_.region(); }
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
