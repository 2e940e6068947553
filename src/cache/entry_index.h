// EntryIndex: finds the word of an entry (area, offset); 64 neighbouring pages share a lock.
//
//   areas        [1][2][3]...                       a table
//                 |
//   root         [ 1024 children ]                  each covers 256 GiB
//   middle       [ 1024 children ]                  256 MiB
//   bottom       [ 1024 children ]                  256 KiB = 64 pages
//   leaf         [ lock | identity | live | in flight | 64 words ]
//
// Walking down takes no lock: children are atomic ids into tables that are never unmapped. The leaf
// that was found is locked, and then its identity is compared with the key. If the leaf was
// recycled meanwhile, the walk starts again. Pages in different leaves never share a lock.
//
// Nodes and leaves are added under the area's lock and are freed only with the area, so a path to
// a leaf never changes while the area exists.
//
// Errors: Init fails if the kernel grants no address space. A full table is an outcome
// (an empty LockedLeaf from Obtain; kNoArea). Nothing allocates after Init; the tables are mapped
// once and touched as they are used. Any thread may call anything but Audit and the destructor.
#ifndef UZSWAP_CACHE_ENTRY_INDEX_H_
#define UZSWAP_CACHE_ENTRY_INDEX_H_

#include <atomic>
#include <cstdint>

#include "base/counter.h"
#include "base/mutex.h"
#include "cache/entry_word.h"
#include "cache/swap_entry.h"
#include "os/virtual_array.h"

namespace uzswap {

struct InFlightEntry;

enum class AreaKind : uint8_t { kNone, kPersistent, kEphemeral };

// Sixty-four neighbouring entries. Everything but the identity is guarded by the lock.
struct alignas(kCacheLineSize) EntryLeaf {
  static constexpr uint32_t kWords = 64;

  Mutex mutex{LockRank::kCacheShard};
  // key / kWords of the first word; 0 while the leaf is free or retired. Changed under the lock,
  // compared without it after a walk.
  std::atomic<uint64_t> identity;
  uint32_t live;             // words that are not empty
  uint32_t next_free;        // while the leaf is free
  InFlightEntry* in_flight;  // entries of this leaf, see entries_in_flight.h
  EntryWord words[kWords];
};

// A leaf with its lock held; empty if there is none.
class [[nodiscard]] LockedLeaf {
 public:
  LockedLeaf() = default;
  static LockedLeaf Lock(EntryLeaf& leaf);
  LockedLeaf(LockedLeaf&& other) noexcept : leaf_(other.leaf_) { other.leaf_ = nullptr; }
  LockedLeaf& operator=(LockedLeaf&&) = delete;
  ~LockedLeaf() { Unlock(); }

  explicit operator bool() const { return leaf_ != nullptr; }
  EntryLeaf* operator->() const { return leaf_; }
  EntryLeaf& operator*() const { return *leaf_; }
  [[nodiscard]] EntryWord word(EntryKey key) const {
    return leaf_->words[key.raw() % EntryLeaf::kWords];
  }
  // Through Transition, and keeps `live` right.
  void Change(EntryKey key, EntryEvent event, EntryWord to);
  void Unlock();

 private:
  explicit LockedLeaf(EntryLeaf* leaf) : leaf_(leaf) {}

  EntryLeaf* leaf_ = nullptr;
};

struct IndexOptions {
  uint32_t areas_max = 4096;
  uint32_t nodes_max = 64 << 10;  // 4 KiB each, touched as used
  uint32_t leaves_max = 4 << 20;  // 576 bytes each, touched as used: 256 million pages
};

class EntryIndex {
 public:
  EntryIndex() = default;
  EntryIndex(const EntryIndex&) = delete;
  EntryIndex& operator=(const EntryIndex&) = delete;
  ~EntryIndex();

  Result<void> Init(const IndexOptions& options);

  // kNoArea if all are in use.
  [[nodiscard]] AreaId CreateArea(AreaKind kind);
  // The area takes no new leaves from now on. Requires: it exists.
  void CloseArea(AreaId area);
  // After this, Find does not return the leaf. Requires: its area is closed, its words are empty.
  static void Retire(LockedLeaf& leaf);
  // Requires: closed; all its leaves are retired and have no entries in flight.
  void DestroyArea(AreaId area);
  [[nodiscard]] AreaKind KindOf(AreaId area) const;

  // The leaf of `key`, locked; empty if there is none (so no entry either).
  LockedLeaf Find(EntryKey key);
  // Makes it if necessary; empty if the area is closed or a table is full.
  LockedLeaf Obtain(EntryKey key);

