// StorageBounds: how much of the tree's bounds of pool and backing file is this process's.
//
//   bound of the tree  ├─────────────────────────────────────────┤
//   others hold        ├─────────────────┤
//   ours                                 ├───────────────────────┤   but at least the minimum
//
// A bound is a limit for all processes of the tree together. Each process takes what the others
// leave of it, and reads their figures again every 20 ms. A process of a large tree may always
// keep the minimum, so the sum may exceed the bound by that much for each process.
//
// Where nothing can be written, aged pages are compressed again with a denser codec once the pool
// holds more than half of the limit, and then each time it has grown by a sixteenth: below that,
// resident pages are worth more time than the pool is.
//
//   asked:  0 ──pool > half──> pool ──pool > asked + asked/16──> pool ──pool <= half──> 0
//
// Pure arithmetic over what the caller read: it sets no bound itself. One thread: the reclaim
// daemon.
#ifndef UZSWAP_ENGINE_STORAGE_BOUNDS_H_
#define UZSWAP_ENGINE_STORAGE_BOUNDS_H_

#include <algorithm>
#include <cstdint>
#include <optional>

#include "base/units.h"

namespace uzswap {

class StorageBounds {
 public:
  static constexpr uint64_t kEveryNs = 20'000'000;
  static constexpr Bytes kPoolMin{64 * kPageSize};
  static constexpr Bytes kFileMin{1 << 20};

  // What of `bound` is left for this process, which holds `own` of the `tree`'s total. At least
  // `least`. `tree` may be older than `own`.
  static Bytes Share(Bytes bound, Bytes tree, Bytes own, Bytes least);
  // What the frames that this process maps alone may hold.
  struct PoolParts {
    Bytes bound;      // of the tree, now
    Bytes tree;       // what the tree has reserved
    Bytes held;       // this process's part of it
    Bytes shared;     // its share of the frames that relatives map too
    Bytes uncounted;  // all of those frames
    Bytes arena;      // what the pool can hold at most
  };
  // Its share of frames that relatives map too is taken from the bound, but never so much that it
  // could not store anything. With them the pool never has more than its arena holds: the writer
  // is called below the limit, and a limit that the pool cannot reach would call nobody.
  static Bytes PoolLimit(const PoolParts& parts);
  static Bytes FileShare(Bytes bound, Bytes tree, Bytes own) {
    return Share(bound, tree, own, kFileMin);
  }

  // True when the bounds are to be computed again.
  bool Due(uint64_t now_ns);

  // The size that the pool should shrink to by recompression; nothing: leave it alone. `limit` is
  // that of the run or of the arena, whichever is less. Requires: nothing can be written.
  std::optional<Bytes> DensityTarget(Bytes pool, Bytes limit);

  // In a forked child: the parent asked, the child has not.
  void ResetInChild() { asked_ = Bytes(0); }

 private:
  uint64_t computed_ns_ = 0;
  Bytes asked_;  // size of the pool when recompression was asked for last
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_STORAGE_BOUNDS_H_
