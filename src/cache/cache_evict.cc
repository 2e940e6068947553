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
      return {EvictOutcome::kGone, 0, CodecId::kNone, {}};
    }
    if (EntriesInFlight::Lookup(leaf, key, word) != nullptr) {
      counters.evict_in_flight.Add();
      return {EvictOutcome::kInFlight, 0, CodecId::kNone, {}};
    }
    if (word.referenced()) {
      leaf.Change(key, EntryEvent::kAge, word.WithReferenced(false));
      counters.evict_referenced.Add();
      return {EvictOutcome::kReferenced, 0, CodecId::kNone, {}};
    }
    if (index_.KindOf(key.area()) != AreaKind::kEphemeral) {
      const PinnedObject pin = content_.pool().Pin(word.handle());
      const std::span<std::byte> object = context.object_.first(pin.size());
      pin.CopyTo(object);
      const EntryWord writing = word.AsWriting();
      leaf.Change(key, EntryEvent::kBeginWrite, writing);
      counters.evict_begun.Add();
      return {EvictOutcome::kBegun, writing.raw(), word.codec(), object};
    }
    old = Replace(context, leaf, key, EntryEvent::kDrop, EntryWord());
  }
  counters.dropped.Add();
  Release(context, old);
  return {EvictOutcome::kDropped, 0, CodecId::kNone, {}};
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
    counters.CountChange(before, EntryWord::OnDisk(place));
    leaf.Change(key, moved ? EntryEvent::kRelocate : EntryEvent::kWritten,
                EntryWord::OnDisk(place));
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
  const EntryWord word = EntryWord::OnDisk(place);
  const LockedLeaf leaf = index_.Find(key);
  const bool movable =
      leaf && leaf.word(key) == word && EntriesInFlight::Lookup(leaf, key, word) == nullptr;
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
  const PinnedObject pin = cache_.content_.pool().Pin(word_.handle());
  size_ = pin.size();
  pin.CopyTo(context_.object_);
  return true;
}

void RecompressOperation::Work() {
  worth_trying_ = !word_.tried() && word_.codec() != codec_.id() && size_ > sizeof(uint64_t);
  if (!worth_trying_) return;
  const PageBytes page(context_.page_.data(), kPageSize);
  const ObjectView old = {context_.object_.first(size_), {}};
  worth_trying_ =
      cache_.content_.DecompressObject(context_, word_.codec(), old, page) == LoadOutcome::kLoaded;
  if (!worth_trying_) return;
  // A smaller object in the same size class would free nothing.
  const size_t footprint = cache_.content_.pool().FootprintOf(size_);
  const CompressOutcome made =
      context_.codec(codec_.id()).Compress(page, context_.object_.first(size_ - 1));
  worth_trying_ = made.kind == CompressKind::kCompressed &&
                  cache_.content_.pool().FootprintOf(made.size) < footprint;
  if (!worth_trying_) return;
  const AllocateResult stored =
      cache_.content_.pool().Store(context_.object_.first(made.size), candidate_.owner_key);
  no_space_ = !stored.ok();
  if (stored.ok()) made_ = stored.handle;
}

RecompressOutcome RecompressOperation::Finish() {
  const EntryKey key = EntryKey::FromRaw(candidate_.owner_key);
  const Handle made = made_;
  made_ = Handle();
  CacheCounters& counters = context_.counters_;
  bool still = false;
  {
    LockedLeaf leaf = cache_.index_.Find(key);
    still = leaf && leaf.word(key) == word_ && EntriesInFlight::Lookup(leaf, key, word_) == nullptr;
    if (still && made.valid()) {
      leaf.Change(key, EntryEvent::kRecompress,
                  EntryWord::Pooled(made, codec_.id()).WithReferenced(word_.referenced()));
    } else if (still && !no_space_) {
      leaf.Change(key, EntryEvent::kRecompress, word_.WithTried());
    }
  }
  if (!still) {
    counters.recompress_lost.Add();
    if (made.valid()) cache_.content_.pool().Free(made);
    return RecompressOutcome::kGone;
  }
  if (made.valid()) {
    counters.recompressed.Add();
    cache_.content_.pool().Free(word_.handle());
    return RecompressOutcome::kMadeDenser;
  }
  (no_space_ ? counters.recompress_no_space : counters.recompress_kept).Add();
  return no_space_ ? RecompressOutcome::kNoSpace : RecompressOutcome::kKept;
}

}  // namespace uzswap
