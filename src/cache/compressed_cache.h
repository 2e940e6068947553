// CompressedCache: holds pages by entry (area, offset), compressed in a pool or on disk.
//
//        Store                                   Load
//          |                                       ^
//   codec  v                                codec  |
//     +---------+   EntryIndex: (area, offset) -> EntryWord   +---------------+
//     |  Pool   |   EntriesInFlight: being loaded, read ahead |  BackingStore |
//     +---------+ ------ BeginWrite ... Written ------------> +---------------+
//
// The interface is frontswap's: areas, store, load, invalidate. In a *persistent* area every stored
// page can be loaded until it is invalidated, superseded, or taken by an exclusive load. Pages of
// an *ephemeral* area may be dropped; a load may miss.
//
// A store that fails first erases the older copy, because a stale page is worse than none. The
// caller still has the refused page and decides what to do with it.
//
// Operations are objects with steps (operations.h), so that a test can run another operation
// between any two steps; Load, Store and the others run all steps. No step holds a lock while it
// compresses, reads a device, or waits. Every store, load and invalidation takes effect at one
// instant: the change, or the reading, of the entry's word under its leaf's lock.
//
// Threads: any thread may store, load, invalidate, prefetch. One thread at a time, the writer, may
// call BeginWrite ... Recompress and drives the BackingStore; the cache is that store's
// ObjectOwner. Nothing on the writer's side can reach Store.
//
// Errors: normal outcomes are enums (cache_types.h). A page that cannot be read stays in its entry,
// so that the load can be tried again; the caller decides (the pager raises SIGBUS).
// Nothing allocates from the heap. After Init, only the cache's own tables are touched for the
// first time.
//
// Size: 35 methods, because the cache has two interfaces: one for those who store and load, one
// for the writer (ObjectOwner among it). Both work on the same words. What could be split off is in
// EntryContent, CacheContexts and the operations.
#ifndef UZSWAP_CACHE_COMPRESSED_CACHE_H_
#define UZSWAP_CACHE_COMPRESSED_CACHE_H_

#include <atomic>
#include <cstdint>
#include <span>

#include "backing/backing_store.h"
#include "cache/cache_context.h"
#include "cache/cache_types.h"
#include "cache/codec_chooser.h"
#include "cache/entries_in_flight.h"
#include "cache/entry_content.h"
#include "cache/entry_index.h"
#include "cache/pool_gate.h"
#include "cache/store_observer.h"
#include "cache/swap_entry.h"
#include "pool/pool.h"

namespace uzswap {

// Whether a page repeats one pattern of 64 bits (IsSameFilled), as far as its caller knows.
enum class Repeated : uint8_t {
  kUnknown,  // the cache looks
  kNo,       // the caller has looked
};

class CompressedCache final : public ObjectOwner {
 public:
  CompressedCache() = default;
  CompressedCache(const CompressedCache&) = delete;
  CompressedCache& operator=(const CompressedCache&) = delete;

  // `pool` must outlive the cache, and hold only objects of this cache.
  Result<void> Init(Pool& pool, const CacheOptions& options);
  // Once, before the first write. `store` must outlive the cache's entries.
  void AttachStore(BackingStore& store) { content_.AttachStore(store); }

  // Any time; a store that is under way may still use the previous value.
  void SetKeepIncompressible(bool keep) {
    keep_incompressible_.store(keep, std::memory_order_relaxed);
  }

  // Once, before the first store. It outlives the cache's use.
  void SetObserver(StoreObserver& observer) { observer_ = &observer; }

  // Which codec stores use. Fixed unless the options say otherwise.
  [[nodiscard]] CodecChooser& chooser() { return chooser_; }

  // --- Areas ---
  [[nodiscard]] AreaId CreateArea(AreaKind kind) { return index_.CreateArea(kind); }
  [[nodiscard]] AreaKind KindOf(AreaId area) const { return index_.KindOf(area); }
  // Of the object with this key.
  [[nodiscard]] bool IsEphemeral(uint64_t key) const {
    return KindOf(EntryKey::FromRaw(key).area()) == AreaKind::kEphemeral;
  }
  // Invalidates all pages, waits for the loads that are under way, and removes the area. Operations
  // that overlap see it full or empty. Requires: it exists; no other thread destroys it.
  void DestroyArea(CacheContext& context, AreaId area);

