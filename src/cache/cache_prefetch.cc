// Reading ahead: a page on disk comes into a frame of the swap cache, and stays on disk too.
//
// A filled frame only saves work: the entry's word does not change, and the frame may be dropped
// at any time. Whoever changes the word drops it.
#include <optional>

#include "cache/operations.h"

namespace uzswap {

void CompressedCache::PrefetchMany(CacheContext& context, std::span<const SwapEntry> entries) {
  UZ_CHECK_LE(entries.size(), kPrefetchMax);
  std::optional<PrefetchOperation> operations[kPrefetchMax];
  DiskPlace places[kPrefetchMax];
  size_t count = 0;
  for (const SwapEntry& entry : entries) {
    PrefetchOperation& operation = operations[count].emplace(*this, context, entry);
    if (operation.Begin()) places[count++] = operation.place();
  }
  if (count == 0) return;
  store_->ReadMany({places, count}, context.read_);
  for (size_t i = 0; i < count; ++i) {
    operations[i]->Fetch(i);
    static_cast<void>(operations[i]->Finish());
  }
}

bool CompressedCache::DropOldestReadAhead(CacheContext& context) {
  const EntryKey key = in_flight_.OldestReadAhead();
  if (key.raw() == 0) return false;
  InFlightEntry* slot = nullptr;
  {
    LockedLeaf leaf = index_.Find(key);
    if (!leaf) return false;
    slot = EntriesInFlight::Lookup(leaf, key, leaf.word(key));
    const bool filled = slot != nullptr && slot->read_ahead &&
                        slot->state.load(std::memory_order_acquire) == InFlightEntry::State::kReady;
    if (!filled) return false;
    EntriesInFlight::Unlink(leaf, *slot);
  }
  Dispose(context, {EntryWord(), slot});
  return true;
}

void CompressedCache::DropReadAhead(CacheContext& context) {
  for (uint32_t frames = in_flight_.frames(); frames > 0; --frames) {
    if (!DropOldestReadAhead(context)) return;
  }
}

bool PrefetchOperation::Wanted(const LockedLeaf& leaf) const {
  return leaf && leaf.word(key_).kind() == EntryKind::kOnDisk &&
         EntriesInFlight::Lookup(leaf, key_, leaf.word(key_)) == nullptr;
}

InFlightEntry* PrefetchOperation::TakeFrame() {
  if (InFlightEntry* slot = cache_.in_flight_.TakeFrame()) return slot;
  return cache_.DropOldestReadAhead(context_) ? cache_.in_flight_.TakeFrame() : nullptr;
}

bool PrefetchOperation::Begin() {
  // Looked at twice: no frame should give way for a page that is not wanted.
  const bool wanted = Wanted(cache_.index_.Find(key_));
  InFlightEntry* slot = wanted ? TakeFrame() : nullptr;
  if (slot != nullptr) {
    LockedLeaf leaf = cache_.index_.Find(key_);
    if (Wanted(leaf)) {
      InFlightEntry* theirs = nullptr;
      const InFlightOutcome outcome = EntriesInFlight::Acquire(leaf, key_, *slot, &theirs);
      UZ_CHECK(outcome == InFlightOutcome::kNew);
      leaf_ = &*leaf;
      slot_ = slot;
      return true;
    }
    leaf.Unlock();
    cache_.in_flight_.ReturnFrame(*slot);
  }
  context_.counters_.readahead_refused.Add();
  return false;
}

void PrefetchOperation::Fetch(size_t i) {
  const ReadResult read = cache_.store_->Verify(place(), key_.raw(), i, context_.read_);
  outcome_ = cache_.UnfoldRecord(context_, read, PageBytes(slot_->frame, kPageSize));
}

bool PrefetchOperation::Finish() {
  InFlightEntry& slot = *slot_;
  slot_ = nullptr;
  EntryWord content;
  bool changed = false;
  {
    LockedLeaf leaf = LockedLeaf::Lock(*leaf_);
    changed = leaf.word(key_) != slot.word;
    if (!changed && outcome_ == LoadOutcome::kLoaded) {
      // Published under the lock: from here on it belongs to whoever finds it in the leaf.
      EntriesInFlight::Publish(slot, InFlightEntry::State::kReady);
      context_.counters_.readahead_filled.Add();
      return true;
    }
    if (changed) content = slot.word;
    EntriesInFlight::Unlink(leaf, slot);
  }
  EntriesInFlight::Publish(slot,
                           changed ? InFlightEntry::State::kStale : InFlightEntry::State::kFailed);
  cache_.ReleaseContent(content);
  context_.counters_.readahead_dropped.Add();
  EntriesInFlight::AwaitUsers(slot);
  cache_.in_flight_.ReturnFrame(slot);
  return false;
}

}  // namespace uzswap
