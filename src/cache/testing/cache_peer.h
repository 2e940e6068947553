// CachePeer: what tests may see of a CompressedCache and its operations beside the public methods.
#ifndef UZSWAP_CACHE_TESTING_CACHE_PEER_H_
#define UZSWAP_CACHE_TESTING_CACHE_PEER_H_

#include "cache/operations.h"

namespace uzswap {

class CachePeer {
 public:
  // True if the entry holds a page.
  static bool Holds(CompressedCache& cache, SwapEntry entry) {
    const EntryKey key(entry);
    const LockedLeaf leaf = cache.index_.Find(key);
    return leaf && !leaf.word(key).empty();
  }
  // The word of the entry; the empty one if there is none.
  static EntryWord WordOf(CompressedCache& cache, SwapEntry entry) {
    const EntryKey key(entry);
    const LockedLeaf leaf = cache.index_.Find(key);
    return leaf ? leaf.word(key) : EntryWord();
  }
  // True if no load or read-ahead is under way in the leaf of the entry.
  static bool Quiet(CompressedCache& cache, SwapEntry entry) {
    const LockedLeaf leaf = cache.index_.Find(EntryKey(entry));
    if (!leaf) return true;
    InFlightEntry* filling = EntriesInFlight::AnyFilling(leaf);
    if (filling != nullptr) EntriesInFlight::Leave(*filling);
    return filling == nullptr;
  }
  // Whether Fetch, and Leave, would return at once.
  static bool FetchReady(const LoadOperation& load) {
    return load.theirs_ == nullptr || load.theirs_->state.load() != InFlightEntry::State::kFilling;
  }
  static bool LeaveReady(const LoadOperation& load) {
    return load.theirs_ != nullptr || load.mine_.users.load() == 0;
  }
  // Reads and fetches one page, as PrefetchMany does for many. Requires: prefetch.Begin() was true.
  static void Fetch(CompressedCache& cache, CacheContext& context, PrefetchOperation& prefetch) {
    const DiskPlace place = prefetch.place();
    cache.content_.store()->ReadMany({&place, 1}, context.read_);
    prefetch.Fetch(0);
  }
};

}  // namespace uzswap

#endif  // UZSWAP_CACHE_TESTING_CACHE_PEER_H_