  // --- Pages ---
  // Requires: the page does not change until this returns.
  StoreOutcome Store(CacheContext& context, SwapEntry entry, ConstPageBytes page,
                     Repeated repeated = Repeated::kUnknown);
  LoadOutcome Load(CacheContext& context, SwapEntry entry, PageBytes page, LoadMode mode);
  // True if the entry holds this page and need not be read from the disk. Uses the context's room
  // for a page. Requires: the page does not change until this returns.
  bool HoldsInMemory(CacheContext& context, SwapEntry entry, ConstPageBytes page);
  // True if the entry held a page.
  bool Invalidate(CacheContext& context, SwapEntry entry);
  // Returns how many pages were invalidated.
  uint64_t InvalidateArea(CacheContext& context, AreaId area);
  // Reads pages on disk into frames for reading ahead, side by side; at most kPrefetchMax.
  static constexpr size_t kPrefetchMax = ReadContext::kMany;
  void PrefetchMany(CacheContext& context, std::span<const SwapEntry> entries);
  // Drops pages that were read ahead and not loaded: their records cannot be moved on disk.
  void DropReadAhead(CacheContext& context);

  // --- The writer's side ---
  // Takes an object of a frame for writing, if its entry still has it.
  EvictResult BeginWrite(CacheContext& context, const ObjectInfo& candidate);
  // Undoes BeginWrite: the batch had no room.
  void CancelWrite(CacheContext& context, uint64_t key, uint64_t token);
  RecompressOutcome Recompress(CacheContext& context, const ObjectInfo& candidate,
                               const Codec& codec);
  // As the store's owner. They count in the writer's context.
  void SetWriterContext(CacheContext& context) { writer_ = &context; }
  bool Written(uint64_t key, uint64_t token, DiskPlace place) override;
  void WriteFailed(uint64_t key, uint64_t token) override;
  uint64_t Wanted(uint64_t key, DiskPlace place) override;

  // --- Figures ---
  [[nodiscard]] PoolGate& gate() { return gate_; }
  [[nodiscard]] Pool& pool() { return content_.pool(); }
  [[nodiscard]] uint64_t metadata_bytes() const { return index_.metadata_bytes(); }
  // Adds what all contexts counted, also those that are gone.
  void Count(CacheCounters& sum) { contexts_.Count(sum); }

  // Complete check: every word's content exists, nothing is in flight. Requires: no other thread is
  // active.
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

  // What the caller of Replace must release once the leaf is unlocked.
  struct ToRelease {
    EntryWord content;                    // empty if a load in flight releases it
    InFlightEntry* read_ahead = nullptr;  // unlinked
  };

  // Replaces the entry's word. Requires: the old or the new word is not empty.
  ToRelease Replace(CacheContext& context, LockedLeaf& leaf, EntryKey key, EntryEvent event,
                    EntryWord to);
  // Waits for the users of the page read ahead, if there is one: they only copy it.
  void Release(CacheContext& context, const ToRelease& old);
  // Empties the words of a leaf; returns how many elements of `old` are set.
  uint32_t ClearLeaf(CacheContext& context, LockedLeaf& leaf, EntryKey first,
                     std::span<ToRelease, EntryLeaf::kWords> old);
  // True if the pool takes more. Asks it for its level only from time to time.
  bool Admits(CacheContext& context);
  void EraseAfterFailure(CacheContext& context, EntryKey key);
  bool DropOldestReadAhead(CacheContext& context);

  CacheOptions options_;
  std::atomic<bool> keep_incompressible_{true};  // orders nothing
  StoreObserver* observer_ = nullptr;
  CodecChooser chooser_;
  EntryContent content_;
  EntryIndex index_;
  EntriesInFlight in_flight_;
  PoolGate gate_;
  CacheContext* writer_ = nullptr;
  CacheContexts contexts_;
};

}  // namespace uzswap

#endif  // UZSWAP_CACHE_COMPRESSED_CACHE_H_
