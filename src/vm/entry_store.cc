#include "vm/entry_store.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace uzswap {
namespace {

// The first set bit at or above `from` in a bitmap of `bits` bits; `bits` if there is none.
uint32_t NextBit(const uint64_t* words, uint32_t from, uint32_t bits) {
  while (from < bits) {
    const uint64_t rest = words[from / 64] >> (from % 64);
    if (rest != 0) return from + static_cast<uint32_t>(std::countr_zero(rest));
    from = (from / 64 + 1) * 64;
  }
  return bits;
}

void ChangeBit(uint64_t* words, uint32_t bit, bool set) {
  const uint64_t mask = uint64_t{1} << (bit % 64);
  words[bit / 64] = set ? words[bit / 64] | mask : words[bit / 64] & ~mask;
}

}  // namespace

Result<void> EntryStore::Init() {
  auto root = os::VirtualArray<uint32_t>::Create(kRoots, "the root of the page table");
  if (!root.ok()) return root.error();
  root_ = std::move(root).value();
  return {};
}

uint16_t EntryStore::Sorted::From(uint32_t offset) const {
  return static_cast<uint16_t>(std::lower_bound(offsets, offsets + *count, offset) - offsets);
}

EntryStore::Sorted EntryStore::SortedAt(uint32_t name) const {
  std::byte* block = BlockAt(name);
  auto* head = reinterpret_cast<uint16_t*>(block);
  return {head, head + 1, reinterpret_cast<PageEntry*>(block + EntriesAt(ClassOf(name)))};
}

uint32_t EntryStore::CountOf(uint32_t name) const {
  return ClassOf(name) == kFullClass ? static_cast<uint32_t>(FullAt(name).count)
                                     : *SortedAt(name).count;
}

// --- Reading ---

EntryStore::Path EntryStore::Walk(uint64_t raw) const {
  Path path;
  path.upper = root_[RootOf(raw)];
  if (path.upper == 0) return path;
  path.lower = NodeAt(path.upper).child[UpperOf(raw)];
  if (path.lower == 0) return path;
  path.block = NodeAt(path.lower).child[LowerOf(raw)];
  return path;
}

PageEntry EntryStore::Get(PageIndex index) const {
  const uint64_t raw = index.raw();
  UZ_DCHECK_LT(raw, kIndices);
  if (raw >> kBlockShift != memo_number_) {
    memo_block_ = Walk(raw).block;
    memo_number_ = raw >> kBlockShift;
  }
  return EntryIn(memo_block_, OffsetOf(raw));
}

PageEntry EntryStore::Peek(PageIndex index) const {
  return EntryIn(Walk(index.raw()).block, OffsetOf(index.raw()));
}

PageEntry EntryStore::EntryIn(uint32_t block, uint32_t offset) const {
  if (block == 0) return {};
  if (ClassOf(block) == kFullClass) return FullAt(block).entries[offset];
  const Sorted sorted = SortedAt(block);
  const uint16_t position = sorted.From(offset);
  const bool found = position < *sorted.count && sorted.offsets[position] == offset;
  return found ? sorted.entries[position] : PageEntry();
}

uint32_t EntryStore::NextOffset(uint32_t name, uint32_t offset) const {
  if (ClassOf(name) == kFullClass) {
    const FullBlock& block = FullAt(name);
    while (offset < kBlockPages && block.entries[offset].empty()) ++offset;
    return offset;
  }
  const Sorted block = SortedAt(name);
  const uint16_t position = block.From(offset);
  return position < *block.count ? block.offsets[position] : kBlockPages;
}

uint32_t EntryStore::NextResidentOffset(uint32_t name, uint32_t offset) const {
  const auto resident = [](PageEntry entry) { return entry.state() == PageState::kResident; };
  if (ClassOf(name) == kFullClass) {
    const PageEntry* const all = FullAt(name).entries;
    return static_cast<uint32_t>(std::find_if(all + offset, all + kBlockPages, resident) - all);
  }
  const Sorted block = SortedAt(name);
  const PageEntry* const all = block.entries;
  const PageEntry* const end = all + *block.count;
  const PageEntry* const found = std::find_if(all + block.From(offset), end, resident);
  return found == end ? kBlockPages : block.offsets[found - all];
}

