// StoreCleaner: decides when sparse segments of the backing store are rewritten, and how many.
//
//   while writing    CleanOnBatch: at most one segment for each batch, and only a very sparse one.
//                    Cleaning keeps step with writing and cannot crowd it out.
//   when full        MakeRoom: until there is a segment to write, if the file is sparse enough.
//   while idle       IsWorthwhile, then Clean: until 96 % of what the file holds is live.
//
// Cleaning when idle stops as soon as the gate is called: a large file takes seconds to clean, and
// a full pool cannot wait for that.
//
// The writer's thread only. CleanOnBatch reads at most one segment. Clean waits for batches.
#ifndef UZSWAP_WRITEBACK_STORE_CLEANER_H_
#define UZSWAP_WRITEBACK_STORE_CLEANER_H_

#include <cstdint>

#include "backing/backing_store.h"
#include "cache/pool_gate.h"
#include "writeback/writer_control.h"

namespace uzswap {

class StoreCleaner {
 public:
  // `store` may be nullptr: then there is never anything to clean. CleanOnBatch rewrites segments
  // of which less than `below_permille` is live, and leaves `keep_empty` empty segments allocated.
  void Init(BackingStore* store, uint32_t below_permille, uint32_t keep_empty);
  // In a forked child, which must not write to the file of its parent.
  void ResetAfterFork() { store_ = nullptr; }

  void CleanOnBatch();
  // The store has no segment to write. Rewrites sparse ones until it has, or `control` is
  // interrupted. False if what it holds is as dense as cleaning makes it. Waits for batches.
  bool MakeRoom(const WriterControl& control);
  // True if nothing was loaded from or written to the store since the last call, and cleaning
  // would shrink what the file holds.
  [[nodiscard]] bool IsWorthwhile();
  // Rewrites sparse segments and gives the space of empty ones back, until nothing is left to do
  // or `gate` was called more often than `calls_seen`.
  void Clean(const PoolGate& gate, uint32_t calls_seen);

 private:
  // When idle, segments are rewritten until this share of the file is live, except the slack.
  static constexpr uint32_t kLiveWhenIdlePermille = 960;
  // When full, segments are rewritten of whose space less is live. In the worst case that writes
  // ten bytes for one that is stored; four where writing is limited.
  static constexpr uint32_t kLiveWhenFullPermille = 900;
  static constexpr uint32_t kLiveWhenLimitedPermille = 750;
  static constexpr uint64_t kSlackWhenIdleBytes = 64 << 10;

  enum class Step : uint8_t {
    kSegment,  // one was rewritten, or cannot be read
    kBatch,    // a batch was written: there is room again
    kDone,     // nothing more to clean, or no room
  };
  Step CleanFurther(uint32_t below_permille, BackingStore::CleanOf of);

  BackingStore* store_ = nullptr;
  uint32_t below_permille_ = 0;
  uint32_t keep_empty_ = 0;
  uint64_t cleaned_at_batch_ = 0;
  uint64_t cleaned_live_bytes_ = UINT64_MAX;  // when cleaning last ended with nothing left to do
  // What the store had written and held live when MakeRoom ended without room.
  uint64_t full_at_written_ = UINT64_MAX;
  uint64_t full_at_live_ = 0;
  uint64_t live_bytes_seen_ = UINT64_MAX;  // at the last call of IsWorthwhile
};

}  // namespace uzswap

#endif  // UZSWAP_WRITEBACK_STORE_CLEANER_H_
