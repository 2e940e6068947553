// FaultQueue: page faults that were read from userfaultfd and are not answered yet.
//
//     userfaultfd --> Read --> page faults: parked, in the order they were read
//                         \--> events: handed to the caller at once, in order
//
// A thread waits for one page at a time, so there are at most as many parked faults as threads. All
// must fit: the kernel hands out events only when no fault is left to read, and some faults cannot
// be answered before an event was read.
//
// The owner's lock guards everything. Nothing allocates after Init.
#ifndef UZSWAP_PAGER_FAULT_QUEUE_H_
#define UZSWAP_PAGER_FAULT_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/result.h"
#include "os/user_fault_port.h"
#include "os/virtual_array.h"

namespace uzswap {

struct ParkedFault {
  os::UserFaultEvent fault;
  uint64_t read_ns = 0;  // when it was read
  // How often pages were stored for it since it last waited for memory.
  uint8_t reclaim_rounds = 0;
};

class FaultQueue {
 public:
  static constexpr size_t kParkedMax = 1 << 16;
  static constexpr size_t kReadBatch = 16;
  static constexpr uint8_t kReclaimRoundsMax = 16;

  // Once. Fails with the errno of mmap.
  Result<void> Init() {
    auto parked = os::VirtualArray<ParkedFault>::Create(kParkedMax, "parked faults");
    if (!parked.ok()) return parked.error();
    parked_ = std::move(parked).value();
    return {};
  }

  // What one read brought: `read` messages, of which `count` are events.
  struct Messages {
    os::UserFaultEvent events[kReadBatch];
    size_t count = 0;
    size_t read = 0;
  };
  // Reads up to kReadBatch messages. Page faults are parked, events are handed to the caller.
  // False if there was no message, or no room for another batch of faults.
  bool Read(os::UserFaultPort& port, uint64_t now_ns, Messages* messages) {
    *messages = {};
    if (count_ + kReadBatch > kParkedMax) return false;
    os::UserFaultEvent all[kReadBatch];
    messages->read = port.Read(all);
    for (size_t i = 0; i < messages->read; ++i) {
      if (all[i].kind == os::UserFaultEvent::Kind::kPageFault) {
        parked_[count_++] = {.fault = all[i], .read_ns = now_ns};
      } else {
        messages->events[messages->count++] = all[i];
      }
    }
    return messages->read > 0;
  }

  // One pass over the faults, oldest first. What is not kept leaves the queue:
  //   for (FaultQueue::Pass pass(queue); ParkedFault* parked = pass.Next();) {
  //     if (...) pass.Keep();
  //   }
  // Nothing else touches the queue during a pass.
  class Pass {
   public:
    explicit Pass(FaultQueue& queue) : queue_(queue) {}
    ~Pass() { queue_.count_ = kept_; }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;

    [[nodiscard]] ParkedFault* Next() {
      return next_ == queue_.count_ ? nullptr : &queue_.parked_[next_++];
    }
    // The fault that Next returned stays in the queue.
    void Keep() { queue_.parked_[kept_++] = queue_.parked_[next_ - 1]; }

   private:
    FaultQueue& queue_;
    size_t next_ = 0;
    size_t kept_ = 0;
  };

  [[nodiscard]] size_t count() const { return count_; }
  // Does a fault of this thread wait?
  [[nodiscard]] bool Holds(uint32_t thread) const {
    for (size_t i = 0; i < count_; ++i) {
      if (parked_[i].fault.thread == thread) return true;
    }
    return false;
  }
  // Pages were stored for all that wait now, or (`exhausted`) there were none to store.
  void NoteReclaim(bool exhausted) {
    for (size_t i = 0; i < count_; ++i) {
      uint8_t& rounds = parked_[i].reclaim_rounds;
      if (rounds < kReclaimRoundsMax) ++rounds;
      if (exhausted) rounds = kReclaimRoundsMax;
    }
  }
  // In a forked child: the threads that wait stayed behind.
  void Clear() { count_ = 0; }

 private:
  os::VirtualArray<ParkedFault> parked_;
  size_t count_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_PAGER_FAULT_QUEUE_H_
