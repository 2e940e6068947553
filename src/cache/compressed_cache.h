// CompressedCache: pages in, pages out, and in between they are small or on disk.
//
//        Store                                   Load
//          |                                       ^
//   codec  v                                codec  |
//     +---------+   EntryIndex: (area, offset) -> EntryWord    +---------------+
//     |  Pool   |   EntriesInFlight:  entries in flight              | BackingStore  |
//     +---------+ ------ BeginWrite ... Written ------------>  +---------------+
//
// The face is frontswap's: areas, store, load, invalidate. In a *persistent* area every stored
// page comes back until it is invalidated, superseded, or taken by an exclusive load; the
// pages of an *ephemeral* area may be dropped, and a miss is an answer.
//
// A store that fails has first erased the older copy: a stale page is worse than none. What to
// do with a refused page is the caller's business: it still has it.
//
// Operations are objects with steps (operations.h) so that tests can stand between any two
// steps; Load, Store and the others run all steps. No step holds a lock while it compresses,
// reads a device, or waits. Every store, load and invalidation takes effect at one instant:
// the change, or the reading, of the entry's word under its leaf's lock.
//
// Who works on what: any thread may store, load, invalidate, prefetch. One thread at a time, the
// writer, may call BeginWrite ... Recompress and drives the BackingStore; the cache is that
// store's ObjectOwner. Nothing on the writer's side can reach Store.
//
// Errors: normal outcomes are enums below. A page that cannot be read back stays where it is,
// so that it can be tried again, and the caller decides (the pager raises SIGBUS).
// Nothing allocates from the heap; after Init only own tables are touched for the first time.
#ifndef UZSWAP_CACHE_COMPRESSED_CACHE_H_
#define UZSWAP_CACHE_COMPRESSED_CACHE_H_

#include <atomic>
#include <cstdint>
#include <span>

#include "backing/backing_store.h"
#include "cache/cache_context.h"
#include "cache/entries_in_flight.h"
#include "cache/entry_index.h"
#include "cache/pool_gate.h"
#include "cache/swap_entry.h"
#include "pool/pool.h"

namespace uzswap {

using PageBytes = std::span<std::byte, kPageSize>;
using ConstPageBytes = std::span<const std::byte, kPageSize>;

enum class [[nodiscard]] StoreOutcome : uint8_t{
    kStored,          // as an object, or as one word
    kNoSpace,         // the pool is at its bound, or shrinking from it
    kIncompressible,  // and the cache was told not to keep such pages
    kNoIndex,         // the area does not exist, is being destroyed, or the index is full
};

enum class [[nodiscard]] LoadOutcome : uint8_t{
    kLoaded,
    kMiss,     // never stored, invalidated, taken, or dropped
    kIoError,  // CacheContext::last_error() has the errno; the entry is unchanged
    kCorrupt,  // the stored bytes are damaged; the entry is unchanged
    kOnDisk,   // and was to be left there (kKeepFromMemory); the entry is unchanged
};

enum class LoadMode : uint8_t {
  kExclusive,  // the page leaves the cache
  kKeep,       // the copy stays: what was not changed need not be compressed again
  // As kKeep, but answers kOnDisk rather than wait for a device. Prefetch brings the page near.
  kKeepFromMemory,
};

// What came of choosing an object for writing.
enum class [[nodiscard]] EvictOutcome : uint8_t{
    kBegun,       // its bytes are in the span, its token waits for Written
    kGone,        // the entry is something else by now
    kInFlight,    // it is being loaded: warm
    kReferenced,  // it was loaded since the last look: spared this once
    kDropped,     // it was ephemeral, and is no more
};

struct [[nodiscard]] EvictResult {
  EvictOutcome outcome = EvictOutcome::kGone;
  uint64_t token = 0;
  CodecId codec = CodecId::kNone;
  std::span<const std::byte> object;  // in the writer's context, until its next call
};

enum class [[nodiscard]] RecompressOutcome : uint8_t{
    kMadeDenser,
    kKept,     // nothing gained; not tried again
    kGone,     // the entry is something else by now, or in flight
    kNoSpace,  // the pool had no room for the new object
};

struct CacheOptions {
  const Codec* codec = nullptr;      // of stores; must be given
  bool keep_incompressible = true;   // as they are, so that they age and are written back
  size_t object_max = kPageSize;     // a page that does not fold to this counts as incompressible
  uint64_t pool_limit = UINT64_MAX;  // bytes of the pool's frames
  uint32_t readahead_frames = 64;
  IndexOptions index;
};

class CompressedCache final : public ObjectOwner {
 public:
  CompressedCache() = default;
  ~CompressedCache();
  CompressedCache(const CompressedCache&) = delete;
  CompressedCache& operator=(const CompressedCache&) = delete;

  // `pool` must outlive the cache, and hold nobody else's objects.
  Result<void> Init(Pool& pool, const CacheOptions& options);
  // Once, before the first write. `store` must outlive the cache's entries.
  void AttachStore(BackingStore& store);

  // Any time; stores that are under way may still go by the former answer.
  void SetKeepIncompressible(bool keep) {
    keep_incompressible_.store(keep, std::memory_order_relaxed);
  }

