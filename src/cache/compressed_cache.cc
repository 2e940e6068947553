#include "cache/compressed_cache.h"

#include <cstring>

#include "cache/operations.h"

namespace uzswap {

CompressedCache::~CompressedCache() {
  MutexLock lock(contexts_mutex_);
  UZ_CHECK(contexts_.empty());
}

Result<void> CompressedCache::Init(Pool& pool, const CacheOptions& options) {
  UZ_CHECK(pool_ == nullptr && options.codec != nullptr);
  if (Result<void> done = index_.Init(options.index); !done.ok()) return done;
  if (Result<void> done = in_flight_.Init(options.readahead_frames); !done.ok()) return done;
  gate_.SetLimit(options.pool_limit);
  options_ = options;
  SetKeepIncompressible(options.keep_incompressible);
  pool_ = &pool;
  return {};
}

void CompressedCache::AttachStore(BackingStore& store) {
  UZ_CHECK(store_ == nullptr);
  store_ = &store;
}

void CompressedCache::CountChange(CacheCounters& counters, EntryWord from, EntryWord to) {
  if (from.empty() != to.empty()) (to.empty() ? counters.entries_out : counters.entries_in).Add();
  const bool was_same = from.kind() == EntryKind::kSameFilled;
  const bool is_same = to.kind() == EntryKind::kSameFilled;
  if (was_same != is_same) (is_same ? counters.same_filled_in : counters.same_filled_out).Add();
  const bool was_disk = from.kind() == EntryKind::kOnDisk;
  const bool is_disk = to.kind() == EntryKind::kOnDisk;
  if (was_disk != is_disk) (is_disk ? counters.disk_in : counters.disk_out).Add();
  if (is_disk) counters.disk_bytes_in.Add(to.place().size());
  if (was_disk) counters.disk_bytes_out.Add(from.place().size());
  const bool was_plain = from.in_pool() && from.codec() == CodecId::kNone;
  const bool is_plain = to.in_pool() && to.codec() == CodecId::kNone;
  if (was_plain != is_plain) {
    (is_plain ? counters.uncompressed_in : counters.uncompressed_out).Add();
  }
}

CompressedCache::Remains CompressedCache::Replace(CacheContext& context, LockedLeaf& leaf,
                                                  EntryKey key, EntryEvent event, EntryWord to) {
  const EntryWord from = leaf.word(key);
  CountChange(context.counters_, from, to);
  leaf.Change(key, event, to);
  InFlightEntry* slot = from.empty() ? nullptr : EntriesInFlight::Lookup(leaf, key, from);
  if (slot == nullptr) return {from, nullptr};
  const bool filled = slot->read_ahead &&
                      slot->state.load(std::memory_order_acquire) == InFlightEntry::State::kReady;
  if (!filled) {
    context.counters_.frees_left_to_loader.Add();
    return {};
  }
  EntriesInFlight::Unlink(leaf, *slot);
  return {from, slot};
}

void CompressedCache::Dispose(CacheContext& context, const Remains& remains) {
  if (remains.read_ahead != nullptr) {
    context.counters_.readahead_dropped.Add();
    EntriesInFlight::AwaitUsers(*remains.read_ahead);
    in_flight_.ReturnFrame(*remains.read_ahead);
  }
  ReleaseContent(remains.content);
}

void CompressedCache::ReleaseContent(EntryWord word) {
  switch (word.kind()) {
    case EntryKind::kEmpty:
    case EntryKind::kSameFilled:
      return;
    case EntryKind::kPooled:
    case EntryKind::kWriting:
      return pool_->Free(word.handle());
    case EntryKind::kOnDisk:
      return store_->Release(word.place());
  }
}

StoreOutcome CompressedCache::Store(CacheContext& context, SwapEntry entry, ConstPageBytes page) {
  StoreOperation operation(*this, context, entry);
  const StoreOutcome outcome = operation.Prepare(page);
  return outcome == StoreOutcome::kStored ? operation.Publish() : outcome;
}

bool CompressedCache::Invalidate(CacheContext& context, SwapEntry entry) {
  const EntryKey key(entry);
  Remains remains;
  {
    LockedLeaf leaf = index_.Find(key);
    if (!leaf || leaf.word(key).empty()) return false;
    remains = Replace(context, leaf, key, EntryEvent::kInvalidate, EntryWord());
  }
  context.counters_.invalidations.Add();
  Dispose(context, remains);
  return true;
}

uint32_t CompressedCache::ClearLeaf(CacheContext& context, LockedLeaf& leaf, EntryKey first,
                                    std::span<Remains, EntryLeaf::kWords> remains) {
  uint32_t found = 0;
  for (uint32_t i = 0; i < EntryLeaf::kWords && leaf->live > 0; ++i) {
    const EntryKey key = EntryKey::FromRaw(first.raw() + i);
    if (leaf.word(key).empty()) continue;
    remains[found++] = Replace(context, leaf, key, EntryEvent::kInvalidate, EntryWord());
  }
  return found;
}

uint64_t CompressedCache::InvalidateArea(CacheContext& context, AreaId area) {
  if (index_.KindOf(area) == AreaKind::kNone) return 0;
  uint64_t count = 0;
  index_.ForEachLeaf(area, [&](LockedLeaf& leaf, EntryKey first) {
    Remains remains[EntryLeaf::kWords];
    const uint32_t found = ClearLeaf(context, leaf, first, remains);
    leaf.Unlock();
    for (uint32_t i = 0; i < found; ++i) Dispose(context, remains[i]);
    count += found;
  });
  context.counters_.invalidations.Add(count);
  return count;
}

void CompressedCache::DestroyArea(CacheContext& context, AreaId area) {
  index_.CloseArea(area);
  index_.ForEachLeaf(area, [&](LockedLeaf& leaf, EntryKey first) {
    Remains remains[EntryLeaf::kWords];
    const uint32_t found = ClearLeaf(context, leaf, first, remains);
    EntryIndex::Retire(leaf);
    EntryLeaf& retired = *leaf;
    leaf.Unlock();
    for (uint32_t i = 0; i < found; ++i) Dispose(context, remains[i]);
    context.counters_.invalidations.Add(found);
    AwaitOperations(retired);
  });
  index_.DestroyArea(area);
}

// Operations that began before the leaf was retired hold on to it with their slots.
void CompressedCache::AwaitOperations(EntryLeaf& retired) {
  for (;;) {
    InFlightEntry* slot = nullptr;
    {
      const LockedLeaf leaf = LockedLeaf::Lock(retired);
      slot = EntriesInFlight::AnyFilling(leaf);
    }
    if (slot == nullptr) return;
    static_cast<void>(EntriesInFlight::Await(*slot));
    EntriesInFlight::Leave(*slot);
  }
}

bool CompressedCache::Admits(CacheContext& context) {
  // Asking a pool for its level takes its locks one after the other: not for every store.
  constexpr uint32_t kCheckEveryOpen = 64;
  constexpr uint32_t kCheckEveryClosed = 4;
  if (gate_.limit() == UINT64_MAX && !gate_.closed()) return true;
  if (context.stores_until_check_ > 0) {
    --context.stores_until_check_;
    return !gate_.closed();
  }
  context.stores_until_check_ = gate_.closed() ? kCheckEveryClosed : kCheckEveryOpen;
  if (gate_.Observe(pool_->Snapshot().frame_bytes())) context.counters_.gate_closings.Add();
  return !gate_.closed();
}

void CompressedCache::EraseAfterFailure(CacheContext& context, EntryKey key) {
  Remains remains;
  {
    LockedLeaf leaf = index_.Find(key);
    if (!leaf || leaf.word(key).empty()) return;
    remains = Replace(context, leaf, key, EntryEvent::kStore, EntryWord());
  }
  context.counters_.superseded.Add();
  Dispose(context, remains);
}

void CompressedCache::AddContext(CacheContext& context) {
  MutexLock lock(contexts_mutex_);
  contexts_.PushBack(context);
}

void CompressedCache::RemoveContext(CacheContext& context) {
  MutexLock lock(contexts_mutex_);
  contexts_.Remove(context);
  context.counters_.AddTo(past_);
}

void CompressedCache::Count(CacheCounters& sum) {
  MutexLock lock(contexts_mutex_);
  past_.AddTo(sum);
  for (CacheContext* context = contexts_.front(); context != nullptr;
       context = contexts_.Next(*context)) {
    context->counters_.AddTo(sum);
  }
}

void CompressedCache::AuditContent(EntryKey key, EntryWord word) {
  if (word.in_pool()) UZ_CHECK_EQ(pool_->OwnerOf(word.handle()), key.raw());
  if (word.kind() == EntryKind::kOnDisk) {
    UZ_CHECK_GT(store_->segments().LiveOf(word.place().segment()), 0u);
  }
}

void CompressedCache::Audit() {
  index_.Audit();
  uint64_t objects = 0;
  uint64_t disk_bytes = 0;
  index_.ForEachArea([&](AreaId area) {
    index_.ForEachLeaf(area, [&](LockedLeaf& leaf, EntryKey first) {
      UZ_CHECK(EntriesInFlight::AnyFilling(leaf) == nullptr);
      for (uint32_t i = 0; i < EntryLeaf::kWords; ++i) {
        const EntryWord word = leaf->words[i];
        AuditContent(EntryKey::FromRaw(first.raw() + i), word);
        objects += word.in_pool() ? 1 : 0;
        if (word.kind() == EntryKind::kOnDisk) {
          disk_bytes += store_->RecordBytesOf(word.place());
        }
      }
    });
  });
  UZ_CHECK_EQ(objects, pool_->Snapshot().objects);
  if (store_ != nullptr && store_->in_flight() == 0) {
    // A batch that fills counts its records as live already.
    UZ_CHECK_LE(disk_bytes, store_->segments().live_bytes());
    store_->Audit();
  }
}

void CompressedCache::ResetAfterFork() {
  index_.ResetAfterFork();
  in_flight_.ResetAfterFork();
  contexts_mutex_.ResetAfterFork();
}

}  // namespace uzswap
