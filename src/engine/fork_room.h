// ForkRoom: how many pages leave the program before it forks.
//
//   resident pages   |<- keep ->|<---------- evicted ---------->|
//                                                    \-> the pool, which parent and child share
//
// After a fork, parent and child share their resident pages until one side writes to them. Then
// each has its own, and each stores its own. What is stored before the fork is shared as long as
// both live: a page that is loaded from there, and has not changed when it leaves again, is not
// stored again (reclaim/page_contents.h). So where the child may need more memory than there is,
// pages are stored before the fork.
//
// It costs the time to store them, and a fault for each that is touched again. So it is done only
//   - if the headroom is less than the resident pages: the child could copy them all;
//   - for the first fork, and then if a child has lived for kLastingNs since it was done last: a
//     program whose children call exec or end soon gains nothing;
//   - not more often than every kLastingNs: a server that forks its workers pays once.
//
// The pool can be full before all pages are stored. Then the writer makes room in it, and that is
// awaited while it goes on: workers that share nothing hold many times the memory.
//
// The reclaim daemon only. ForkRoom is plain arithmetic.
#ifndef UZSWAP_ENGINE_FORK_ROOM_H_
#define UZSWAP_ENGINE_FORK_ROOM_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "engine/reclaim_port.h"

namespace uzswap {

class ForkRoom {
 public:
  static constexpr uint64_t kLastingNs = 1'000'000'000;
  // A bound for the time that a fork takes longer.
  static constexpr int64_t kPagesMax = 1 << 16;

  struct Snapshot {
    uint64_t now_ns = 0;
    int64_t resident_pages = 0;
    int64_t headroom_pages = 0;
    int64_t keep_pages = 0;         // the working set that stays in any case
    uint64_t lasting_children = 0;  // that have lived for kLastingNs, as counted now
  };

  // How many pages to evict now, at most. The caller does so: if it is not 0 it counts as done.
  [[nodiscard]] int64_t Ask(const Snapshot& now) {
    if (now.headroom_pages >= now.resident_pages) return 0;
    const int64_t pages = std::min(now.resident_pages - now.keep_pages, kPagesMax);
    if (pages <= 0) return 0;
    const bool lasting = now.lasting_children > lasting_children_;
    if (done_ns_ && (!lasting || now.now_ns - *done_ns_ < kLastingNs)) return 0;
    done_ns_ = now.now_ns;
    lasting_children_ = now.lasting_children;
    return pages;
  }

 private:
  std::optional<uint64_t> done_ns_;
  uint64_t lasting_children_ = 0;
};

// Isolates and stores `pages` pages, 64 at a time, and then what is staged. Ends early when nothing
// can be stored: at once if there is no writer, or if the pages are incompressible. The writer is
// awaited for kWriterPatienceNs, from one stored page to the next, and kAwaitsMax times in all.
void StoreBeforeFork(ReclaimPort& port, int64_t pages);
inline constexpr uint64_t kWriterPatienceNs = 1'000'000'000;
inline constexpr int kAwaitsMax = 2'000;
inline constexpr int kPoorBatchesMax = 4;  // nothing was gained, and pages went back

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_FORK_ROOM_H_
