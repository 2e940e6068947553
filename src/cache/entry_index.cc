#include "cache/entry_index.h"

#include <new>
#include <utility>

namespace uzswap {

// The lock outlives these scopes inside the LockedLeaf, which the analysis cannot follow: its
// destructor, or Unlock, releases what Lock took.
LockedLeaf LockedLeaf::Lock(EntryLeaf& leaf) UZ_NO_THREAD_SAFETY_ANALYSIS {
  leaf.mutex.Lock();
  return LockedLeaf(&leaf);
}

void LockedLeaf::Unlock() UZ_NO_THREAD_SAFETY_ANALYSIS {
  if (leaf_ == nullptr) return;
  leaf_->mutex.Unlock();
  leaf_ = nullptr;
}

void LockedLeaf::Change(EntryKey key, EntryEvent event, EntryWord to) {
  EntryWord& word = leaf_->words[key.raw() % EntryLeaf::kWords];
  const bool was_empty = word.empty();
  Transition(word, event, to);
  leaf_->live += was_empty ? 1 : 0;
  leaf_->live -= to.empty() ? 1 : 0;
}

EntryIndex::~EntryIndex() {
  MutexLock lock(mutex_);
  for (uint32_t area = 1; area < areas_used_; ++area) {
    UZ_CHECK_EQ(areas_[area].root.load(std::memory_order_relaxed), 0u);
  }
}

Result<void> EntryIndex::Init(const IndexOptions& options) {
  Result<os::VirtualArray<Area>> areas =
      os::VirtualArray<Area>::Create(options.areas_max, "areas of the index");
  if (!areas.ok()) return areas.error();
  Result<os::VirtualArray<Node>> nodes =
      os::VirtualArray<Node>::Reserve(options.nodes_max, "nodes of the index");
  if (!nodes.ok()) return nodes.error();
  Result<os::VirtualArray<EntryLeaf>> leaves =
      os::VirtualArray<EntryLeaf>::Reserve(options.leaves_max, "leaves of the index");
  if (!leaves.ok()) return leaves.error();
  areas_ = std::move(areas).value();
  nodes_ = std::move(nodes).value();
  leaves_ = std::move(leaves).value();
  return {};
}

AreaId EntryIndex::CreateArea(AreaKind kind) {
  UZ_CHECK(kind != AreaKind::kNone);
  MutexLock lock(mutex_);
  AreaId found = kNoArea;
  for (AreaId area = 1; area < areas_used_ && found == kNoArea; ++area) {
    if (areas_[area].kind.load(std::memory_order_relaxed) == AreaKind::kNone) found = area;
  }
  if (found == kNoArea) {
    if (areas_used_ == areas_.capacity()) return kNoArea;
    found = areas_used_++;
    new (&areas_[found]) Area();  // for the rank of its lock
  }
  areas_[found].kind.store(kind, std::memory_order_release);
  return found;
}

void EntryIndex::CloseArea(AreaId area) {
  MutexLock lock(areas_[area].mutex);
  UZ_CHECK(KindOf(area) != AreaKind::kNone);
  areas_[area].closed = true;
}

void EntryIndex::Retire(LockedLeaf& leaf) {
  UZ_CHECK_EQ(leaf->live, 0u);
  leaf->identity.store(0, std::memory_order_release);
}

void EntryIndex::DestroyArea(AreaId area) {
  Area& gone = areas_[area];
  MutexLock lock(gone.mutex);
  UZ_CHECK(gone.closed);
  const uint32_t root = gone.root.exchange(0, std::memory_order_acq_rel);
  if (root != 0) FreeSubtree(root, 0);
  gone.closed = false;
  gone.kind.store(AreaKind::kNone, std::memory_order_release);
}

AreaKind EntryIndex::KindOf(AreaId area) const {
  if (area == kNoArea || area >= areas_.capacity()) return AreaKind::kNone;
  return areas_[area].kind.load(std::memory_order_acquire);
}

uint32_t EntryIndex::Walk(EntryKey key) const {
  if (key.area() >= areas_.capacity()) return 0;
  uint32_t id = areas_[key.area()].root.load(std::memory_order_acquire);
  const uint64_t number = key.offset() / EntryLeaf::kWords;
  for (int level = 0; level < kLevels && id != 0; ++level) {
    // A node recycled meanwhile may hold ids of leaves, which may exceed this table.
    if (id > nodes_made_.Get()) return 0;
    id = nodes_[id].children[ChildOf(number, level)].load(std::memory_order_acquire);
  }
  return id <= leaves_made_.Get() ? id : 0;
}

LockedLeaf EntryIndex::Find(EntryKey key) {
  for (;;) {
    const uint32_t id = Walk(key);
    if (id == 0) return {};
    EntryLeaf& leaf = leaves_[id];
    if (leaf.identity.load(std::memory_order_acquire) != IdentityOf(key)) {
      // Recycled since its id was read. If the path still leads here, the area is being
      // destroyed, and there is nothing to find.
      if (Walk(key) == id) return {};
      continue;
    }
    LockedLeaf locked = LockedLeaf::Lock(leaf);
    if (leaf.identity.load(std::memory_order_relaxed) == IdentityOf(key)) return locked;
  }
}

LockedLeaf EntryIndex::Obtain(EntryKey key) {
  if (LockedLeaf leaf = Find(key)) return leaf;
  if (KindOf(key.area()) == AreaKind::kNone) return {};
  Area& area = areas_[key.area()];
  uint32_t id = 0;
  {
    MutexLock lock(area.mutex);
    if (area.closed || KindOf(key.area()) == AreaKind::kNone) return {};
    const uint64_t number = key.offset() / EntryLeaf::kWords;
    std::atomic<uint32_t>* child = &area.root;
    for (int level = 0; level < kLevels; ++level) {
      const uint32_t node = NodeAt(*child);
      if (node == 0) return {};
      child = &nodes_[node].children[ChildOf(number, level)];
    }
    id = LeafAt(*child, key);
  }
  return id == 0 ? LockedLeaf() : Find(key);
}

uint32_t EntryIndex::NodeAt(std::atomic<uint32_t>& child) {
  uint32_t id = child.load(std::memory_order_acquire);
  if (id != 0) return id;
  id = TakeNode();
  if (id != 0) child.store(id, std::memory_order_release);
  return id;
}

uint32_t EntryIndex::LeafAt(std::atomic<uint32_t>& child, EntryKey key) {
  uint32_t id = child.load(std::memory_order_acquire);
  if (id != 0) return id;
  id = TakeLeaf();
  if (id == 0) return 0;
  leaves_[id].identity.store(IdentityOf(key), std::memory_order_release);
  child.store(id, std::memory_order_release);
  return id;
}

uint32_t EntryIndex::TakeNode() {
  MutexLock lock(mutex_);
  if (free_node_ != 0) {
    const uint32_t id = free_node_;
    free_node_ = nodes_[id].children[0].exchange(0, std::memory_order_relaxed);
    return id;
  }
  if (nodes_used_ == nodes_.capacity() || !nodes_.Reach(size_t{nodes_used_} + 1)) return 0;
  nodes_made_.Add();
  return nodes_used_++;
}

uint32_t EntryIndex::TakeLeaf() {
  MutexLock lock(mutex_);
  if (free_leaf_ != 0) {
    const uint32_t id = free_leaf_;
    free_leaf_ = leaves_[id].next_free;
    return id;
  }
  if (leaves_used_ == leaves_.capacity() || !leaves_.Reach(size_t{leaves_used_} + 1)) return 0;
  leaves_made_.Add();
  const uint32_t id = leaves_used_++;
  new (&leaves_[id]) EntryLeaf();  // for the rank of its lock; no other thread knows the id yet
  return id;
}

void EntryIndex::FreeLeaf(uint32_t id) {
  EntryLeaf& leaf = leaves_[id];
  {
    // A thread that found the leaf before it was retired may still hold its lock.
    const LockedLeaf locked = LockedLeaf::Lock(leaf);
    UZ_CHECK_EQ(leaf.identity.load(std::memory_order_relaxed), 0u);
    UZ_CHECK(leaf.in_flight == nullptr);
  }
  MutexLock lock(mutex_);
  leaf.next_free = free_leaf_;
  free_leaf_ = id;
}

void EntryIndex::FreeSubtree(uint32_t node, int level) {
  for (std::atomic<uint32_t>& child : nodes_[node].children) {
    const uint32_t id = child.exchange(0, std::memory_order_acq_rel);
    if (id == 0) continue;
    if (level < kLevels - 1) {
      FreeSubtree(id, level + 1);
    } else {
      FreeLeaf(id);
    }
  }
  MutexLock lock(mutex_);
  nodes_[node].children[0].store(free_node_, std::memory_order_relaxed);
  free_node_ = node;
}

void EntryIndex::Audit() {
  uint32_t areas = 0;
  {
    MutexLock lock(mutex_);
    areas = areas_used_;
  }
  for (AreaId area = 1; area < areas; ++area) {
    ForEachLeaf(area, [](LockedLeaf& leaf, EntryKey first) {
      UZ_CHECK_EQ(leaf->identity.load(std::memory_order_relaxed), IdentityOf(first));
      uint32_t live = 0;
      for (const EntryWord word : leaf->words) live += word.empty() ? 0 : 1;
      UZ_CHECK_EQ(live, leaf->live);
    });
  }
}

void EntryIndex::ResetAfterFork() UZ_NO_THREAD_SAFETY_ANALYSIS {
  mutex_.ResetAfterFork();
  for (AreaId area = 1; area < areas_used_; ++area) areas_[area].mutex.ResetAfterFork();
  for (uint32_t leaf = 1; leaf < leaves_used_; ++leaf) leaves_[leaf].mutex.ResetAfterFork();
}

}  // namespace uzswap
