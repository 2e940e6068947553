// FrameOwner: the interface by which the arena asks the user of a frame to move it.
//
//     FrameArena::ReclaimRange --> FrameOwner::TryMigrateFrame(from, to) --> MigrateOutcome
//
// The arena is below the pools and caches whose bytes are in its frames, and does not know them. If
// the arena needs a frame moved, it asks the frame's registered owner. The owner takes its own
// locks, decides, and returns an outcome. The arena holds no lock during the call.
//
// The arena looks at frames without the owner's lock. So the owner may be asked about a frame that
// it has just freed, or that it has allocated and not yet listed. Both are normal outcomes (kGone,
// kBusy).
#ifndef UZSWAP_FRAME_FRAME_OWNER_H_
#define UZSWAP_FRAME_FRAME_OWNER_H_

#include <cstdint>

#include "base/units.h"

namespace uzswap {

enum class MigrateOutcome : uint8_t {
  kMoved,      // the bytes are in `to`, which the owner now holds; `from` has been freed
  kGone,       // the frame no longer belongs to this owner; `to` is untouched
  kPinned,     // being read or written; `to` is untouched
  kBusy,       // in transition; a retry may succeed; `to` is untouched
  kUnmovable,  // never moves; `to` is untouched
};

class FrameOwner {
 public:
  // Tries to move the content of `from` into `to`, an allocated frame of the same owner without
  // content. Must not wait for readers, and must not allocate frames.
  virtual MigrateOutcome TryMigrateFrame(FrameId from, FrameId to) = 0;

 protected:
  ~FrameOwner() = default;
};

}  // namespace uzswap

#endif  // UZSWAP_FRAME_FRAME_OWNER_H_
