// EntryStore: the page entries that are not empty, by page index.
//
//     index (40 bits)    | root 15 | upper 8 | lower 8 | page of the block 9 |
//
//     root  ->  node of 256  ->  node of 256  ->  block: the entries of 512 adjacent pages
//                                                   2, 8, 32 or 128 entries: sorted, with offsets
//                                                   512 entries: one for every page
//
// A block is as large as its pages need: it changes to the next size when it is full, and back when
// it holds at most half of what the smaller size holds. Blocks and nodes exist only where there are
// entries. So the cost follows the number of entries, wherever they are:
//
//     entries in 512 pages     1     8     64    512
//     bytes for each entry     28    12    21    8      (with the block's link in its node)
//
// Setting an entry to the empty one removes it. An entry that exists can always be changed. A new
// one needs memory, and Set returns false if the kernel gives none.
//
// Not synchronised: the owner's lock guards it, for readers too. Entries are returned by value,
// because they move when a block changes its size.
//
// Size: forty methods, because it is a map with cursors, counts and blocks; most are one line.
#ifndef UZSWAP_VM_ENTRY_STORE_H_
#define UZSWAP_VM_ENTRY_STORE_H_

#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "base/units.h"
#include "os/virtual_array.h"
#include "vm/block_pool.h"
#include "vm/page_entry.h"

namespace uzswap {

class EntryStore {
 public:
  static constexpr int kIndexBits = 40;
  static constexpr uint64_t kIndices = uint64_t{1} << kIndexBits;
  static constexpr uint64_t kBlockPages = 512;

  EntryStore() = default;
  EntryStore(const EntryStore&) = delete;
  EntryStore& operator=(const EntryStore&) = delete;

  // Once. Fails with the errno of mmap.
  Result<void> Init();

  // The empty entry if there is none.
  [[nodiscard]] PageEntry Get(PageIndex index) const;
  // The same, and changes nothing: for a thread that reads while the owner of the lock holds still.
  [[nodiscard]] PageEntry Peek(PageIndex index) const;
  // False, and nothing changes: a new entry would be needed, and there is no memory for it.
  [[nodiscard]] bool Set(PageIndex index, PageEntry entry);

  // How many entries are not empty.
  [[nodiscard]] uint64_t count() const { return count_; }
  // The first index in [from, end) with an entry. Not valid: there is none. Absent blocks are
  // skipped, not looked at.
  [[nodiscard]] PageIndex Next(PageIndex from, PageIndex end) const;
  // The same for entries in state Resident; others are skipped. Adds the blocks that it looked into
  // to *blocks.
  [[nodiscard]] PageIndex NextResident(PageIndex from, PageIndex end, size_t* blocks) const;
  // Blocks that exist: what a walk over everything looks into.
  [[nodiscard]] uint64_t block_count() const {
    uint64_t count = 0;
    for (const BlockPool& pool : blocks_) count += pool.in_use();
    return count;
  }
  // The index of entry number `n`, in the order of indices. Requires: n < count().
  [[nodiscard]] PageIndex Nth(uint64_t n) const;

  // Memory of blocks and nodes in use.
  [[nodiscard]] Bytes used_bytes() const;
  // Checks counts, order and sizes. Costs a walk over everything.
  void Audit() const;

 private:
  friend class PageTablePeer;

  static constexpr int kBlockShift = 9;
  static constexpr int kNodeShift = 8;
  static constexpr uint32_t kChildren = 1 << kNodeShift;
  static constexpr int kLowerShift = kBlockShift;
  static constexpr int kUpperShift = kLowerShift + kNodeShift;
  static constexpr int kRootShift = kUpperShift + kNodeShift;
  static constexpr size_t kRoots = size_t{1} << (kIndexBits - kRootShift);

