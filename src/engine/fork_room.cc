#include "engine/fork_room.h"

#include <algorithm>

#include "engine/reclaim_daemon.h"

namespace uzswap {
namespace {

class Storing {
 public:
  explicit Storing(ReclaimPort& port) : port_(port), gained_ns_(port.NowNs()) {}

  // Isolates up to `want` pages, and returns how many. Counts them as stored.
  size_t Isolate(size_t want) {
    const size_t isolated = port_.Isolate(want);
    port_.statistics().fork_pages_stored.Add(isolated);
    return isolated;
  }
  // Stores a batch of what is staged. False: it is no use to go on.
  bool StoreBatch() {
    const size_t staged = port_.CountPages().staged;
    if (ReclaimDaemon::StoreAndRelease(port_) > 0) {
      gained_ns_ = port_.NowNs();
      poor_ = 0;
      return true;
    }
    // Incompressible pages have gone back.
    if (port_.CountPages().staged < staged) return ++poor_ < kPoorBatchesMax;
    return AwaitWriter();
  }

 private:
  bool AwaitWriter() {
    const WriterState writer = port_.writer();
    if (!writer.shrinking && !writer.can_write) return false;
    if (port_.NowNs() - gained_ns_ >= kWriterPatienceNs || ++awaits_ > kAwaitsMax) return false;
    port_.AwaitWriter();
    port_.TrimPool();
    return true;
  }

  ReclaimPort& port_;
  uint64_t gained_ns_;
  int awaits_ = 0;
  int poor_ = 0;
};

}  // namespace

void StoreBeforeFork(ReclaimPort& port, int64_t pages) {
  constexpr auto kBatch = static_cast<int64_t>(ReclaimDaemon::kBatch);
  Storing storing(port);
  // Faults stage pages meanwhile, so the steps are counted, not the pages.
  int64_t steps = kAwaitsMax + 2 * (pages + kBatch - 1) / kBatch;
  for (int64_t left = pages; left > 0 && steps > 0; --steps) {
    left -= static_cast<int64_t>(storing.Isolate(static_cast<size_t>(std::min(left, kBatch))));
    if (!storing.StoreBatch()) return;
  }
  for (; port.CountPages().staged > 0 && steps > 0; --steps) {
    if (!storing.StoreBatch()) return;
  }
}

}  // namespace uzswap
