// Loading: hold the entry's content with an entry in flight, decompress it without a lock, and then
// check whether the entry is still the same.
#include <cstring>

#include "cache/operations.h"

namespace uzswap {

using Next = LoadOperation::Next;
using FlightState = InFlightEntry::State;

LoadOutcome CompressedCache::Load(CacheContext& context, SwapEntry entry, PageBytes page,
                                  LoadMode mode) {
  for (;;) {
    LoadOperation operation(*this, context, entry, page, mode);
    Next next = operation.Begin();
    if (next == Next::kFetch) {
      operation.Fetch();
      next = operation.Publish();
      operation.Leave();
    }
    if (next == Next::kDone) return operation.outcome();
    // Another thread changed the entry, so the system as a whole makes progress.
    context.counters_.load_retries.Add();
  }
}

bool CompressedCache::HoldsInMemory(CacheContext& context, SwapEntry entry, ConstPageBytes page) {
  const PageBytes held(context.page_);
  if (Load(context, entry, held, LoadMode::kKeepFromMemory) != LoadOutcome::kLoaded) return false;
  return memcmp(held.data(), page.data(), kPageSize) == 0;
}

Next LoadOperation::Begin() {
  LockedLeaf leaf = cache_.index_.Find(key_);
  if (!leaf || leaf.word(key_).empty()) {
    context_.counters_.load_misses.Add();
    outcome_ = LoadOutcome::kMiss;
    return Next::kDone;
  }
  leaf_ = &*leaf;
  const EntryWord word = leaf.word(key_);
  if (word.kind() == EntryKind::kSameFilled) {
    if (mode_ == LoadMode::kExclusive) {
      static_cast<void>(cache_.Replace(context_, leaf, key_, EntryEvent::kTake, EntryWord()));
    }
    leaf.Unlock();
    FillPage(word.pattern(), page_);
    context_.counters_.loads_same_filled.Add();
    context_.counters_.loads.Add();
    outcome_ = LoadOutcome::kLoaded;
    return Next::kDone;
  }
  if (InFlightEntry* entry = EntriesInFlight::Lookup(leaf, key_, word)) {
    const bool filled =
        entry->read_ahead && entry->state.load(std::memory_order_acquire) == FlightState::kReady;
    if (filled) return TakeReadAhead(leaf, *entry);
    return LeavesOnDisk(word) ? Next::kDone : Join(leaf, *entry);
  }
  return LeavesOnDisk(word) ? Next::kDone : Hold(leaf);
}

bool LoadOperation::LeavesOnDisk(EntryWord word) {
  if (mode_ != LoadMode::kKeepFromMemory || word.kind() != EntryKind::kOnDisk) return false;
  context_.counters_.loads_left_on_disk.Add();
  outcome_ = LoadOutcome::kOnDisk;
  return true;
}

Next LoadOperation::TakeReadAhead(LockedLeaf& leaf, InFlightEntry& entry) {
  CompressedCache::ToRelease old;
  if (mode_ == LoadMode::kExclusive) {
    old = cache_.Replace(context_, leaf, key_, EntryEvent::kTake, EntryWord());
  } else {
    EntriesInFlight::Unlink(leaf, entry);
  }
  leaf.Unlock();
  memcpy(page_.data(), entry.frame, kPageSize);
  EntriesInFlight::AwaitUsers(entry);
  cache_.in_flight_.ReturnFrame(entry);
  cache_.content_.Release(old.content);
  context_.counters_.loads_read_ahead.Add();
  context_.counters_.loads.Add();
  outcome_ = LoadOutcome::kLoaded;
  return Next::kDone;
}

Next LoadOperation::Join(LockedLeaf& leaf, InFlightEntry& entry) {
  InFlightEntry* found = nullptr;
  const InFlightOutcome outcome = EntriesInFlight::Acquire(leaf, key_, mine_, &found);
  UZ_CHECK(outcome == InFlightOutcome::kAlreadyThere && found == &entry);
  theirs_ = found;
  joined_.word = entry.word;
  joined_.generation = cache_.content_.GenerationOf(entry.word);
  open_ = true;
  return Next::kFetch;
}

Next LoadOperation::Hold(LockedLeaf& leaf) {
  const EntryWord word = leaf.word(key_);
  if (word.in_pool()) {
    // No candidate for writing any more; spared once if it stays.
    leaf.Change(key_, EntryEvent::kTouch, word.AsPooled().WithReferenced(true));
  }
  mine_.frame = page_.data();
  const InFlightOutcome outcome = EntriesInFlight::Acquire(leaf, key_, mine_, &theirs_);
  UZ_CHECK(outcome == InFlightOutcome::kNew);
  open_ = true;
  return Next::kFetch;
}

void LoadOperation::Fetch() {
  if (theirs_ == nullptr) {
    outcome_ = cache_.content_.Decompress(context_, key_, mine_.word, page_);
    return;
  }
  joined_.state = EntriesInFlight::Await(*theirs_);
  if (joined_.state == FlightState::kReady) memcpy(page_.data(), theirs_->frame, kPageSize);
  EntriesInFlight::Leave(*theirs_);
}

Next LoadOperation::Publish() {
  if (theirs_ != nullptr) return PublishJoined();
  const bool loaded = outcome_ == LoadOutcome::kLoaded;
  bool changed = false;
  EntryWord content;
  {
    LockedLeaf leaf = LockedLeaf::Lock(*leaf_);
    changed = leaf.word(key_) != mine_.word;
    EntriesInFlight::Unlink(leaf, mine_);
    if (changed) {
      content = mine_.word;  // left to this load by the thread that changed the entry
    } else if (loaded && mode_ == LoadMode::kExclusive) {
      content = cache_.Replace(context_, leaf, key_, EntryEvent::kTake, EntryWord()).content;
    }
  }
  EntriesInFlight::Publish(mine_, changed  ? FlightState::kStale
                                  : loaded ? FlightState::kReady
                                           : FlightState::kFailed);
  cache_.content_.Release(content);
  if (changed) return Next::kAgain;
  if (loaded) context_.counters_.loads.Add();
  return Next::kDone;
}

Next LoadOperation::PublishJoined() {
  if (joined_.state != FlightState::kReady) return Next::kAgain;
  if (mode_ == LoadMode::kExclusive) {
    // The page was copied from another load's frame; this load takes the entry if it is unchanged.
    // Nothing held the content since then: its place may have been written again.
    CompressedCache::ToRelease old;
    {
      LockedLeaf leaf = cache_.index_.Find(key_);
      if (!leaf || leaf.word(key_) != joined_.word) return Next::kAgain;
      if (cache_.content_.GenerationOf(joined_.word) != joined_.generation) return Next::kAgain;
      if (EntriesInFlight::Lookup(leaf, key_, joined_.word) != nullptr) return Next::kAgain;
      old = cache_.Replace(context_, leaf, key_, EntryEvent::kTake, EntryWord());
    }
    cache_.Release(context_, old);
  }
  context_.counters_.loads_joined.Add();
  context_.counters_.loads.Add();
  outcome_ = LoadOutcome::kLoaded;
  return Next::kDone;
}

void LoadOperation::Leave() {
  if (theirs_ == nullptr) EntriesInFlight::AwaitUsers(mine_);
  open_ = false;
}

}  // namespace uzswap