  struct Node {
    uint32_t children;  // that are not 0
    uint32_t unused;
    uint64_t entries;  // below this node
    uint64_t present[kChildren / 64];
    uint32_t child[kChildren];
  };
  // The other sizes begin with a count and the offsets of their entries, each of 16 bits (Sorted).
  struct FullBlock {
    uint64_t count;
    PageEntry entries[kBlockPages];
  };
  // What names a block in a lower node: the size class above kClassShift, the number below.
  static constexpr int kClassShift = 29;
  static constexpr int kClasses = 5;
  static constexpr int kFullClass = kClasses - 1;
  static constexpr uint16_t kCapacities[kClasses] = {2, 8, 32, 128, kBlockPages};
  static constexpr size_t EntriesAt(int size_class) {
    return (sizeof(uint16_t) * (size_t{1} + kCapacities[size_class]) + 7) & ~size_t{7};
  }
  static constexpr size_t BlockBytes(int size_class) {
    return size_class == kFullClass
               ? sizeof(FullBlock)
               : EntriesAt(size_class) + sizeof(PageEntry) * kCapacities[size_class];
  }
  static constexpr uint32_t Name(int size_class, uint32_t number) {
    return static_cast<uint32_t>(size_class + 1) << kClassShift | number;
  }
  static constexpr int ClassOf(uint32_t name) { return static_cast<int>(name >> kClassShift) - 1; }

  // A sorted block, wherever it lies.
  struct Sorted {
    uint16_t* count;
    uint16_t* offsets;
    PageEntry* entries;
    // The position of the first offset that is not below `offset`.
    [[nodiscard]] uint16_t From(uint32_t offset) const;
  };
  // The way to a block; 0 where it ends.
  struct Path {
    uint32_t upper = 0;
    uint32_t lower = 0;
    uint32_t block = 0;
  };

  static uint32_t RootOf(uint64_t raw) { return static_cast<uint32_t>(raw >> kRootShift); }
  static uint32_t UpperOf(uint64_t raw) { return (raw >> kUpperShift) % kChildren; }
  static uint32_t LowerOf(uint64_t raw) { return (raw >> kLowerShift) % kChildren; }
  static uint32_t OffsetOf(uint64_t raw) { return raw % kBlockPages; }

  [[nodiscard]] Node& NodeAt(uint32_t id) const { return *reinterpret_cast<Node*>(nodes_.At(id)); }
  [[nodiscard]] std::byte* BlockAt(uint32_t name) const {
    return blocks_[ClassOf(name)].At(name & ((uint32_t{1} << kClassShift) - 1));
  }
  [[nodiscard]] Sorted SortedAt(uint32_t name) const;
  [[nodiscard]] FullBlock& FullAt(uint32_t name) const {
    return *reinterpret_cast<FullBlock*>(BlockAt(name));
  }
  [[nodiscard]] uint32_t CountOf(uint32_t name) const;
  // The first offset in the block that is at least `offset` and has an entry; kBlockPages: none.
  [[nodiscard]] uint32_t NextOffset(uint32_t name, uint32_t offset) const;
  [[nodiscard]] uint32_t NextResidentOffset(uint32_t name, uint32_t offset) const;
  // The first index in [from, end) whose offset next_offset(block, offset) finds.
  template <typename NextOffsetIn>
  PageIndex Find(PageIndex from, PageIndex end, NextOffsetIn&& next_offset) const;

  [[nodiscard]] Path Walk(uint64_t raw) const;
  [[nodiscard]] PageEntry EntryIn(uint32_t block, uint32_t offset) const;
  [[nodiscard]] uint32_t AllocateBlock(int size_class);
  void FreeBlock(uint32_t name);
  bool MakePath(uint64_t raw, Path* path);
  bool Insert(uint64_t raw, Path path, PageEntry entry);
  void Erase(uint64_t raw, const Path& path);
  bool Resize(uint64_t raw, Path* path, int size_class);
  void SetChild(Node& node, uint32_t position, uint32_t child);
  void SetRoot(uint32_t position, uint32_t child);
  void AddToCounts(const Path& path, int64_t change);
  void RemoveEmpty(uint64_t raw, const Path& path);

  os::VirtualArray<uint32_t> root_;
  uint64_t root_present_[kRoots / 64] = {};
  BlockPool nodes_{sizeof(Node)};
  BlockPool blocks_[kClasses] = {BlockPool(BlockBytes(0)), BlockPool(BlockBytes(1)),
                                 BlockPool(BlockBytes(2)), BlockPool(BlockBytes(3)),
                                 BlockPool(BlockBytes(4))};
  uint64_t count_ = 0;
  // The block that was found last: most look-ups are for neighbours. Every change of a block's name
  // forgets it.
  mutable uint64_t memo_number_ = UINT64_MAX;
  mutable uint32_t memo_block_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_VM_ENTRY_STORE_H_
