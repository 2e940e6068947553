// WriteHealth: what failed requests of a BackingStore mean for later ones.
//
//   ENOSPC                the medium is full: appends are refused until a record is released, but
//                         one of 256 is tried anyway, because others free space on the medium too
//   ENODEV and the like   the device is gone: closed for writing
//   any other error       the segment is spoilt; four spoilt segments in a row: closed
//
// closed(), last_error(), NoteReleased, NoteReadFailed and Close: any thread. All else: the writer.
#ifndef UZSWAP_BACKING_WRITE_HEALTH_H_
#define UZSWAP_BACKING_WRITE_HEALTH_H_

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "base/counter.h"

namespace uzswap {

class WriteHealth {
 public:
  [[nodiscard]] bool closed() const { return closed_.load(std::memory_order_relaxed); }
  // The errno of the latest failure, for messages.
  [[nodiscard]] int last_error() const { return last_error_.load(std::memory_order_relaxed); }

  // True if a batch may be opened. Counts as a refusal if not.
  [[nodiscard]] bool MayTry() {
    return full_at_released_ != released_.Get() || ++full_refusals_ % kFullRetryEvery == 0;
  }

  void NoteWritten() { spoilt_in_a_row_ = 0; }
  // True if the segment of the failed batch is spoilt and must not be used again.
  [[nodiscard]] bool NoteWriteFailed(int error) {
    last_error_.store(error, std::memory_order_relaxed);
    if (error == ENOSPC) {
      full_at_released_ = released_.Get();
      return false;
    }
    if (DeviceIsGone(error) || ++spoilt_in_a_row_ == kSpoiltInARowMax) Close(error);
    return true;
  }
  void NoteReadFailed(int error) { last_error_.store(error, std::memory_order_relaxed); }
  void NoteReleased() { released_.Add(); }
  void Close(int error) {
    last_error_.store(error, std::memory_order_relaxed);
    closed_.store(true, std::memory_order_relaxed);
  }
  // For another medium, of which nothing is known yet.
  void Reopen() {
    spoilt_in_a_row_ = 0;
    full_at_released_ = UINT64_MAX;
    last_error_.store(0, std::memory_order_relaxed);
    closed_.store(false, std::memory_order_relaxed);
  }

 private:
  static constexpr uint32_t kSpoiltInARowMax = 4;
  static constexpr uint32_t kFullRetryEvery = 256;

  static constexpr bool DeviceIsGone(int error) {
    return error == ENODEV || error == ENXIO || error == EROFS || error == EBADF;
  }

  uint32_t spoilt_in_a_row_ = 0;
  uint64_t full_at_released_ = UINT64_MAX;  // released_ when the medium was full
  uint32_t full_refusals_ = 0;
  RelaxedCounter released_;          // records
  std::atomic<bool> closed_{false};  // orders nothing
  std::atomic<int> last_error_{0};   // orders nothing
};

}  // namespace uzswap

#endif  // UZSWAP_BACKING_WRITE_HEALTH_H_
