#include "swap/page_store.h"

#include "codec/codec.h"

namespace uzswap {

Result<void> PageStore::Init(CompressedCache* cache, const FrameArena* arena, uint32_t slots_max) {
  cache_ = cache;
  arena_ = arena;
  area_ = cache->CreateArea(AreaKind::kPersistent);
  if (area_ == kNoArea) return Error{0, "the compressed cache has no free area"};
  return slots_.Init(slots_max);
}

void PageStore::Close(CacheContext& context) {
  cache_->DestroyArea(context, area_);
  area_ = kNoArea;
}

StoredPage PageStore::Store(CacheContext& context, ConstPageBytes page, SwapSlot kept) {
  if (kept.valid() && cache_->HoldsInMemory(context, EntryOf(kept), page)) {
    return {StoredAs::kUnchanged, kept};
  }
  uint64_t pattern = 0;
  Repeated repeated = Repeated::kNo;
  if (IsSameFilled(page, &pattern)) {
    const auto low = static_cast<uint32_t>(pattern);
    if (pattern >> 32 == low) return {StoredAs::kSameFilled, {}, low};
    repeated = Repeated::kUnknown;  // these are rare: the cache looks for the pattern again
  }
  const SwapSlot slot = slots_.Allocate();
  if (!slot.valid()) return {StoredAs::kNoSpace};
  const StoreOutcome stored = cache_->Store(context, EntryOf(slot), page, repeated);
  if (stored == StoreOutcome::kStored) return {StoredAs::kSlot, slot};
  slots_.Free(slot);
  return {stored == StoreOutcome::kIncompressible ? StoredAs::kIncompressible : StoredAs::kNoSpace};
}

namespace {

LoadedPage ToLoadedPage(LoadOutcome outcome) {
  switch (outcome) {
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
  return LoadedPage::kGone;
}

}  // namespace

LoadedPage PageStore::Load(CacheContext& context, SwapSlot slot, PageBytes page, LoadFrom from) {
  const LoadMode mode = from == LoadFrom::kMemory ? LoadMode::kKeepFromMemory : LoadMode::kKeep;
  const LoadedPage loaded = ToLoadedPage(cache_->Load(context, EntryOf(slot), page, mode));
  if (loaded != LoadedPage::kGone) return loaded;
  PanicOperands(__FILE__, __LINE__, "a stored page is not in the cache", slot.raw(), 0);
}

LoadedPage PageStore::LoadIfStored(CacheContext& context, SwapSlot slot, PageBytes page) {
  return ToLoadedPage(cache_->Load(context, EntryOf(slot), page, LoadMode::kKeep));
}

void PageStore::Prefetch(CacheContext& context, std::span<const SwapSlot> slots) {
  SwapEntry entries[CompressedCache::kPrefetchMax];
  UZ_CHECK_LE(slots.size(), CompressedCache::kPrefetchMax);
  for (size_t i = 0; i < slots.size(); ++i) entries[i] = EntryOf(slots[i]);
  cache_->PrefetchMany(context, {entries, slots.size()});
}

void PageStore::Free(CacheContext& context, SwapSlot slot) {
  const bool was_stored = cache_->Invalidate(context, EntryOf(slot));
  UZ_CHECK(was_stored);
  slots_.Free(slot);
}

}  // namespace uzswap
