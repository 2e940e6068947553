// SwapSlots: allocates the numbers under which the storage stack keeps pages.
//
//                  Allocate                   Free
//   never used ---------------> allocated -----------> free
//                                   ^                    |
//                                   +---- Allocate ------+
//
//   free_   | 7 | 2 | 9 |           a stack of slots; the slot freed last is allocated first
//           0           free_count_                 never_used_ .. capacity: never allocated
//
// A slot names a page by neither its address nor its page index. Both can change during the life
// of a page; the name of a page on disk cannot. The slot freed last is allocated first, so that
// the index of the compressed cache stays as small as its content.
//
// Any thread may call anything but Init. "No slot left" is an outcome. Nothing allocates memory
// after Init; a slot costs four bytes once it has been freed.
#ifndef UZSWAP_SWAP_SWAP_SLOTS_H_
#define UZSWAP_SWAP_SWAP_SLOTS_H_

#include <cstdint>

#include "base/mutex.h"
#include "base/result.h"
#include "base/units.h"
#include "os/virtual_array.h"

namespace uzswap {

class SwapSlots {
 public:
  // Once. Slots have the numbers 0 to `capacity` - 1.
  Result<void> Init(uint32_t capacity);

  // An invalid slot if all are allocated.
  [[nodiscard]] SwapSlot Allocate() UZ_EXCLUDES(mutex_);
  // Requires: allocated.
  void Free(SwapSlot slot) UZ_EXCLUDES(mutex_);

  // How many slots are allocated.
  [[nodiscard]] uint32_t in_use() UZ_EXCLUDES(mutex_);
  // Requires: the caller is the only thread of a forked child.
  void ResetAfterFork() { mutex_.ResetAfterFork(); }

 private:
  Mutex mutex_{LockRank::kLeaf};
  os::VirtualArray<SwapSlot> free_ UZ_GUARDED_BY(mutex_);
  uint32_t free_count_ UZ_GUARDED_BY(mutex_) = 0;
  uint32_t never_used_ UZ_GUARDED_BY(mutex_) = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_SWAP_SWAP_SLOTS_H_
