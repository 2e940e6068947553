// EntryContent: what the word of an entry names, and how it becomes a page again.
//
//   Pooled, Writing    handle  -->  an object of the Pool          --+
//                                                                    |--> Decompress --> page
//   OnDisk             place   -->  a record of the BackingStore   --+        ^
//   of all three:      slot    -->  a dictionary, with a reference -----------+
//   Empty, SameFilled  nothing to release, nothing to decompress
//
// Any thread may call anything but Init and AttachStore, without a lock. Requires: the caller holds
// the content, through an entry in flight or because it removed the word. Nothing allocates.
#ifndef UZSWAP_CACHE_ENTRY_CONTENT_H_
#define UZSWAP_CACHE_ENTRY_CONTENT_H_

#include "backing/backing_store.h"
#include "cache/cache_context.h"
#include "cache/cache_types.h"
#include "cache/codec_chooser.h"
#include "cache/entry_word.h"
#include "cache/swap_entry.h"
#include "codec/dictionary_set.h"
#include "pool/pool.h"

namespace uzswap {

class EntryContent {
 public:
  void Init(Pool& pool, DictionarySet& dictionaries, CodecChooser& chooser) {
    UZ_CHECK(pool_ == nullptr);
    pool_ = &pool;
    dictionaries_ = &dictionaries;
    chooser_ = &chooser;
  }
  void AttachStore(BackingStore& store) {
    UZ_CHECK(store_ == nullptr);
    store_ = &store;
  }
  [[nodiscard]] Pool& pool() const { return *pool_; }
  [[nodiscard]] DictionarySet& dictionaries() const { return *dictionaries_; }
  // nullptr if none is attached.
  [[nodiscard]] BackingStore* store() const { return store_; }

  // Of the place that the word names, else 0. While it is the same, equal words name the same
  // record. Requires: the word was in the index when the caller looked last.
  [[nodiscard]] uint32_t GenerationOf(EntryWord word) const {
    return word.kind() == EntryKind::kOnDisk ? store_->GenerationOf(word.place()) : 0;
  }
  // Frees the object or releases the place of a word that is no longer in the index, and releases
  // its dictionary.
  void Release(EntryWord word);
  // Waits for the device if the word is OnDisk. Requires: the word is in the pool or on disk.
  LoadOutcome Decompress(CacheContext& context, EntryKey key, EntryWord word, PageBytes page);
  LoadOutcome DecompressRecord(CacheContext& context, EntryWord word, const ReadResult& read,
                               PageBytes page);
  // `object` is the content of `word`, or a copy.
  LoadOutcome DecompressObject(CacheContext& context, EntryWord word, CodecId codec,
                               const ObjectView& object, PageBytes page);

  // The content exists and belongs to `key`. Requires: no other thread is active.
  void Audit(EntryKey key, EntryWord word) const;

 private:
  Pool* pool_ = nullptr;
  DictionarySet* dictionaries_ = nullptr;
  CodecChooser* chooser_ = nullptr;
  BackingStore* store_ = nullptr;
};

}  // namespace uzswap

#endif  // UZSWAP_CACHE_ENTRY_CONTENT_H_
