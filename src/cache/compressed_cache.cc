#include "cache/compressed_cache.h"

#include <cstring>

#include "cache/operations.h"

namespace uzswap {
namespace {

// Operations that began before the leaf was retired stay linked to it until they end.
void AwaitOperations(EntryLeaf& retired) {
  for (;;) {
    InFlightEntry* entry = nullptr;
    {
      const LockedLeaf leaf = LockedLeaf::Lock(retired);
      entry = EntriesInFlight::AnyFilling(leaf);
    }
    if (entry == nullptr) return;
    static_cast<void>(EntriesInFlight::Await(*entry));
    EntriesInFlight::Leave(*entry);
  }
}

}  // namespace

Result<void> CompressedCache::Init(Pool& pool, const CacheOptions& options) {
  UZ_CHECK(options.codec != nullptr && options.dictionaries != nullptr);
  if (Result<void> done = index_.Init(options.index); !done.ok()) return done;
  if (Result<void> done = in_flight_.Init(options.readahead_frames); !done.ok()) return done;
  gate_.SetLimit(options.pool_limit);
  options_ = options;
  if (options.choose_codec) {
    chooser_.InitAutomatic();
  } else {
    chooser_.InitFixed(*options.codec);
  }
  SetKeepIncompressible(options.keep_incompressible);
  content_.Init(pool, *options.dictionaries, chooser_);
  return {};
}

CompressedCache::ToRelease CompressedCache::Replace(CacheContext& context, LockedLeaf& leaf,
                                                    EntryKey key, EntryEvent event, EntryWord to) {
  const EntryWord from = leaf.word(key);
  context.counters_.CountChange(from, to);
  leaf.Change(key, event, to);
  InFlightEntry* entry = from.empty() ? nullptr : EntriesInFlight::Lookup(leaf, key, from);
  if (entry == nullptr) return {from, nullptr};
  const bool filled = entry->read_ahead &&
                      entry->state.load(std::memory_order_acquire) == InFlightEntry::State::kReady;
  if (!filled) {
    context.counters_.frees_left_to_loader.Add();
    return {};
  }
  EntriesInFlight::Unlink(leaf, *entry);
  return {from, entry};
}

void CompressedCache::Release(CacheContext& context, const ToRelease& old) {
  if (old.read_ahead != nullptr) {
    context.counters_.readahead_dropped.Add();
    EntriesInFlight::AwaitUsers(*old.read_ahead);
    in_flight_.ReturnFrame(*old.read_ahead);
  }
  content_.Release(old.content);
}

StoreOutcome CompressedCache::Store(CacheContext& context, SwapEntry entry, ConstPageBytes page,
                                    Repeated repeated) {
  StoreOperation operation(*this, context, entry);
  const StoreOutcome outcome = operation.Prepare(page, repeated);
  return outcome == StoreOutcome::kStored ? operation.Publish() : outcome;
}

bool CompressedCache::Invalidate(CacheContext& context, SwapEntry entry) {
  const EntryKey key(entry);
  ToRelease old;
  {
    LockedLeaf leaf = index_.Find(key);
    if (!leaf || leaf.word(key).empty()) return false;
    old = Replace(context, leaf, key, EntryEvent::kInvalidate, EntryWord());
  }
  context.counters_.invalidations.Add();
  Release(context, old);
  return true;
}

uint32_t CompressedCache::ClearLeaf(CacheContext& context, LockedLeaf& leaf, EntryKey first,
                                    std::span<ToRelease, EntryLeaf::kWords> old) {
  uint32_t found = 0;
  for (uint32_t i = 0; i < EntryLeaf::kWords && leaf->live > 0; ++i) {
    const EntryKey key = EntryKey::FromRaw(first.raw() + i);
    if (leaf.word(key).empty()) continue;
    old[found++] = Replace(context, leaf, key, EntryEvent::kInvalidate, EntryWord());
  }
  return found;
}

uint64_t CompressedCache::InvalidateArea(CacheContext& context, AreaId area) {
  if (index_.KindOf(area) == AreaKind::kNone) return 0;
  uint64_t count = 0;
  index_.ForEachLeaf(area, [&](LockedLeaf& leaf, EntryKey first) {
    ToRelease old[EntryLeaf::kWords];
    const uint32_t found = ClearLeaf(context, leaf, first, old);
    leaf.Unlock();
    for (uint32_t i = 0; i < found; ++i) Release(context, old[i]);
    count += found;
  });
  context.counters_.invalidations.Add(count);
  return count;
}

void CompressedCache::DestroyArea(CacheContext& context, AreaId area) {
  index_.CloseArea(area);
  index_.ForEachLeaf(area, [&](LockedLeaf& leaf, EntryKey first) {
    ToRelease old[EntryLeaf::kWords];
    const uint32_t found = ClearLeaf(context, leaf, first, old);
    EntryIndex::Retire(leaf);
    EntryLeaf& retired = *leaf;
    leaf.Unlock();
    for (uint32_t i = 0; i < found; ++i) Release(context, old[i]);
    context.counters_.invalidations.Add(found);
    AwaitOperations(retired);
  });
  index_.DestroyArea(area);
}

bool CompressedCache::Admits(CacheContext& context) {
  constexpr uint32_t kCheckEveryClosed = 4;
  if (gate_.limit() == UINT64_MAX && !gate_.closed()) return true;
  // The count may be from before it closed.
  if (gate_.closed()) {
    context.stores_until_check_ = std::min(context.stores_until_check_, kCheckEveryClosed);
  }
  if (context.stores_until_check_ > 0) {
    --context.stores_until_check_;
    return !gate_.closed();
  }
  const uint64_t level = content_.pool().Snapshot().frame_bytes();
  if (gate_.Observe(level)) context.counters_.gate_closings.Add();
  context.stores_until_check_ = gate_.closed() ? kCheckEveryClosed : gate_.StoresUntilCheck(level);
  return !gate_.closed();
}

void CompressedCache::EraseAfterFailure(CacheContext& context, EntryKey key) {
  ToRelease old;
  {
    LockedLeaf leaf = index_.Find(key);
    if (!leaf || leaf.word(key).empty()) return;
    old = Replace(context, leaf, key, EntryEvent::kStore, EntryWord());
  }
  context.counters_.superseded.Add();
  Release(context, old);
}

void CompressedCache::Audit() {
  index_.Audit();
  uint64_t objects = 0;
  uint64_t disk_bytes = 0;
  uint64_t references[DictionarySet::kSlots + 1] = {};
  index_.ForEachArea([&](AreaId area) {
    index_.ForEachLeaf(area, [&](LockedLeaf& leaf, EntryKey first) {
      UZ_CHECK(EntriesInFlight::AnyFilling(leaf) == nullptr);
      for (uint32_t i = 0; i < EntryLeaf::kWords; ++i) {
        const EntryWord word = leaf->words[i];
        content_.Audit(EntryKey::FromRaw(first.raw() + i), word);
        objects += word.in_pool() ? 1 : 0;
        ++references[word.dictionary()];
        if (word.kind() == EntryKind::kOnDisk) {
          disk_bytes += content_.store()->RecordBytesOf(word.place());
        }
      }
    });
  });
  UZ_CHECK_EQ(objects, content_.pool().Snapshot().objects);
  content_.dictionaries().Audit();
  for (DictionarySlot slot = 1; slot <= DictionarySet::kSlots; ++slot) {
    UZ_CHECK_EQ(references[slot], content_.dictionaries().ReferencesOf(slot));
  }
  if (content_.store() != nullptr && content_.store()->in_flight() == 0) {
    // Records of a batch that is being filled are counted as live already.
    UZ_CHECK_LE(disk_bytes, content_.store()->segments().live_bytes());
    content_.store()->Audit();
  }
}

void CompressedCache::ResetAfterFork() {
  index_.ResetAfterFork();
  in_flight_.ResetAfterFork();
  contexts_.ResetAfterFork();
}

}  // namespace uzswap
