// FrameOwner: how the arena talks to whoever uses a frame, without knowing who that is.
//
// The arena sits below the pools and caches whose bytes its frames hold. When it needs a frame
// moved (ReclaimRange) it asks the registered owner, which takes its own locks, decides, and
// answers with a reason. The arena holds no lock during the call.
//
// The owner must be ready to be asked about a frame that it has just freed, or has taken and not
// yet linked: the arena looks without the owner's lock. Both are ordinary outcomes.
#ifndef UZSWAP_FRAME_FRAME_OWNER_H_
#define UZSWAP_FRAME_FRAME_OWNER_H_

#include <cstdint>

#include "base/units.h"

namespace uzswap {

enum class MigrateOutcome : uint8_t {
  kMoved,      // the bytes are in `to`, which the owner now holds; `from` has been freed
  kGone,       // the frame no longer belongs to this owner; `to` is untouched
  kPinned,     // somebody reads or writes it; `to` is untouched
  kBusy,       // in transition; asking again soon may succeed; `to` is untouched
  kUnmovable,  // will not move however often it is asked; `to` is untouched
};

class FrameOwner {
 public:
  // Tries to move the content of `from` into `to`, an allocated frame of the same owner that holds
  // nothing. Must not wait for readers, and must not allocate frames.
  virtual MigrateOutcome TryMigrateFrame(FrameId from, FrameId to) = 0;

 protected:
  ~FrameOwner() = default;
};

}  // namespace uzswap

#endif  // UZSWAP_FRAME_FRAME_OWNER_H_
