#include "pager/page_store.h"

#include <cstring>

namespace uzswap {
namespace {

constexpr size_t kWordObject = sizeof(uint64_t);

ObjectView ViewOf(const PinnedObject& pinned) {
  ObjectView view;
  view.first = pinned.segment(0);
  if (pinned.segment_count() > 1) view.second = pinned.segment(1);
  return view;
}

}  // namespace

StoreOutcome PageStore::Store(CodecContext& context, std::span<const std::byte> page,
                              uint64_t owner_key) {
  std::byte object[kObjectMax];
  const CompressOutcome compressed = context.Compress(page, object);
  switch (compressed.kind) {
    case CompressKind::kIncompressible:
      return {StoreKind::kPoor};
    case CompressKind::kSameFilled: {
      const auto low = static_cast<uint32_t>(compressed.pattern);
      if (compressed.pattern >> 32 == low) return {StoreKind::kSameFilled, 0, low};
      memcpy(object, &compressed.pattern, kWordObject);
      return StoreObject({object, kWordObject}, owner_key);
    }
    case CompressKind::kCompressed:
      // An object of a word's size would be taken for a repeated word. No codec makes a page
      // that is not same-filled so small; if one did, the page would just not be stored.
      if (compressed.size == kWordObject) return {StoreKind::kPoor};
      return StoreObject({object, compressed.size}, owner_key);
  }
  Panic(__FILE__, __LINE__, "a codec answered something unknown");
}

StoreOutcome PageStore::StoreObject(std::span<const std::byte> object, uint64_t owner_key) {
  const AllocateResult stored = pool_->Store(object, owner_key);
  switch (stored.outcome) {
    case AllocateOutcome::kAllocated:
      statistics_->compressed_bytes.Add(object.size());
      return {StoreKind::kStored, stored.handle.raw()};
    case AllocateOutcome::kNoSpace:
      return {StoreKind::kNoSpace};
    case AllocateOutcome::kTooLarge:
      return {StoreKind::kPoor};
  }
  Panic(__FILE__, __LINE__, "a pool answered something unknown");
}

void PageStore::Load(CodecContext& context, uint64_t handle, std::span<std::byte> page) {
  const PinnedObject pinned = pool_->Pin(Handle::FromRaw(handle));
  const ObjectView view = ViewOf(pinned);
  if (view.size() == kWordObject) {
    uint64_t word = 0;
    view.CopyTo({reinterpret_cast<std::byte*>(&word), sizeof(word)});
    FillPage(word, page);
    return;
  }
  if (context.Decompress(view, page) != DecompressOutcome::kOk) {
    PanicOperands(__FILE__, __LINE__, "a stored page does not decompress", handle, view.size());
  }
}

void PageStore::Free(uint64_t handle) {
  const Handle named = Handle::FromRaw(handle);
  statistics_->compressed_bytes.Sub(pool_->SizeOf(named));
  pool_->Free(named);
}

Bytes PageStore::SizeOf(uint64_t handle) const {
  return Bytes(pool_->SizeOf(Handle::FromRaw(handle)));
}

}  // namespace uzswap
