// Reading ahead: a page on disk is decompressed into a frame, and stays on disk too.
//
// The entry's word does not change, and the frame may be dropped at any time: it only saves the
// next load a wait for the device. The code that changes the word drops the frame.
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
  content_.store()->ReadMany({places, count}, context.read_);
  for (size_t i = 0; i < count; ++i) {
    operations[i]->Fetch(i);
    static_cast<void>(operations[i]->Finish());
  }
}

bool CompressedCache::DropOldestReadAhead(CacheContext& context) {
  const EntryKey key = in_flight_.OldestReadAhead();
  if (key.raw() == 0) return false;
  InFlightEntry* entry = nullptr;
  {
    LockedLeaf leaf = index_.Find(key);
    if (!leaf) return false;
    entry = EntriesInFlight::Lookup(leaf, key, leaf.word(key));
    const bool filled =
        entry != nullptr && entry->read_ahead &&
        entry->state.load(std::memory_order_acquire) == InFlightEntry::State::kReady;
    if (!filled) return false;
    EntriesInFlight::Unlink(leaf, *entry);
  }
  Release(context, {EntryWord(), entry});
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
  if (InFlightEntry* entry = cache_.in_flight_.TakeFrame()) return entry;
  return cache_.DropOldestReadAhead(context_) ? cache_.in_flight_.TakeFrame() : nullptr;
}

bool PrefetchOperation::Begin() {
  // Checked before a frame is taken too: taking one may drop another page.
  const bool wanted = Wanted(cache_.index_.Find(key_));
  InFlightEntry* entry = wanted ? TakeFrame() : nullptr;
  if (entry != nullptr) {
    LockedLeaf leaf = cache_.index_.Find(key_);
    if (Wanted(leaf)) {
      InFlightEntry* theirs = nullptr;
      const InFlightOutcome outcome = EntriesInFlight::Acquire(leaf, key_, *entry, &theirs);
      UZ_CHECK(outcome == InFlightOutcome::kNew);
      leaf_ = &*leaf;
      entry_ = entry;
      return true;
    }
    leaf.Unlock();
    cache_.in_flight_.ReturnFrame(*entry);
  }
  context_.counters_.readahead_refused.Add();
  return false;
}

void PrefetchOperation::Fetch(size_t i) {
  const ReadResult read = cache_.content_.store()->Verify(place(), key_.raw(), i, context_.read_);
  outcome_ = cache_.content_.DecompressRecord(context_, entry_->word, read,
                                              PageBytes(entry_->frame, kPageSize));
}

bool PrefetchOperation::Finish() {
  InFlightEntry& entry = *entry_;
  entry_ = nullptr;
  EntryWord content;
  bool changed = false;
  {
    LockedLeaf leaf = LockedLeaf::Lock(*leaf_);
    changed = leaf.word(key_) != entry.word;
    if (!changed && outcome_ == LoadOutcome::kLoaded) {
      // Published under the lock: from now on it belongs to the thread that finds it in the leaf.
      EntriesInFlight::Publish(entry, InFlightEntry::State::kReady);
      context_.counters_.readahead_filled.Add();
      return true;
    }
    if (changed) content = entry.word;
    EntriesInFlight::Unlink(leaf, entry);
  }
  EntriesInFlight::Publish(entry,
                           changed ? InFlightEntry::State::kStale : InFlightEntry::State::kFailed);
  cache_.content_.Release(content);
  context_.counters_.readahead_dropped.Add();
  EntriesInFlight::AwaitUsers(entry);
  cache_.in_flight_.ReturnFrame(entry);
  return false;
}

}  // namespace uzswap
