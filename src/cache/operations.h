// The operations of the compressed cache, in steps. Other operations may run between any two.
//
//   Store        Prepare (compress, allocate)      Publish (index)
//   Load         Begin (look up, hold)   Fetch (decompress, or wait)   Publish (index)   Leave
//   Prefetch     Begin                   Fetch                     Finish
//   Recompress   Begin (copy)            Work (decompress, compress, allocate)   Finish (index)
//
// One thread calls each step once, in order. Begin returns whether there is more to do. The steps
// of writeback are calls of the cache and the store: BeginWrite, Append, Reap. An operation that
// began must be finished; its destructor checks that.
#ifndef UZSWAP_CACHE_OPERATIONS_H_
#define UZSWAP_CACHE_OPERATIONS_H_

#include "cache/compressed_cache.h"

namespace uzswap {

class StoreOperation {
 public:
  StoreOperation(CompressedCache& cache, CacheContext& context, SwapEntry entry)
      : cache_(cache), context_(context), key_(entry) {}
  // After kStored the operation owns the content until Publish.
  StoreOutcome Prepare(ConstPageBytes page, Repeated repeated);
  StoreOutcome Publish();

 private:
  CompressOutcome Compress(ConstPageBytes page, CodecChooser::Pick pick,
                           const Dictionary* dictionary);
  // A page that repeats one pattern of 64 bits.
  StoreOutcome PrepareRepeated(uint64_t pattern);
  // `dictionary` comes with a reference. It belongs to the word, or is released.
  StoreOutcome PrepareObject(std::span<const std::byte> bytes, CodecId codec,
                             DictionarySlot dictionary);
  StoreOutcome Refuse(StoreOutcome outcome, RelaxedCounter& why);

  CompressedCache& cache_;
  CacheContext& context_;
  EntryKey key_;
  EntryWord word_;
};

class LoadOperation {
 public:
  enum class Next : uint8_t {
    kDone,   // the answer is in outcome()
    kFetch,  // Fetch, Publish, Leave are to follow
    kAgain,  // the entry changed meanwhile: a new operation must start
  };

  LoadOperation(CompressedCache& cache, CacheContext& context, SwapEntry entry, PageBytes page,
                LoadMode mode)
      : cache_(cache), context_(context), key_(entry), page_(page), mode_(mode) {}
  ~LoadOperation() { UZ_CHECK(!open_); }

  Next Begin();
  void Fetch();
  Next Publish();
  void Leave();
  [[nodiscard]] LoadOutcome outcome() const { return outcome_; }

 private:
  friend class CachePeer;

  bool LeavesOnDisk(EntryWord word);
  Next TakeReadAhead(LockedLeaf& leaf, InFlightEntry& entry);
  Next Join(LockedLeaf& leaf, InFlightEntry& entry);
  Next Hold(LockedLeaf& leaf);
  Next PublishJoined();

  CompressedCache& cache_;
  CacheContext& context_;
  EntryKey key_;
  PageBytes page_;
  LoadMode mode_;
  EntryLeaf* leaf_ = nullptr;  // exists as long as mine_ is linked to it
  InFlightEntry mine_;
  InFlightEntry* theirs_ = nullptr;  // joined: another operation does the work
  struct {
    EntryWord word;
    uint32_t generation = 0;  // of the place that it names
    InFlightEntry::State state = InFlightEntry::State::kFilling;
  } joined_;
  LoadOutcome outcome_ = LoadOutcome::kMiss;
  bool open_ = false;
};

class PrefetchOperation {
 public:
  PrefetchOperation(CompressedCache& cache, CacheContext& context, SwapEntry entry)
      : cache_(cache), context_(context), key_(entry) {}
  PrefetchOperation(const PrefetchOperation&) = delete;
  PrefetchOperation& operator=(const PrefetchOperation&) = delete;
  ~PrefetchOperation() { UZ_CHECK(entry_ == nullptr); }

  // False if there is nothing to do, or no frame to do it in.
  bool Begin();
  // Where the record is. The caller reads it with others (BackingStore::ReadMany).
  [[nodiscard]] DiskPlace place() const { return entry_->word.place(); }
  // Decompresses the page from the i-th record that was read.
  void Fetch(size_t i);
  // True if the frame holds the page.
  bool Finish();

 private:
  [[nodiscard]] bool Wanted(const LockedLeaf& leaf) const;
  [[nodiscard]] InFlightEntry* TakeFrame();

  CompressedCache& cache_;
  CacheContext& context_;
  EntryKey key_;
  EntryLeaf* leaf_ = nullptr;
  InFlightEntry* entry_ = nullptr;
  LoadOutcome outcome_ = LoadOutcome::kMiss;
};

class RecompressOperation {
 public:
  RecompressOperation(CompressedCache& cache, CacheContext& context, const ObjectInfo& candidate,
                      const Codec& codec)
      : cache_(cache),
        context_(context),
        candidate_(candidate),
        codec_(codec),
        dense_(&codec == &DenseCodec()) {}
  ~RecompressOperation() { UZ_CHECK(made_.empty()); }

  bool Begin();
  void Work();
  RecompressOutcome Finish();

 private:
  CompressedCache& cache_;
  CacheContext& context_;
  ObjectInfo candidate_;
  const Codec& codec_;
  const bool dense_;
  // Compresses `page` into an object with a smaller footprint than `footprint`, and stores it.
  void Make(PageBytes page, size_t footprint);

  bool needless_ = false;  // nothing would change: Begin took nothing
  EntryWord word_;  // after Begin: with a reference to its dictionary that is not the entry's
  size_t size_ = 0;
  EntryWord made_;  // the new content, with its own reference; empty if there is none
  bool no_space_ = false;
};

}  // namespace uzswap

#endif  // UZSWAP_CACHE_OPERATIONS_H_