PageIndex EntryStore::Next(PageIndex from, PageIndex end) const {
  return Find(from, end, [this](uint32_t block, uint32_t at) { return NextOffset(block, at); });
}

PageIndex EntryStore::NextResident(PageIndex from, PageIndex end, size_t* blocks) const {
  return Find(from, end, [this, blocks](uint32_t block, uint32_t offset) {
    ++*blocks;
    return NextResidentOffset(block, offset);
  });
}

template <typename NextOffsetIn>
PageIndex EntryStore::Find(PageIndex from, PageIndex end, NextOffsetIn&& next_offset) const {
  // To the first index of the next block, lower or upper node.
  const auto beyond = [](uint64_t raw, int shift) { return ((raw >> shift) + 1) << shift; };
  const auto enter = [](uint64_t raw, int shift, uint32_t was, uint32_t now) {
    return was == now ? raw : (raw >> shift << shift) + (uint64_t{now - was} << shift);
  };
  for (uint64_t raw = from.raw(); raw < end.raw();) {
    const uint32_t root = NextBit(root_present_, RootOf(raw), kRoots);
    if (root == kRoots) break;
    raw = enter(raw, kRootShift, RootOf(raw), root);
    const Node& upper = NodeAt(root_[root]);
    const uint32_t up = NextBit(upper.present, UpperOf(raw), kChildren);
    if (up == kChildren) {
      raw = beyond(raw, kRootShift);
      continue;
    }
    raw = enter(raw, kUpperShift, UpperOf(raw), up);
    const Node& lower = NodeAt(upper.child[up]);
    const uint32_t low = NextBit(lower.present, LowerOf(raw), kChildren);
    if (low == kChildren) {
      raw = beyond(raw, kUpperShift);
      continue;
    }
    raw = enter(raw, kLowerShift, LowerOf(raw), low);
    const uint32_t offset = next_offset(lower.child[low], OffsetOf(raw));
    if (offset == kBlockPages) {
      raw = beyond(raw, kBlockShift);
      continue;
    }
    raw = (raw >> kBlockShift << kBlockShift) + offset;
    return raw < end.raw() ? PageIndex(raw) : PageIndex();
  }
  return {};
}

PageIndex EntryStore::Nth(uint64_t n) const {
  UZ_CHECK_LT(n, count_);
  uint32_t root = NextBit(root_present_, 0, kRoots);
  while (n >= NodeAt(root_[root]).entries) {
    n -= NodeAt(root_[root]).entries;
    root = NextBit(root_present_, root + 1, kRoots);
  }
  const Node& upper = NodeAt(root_[root]);
  uint32_t up = NextBit(upper.present, 0, kChildren);
  while (n >= NodeAt(upper.child[up]).entries) {
    n -= NodeAt(upper.child[up]).entries;
    up = NextBit(upper.present, up + 1, kChildren);
  }
  const Node& lower = NodeAt(upper.child[up]);
  uint32_t low = NextBit(lower.present, 0, kChildren);
  while (n >= CountOf(lower.child[low])) {
    n -= CountOf(lower.child[low]);
    low = NextBit(lower.present, low + 1, kChildren);
  }
  const uint32_t block = lower.child[low];
  uint32_t offset = NextOffset(block, 0);
  for (; n > 0; --n) offset = NextOffset(block, offset + 1);
  return PageIndex((uint64_t{root} << kRootShift) + (uint64_t{up} << kUpperShift) +
                   (uint64_t{low} << kLowerShift) + offset);
}

// --- Changing ---

bool EntryStore::Set(PageIndex index, PageEntry entry) {
  const uint64_t raw = index.raw();
  UZ_CHECK_LT(raw, kIndices);
  Path path = Walk(raw);
  if (entry.empty()) {
    if (path.block != 0) Erase(raw, path);
    return true;
  }
  if (path.block == 0 && !MakePath(raw, &path)) return false;
  return Insert(raw, path, entry);
}

uint32_t EntryStore::AllocateBlock(int size_class) {
  const uint32_t number = blocks_[size_class].Allocate();
  return number == 0 ? 0 : Name(size_class, number);
}

void EntryStore::FreeBlock(uint32_t name) {
  blocks_[ClassOf(name)].Free(name & ((uint32_t{1} << kClassShift) - 1));
}

