// The writer's side: objects leave the pool for the store, or become denser.
//
// The writer decides by frames and passes the objects that a frame listed. Each candidate is looked
// up again under its leaf's lock, because it may have changed since it was listed. Its bytes are
// copied under that lock, so nothing stays pinned during the write. A load of the candidate
// changes its word; the writer sees that when the write ends. Neither waits for the other.
#include <cstring>

#include "cache/operations.h"

namespace uzswap {

EvictResult CompressedCache::BeginWrite(CacheContext& context, const ObjectInfo& candidate) {
  const EntryKey key = EntryKey::FromRaw(candidate.owner_key);
  CacheCounters& counters = context.counters_;
  ToRelease old;
  {
    LockedLeaf leaf = index_.Find(key);
    const EntryWord word = leaf ? leaf.word(key) : EntryWord();
    if (word.kind() != EntryKind::kPooled || word.handle() != candidate.handle) {
      counters.evict_gone.Add();
      return {EvictOutcome::kGone, 0, {}, {}};
    }
    if (EntriesInFlight::Lookup(leaf, key, word) != nullptr) {
      counters.evict_in_flight.Add();
      return {EvictOutcome::kInFlight, 0, {}, {}};
    }
    if (word.referenced()) {
      leaf.Change(key, EntryEvent::kAge, word.WithReferenced(false));
      counters.evict_referenced.Add();
      return {EvictOutcome::kReferenced, 0, {}, {}};
    }
    if (index_.KindOf(key.area()) != AreaKind::kEphemeral) {
      const PinnedObject pin = content_.pool().Pin(word.handle());
      const std::span<std::byte> object = context.object_.first(pin.size());
      pin.CopyTo(object);
      const EntryWord writing = word.AsWriting();
      leaf.Change(key, EntryEvent::kBeginWrite, writing);
      counters.evict_begun.Add();
      const uint32_t version = content_.dictionaries().VersionOf(word.dictionary());
      return {EvictOutcome::kBegun, writing.raw(), {word.codec(), version}, object};
    }
    old = Replace(context, leaf, key, EntryEvent::kDrop, EntryWord());
  }
  counters.dropped.Add();
  Release(context, old);
  return {EvictOutcome::kDropped, 0, {}, {}};
}

void CompressedCache::CancelWrite(CacheContext& context, uint64_t key, uint64_t token) {
  context.counters_.evict_cancelled.Add();
  LockedLeaf leaf = index_.Find(EntryKey::FromRaw(key));
  if (!leaf || leaf.word(EntryKey::FromRaw(key)).raw() != token) return;
  leaf.Change(EntryKey::FromRaw(key), EntryEvent::kWriteFailed,
              EntryWord::FromRaw(token).AsPooled());
}

bool CompressedCache::Written(uint64_t raw_key, uint64_t token, DiskPlace place) {
  const EntryKey key = EntryKey::FromRaw(raw_key);
  const EntryWord before = EntryWord::FromRaw(token);
  const bool moved = before.kind() == EntryKind::kOnDisk;
  CacheCounters& counters = writer_->counters_;
  {
    LockedLeaf leaf = index_.Find(key);
    // An entry in flight with this word holds the content where it is.
    const bool still =
        leaf && leaf.word(key) == before && EntriesInFlight::Lookup(leaf, key, before) == nullptr;
    if (!still) {
      (moved ? counters.relocations_lost : counters.writes_lost).Add();
      return false;
    }
    const EntryWord after = EntryWord::OnDisk(place, before.dictionary());
    content_.dictionaries().AddReference(after.dictionary());
    counters.CountChange(before, after);
    leaf.Change(key, moved ? EntryEvent::kRelocate : EntryEvent::kWritten, after);
  }
  (moved ? counters.relocated : counters.zswpwb).Add();
  content_.Release(before);
  return true;
}

void CompressedCache::WriteFailed(uint64_t raw_key, uint64_t token) {
  const EntryKey key = EntryKey::FromRaw(raw_key);
  const EntryWord before = EntryWord::FromRaw(token);
  if (before.kind() == EntryKind::kOnDisk) return;  // the cleaner's old copy is still good
  writer_->counters_.writes_failed.Add();
  LockedLeaf leaf = index_.Find(key);
  if (!leaf || leaf.word(key) != before) return;
  leaf.Change(key, EntryEvent::kWriteFailed, before.AsPooled());
}

uint64_t CompressedCache::Wanted(uint64_t raw_key, DiskPlace place) {
  const EntryKey key = EntryKey::FromRaw(raw_key);
  const LockedLeaf leaf = index_.Find(key);
  const EntryWord word = leaf ? leaf.word(key) : EntryWord();
  const bool movable = word.kind() == EntryKind::kOnDisk && word.place() == place &&
                       EntriesInFlight::Lookup(leaf, key, word) == nullptr;
  return movable ? word.raw() : 0;
}

RecompressOutcome CompressedCache::Recompress(CacheContext& context, const ObjectInfo& candidate,
                                              const Codec& codec) {
  RecompressOperation operation(*this, context, candidate, codec);
  if (!operation.Begin()) return RecompressOutcome::kGone;
  operation.Work();
  return operation.Finish();
}

bool RecompressOperation::Begin() {
  const EntryKey key = EntryKey::FromRaw(candidate_.owner_key);
  const LockedLeaf leaf = cache_.index_.Find(key);
  word_ = leaf ? leaf.word(key) : EntryWord();
  const bool ours = word_.kind() == EntryKind::kPooled && word_.handle() == candidate_.handle &&
                    EntriesInFlight::Lookup(leaf, key, word_) == nullptr;
  if (!ours) {
    context_.counters_.recompress_lost.Add();
    return false;
  }
  const bool same = word_.codec() == codec_.id() &&
                    word_.dictionary() == cache_.content_.dictionaries().current() &&
                    (word_.dense() || !dense_);
  needless_ = word_.tried() || same;
  if (needless_) return true;
  const PinnedObject pin = cache_.content_.pool().Pin(word_.handle());
  size_ = pin.size();
  pin.CopyTo(context_.object_);
  // The entry may go, and its dictionary with it, before Work has used the copy.
  cache_.content_.dictionaries().AddReference(word_.dictionary());
  return true;
}

void RecompressOperation::Work() {
  if (needless_ || size_ <= sizeof(uint64_t)) return;
  const PageBytes page(context_.page_.data(), kPageSize);
  const ObjectView old = {context_.object_.first(size_), {}};
  const LoadOutcome loaded =
      cache_.content_.DecompressObject(context_, word_, word_.codec(), old, page);
  if (loaded == LoadOutcome::kLoaded) Make(page, cache_.content_.pool().FootprintOf(size_));
}

void RecompressOperation::Make(PageBytes page, size_t footprint) {
  Pool& pool = cache_.content_.pool();
  DictionarySet& dictionaries = cache_.content_.dictionaries();
  const AcquiredDictionary use = dictionaries.Acquire();
  const CompressOutcome made =
      context_.compressor(codec_).Compress(page, context_.object_.first(size_ - 1), use.dictionary);
  // A smaller object in the same size class would free nothing.
  if (made.kind == CompressKind::kCompressed && pool.FootprintOf(made.size) < footprint) {
    const AllocateResult stored =
        pool.Store(context_.object_.first(made.size), candidate_.owner_key);
    no_space_ = !stored.ok();
    if (stored.ok()) made_ = EntryWord::Pooled(stored.handle, codec_.id(), use.slot);
    if (stored.ok() && dense_) made_ = made_.WithDense();
  }
  if (made_.empty()) dictionaries.Release(use.slot);
}

RecompressOutcome RecompressOperation::Finish() {
  if (needless_) {
    context_.counters_.recompress_kept.Add();
    return RecompressOutcome::kKept;
  }
  const EntryKey key = EntryKey::FromRaw(candidate_.owner_key);
  const EntryWord made = made_;
  made_ = EntryWord();
  CacheCounters& counters = context_.counters_;
  bool still = false;
  {
    LockedLeaf leaf = cache_.index_.Find(key);
    still = leaf && leaf.word(key) == word_ && EntriesInFlight::Lookup(leaf, key, word_) == nullptr;
    if (still && !made.empty()) {
      counters.CountChange(word_, made);
      leaf.Change(key, EntryEvent::kRecompress, made.WithReferenced(word_.referenced()));
    } else if (still && !no_space_) {
      leaf.Change(key, EntryEvent::kRecompress, word_.WithTried());
    }
  }
  cache_.content_.dictionaries().Release(word_.dictionary());  // taken by Begin
  if (!still) {
    counters.recompress_lost.Add();
    cache_.content_.Release(made);
    return RecompressOutcome::kGone;
  }
  if (!made.empty()) {
    counters.recompressed.Add();
    cache_.content_.Release(word_);
    return RecompressOutcome::kMadeDenser;
  }
  (no_space_ ? counters.recompress_no_space : counters.recompress_kept).Add();
  return no_space_ ? RecompressOutcome::kNoSpace : RecompressOutcome::kKept;
}

}  // namespace uzswap
