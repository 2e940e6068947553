// Loading: hold the entry's content with a slot, unfold it without a lock, and then see whether
// the entry is still what it was.
#include <cstring>

#include "cache/operations.h"

namespace uzswap {

using Next = LoadOperation::Next;
using SlotState = InFlightEntry::State;

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
    // Each turn means that somebody else changed the entry: the system as a whole gets on.
    context.counters_.load_retries.Add();
  }
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
  if (InFlightEntry* slot = EntriesInFlight::Lookup(leaf, key_, word)) {
    const bool filled =
        slot->read_ahead && slot->state.load(std::memory_order_acquire) == SlotState::kReady;
    if (filled) return TakeReadAhead(leaf, *slot);
    return LeavesOnDisk(word) ? Next::kDone : Join(leaf, *slot);
  }
  return LeavesOnDisk(word) ? Next::kDone : Hold(leaf);
}

bool LoadOperation::LeavesOnDisk(EntryWord word) {
  if (mode_ != LoadMode::kKeepFromMemory || word.kind() != EntryKind::kOnDisk) return false;
  context_.counters_.loads_left_on_disk.Add();
  outcome_ = LoadOutcome::kOnDisk;
  return true;
}

Next LoadOperation::TakeReadAhead(LockedLeaf& leaf, InFlightEntry& slot) {
  CompressedCache::Remains remains;
  if (mode_ == LoadMode::kExclusive) {
    remains = cache_.Replace(context_, leaf, key_, EntryEvent::kTake, EntryWord());
  } else {
    EntriesInFlight::Unlink(leaf, slot);
  }
  leaf.Unlock();
  memcpy(page_.data(), slot.frame, kPageSize);
  EntriesInFlight::AwaitUsers(slot);
  cache_.in_flight_.ReturnFrame(slot);
  cache_.ReleaseContent(remains.content);
  context_.counters_.loads_read_ahead.Add();
  context_.counters_.loads.Add();
  outcome_ = LoadOutcome::kLoaded;
  return Next::kDone;
}

Next LoadOperation::Join(LockedLeaf& leaf, InFlightEntry& slot) {
  InFlightEntry* found = nullptr;
  const InFlightOutcome outcome = EntriesInFlight::Acquire(leaf, key_, mine_, &found);
  UZ_CHECK(outcome == InFlightOutcome::kAlreadyThere && found == &slot);
  theirs_ = found;
  joined_word_ = slot.word;
  open_ = true;
  return Next::kFetch;
}

Next LoadOperation::Hold(LockedLeaf& leaf) {
  const EntryWord word = leaf.word(key_);
  if (word.in_pool()) {
    // Wanted again: no candidate for writing any more, and spared once if it stays.
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
    outcome_ = cache_.Unfold(context_, key_, mine_.word, page_);
    return;
  }
  joined_state_ = EntriesInFlight::Await(*theirs_);
  if (joined_state_ == SlotState::kReady) memcpy(page_.data(), theirs_->frame, kPageSize);
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
      content = mine_.word;  // left to us by whoever changed the entry
    } else if (loaded && mode_ == LoadMode::kExclusive) {
      content = cache_.Replace(context_, leaf, key_, EntryEvent::kTake, EntryWord()).content;
    }
  }
  EntriesInFlight::Publish(mine_, changed  ? SlotState::kStale
                                  : loaded ? SlotState::kReady
                                           : SlotState::kFailed);
  cache_.ReleaseContent(content);
  if (changed) return Next::kAgain;
  if (loaded) context_.counters_.loads.Add();
  return Next::kDone;
}

Next LoadOperation::PublishJoined() {
  if (joined_state_ != SlotState::kReady) return Next::kAgain;
  if (mode_ == LoadMode::kExclusive) {
    // The page was copied from a frame, but the entry is ours only if it is still there.
    CompressedCache::Remains remains;
    {
      LockedLeaf leaf = cache_.index_.Find(key_);
      if (!leaf || leaf.word(key_) != joined_word_) return Next::kAgain;
      if (EntriesInFlight::Lookup(leaf, key_, joined_word_) != nullptr) return Next::kAgain;
      remains = cache_.Replace(context_, leaf, key_, EntryEvent::kTake, EntryWord());
    }
    cache_.Dispose(context_, remains);
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

LoadOutcome CompressedCache::Unfold(CacheContext& context, EntryKey key, EntryWord word,
                                    PageBytes page) {
  context.last_error_ = 0;
  if (word.in_pool()) {
    context.counters_.loads_pool.Add();
    const PinnedObject pin = pool_->Pin(word.handle());
    ObjectView view;
    view.first = pin.segment(0);
    if (pin.segment_count() > 1) view.second = pin.segment(1);
    return UnfoldObject(context, word.codec(), view, page);
  }
  UZ_CHECK_EQ(word.kind(), EntryKind::kOnDisk);
  return UnfoldRecord(context, store_->Read(word.place(), key.raw(), context.read_), page);
}

LoadOutcome CompressedCache::UnfoldRecord(CacheContext& context, const ReadResult& read,
                                          PageBytes page) {
  context.counters_.loads_disk.Add();
  switch (read.outcome) {
    case ReadOutcome::kOk:
      return UnfoldObject(context, read.codec, {read.payload, {}}, page);
    case ReadOutcome::kIoError:
      context.last_error_ = read.error;
      context.counters_.load_io_errors.Add();
      return LoadOutcome::kIoError;
    case ReadOutcome::kCorrupt:
    case ReadOutcome::kMisplaced:
      context.counters_.load_corrupt.Add();
      return LoadOutcome::kCorrupt;
  }
  return LoadOutcome::kCorrupt;
}

LoadOutcome CompressedCache::UnfoldObject(CacheContext& context, CodecId codec,
                                          const ObjectView& object, PageBytes page) {
  if (codec == CodecId::kNone) {
    if (object.size() == kPageSize) {
      object.CopyTo(page);
      return LoadOutcome::kLoaded;
    }
    uint64_t pattern = 0;
    if (object.size() == sizeof(pattern)) {
      object.CopyTo(std::as_writable_bytes(std::span(&pattern, 1)));
      FillPage(pattern, page);
      return LoadOutcome::kLoaded;
    }
  } else if (CodecById(codec) != nullptr) {
    context.counters_.decompressions.Add();
    if (context.codec(codec).Decompress(object, page) == DecompressOutcome::kOk) {
      return LoadOutcome::kLoaded;
    }
  }
  context.counters_.load_corrupt.Add();
  return LoadOutcome::kCorrupt;
}

}  // namespace uzswap