void EntryStore::SetChild(Node& node, uint32_t position, uint32_t child) {
  node.children += child != 0 ? 1 : 0;
  node.children -= node.child[position] != 0 ? 1 : 0;
  node.child[position] = child;
  ChangeBit(node.present, position, child != 0);
}

void EntryStore::SetRoot(uint32_t position, uint32_t child) {
  root_[position] = child;
  ChangeBit(root_present_, position, child != 0);
}

// Makes an empty block and what leads to it. All or nothing.
bool EntryStore::MakePath(uint64_t raw, Path* path) {
  Path made = *path;
  made.block = AllocateBlock(0);
  if (made.lower == 0) made.lower = nodes_.Allocate();
  if (made.upper == 0) made.upper = nodes_.Allocate();
  if (made.block == 0 || made.lower == 0 || made.upper == 0) {
    if (made.block != 0) FreeBlock(made.block);
    if (made.lower != 0 && path->lower == 0) nodes_.Free(made.lower);
    if (made.upper != 0 && path->upper == 0) nodes_.Free(made.upper);
    return false;
  }
  *SortedAt(made.block).count = 0;
  if (path->upper == 0) SetRoot(RootOf(raw), made.upper);
  if (path->lower == 0) SetChild(NodeAt(made.upper), UpperOf(raw), made.lower);
  SetChild(NodeAt(made.lower), LowerOf(raw), made.block);
  memo_number_ = UINT64_MAX;
  *path = made;
  return true;
}

bool EntryStore::Insert(uint64_t raw, Path path, PageEntry entry) {
  const uint32_t offset = OffsetOf(raw);
  if (ClassOf(path.block) != kFullClass) {
    Sorted block = SortedAt(path.block);
    uint16_t position = block.From(offset);
    if (position < *block.count && block.offsets[position] == offset) {
      block.entries[position] = entry;
      return true;
    }
    if (*block.count == kCapacities[ClassOf(path.block)]) {
      if (!Resize(raw, &path, ClassOf(path.block) + 1)) return false;
      return Insert(raw, path, entry);
    }
    const auto behind = static_cast<size_t>(*block.count - position);
    memmove(block.offsets + position + 1, block.offsets + position, behind * sizeof(uint16_t));
    memmove(static_cast<void*>(block.entries + position + 1), block.entries + position,
            behind * sizeof(PageEntry));
    block.offsets[position] = static_cast<uint16_t>(offset);
    block.entries[position] = entry;
    ++*block.count;
  } else {
    FullBlock& block = FullAt(path.block);
    const bool existed = !block.entries[offset].empty();
    block.entries[offset] = entry;
    if (existed) return true;
    ++block.count;
  }
  AddToCounts(path, 1);
  return true;
}

void EntryStore::Erase(uint64_t raw, const Path& path) {
  const uint32_t offset = OffsetOf(raw);
  const int size_class = ClassOf(path.block);
  if (size_class == kFullClass) {
    FullBlock& block = FullAt(path.block);
    if (block.entries[offset].empty()) return;
    block.entries[offset] = PageEntry();
    --block.count;
  } else {
    Sorted block = SortedAt(path.block);
    const uint16_t position = block.From(offset);
    if (position == *block.count || block.offsets[position] != offset) return;
    const auto behind = static_cast<size_t>(*block.count - position - 1);
    memmove(block.offsets + position, block.offsets + position + 1, behind * sizeof(uint16_t));
    memmove(static_cast<void*>(block.entries + position), block.entries + position + 1,
            behind * sizeof(PageEntry));
    --*block.count;
  }
  AddToCounts(path, -1);
  const uint32_t left = CountOf(path.block);
  if (left == 0) {
    RemoveEmpty(raw, path);
  } else if (size_class > 0 && left <= kCapacities[size_class - 1] / 2u) {
    // Without memory it stays as large as it is.
    Path smaller = path;
    static_cast<void>(Resize(raw, &smaller, size_class - 1));
  }
}

