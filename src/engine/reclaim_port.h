// ReclaimPort: everything the reclaim daemon can see and do; tests replace it.
//
//   ReclaimDaemon ──> ReclaimPort ──> LiveReclaimPort: pager, storage stack, scanner, session
//                                └──> FakeReclaimPort (engine/testing/): a table of answers
//
// Called by the daemon's thread only. Nothing allocates.
#ifndef UZSWAP_ENGINE_RECLAIM_PORT_H_
#define UZSWAP_ENGINE_RECLAIM_PORT_H_

#include <cstddef>
#include <cstdint>

#include "base/statistics.h"
#include "base/units.h"
#include "engine/usage_meter.h"

namespace uzswap {

// Pages of this process, by where the pager has them.
struct PageCounts {
  uint64_t resident = 0;           // in registered ranges and present
  size_t staged = 0;               // in staging frames, not yet compressed
  uint64_t staging_populated = 0;  // staging frames that take up memory
  uint64_t pool_populated = 0;     // pool frames that take up memory, idle ones included
};

struct WriterState {
  bool shrinking = false;  // the pool is being shrunk with success
  bool can_write = false;  // there is a backing store, and it takes pages
};

class ReclaimPort {
 public:
  virtual uint64_t NowNs() = 0;
  virtual Statistics& statistics() = 0;
  // What is to be kept to now, and what the other parts shall keep to. The daemon asks at each
  // step.
  virtual Watermarks WantedWatermarks() = 0;
  virtual void UseWatermarks(const Watermarks& watermarks) = 0;
  virtual Usage MeasureUsage() = 0;
  virtual void MeasureMetadata() = 0;

  // Is this process managed: pager and storage running?
  virtual bool active() = 0;
  // Makes the process managed. False: that failed, and the user was informed.
  virtual bool Activate() = 0;

  // --- Requires for all that follows: active ---

  // The storage stack's counters into the statistics, and its bounds from those of the tree.
  virtual void UpdateStorage() = 0;
  virtual void ScanMappings() = 0;
  virtual PageCounts CountPages() = 0;
  // Moves up to `want` cold pages into staging frames. Returns how many.
  virtual size_t Isolate(size_t want) = 0;
  // Compresses up to `max` of the oldest staged pages. Returns how many frames may be released.
  virtual size_t StoreOldest(size_t max) = 0;
  // Gives up to `max` staging frames back to the kernel. Returns how many.
  virtual size_t ReleaseFrames(size_t max) = 0;
  // Copies up to `max` pages that the kernel refused to move because a child shared them, so that
  // they can be moved. Does nothing while they may still be shared.
  virtual void BreakCow(size_t max) = 0;

  // Whether the kernel may give the program huge pages.
  virtual void PermitHugePages(bool permitted) = 0;
  // Compacts sparse frames of the pool and gives idle ones back to the kernel, as far as that pays.
  // A bounded amount of work. True: idle frames are left.
  virtual bool TrimPool() = 0;
  virtual WriterState writer() = 0;
  // Gives the writer a millisecond.
  virtual void AwaitWriter() = 0;

  // Notes which processes of the tree are gone. Returns how many.
  virtual uint32_t MarkDead() = 0;
  // Is there a process that has ended or called exec, and still counts? Its memory is freed soon.
  virtual bool TreeIsEnding() = 0;
  virtual void WarnOverLimit(Bytes tree, bool progress) = 0;

 protected:
  ~ReclaimPort() = default;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_RECLAIM_PORT_H_
