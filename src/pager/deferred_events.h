// DeferredEvents: events that were read while the pager was frozen for a fork, in order.
//
// Parent and child both apply them: they are true of both address spaces. The owner's lock guards
// everything.
#ifndef UZSWAP_PAGER_DEFERRED_EVENTS_H_
#define UZSWAP_PAGER_DEFERRED_EVENTS_H_

#include <cstddef>

#include "base/check.h"
#include "os/user_fault_port.h"

namespace uzswap {

class DeferredEvents {
 public:
  static constexpr size_t kMax = 256;

  [[nodiscard]] bool HasRoom(size_t events) const { return count_ + events <= kMax; }
  // Requires: HasRoom(1).
  void Add(const os::UserFaultEvent& event) {
    UZ_CHECK_LT(count_, kMax);
    events_[count_++] = event;
  }
  [[nodiscard]] size_t count() const { return count_; }
  [[nodiscard]] const os::UserFaultEvent& at(size_t position) const {
    UZ_CHECK_LT(position, count_);
    return events_[position];
  }
  void Clear() { count_ = 0; }

 private:
  os::UserFaultEvent events_[kMax];
  size_t count_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_PAGER_DEFERRED_EVENTS_H_
