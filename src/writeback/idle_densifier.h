// IdleDensifier: makes objects that stay in the pool denser, by processor time that nobody wants.
//
//   oldest unit ──> Recompress each object ──> back as the youngest    until a turn gains nothing
//        ^                                          |
//        `── the processor was ours for a slice ────┘── somebody else wanted it: yield, then retry
//
// Recompression with DenseCodec() takes four times as long as a store. So it is for pages that are
// likely to stay, and for time in which no thread waits for a processor. One does if the kernel
// took the processor away during a slice of work, or if the slice took much longer by the clock
// than by the processor.
//
// A pass goes round the units, the oldest first. It is over when a turn has gained nothing, or
// after two turns: units with new objects move to the end, so one turn may not reach all. What is
// dense already is only looked at. Units that were looked at are the youngest afterwards; so a pass
// that is interrupted makes old units young. The next pass begins when an eighth of the pool is
// new.
//
// The writer's thread only. Nothing allocates.
#ifndef UZSWAP_WRITEBACK_IDLE_DENSIFIER_H_
#define UZSWAP_WRITEBACK_IDLE_DENSIFIER_H_

#include <cstdint>

#include "cache/compressed_cache.h"
#include "cache/pool_gate.h"

namespace uzswap {

class IdleDensifier {
 public:
  struct Work {
    bool yielded = false;       // somebody else wants the processor
    uint64_t objects = 0;       // made denser
    uint64_t frames_freed = 0;  // by emptying units
  };

  // All outlive this. `context` is prepared for `codec`.
  void Init(CompressedCache& cache, CacheContext& context, const Codec& codec);
  // In a forked child: the pass was the parent's.
  void ResetAfterFork() { units_left_ = 0; }
  // True if a pass was interrupted, or enough objects are new since the last one.
  [[nodiscard]] bool IsWorthwhile() const;
  // Works until the pass is over, the processor is wanted, or `gate` was called more often than
  // `calls_seen`.
  Work Densify(const PoolGate& gate, uint32_t calls_seen);

 private:
  // Processor time between two looks at the clocks, and the share of it that may be lost.
  static constexpr uint64_t kSliceNs = 4'000'000;
  static constexpr uint64_t kLostOfSlice = 4;  // one in four
  static constexpr uint64_t kNewOfPool = 8;    // one in eight

  // False if the pool offers no unit, or has no room for a new object.
  bool DensifyUnit(const PoolGate& gate, uint32_t calls_seen, Work& work);

  CompressedCache* cache_ = nullptr;
  CacheContext* context_ = nullptr;
  const Codec* codec_ = nullptr;
  uint64_t turn_ = 0;                // units at the beginning of the pass
  uint64_t units_left_ = 0;          // of the turn that must gain something; 0: no pass
  uint64_t scan_left_ = 0;           // of the pass
  uint64_t allocations_at_end_ = 0;  // the pool's, when the last pass was over
};

}  // namespace uzswap

#endif  // UZSWAP_WRITEBACK_IDLE_DENSIFIER_H_