// Moves the entries to a block of another size.
bool EntryStore::Resize(uint64_t raw, Path* path, int size_class) {
  const uint32_t name = AllocateBlock(size_class);
  if (name == 0) return false;
  if (size_class == kFullClass) {
    const Sorted from = SortedAt(path->block);
    FullBlock& to = FullAt(name);
    for (uint16_t i = 0; i < *from.count; ++i) to.entries[from.offsets[i]] = from.entries[i];
    to.count = *from.count;
  } else {
    const Sorted to = SortedAt(name);
    *to.count = 0;
    for (uint32_t offset = NextOffset(path->block, 0); offset < kBlockPages;
         offset = NextOffset(path->block, offset + 1)) {
      const bool full = ClassOf(path->block) == kFullClass;
      const Sorted from = full ? Sorted{} : SortedAt(path->block);
      to.offsets[*to.count] = static_cast<uint16_t>(offset);
      to.entries[*to.count] = full ? std::exchange(FullAt(path->block).entries[offset], PageEntry())
                                   : from.entries[from.From(offset)];
      ++*to.count;
    }
    if (ClassOf(path->block) == kFullClass) FullAt(path->block).count = 0;
  }
  FreeBlock(path->block);
  path->block = name;
  SetChild(NodeAt(path->lower), LowerOf(raw), name);
  memo_number_ = UINT64_MAX;
  return true;
}

void EntryStore::AddToCounts(const Path& path, int64_t change) {
  NodeAt(path.lower).entries += static_cast<uint64_t>(change);
  NodeAt(path.upper).entries += static_cast<uint64_t>(change);
  count_ += static_cast<uint64_t>(change);
}

void EntryStore::RemoveEmpty(uint64_t raw, const Path& path) {
  memo_number_ = UINT64_MAX;
  Node& lower = NodeAt(path.lower);
  FreeBlock(path.block);
  SetChild(lower, LowerOf(raw), 0);
  if (lower.children != 0) return;
  Node& upper = NodeAt(path.upper);
  nodes_.Free(path.lower);
  SetChild(upper, UpperOf(raw), 0);
  if (upper.children != 0) return;
  nodes_.Free(path.upper);
  SetRoot(RootOf(raw), 0);
}

// --- Checks ---

Bytes EntryStore::used_bytes() const {
  uint64_t bytes = nodes_.in_use() * nodes_.block_bytes();
  for (const BlockPool& pool : blocks_) bytes += pool.in_use() * pool.block_bytes();
  return Bytes(bytes);
}

void EntryStore::Audit() const {
  uint64_t total = 0;
  uint64_t nodes = 0;
  uint64_t blocks[kClasses] = {};
  for (uint32_t root = NextBit(root_present_, 0, kRoots); root < kRoots;
       root = NextBit(root_present_, root + 1, kRoots)) {
    const Node& upper = NodeAt(root_[root]);
    ++nodes;
    uint64_t in_upper = 0;
    uint32_t uppers = 0;
    for (uint32_t up = NextBit(upper.present, 0, kChildren); up < kChildren;
         up = NextBit(upper.present, up + 1, kChildren)) {
      const Node& lower = NodeAt(upper.child[up]);
      ++nodes;
      ++uppers;
      uint64_t in_lower = 0;
      uint32_t lowers = 0;
      for (uint32_t low = NextBit(lower.present, 0, kChildren); low < kChildren;
           low = NextBit(lower.present, low + 1, kChildren)) {
        const uint32_t name = lower.child[low];
        ++blocks[ClassOf(name)];
        ++lowers;
        uint32_t found = 0;
        for (uint32_t o = NextOffset(name, 0); o < kBlockPages; o = NextOffset(name, o + 1)) {
          ++found;
        }
        UZ_CHECK_EQ(found, CountOf(name));
        UZ_CHECK_GT(found, 0u);
        UZ_CHECK_LE(found, kCapacities[ClassOf(name)]);
        in_lower += found;
      }
      UZ_CHECK_EQ(lowers, lower.children);
      UZ_CHECK_EQ(in_lower, lower.entries);
      in_upper += in_lower;
    }
    UZ_CHECK_EQ(uppers, upper.children);
    UZ_CHECK_EQ(in_upper, upper.entries);
    total += in_upper;
  }
  UZ_CHECK_EQ(total, count_);
  UZ_CHECK_EQ(nodes, nodes_.in_use());
  for (int i = 0; i < kClasses; ++i) UZ_CHECK_EQ(blocks[i], blocks_[i].in_use());
}

}  // namespace uzswap