  // Calls visit(LockedLeaf&, first key) for every leaf of the area, one lock at a time.
  template <typename Visitor>
  void ForEachLeaf(AreaId area, Visitor&& visit);

  [[nodiscard]] uint64_t metadata_bytes() const {
    return leaves_made_.Get() * sizeof(EntryLeaf) + nodes_made_.Get() * sizeof(Node);
  }
  // Calls visit(area) for every area that exists.
  template <typename Visitor>
  void ForEachArea(Visitor&& visit) {
    for (AreaId area = 1; area < areas_.capacity(); ++area) {
      if (KindOf(area) != AreaKind::kNone) visit(area);
    }
  }

  // Counts agree with words. Requires: no other thread is active.
  void Audit();
  // Requires: the only thread of a forked child; no other thread was changing a word when the
  // parent forked (the engine waits for all operations before it forks).
  void ResetAfterFork();

 private:
  static constexpr int kChildBits = 10;
  static constexpr uint32_t kChildren = 1 << kChildBits;
  static constexpr int kLevels = 3;
  static_assert(kLevels * kChildBits + 6 == EntryKey::kOffsetBits && EntryLeaf::kWords == 1 << 6);

  // Ids of nodes, or of leaves on the lowest level; 0 is none. Written under the area's lock with
  // release and read with acquire: the node or leaf is initialised before its id is seen.
  struct Node {
    std::atomic<uint32_t> children[kChildren];
  };
  struct Area {
    Mutex mutex{LockRank::kCacheArea};
    std::atomic<AreaKind> kind;  // kNone while free. Read by any thread
    std::atomic<uint32_t> root;
    bool closed;
  };

  static uint32_t ChildOf(uint64_t leaf_number, int level) {
    return static_cast<uint32_t>(leaf_number >> ((kLevels - 1 - level) * kChildBits)) % kChildren;
  }
  static constexpr uint64_t IdentityOf(EntryKey key) { return key.raw() / EntryLeaf::kWords; }

  // The id of the leaf, or 0.
  [[nodiscard]] uint32_t Walk(EntryKey key) const;
  // The id in `child`, or that of a new node or leaf; 0 if the table is full.
  uint32_t NodeAt(std::atomic<uint32_t>& child);
  uint32_t LeafAt(std::atomic<uint32_t>& child, EntryKey key);
  uint32_t TakeNode();
  uint32_t TakeLeaf();
  void FreeLeaf(uint32_t id);
  void FreeSubtree(uint32_t node, int level);
  template <typename Visitor>
  void VisitLeaves(uint32_t node, int level, uint64_t prefix, Visitor& visit);

  os::VirtualArray<Area> areas_;
  // Reached as far as nodes_made_ and leaves_made_. They grow under mutex_.
  os::VirtualArray<Node> nodes_;
  os::VirtualArray<EntryLeaf> leaves_;
  Mutex mutex_{LockRank::kEntriesInFlight};  // the free lists below
  uint32_t areas_used_ UZ_GUARDED_BY(mutex_) = 1;
  uint32_t nodes_used_ UZ_GUARDED_BY(mutex_) = 1;
  uint32_t leaves_used_ UZ_GUARDED_BY(mutex_) = 1;
  uint32_t free_node_ UZ_GUARDED_BY(mutex_) = 0;
  uint32_t free_leaf_ UZ_GUARDED_BY(mutex_) = 0;
  RelaxedCounter nodes_made_;
  RelaxedCounter leaves_made_;
};

template <typename Visitor>
void EntryIndex::VisitLeaves(uint32_t node, int level, uint64_t prefix, Visitor& visit) {
  for (uint32_t i = 0; i < kChildren; ++i) {
    const uint32_t child = nodes_[node].children[i].load(std::memory_order_acquire);
    if (child == 0) continue;
    const uint64_t number = prefix << kChildBits | i;
    if (level < kLevels - 1) {
      VisitLeaves(child, level + 1, number, visit);
      continue;
    }
    LockedLeaf leaf = LockedLeaf::Lock(leaves_[child]);
    visit(leaf, EntryKey::FromRaw(number * EntryLeaf::kWords));
  }
}

template <typename Visitor>
void EntryIndex::ForEachLeaf(AreaId area, Visitor&& visit) {
  MutexLock lock(areas_[area].mutex);
  const uint32_t root = areas_[area].root.load(std::memory_order_acquire);
  // The area's number is above the offset bits in every key.
  if (root != 0) VisitLeaves(root, 0, area, visit);
}

}  // namespace uzswap

#endif  // UZSWAP_CACHE_ENTRY_INDEX_H_
