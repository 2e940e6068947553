// Transfer: system calls in which the kernel reads or writes the program's memory.
//
// One object a thread: a pipe, an unlinked file (opened for O_DIRECT too where the file system
// can) and an io_uring where the machine allows one. A forked child does not use its copy.
#ifndef UZSWAP_TESTS_SYSTEM_CHURN_TRANSFER_H_
#define UZSWAP_TESTS_SYSTEM_CHURN_TRANSFER_H_

#include <liburing.h>

#include <cstdint>
#include <functional>

#include "base/rng.h"
#include "system/churn/region.h"

namespace uzswap::churn {

class Transfer {
 public:
  // At most this many pages at once: what a pipe holds.
  static constexpr uint32_t kPagesMax = 16;

  Transfer(const char* folder, Rng& rng);
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  ~Transfer();

  // Each moves known pages through the kernel into `range` or out of it and checks them.
  // `meanwhile` works on other memory while the kernel holds references to these pages.
  using Work = std::function<void()>;
  void PipeRoundTrip(Region& region, Range range);
  void SplicedPipe(Region& region, Range range, const Work& meanwhile);
  void FileRoundTrip(Region& region, Range range);
  void DirectRead(Region& region, Range range);
  void RingRead(Region& region, Range range, const Work& meanwhile);
  void RegisteredRead(Region& region, Range range, const Work& meanwhile);
  void ReadOwnProcess(Region& region, Range range);
  void FutexPeek(Region& region, Range range);

  [[nodiscard]] bool has_direct() const { return direct_ >= 0; }
  [[nodiscard]] bool has_ring() const { return has_ring_; }

 private:
  // Writes the next version of the pages to the file from a buffer outside the region.
  uint32_t PrepareFile(Region& region, Range range);
  void SubmitAndWait(Range range, const Work& meanwhile);

  Rng& rng_;
  int pipe_[2] = {-1, -1};
  int file_ = -1;
  int direct_ = -1;
  bool has_ring_ = false;
  io_uring ring_{};
};

}  // namespace uzswap::churn

#endif  // UZSWAP_TESTS_SYSTEM_CHURN_TRANSFER_H_
