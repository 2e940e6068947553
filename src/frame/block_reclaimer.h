// BlockReclaimer: shrinks an arena by whole blocks of 2 MiB.
//
//     block 0   | U U U . U U U U |    U  frame in use
//     block 1   | U . . . . . . . |    .  free frame with memory (idle)
//     block 2   | U U . U U . U U |       free frame without memory (empty cell)
//                     |
//                     v  ReclaimBlocks(1): block 1 has the fewest frames in use
//     block 0   | U U U U U U U U |    its content moves into idle frames of other blocks
//     block 1   |                 |    its memory is returned to the kernel in one call
//     block 2   | U U . U U . U U |
//
// FrameArena::ReleaseFreeFrames frees memory around the frames in use and leaves them scattered.
// ReclaimBlocks moves them together first, so the memory is returned in blocks that the kernel can
// use as huge pages. Call it before ReleaseFreeFrames, which releases the idle frames that
// ReclaimBlocks uses as destinations.
//
// A block is a candidate if it is worth its copies:
//   - it has memory, and at most half of that is in use;
//   - the idle frames of the other blocks can take what is in use, so no other block grows.
// The candidates with the fewest frames in use are tried first. The work is bounded: a call scans
// the arena once and tries at most max_blocks + kRefusalsMax blocks. For each it moves at most half
// a block, unless the block is filled meanwhile.
//
// Each attempt ends in a BlockOutcome. A refused block keeps the content that it could not move.
// Content that was moved out of it stays outside. The frames of an emptied block are free. They are
// allocated again as usual, after the idle frames.
//
// Any thread may call ReclaimBlocks, but not from a fault: it copies pages and makes system calls.
// Two calls at the same time are correct; a block that another call holds is kBusy. Snapshot may be
// called at any time.
#ifndef UZSWAP_FRAME_BLOCK_RECLAIMER_H_
#define UZSWAP_FRAME_BLOCK_RECLAIMER_H_

#include <cstddef>
#include <cstdint>

#include "base/counter.h"
#include "base/units.h"
#include "frame/frame_arena.h"

namespace uzswap {

enum class BlockOutcome : uint8_t {
  kReleased,   // emptied; its memory was returned to the kernel
  kBusy,       // a frame remained pinned or in transition
  kNoSpace,    // the idle frames elsewhere were used up meanwhile
  kUnmovable,  // a frame has no owner, or its owner does not move it
};

struct BlockReclaimStatistics {
  uint64_t blocks_released = 0;
  uint64_t blocks_busy = 0;
  uint64_t blocks_no_space = 0;
  uint64_t blocks_unmovable = 0;
  uint64_t calls_without_candidate = 0;
  uint64_t pages_moved = 0;
  uint64_t pages_released = 0;
};

class BlockReclaimer {
 public:
  static constexpr uint32_t kFramesPerBlock = (uint32_t{2} << 20) / kPageSize;
  static constexpr size_t kRefusalsMax = 4;
  static constexpr size_t kBlocksMax = 16;

  // The arena must outlive the reclaimer. A test may use smaller blocks.
  explicit BlockReclaimer(FrameArena& arena, uint32_t frames_per_block = kFramesPerBlock)
      : arena_(arena), frames_per_block_(frames_per_block) {}

  // Empties up to max_blocks blocks (at most kBlocksMax). Returns how many pages of memory that
  // returned to the kernel; 0 if no block is a candidate or all refuse. The arena's last block is
  // ignored if its capacity ends inside it.
  PageCount ReclaimBlocks(size_t max_blocks);

  [[nodiscard]] BlockReclaimStatistics Snapshot() const;

 private:
  struct Candidate {
    uint64_t block = 0;
    uint64_t in_use = 0;
  };
  struct Candidates {
    Candidate sorted[kBlocksMax + kRefusalsMax];  // fewest frames in use first
    size_t count = 0;
  };

  [[nodiscard]] FrameId FirstOf(uint64_t block) const {
    return FrameId(static_cast<uint32_t>(block * frames_per_block_));
  }
  [[nodiscard]] bool IsWorthwhile(const RangeUsage& usage) const;
  Candidates FindCandidates(size_t max) const;
  BlockOutcome Reclaim(uint64_t block, PageCount* released);

  FrameArena& arena_;
  const uint32_t frames_per_block_;
  RelaxedCounter outcomes_[4];  // by BlockOutcome
  RelaxedCounter calls_without_candidate_;
  RelaxedCounter pages_moved_;
  RelaxedCounter pages_released_;
};

}  // namespace uzswap

#endif  // UZSWAP_FRAME_BLOCK_RECLAIMER_H_
