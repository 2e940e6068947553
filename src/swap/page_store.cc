#include "swap/page_store.h"

#include "codec/codec.h"

namespace uzswap {

Result<void> PageStore::Init(CompressedCache* cache, const FrameArena* arena, uint32_t slots_max) {
  cache_ = cache;
  arena_ = arena;
  area_ = cache->CreateArea(AreaKind::kPersistent);
  if (area_ == kNoArea) return Error{0, "the cache has no area for the pager"};
  return slots_.Init(slots_max);
}

void PageStore::Close(CacheContext& context) {
  cache_->DestroyArea(context, area_);
  area_ = kNoArea;
}

StoredPage PageStore::Store(CacheContext& context, ConstPageBytes page) {
  uint64_t pattern = 0;
  if (IsSameFilled(page, &pattern)) {
    const auto low = static_cast<uint32_t>(pattern);
    if (pattern >> 32 == low) return {StoredAs::kSameFilled, 0, low};
  }
  const uint32_t slot = slots_.Take();
  if (slot == SwapSlots::kNone) return {StoredAs::kNoSpace};
  const StoreOutcome stored = cache_->Store(context, EntryOf(slot), page);
  if (stored == StoreOutcome::kStored) return {StoredAs::kSlot, slot};
  slots_.Return(slot);
  return {stored == StoreOutcome::kIncompressible ? StoredAs::kIncompressible : StoredAs::kNoSpace};
}

LoadedPage PageStore::Load(CacheContext& context, uint32_t slot, PageBytes page, LoadFrom from) {
  const LoadMode mode = from == LoadFrom::kMemory ? LoadMode::kKeepFromMemory : LoadMode::kKeep;
  switch (cache_->Load(context, EntryOf(slot), page, mode)) {
    case LoadOutcome::kLoaded:
      return LoadedPage::kLoaded;
    case LoadOutcome::kOnDisk:
      return LoadedPage::kOnDisk;
    case LoadOutcome::kIoError:
    case LoadOutcome::kCorrupt:
      return LoadedPage::kLost;
    case LoadOutcome::kMiss:
      break;
  }
  PanicOperands(__FILE__, __LINE__, "a stored page is not in the cache", slot, 0);
}

void PageStore::Prefetch(CacheContext& context, std::span<const uint32_t> slots) {
  SwapEntry entries[CompressedCache::kPrefetchMax];
  for (size_t i = 0; i < slots.size(); ++i) entries[i] = EntryOf(slots[i]);
  cache_->PrefetchMany(context, {entries, slots.size()});
}

void PageStore::Free(CacheContext& context, uint32_t slot) {
  const bool was_there = cache_->Invalidate(context, EntryOf(slot));
  UZ_CHECK(was_there);
  slots_.Return(slot);
}

}  // namespace uzswap
