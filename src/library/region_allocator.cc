#include "uzswap/region_allocator.h"

#include <utility>

#include "library/region_heap.h"

namespace uzswap {

class RegionAllocator::Service {
 public:
  explicit Service(Region region)
      : region_(std::move(region)), heap_({region_.data(), region_.size()}, {DiscardPages, this}) {}

  [[nodiscard]] const Region& region() const { return region_; }
  RegionHeap& heap() { return heap_; }

 private:
  static void DiscardPages(void* self, void* start, size_t bytes) {
    static_cast<Service*>(self)->region_.Discard(start, bytes);
  }

  Region region_;
  RegionHeap heap_;
};

RegionAllocator::RegionAllocator(Region region)
    : service_(std::make_unique<Service>(std::move(region))) {}
RegionAllocator::~RegionAllocator() = default;

void* RegionAllocator::Allocate(size_t bytes, size_t alignment) noexcept {
  return service_->heap().Allocate(bytes, alignment);
}
void RegionAllocator::Free(void* object, size_t bytes, size_t alignment) noexcept {
  service_->heap().Free(object, bytes, alignment);
}

bool RegionAllocator::ok() const { return service_->heap().ok(); }
const Region& RegionAllocator::region() const { return service_->region(); }

RegionAllocator::Statistics RegionAllocator::statistics() const { return service_->heap().Count(); }

}  // namespace uzswap