  // --- Areas ---
  [[nodiscard]] AreaId CreateArea(AreaKind kind) { return index_.CreateArea(kind); }
  [[nodiscard]] AreaKind KindOf(AreaId area) const { return index_.KindOf(area); }
  // Invalidates all, waits for the loads that are under way, and forgets the area. Operations on
  // it that overlap see it full or empty. Requires: it exists, and nobody else destroys it.
  void DestroyArea(CacheContext& context, AreaId area);

  // --- The face ---
  // Requires: the page does not change until this returns.
  StoreOutcome Store(CacheContext& context, SwapEntry entry, ConstPageBytes page);
  LoadOutcome Load(CacheContext& context, SwapEntry entry, PageBytes page, LoadMode mode);
  // True if there was something to invalidate.
  bool Invalidate(CacheContext& context, SwapEntry entry);
  // Returns how many pages were invalidated.
  uint64_t InvalidateArea(CacheContext& context, AreaId area);
  // Reads pages on disk into frames for reading ahead, side by side; at most kPrefetchMax.
  static constexpr size_t kPrefetchMax = ReadContext::kMany;
  void PrefetchMany(CacheContext& context, std::span<const SwapEntry> entries);
  // Gives up what was read ahead and has not been asked for: it cannot be moved on disk.
  void DropReadAhead(CacheContext& context);

  // --- The writer's side ---
  // Takes an object of a frame for writing, if its entry still has it.
  EvictResult BeginWrite(CacheContext& context, const ObjectInfo& candidate);
  // The batch had no room after all.
  void CancelWrite(CacheContext& context, uint64_t key, uint64_t token);
  RecompressOutcome Recompress(CacheContext& context, const ObjectInfo& candidate,
                               const Codec& codec);
  // As the store's owner. The context that counts for them is the writer's.
  void SetWriterContext(CacheContext& context) { writer_ = &context; }
  bool Written(uint64_t key, uint64_t token, DiskPlace place) override;
  void WriteFailed(uint64_t key, uint64_t token) override;
  uint64_t Wanted(uint64_t key, DiskPlace place) override;

  // --- Watermarks ---
  [[nodiscard]] PoolGate& gate() { return gate_; }
  [[nodiscard]] Pool& pool() { return *pool_; }
  [[nodiscard]] uint64_t metadata_bytes() const { return index_.metadata_bytes(); }
  // The sums over all contexts, living and gone.
  void Count(CacheCounters& sum) UZ_EXCLUDES(contexts_mutex_);

  // Complete check: every word's content exists, nothing is in flight. Requires: quiet.
  void Audit();
  // Requires: the only thread of a forked child; the parent was quiet when it forked.
  void ResetAfterFork();

 private:
  friend class CacheContext;
  friend class CachePeer;
  friend class LoadOperation;
  friend class PrefetchOperation;
  friend class StoreOperation;
  friend class RecompressOperation;
  using ContextList = IntrusiveList<CacheContext, &CacheContext::link_>;

  // What a word leaves behind when it is replaced: to be disposed of after unlocking.
  struct Remains {
    EntryWord content;                    // to be released; empty if not ours to release
    InFlightEntry* read_ahead = nullptr;  // unlinked, to be returned
  };

  // Replaces the entry's word. Requires: something is there, or comes.
  Remains Replace(CacheContext& context, LockedLeaf& leaf, EntryKey key, EntryEvent event,
                  EntryWord to);
  void Dispose(CacheContext& context, const Remains& remains);
  // Empties the words of a leaf; returns how many remains there are.
  uint32_t ClearLeaf(CacheContext& context, LockedLeaf& leaf, EntryKey first,
                     std::span<Remains, EntryLeaf::kWords> remains);
  static void AwaitOperations(EntryLeaf& retired);
  // Releases the handle or the place of a word that is no longer in the index.
  void ReleaseContent(EntryWord word);
  // Turns content into a page. Requires: the word's content is held.
  LoadOutcome Unfold(CacheContext& context, EntryKey key, EntryWord word, PageBytes page);
  LoadOutcome UnfoldRecord(CacheContext& context, const ReadResult& read, PageBytes page);
  LoadOutcome UnfoldObject(CacheContext& context, CodecId codec, const ObjectView& object,
                           PageBytes page);
  bool Admits(CacheContext& context);
  void EraseAfterFailure(CacheContext& context, EntryKey key);
  bool DropOldestReadAhead(CacheContext& context);
  // Counts the words that come and go.
  static void CountChange(CacheCounters& counters, EntryWord from, EntryWord to);
  void AuditContent(EntryKey key, EntryWord word);

  void AddContext(CacheContext& context) UZ_EXCLUDES(contexts_mutex_);
  void RemoveContext(CacheContext& context) UZ_EXCLUDES(contexts_mutex_);

  Pool* pool_ = nullptr;
  BackingStore* store_ = nullptr;
  CacheOptions options_;
  std::atomic<bool> keep_incompressible_{true};  // orders nothing
  EntryIndex index_;
  EntriesInFlight in_flight_;
  PoolGate gate_;
  CacheContext* writer_ = nullptr;
  Mutex contexts_mutex_{LockRank::kLeaf};
  ContextList contexts_ UZ_GUARDED_BY(contexts_mutex_);
  CacheCounters past_ UZ_GUARDED_BY(contexts_mutex_);
};

}  // namespace uzswap

#endif  // UZSWAP_CACHE_COMPRESSED_CACHE_H_
