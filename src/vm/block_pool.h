// BlockPool: blocks of one size, named by small numbers.
//
//     segment 0   | 1 | 2 | .. | f-1 |              f blocks: about 64 KiB
//     segment 1   | f | .. | 3f-1 |                 2 f blocks
//     segment 2   | 3f | .. | 7f-1 |                4 f blocks, and so on
//
// A segment is reserved when the one before it is full, and becomes accessible as it is used. So a
// pool has no fixed capacity, costs no address space before it is used, and blocks never move.
// Freed blocks are linked through their first four bytes and are given out again, the last first.
//
// A block is all zeroes when it is allocated for the first time. The code that frees a block leaves
// it as the next user expects it, except for the first four bytes, which are zero again when it is
// allocated. Not synchronised: the owner's lock guards it. Never allocates from the heap.
#ifndef UZSWAP_VM_BLOCK_POOL_H_
#define UZSWAP_VM_BLOCK_POOL_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "os/mapping.h"

namespace uzswap {

class BlockPool {
 public:
  // `block_bytes` is a multiple of 8, at most 64 KiB.
  explicit BlockPool(size_t block_bytes)
      : block_bytes_(block_bytes),
        first_shift_(static_cast<int>(std::bit_width(kFirstBytes / block_bytes)) - 1) {}
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  // 0 if the kernel gives no memory.
  [[nodiscard]] uint32_t Allocate() {
    if (free_ != 0) {
      const uint32_t id = free_;
      memcpy(&free_, At(id), sizeof(free_));
      memset(At(id), 0, sizeof(free_));
      ++in_use_;
      return id;
    }
    if (!Reach(next_)) return 0;
    ++in_use_;
    return next_++;
  }
  void Free(uint32_t id) {
    memcpy(At(id), &free_, sizeof(free_));
    free_ = id;
    --in_use_;
  }
  // Requires: the block was allocated.
  [[nodiscard]] std::byte* At(uint32_t id) const {
    const Position position = PositionOf(id);
    return segments_[position.segment].data() + position.block * block_bytes_;
  }

  [[nodiscard]] size_t block_bytes() const { return block_bytes_; }
  [[nodiscard]] uint64_t in_use() const { return in_use_; }
  // How many blocks were ever in use at one time.
  [[nodiscard]] uint64_t touched() const { return next_ - 1; }

 private:
  friend class PageTablePeer;

  static constexpr size_t kFirstBytes = size_t{64} << 10;
  static constexpr int kSegments = 26;
  static constexpr uint32_t kMax = uint32_t{1} << 29;

  struct Position {
    int segment = 0;
    size_t block = 0;
  };

  [[nodiscard]] Position PositionOf(uint32_t id) const {
    const size_t first = size_t{1} << first_shift_;
    const size_t shifted = id + first;
    const int segment = static_cast<int>(std::bit_width(shifted >> first_shift_)) - 1;
    return {segment, shifted - (first << segment)};
  }
  bool Reach(uint32_t id) {
    const Position position = PositionOf(id);
    if (refuse_growth_ || id >= kMax || position.segment >= kSegments) return false;
    os::Mapping& segment = segments_[position.segment];
    if (segment.empty()) {
      const size_t blocks = size_t{1} << (first_shift_ + position.segment);
      auto made = os::Mapping::Reserve(Bytes(blocks * block_bytes_), "blocks of the page table");
      if (!made.ok()) return false;
      segment = std::move(made).value();
    }
    return segment.MakeAccessible((position.block + 1) * block_bytes_);
  }

  const size_t block_bytes_;
  const int first_shift_;  // segment 0 has two to this power blocks
  os::Mapping segments_[kSegments];
  uint32_t next_ = 1;
  uint32_t free_ = 0;
  uint64_t in_use_ = 0;
  bool refuse_growth_ = false;  // set by tests only
};

}  // namespace uzswap

#endif  // UZSWAP_VM_BLOCK_POOL_H_
