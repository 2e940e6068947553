// SwapSlots: the numbers under which the pager keeps pages in the compressed cache.
//
//   never used ------ Take ------> in use -- Return --> on the stack -- Take --> in use
//
// A page's own number would not do: it changes when a region outgrows its extent, and what is on
// disk carries its name for ever. The number returned last is given out first, so the index
// stays as small as what is in it.
//
// Any thread. No number left is an outcome. Nothing allocates after Init.
#ifndef UZSWAP_SWAP_SWAP_SLOTS_H_
#define UZSWAP_SWAP_SWAP_SLOTS_H_

#include <cstdint>

#include "base/mutex.h"
#include "base/result.h"
#include "os/virtual_array.h"

namespace uzswap {

class SwapSlots {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  // Numbers below `capacity`; each takes four bytes once it has been returned.
  Result<void> Init(uint32_t capacity);

  // kNone when all are in use.
  [[nodiscard]] uint32_t Take() UZ_EXCLUDES(mutex_);
  // Requires: taken, and not returned since.
  void Return(uint32_t slot) UZ_EXCLUDES(mutex_);

  [[nodiscard]] uint32_t in_use() UZ_EXCLUDES(mutex_);
  // Requires: the only thread of a forked child.
  void ResetAfterFork() { mutex_.ResetAfterFork(); }

 private:
  Mutex mutex_{LockRank::kLeaf};
  os::VirtualArray<uint32_t> returned_ UZ_GUARDED_BY(mutex_);
  uint32_t returned_count_ UZ_GUARDED_BY(mutex_) = 0;
  uint32_t ever_used_ UZ_GUARDED_BY(mutex_) = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_SWAP_SWAP_SLOTS_H_
