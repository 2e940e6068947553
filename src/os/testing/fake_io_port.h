// FakeIoPort: a device in memory for tests, with fault injection. See os/io_port.h.
//
// Every call has a number from 1 (a write at its Submit, a read at its Read). A fault is injected
// into one call, or into all calls from one on:
//
//   kError        fails with an errno             kShortWrite  half is written, then the errno
//   kTruncated    a read is at the end of file    kFlippedBit  succeeds, one stored bit is flipped
//   kVanished     ENODEV in all later calls       kTorn        succeeds, but nothing was written
//
// Writes complete in order of submission, or the newest first. While Hold is on they complete only
// after Release, so that a test can step every race. A test can also set a latency, for which Reap
// waits. Any thread may call; one mutex guards the state.
//
// Size: its data members are one value each of the queue, the planned fault and the counters, and
// 9 of its methods are those of IoPort. Parts would share the one lock, and a test uses them
// together.
#ifndef UZSWAP_OS_TESTING_FAKE_IO_PORT_H_
#define UZSWAP_OS_TESTING_FAKE_IO_PORT_H_

#include <atomic>

#include "base/mutex.h"
#include "os/io_port.h"
#include "os/mapping.h"

namespace uzswap::os {

enum class IoFault : uint8_t {
  kNone,
  kError,
  kShortWrite,
  kTruncated,
  kFlippedBit,
  kTorn,
  kVanished
};

class FakeIoPort final : public IoPort {
 public:
  FakeIoPort() = default;
  ~FakeIoPort();

  Result<void> Init(uint64_t capacity, uint32_t depth);

  // Injects a fault into call number `call` (from 1), and into all later calls if `sticky`.
  void Plan(IoFault fault, uint64_t call, int error = 5 /* EIO */, bool sticky = false);
  void Heal();  // no faults from now on; a vanished device works again
  [[nodiscard]] uint64_t calls();

  void Hold();
  // Lets `count` held writes complete. UINT32_MAX turns Hold off.
  void Release(uint32_t count = UINT32_MAX);
  // From now on the newest of the writes that may complete completes first, as a device may do.
  void CompleteNewestFirst() { newest_first_ = true; }
  void SetLatency(uint64_t nanoseconds) { latency_ns_ = nanoseconds; }
  // From now on a write completes only when Reap waits for it, as with ThreadPort.
  void WriteInReap() { writes_in_reap_ = true; }

  // The stored bytes, for tests that damage them.
  [[nodiscard]] std::span<std::byte> bytes() const { return {memory_.data(), memory_.size()}; }
  [[nodiscard]] uint64_t bytes_written() const { return bytes_written_; }
  [[nodiscard]] uint64_t writes() const { return writes_; }
  [[nodiscard]] uint32_t deepest() const { return deepest_; }

  [[nodiscard]] const char* name() const override { return "fake"; }
  [[nodiscard]] uint32_t depth() const override { return depth_; }
  [[nodiscard]] uint64_t capacity() const override { return memory_.size(); }
  void Prepare(std::span<std::byte>, size_t) override {}
  [[nodiscard]] bool Submit(IoRequest& request) override UZ_EXCLUDES(mutex_);
  [[nodiscard]] IoRequest* Reap(bool wait) override UZ_EXCLUDES(mutex_);
  [[nodiscard]] int64_t Read(uint64_t offset, std::span<std::byte> to) override UZ_EXCLUDES(mutex_);
  void Discard(uint64_t offset, uint64_t length) override UZ_EXCLUDES(mutex_);
  [[nodiscard]] uint64_t Occupied() override;

 private:
  static constexpr uint32_t kDepthMax = 256;

  [[nodiscard]] IoFault Strike() UZ_REQUIRES(mutex_);
  void Write(IoRequest& request, IoFault fault) UZ_REQUIRES(mutex_);
  // Waits while Hold is on. Ends the test at the deadline.
  void AwaitRelease(uint64_t deadline_ns);

  Mapping memory_;
  uint32_t depth_ = 0;
  Mutex mutex_{LockRank::kLeaf};
  IoRequest* queue_[kDepthMax] UZ_GUARDED_BY(mutex_) = {};
  uint64_t due_ns_[kDepthMax] UZ_GUARDED_BY(mutex_) = {};
  uint32_t queued_ UZ_GUARDED_BY(mutex_) = 0;
  uint64_t calls_ UZ_GUARDED_BY(mutex_) = 0;
  IoFault fault_ UZ_GUARDED_BY(mutex_) = IoFault::kNone;
  uint64_t fault_call_ UZ_GUARDED_BY(mutex_) = 0;
  int fault_error_ UZ_GUARDED_BY(mutex_) = 0;
  bool fault_sticky_ UZ_GUARDED_BY(mutex_) = false;
  // The number of completions allowed. Release increases it and Reap waits for it.
  std::atomic<uint32_t> allowed_{UINT32_MAX};
  std::atomic<uint64_t> latency_ns_{0};
  std::atomic<bool> writes_in_reap_{false};
  std::atomic<bool> newest_first_{false};
  std::atomic<uint64_t> bytes_written_{0};
  std::atomic<uint64_t> writes_{0};
  std::atomic<uint32_t> deepest_{0};
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_TESTING_FAKE_IO_PORT_H_
