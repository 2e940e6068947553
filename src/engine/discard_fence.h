// DiscardFence: waits, without stopping anybody, until every thread of the program has been outside
// madvise(2).
//
//     Arm: the threads that exist     Passed?: each is looked at again until it was seen elsewhere
//     [ a  b  c ]                     [ b ]  ->  [ ]  : passed
//
// A call of madvise that was under way at Arm has ended when its thread is seen in another system
// call, waiting for a page, or gone. Threads that began later did not make it. A thread that runs
// all the time is never certain: then the fence does not pass, and nothing is done
// (vm/discard_watch.h says what waits for it).
//
// The reclaim daemon only. Nothing allocates.
#ifndef UZSWAP_ENGINE_DISCARD_FENCE_H_
#define UZSWAP_ENGINE_DISCARD_FENCE_H_

#include <cstddef>
#include <cstdint>

#include "os/thread_activity.h"

namespace uzswap {

class DiscardFence {
 public:
  static constexpr size_t kThreadsMax = 4096;
  using ActivityReader = os::ThreadActivity (*)(const void* argument, uint32_t thread);

  // `look` tells where a thread is; `argument` is its first argument.
  void Init(ActivityReader read, const void* argument) {
    read_ = read;
    argument_ = argument;
  }

  [[nodiscard]] bool armed() const { return armed_; }
  // Then AddThread for each thread that exists. Requires: what waits for the fence was noted
  // before.
  void Arm() {
    armed_ = true;
    count_ = 0;
    too_many_ = false;
  }
  void AddThread(uint32_t thread) {
    too_many_ |= count_ == kThreadsMax;
    if (!too_many_) threads_[count_++] = thread;
  }
  // Looks at the threads that are left. True: all have passed, and the fence is no longer armed.
  bool Passed() {
    size_t left = 0;
    for (size_t i = 0; i < count_; ++i) {
      if (read_(argument_, threads_[i]) == os::ThreadActivity::kUncertain)
        threads_[left++] = threads_[i];
    }
    count_ = left;
    const bool passed = armed_ && !too_many_ && left == 0;
    if (passed || too_many_) armed_ = false;
    return passed;
  }
  // In a forked child: its only thread is not inside madvise.
  void Disarm() { armed_ = false; }

 private:
  ActivityReader read_ = nullptr;
  const void* argument_ = nullptr;
  uint32_t threads_[kThreadsMax];  // the first count_
  size_t count_ = 0;
  bool armed_ = false;
  bool too_many_ = false;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_DISCARD_FENCE_H_
