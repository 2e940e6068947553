#include "cache/entry_content.h"

#include "os/thread.h"

namespace uzswap {

void EntryContent::Release(EntryWord word) {
  switch (word.kind()) {
    case EntryKind::kEmpty:
    case EntryKind::kSameFilled:
      return;
    case EntryKind::kPooled:
    case EntryKind::kWriting:
      pool_->Free(word.handle());
      break;
    case EntryKind::kOnDisk:
      store_->Release(word.place());
      break;
  }
  dictionaries_->Release(word.dictionary());
}

LoadOutcome EntryContent::Decompress(CacheContext& context, EntryKey key, EntryWord word,
                                     PageBytes page) {
  context.last_error_ = 0;
  if (word.in_pool()) {
    context.counters_.loads_pool.Add();
    const PinnedObject pin = pool_->Pin(word.handle());
    ObjectView view;
    view.first = pin.segment(0);
    if (pin.segment_count() > 1) view.second = pin.segment(1);
    return DecompressObject(context, word, word.codec(), view, page);
  }
  UZ_CHECK_EQ(word.kind(), EntryKind::kOnDisk);
  return DecompressRecord(context, word, store_->Read(word.place(), key.raw(), context.read_),
                          page);
}

LoadOutcome EntryContent::DecompressRecord(CacheContext& context, EntryWord word,
                                           const ReadResult& read, PageBytes page) {
  context.counters_.loads_disk.Add();
  switch (read.outcome) {
    case ReadOutcome::kOk:
      // With another dictionary the page would have other bytes.
      if (read.encoding.dictionary != dictionaries_->VersionOf(word.dictionary())) {
        context.counters_.load_wrong_dictionary.Add();
        break;
      }
      return DecompressObject(context, word, read.encoding.codec, {read.payload, {}}, page);
    case ReadOutcome::kIoError:
      context.last_error_ = read.error;
      context.counters_.load_io_errors.Add();
      return LoadOutcome::kIoError;
    case ReadOutcome::kCorrupt:
    case ReadOutcome::kMisplaced:
      break;
  }
  context.counters_.load_corrupt.Add();
  return LoadOutcome::kCorrupt;
}

LoadOutcome EntryContent::DecompressObject(CacheContext& context, EntryWord word, CodecId codec,
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
    const Dictionary* const dictionary = dictionaries_->Of(word.dictionary());
    const bool measured = chooser_->PickForLoad(codec, context.countdown_);
    const uint64_t before = measured ? os::ThreadNanoseconds() : 0;
    const DecompressOutcome outcome = context.codec(codec).Decompress(object, page, dictionary);
    if (measured) chooser_->NoteLoad(codec, os::ThreadNanoseconds() - before);
    if (outcome == DecompressOutcome::kOk) return LoadOutcome::kLoaded;
  }
  context.counters_.load_corrupt.Add();
  return LoadOutcome::kCorrupt;
}

void EntryContent::Audit(EntryKey key, EntryWord word) const {
  if (word.in_pool()) UZ_CHECK_EQ(pool_->OwnerOf(word.handle()), key.raw());
  if (word.kind() == EntryKind::kOnDisk) {
    UZ_CHECK_GT(store_->segments().LiveOf(word.place().segment()), 0u);
  }
}

}  // namespace uzswap
