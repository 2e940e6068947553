#include "frame/block_reclaimer.h"

#include <algorithm>

namespace uzswap {
namespace {

// A frame that is still pinned after this many passes is left to the next call.
constexpr uint32_t kPassesMax = 8;

BlockOutcome OutcomeOf(const ReclaimRangeResult& result) {
  if (result.complete()) return BlockOutcome::kReleased;
  if (result.report.left_unmovable > 0) return BlockOutcome::kUnmovable;
  if (result.report.left_no_space > 0) return BlockOutcome::kNoSpace;
  return BlockOutcome::kBusy;
}

}  // namespace

PageCount BlockReclaimer::ReclaimBlocks(size_t max_blocks) {
  max_blocks = std::min(max_blocks, kBlocksMax);
  if (max_blocks == 0) return PageCount(0);
  arena_.DrainMagazines();
  const Candidates candidates = FindCandidates(max_blocks + kRefusalsMax);
  if (candidates.count == 0) calls_without_candidate_.Add();
  PageCount released(0);
  size_t emptied = 0;
  for (size_t i = 0; i < candidates.count && emptied < max_blocks; ++i) {
    const uint64_t block = candidates.sorted[i].block;
    // The blocks before this one have used idle frames, and may have moved content here.
    // Destination frames of refused moves are in magazines.
    if (i > 0) arena_.DrainMagazines();
    if (!IsWorthwhile(arena_.UsageOf(FirstOf(block), PageCount(frames_per_block_)))) continue;
    const BlockOutcome outcome = Reclaim(block, &released);
    outcomes_[static_cast<size_t>(outcome)].Add();
    if (outcome == BlockOutcome::kReleased) ++emptied;
    if (outcome == BlockOutcome::kNoSpace) break;
  }
  return released;
}

bool BlockReclaimer::IsWorthwhile(const RangeUsage& usage) const {
  const uint64_t in_use = usage.in_use.raw();
  const uint64_t idle_here = usage.idle.raw();
  if (in_use + idle_here == 0 || in_use > idle_here) return false;
  const uint64_t populated = arena_.frames_populated().raw();
  const uint64_t occupied = arena_.frames_in_use().raw();
  const uint64_t idle = populated > occupied ? populated - occupied : 0;
  return idle >= idle_here + in_use;
}

BlockReclaimer::Candidates BlockReclaimer::FindCandidates(size_t max) const {
  Candidates found;
  const uint64_t blocks = arena_.capacity().raw() / frames_per_block_;
  for (uint64_t block = 0; block < blocks; ++block) {
    const RangeUsage usage = arena_.UsageOf(FirstOf(block), PageCount(frames_per_block_));
    if (!IsWorthwhile(usage)) continue;
    const Candidate candidate{block, usage.in_use.raw()};
    const auto sparser = [](const Candidate& a, const Candidate& b) { return a.in_use < b.in_use; };
    Candidate* end = found.sorted + found.count;
    Candidate* at = std::upper_bound(found.sorted, end, candidate, sparser);
    if (found.count == max) {
      if (at == end) continue;
      --end;
    } else {
      ++found.count;
    }
    std::move_backward(at, end, end + 1);
    *at = candidate;
  }
  return found;
}

BlockOutcome BlockReclaimer::Reclaim(uint64_t block, PageCount* released) {
  ReclaimRangeResult result =
      arena_.ReclaimRange(FirstOf(block), PageCount(frames_per_block_),
                          {.populated_targets_only = true, .passes_max = kPassesMax});
  pages_moved_.Add(result.report.moved);
  const BlockOutcome outcome = OutcomeOf(result);
  if (outcome == BlockOutcome::kReleased) {
    const PageCount pages = result.range.Discard();
    pages_released_.Add(pages.raw());
    *released = PageCount(released->raw() + pages.raw());
  }
  return outcome;
}

BlockReclaimStatistics BlockReclaimer::Snapshot() const {
  const auto blocks = [this](BlockOutcome outcome) {
    return outcomes_[static_cast<size_t>(outcome)].Get();
  };
  return {.blocks_released = blocks(BlockOutcome::kReleased),
          .blocks_busy = blocks(BlockOutcome::kBusy),
          .blocks_no_space = blocks(BlockOutcome::kNoSpace),
          .blocks_unmovable = blocks(BlockOutcome::kUnmovable),
          .calls_without_candidate = calls_without_candidate_.Get(),
          .pages_moved = pages_moved_.Get(),
          .pages_released = pages_released_.Get()};
}

}  // namespace uzswap
