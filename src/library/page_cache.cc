#include "uzswap/page_cache.h"

#include <algorithm>
#include <utility>

#include "library/page_cache_service.h"

namespace uzswap {
namespace {

constexpr char kNoWholeUnits[] = "check failed: the bytes are not a number of whole units";

}  // namespace

PageCache::PageCache(std::unique_ptr<Service> service) : service_(service.release()) {}
PageCache::PageCache(PageCache&& other) noexcept = default;
PageCache& PageCache::operator=(PageCache&& other) noexcept = default;
PageCache::~PageCache() = default;

void PageCache::Leave::operator()(Service* service) const {
  if (!service->is_inherited()) delete service;
}

Result<PageCache> PageCache::Open(const Options& options) {
  Result<std::unique_ptr<Service>> opened = Service::Open(options);
  if (!opened.ok()) return opened.error();
  return PageCache(std::move(opened).value());
}

size_t PageCache::unit_bytes() const { return service_->unit_bytes(); }

PageCache::Area PageCache::CreateArea(Lifetime lifetime) { return service_->CreateArea(lifetime); }
void PageCache::DestroyArea(Area area) { service_->DestroyArea(area); }

PageCache::Stored PageCache::Store(Area area, uint64_t index, std::span<const std::byte> bytes) {
  return service_->Store(area, index, bytes);
}
PageCache::Loaded PageCache::Load(Area area, uint64_t index, std::span<std::byte> bytes,
                                  Keep keep) {
  return service_->Load(area, index, bytes, keep);
}
bool PageCache::Invalidate(Area area, uint64_t index) { return service_->Invalidate(area, index); }
uint64_t PageCache::InvalidateArea(Area area) { return service_->InvalidateArea(area); }

size_t PageCache::StoreMany(Area area, uint64_t first, std::span<const std::byte> bytes) {
  const size_t unit = unit_bytes();
  internal::Require(bytes.size() % unit == 0, kNoWholeUnits);
  size_t stored = 0;
  for (; stored * unit < bytes.size(); ++stored) {
    const auto part = bytes.subspan(stored * unit, unit);
    if (Store(area, first + stored, part) != Stored::kStored) break;
  }
  return stored;
}

size_t PageCache::LoadMany(Area area, uint64_t first, std::span<std::byte> bytes) {
  const size_t unit = unit_bytes();
  internal::Require(bytes.size() % unit == 0, kNoWholeUnits);
  // As many as one call reads side by side.
  const size_t batch = std::max<size_t>(CompressedCache::kPrefetchMax * kPageSize / unit, 1);
  const size_t count = bytes.size() / unit;
  size_t loaded = 0;
  for (; loaded < count; ++loaded) {
    if (loaded % batch == 0) {
      service_->Prefetch(area, first + loaded, std::min(batch, count - loaded));
    }
    const auto part = bytes.subspan(loaded * unit, unit);
    if (Load(area, first + loaded, part) != Loaded::kLoaded) break;
  }
  return loaded;
}

PageCache::Statistics PageCache::statistics() const { return service_->Count(); }

}  // namespace uzswap
