// RobustLists: keeps resident what the kernel reads when a thread ends while it holds robust
// mutexes.
//
//   thread ──get_robust_list──> head ──next──> entry ──next──> entry ──next──> head
//                                 │ pending      │ + offset
//                                 v              v
//                               entry          futex word: the kernel sets FUTEX_OWNER_DIED in it
//
// The kernel walks the list when the thread has begun to exit. A fault of such a thread is not
// given to a userfaultfd: the walk would end there, and the thread that waits for the mutex
// would never get it. So the pages of the entries and of the futex words are pinned at each scan of
// the mappings, and brought in if they are swapped out. A thread must hold the mutex since the last
// scan, and since then it was cold: pages are not swapped out faster than that. Pins stay, as a
// mutex that was held once will be held again; at most kPinsMax pages.
//
// The lists are the program's memory, and can be changed or unmapped at any moment: they are read
// with process_vm_readv(2), which also waits for a page that is swapped out. So no lock of the
// pager may be held. One thread. Nothing allocates.
#ifndef UZSWAP_ENGINE_ROBUST_LISTS_H_
#define UZSWAP_ENGINE_ROBUST_LISTS_H_

#include <cstddef>
#include <cstdint>

#include "engine/range_scanner.h"

namespace uzswap {

class RobustLists {
 public:
  static constexpr size_t kEntriesMax = 2048;  // the kernel's ROBUST_LIST_LIMIT
  static constexpr size_t kPinsMax = 1024;     // pages
  // Copies `bytes` from the program's memory. False if they are not mapped.
  using Read = bool (*)(uint64_t from, void* to, size_t bytes);

  explicit RobustLists(Read read) : read_(read) {}

  // Pins what is reached from the list at `head`. Returns how many entries it has.
  size_t Pin(uint64_t head, RangeSink& sink);
  [[nodiscard]] size_t pages() const { return count_; }
  // Pages that were not pinned, because there are kPinsMax already.
  [[nodiscard]] uint64_t refused() const { return refused_; }

 private:
  void PinEntry(uint64_t entry, int64_t offset, RangeSink& sink);
  void PinPage(uint64_t page, RangeSink& sink);

  Read read_;
  uint64_t pages_[kPinsMax] = {};  // pinned since the start
  size_t count_ = 0;
  uint64_t refused_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_ROBUST_LISTS_H_
