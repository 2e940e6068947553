// Storing: compress the page and allocate an object without any lock, then publish it in the index.
#include <cstring>

#include "cache/operations.h"
#include "os/thread.h"

namespace uzswap {

StoreOutcome StoreOperation::Refuse(StoreOutcome outcome, RelaxedCounter& why) {
  why.Add();
  // The older copy is stale now.
  cache_.EraseAfterFailure(context_, key_);
  return outcome;
}

StoreOutcome StoreOperation::Prepare(ConstPageBytes page, Repeated repeated) {
  if (cache_.index_.KindOf(key_.area()) == AreaKind::kNone) {
    context_.counters_.refused_index_full.Add();
    return StoreOutcome::kNoIndex;
  }
  uint64_t pattern = 0;
  if (repeated == Repeated::kUnknown && IsSameFilled(page, &pattern)) {
    return PrepareRepeated(pattern);
  }
  // Before the page is compressed: a refused store should cost nothing.
  if (!cache_.Admits(context_)) {
    return Refuse(StoreOutcome::kNoSpace, context_.counters_.refused_gate_closed);
  }
  const CodecChooser::Pick pick = cache_.chooser_.PickForStore(context_.countdown_);
  const AcquiredDictionary use = cache_.content_.dictionaries().Acquire();
  const CompressOutcome made = Compress(page, pick, use.dictionary);
  if (made.kind == CompressKind::kCompressed) {
    if (cache_.observer_ != nullptr) cache_.observer_->OnCompressed(page);
    return PrepareObject(context_.object_.first(made.size), pick.codec->id(), use.slot);
  }
  cache_.content_.dictionaries().Release(use.slot);
  if (!cache_.keep_incompressible_.load(std::memory_order_relaxed)) {
    return Refuse(StoreOutcome::kIncompressible, context_.counters_.refused_incompressible);
  }
  return PrepareObject(page, CodecId::kNone, kNoDictionary);
}

CompressOutcome StoreOperation::Compress(ConstPageBytes page, CodecChooser::Pick pick,
                                         const Dictionary* dictionary) {
  const CodecId id = pick.codec->id();
  const uint64_t before = pick.measured ? os::ThreadNanoseconds() : 0;
  const CompressOutcome made = context_.codec(id).Compress(
      page, context_.object_.first(cache_.options_.object_max), dictionary);
  if (pick.measured) {
    const bool fits = made.kind == CompressKind::kCompressed;
    cache_.chooser_.NoteStore(id, os::ThreadNanoseconds() - before, fits ? made.size : kPageSize);
  }
  return made;
}

StoreOutcome StoreOperation::PrepareRepeated(uint64_t pattern) {
  if (const std::optional<EntryWord> word = EntryWord::SameFilled(pattern)) {
    word_ = *word;
    return StoreOutcome::kStored;
  }
  memcpy(context_.object_.data(), &pattern, sizeof(pattern));
  return PrepareObject(context_.object_.first(sizeof(pattern)), CodecId::kNone, kNoDictionary);
}

StoreOutcome StoreOperation::PrepareObject(std::span<const std::byte> bytes, CodecId codec,
                                           DictionarySlot dictionary) {
  const AllocateResult stored = cache_.content_.pool().Store(bytes, key_.raw());
  if (!stored.ok()) cache_.content_.dictionaries().Release(dictionary);
  switch (stored.outcome) {
    case AllocateOutcome::kAllocated:
      break;
    case AllocateOutcome::kNoSpace:
      cache_.gate_.Close();
      return Refuse(StoreOutcome::kNoSpace, context_.counters_.refused_no_frame);
    case AllocateOutcome::kTooLarge:
      return Refuse(StoreOutcome::kIncompressible, context_.counters_.refused_incompressible);
  }
  if (bytes.size() == kPageSize) context_.counters_.stores_uncompressed.Add();
  word_ = EntryWord::Pooled(stored.handle, codec, dictionary);
  return StoreOutcome::kStored;
}

StoreOutcome StoreOperation::Publish() {
  CompressedCache::ToRelease old;
  {
    LockedLeaf leaf = cache_.index_.Obtain(key_);
    if (!leaf) {
      context_.counters_.refused_index_full.Add();
      cache_.content_.Release(word_);
      // No leaf, so no older copy either.
      return StoreOutcome::kNoIndex;
    }
    if (!leaf.word(key_).empty()) context_.counters_.superseded.Add();
    old = cache_.Replace(context_, leaf, key_, EntryEvent::kStore, word_);
  }
  context_.counters_.stores.Add();
  cache_.Release(context_, old);
  return StoreOutcome::kStored;
}

}  // namespace uzswap
