// UringPort: writes with io_uring, single reads with pread. See os/io_port.h for the interface.
//
//   Submit   -> submission ring -> kernel -> completion ring -> Reap
//   ReadMany -> its own ring, for one caller at a time; a second caller reads one by one
//
// The ring has room for exactly depth() requests, so neither queue can overflow. Buffers are
// registered if the limit on locked memory allows it; otherwise writes use unregistered memory.
// Init fails with EPERM or ENOSYS if io_uring is forbidden (seccomp, io_uring_disabled). The owner
// then uses a ThreadPort.
#ifndef UZSWAP_OS_URING_PORT_H_
#define UZSWAP_OS_URING_PORT_H_

#include "base/mutex.h"
#include "base/thread_annotations.h"
#include "os/backing_file.h"
#include "os/io_port.h"
#include "os/uring_ring.h"

namespace uzswap::os {

class UringPort final : public IoPort {
 public:
  UringPort() = default;
  ~UringPort();

  // `file` must outlive the port. May be called once, and again after Close.
  Result<void> Init(const BackingFile& file, uint32_t depth);
  // Requires: no request is in flight.
  void Close();
  // For a forked child: the ring belongs to the parent, and its descriptor is in the parent's
  // table.
  void Forget();

  [[nodiscard]] const char* name() const override { return "io_uring"; }
  [[nodiscard]] uint32_t depth() const override { return depth_; }
  [[nodiscard]] uint64_t capacity() const override { return file_->capacity(); }
  void Prepare(std::span<std::byte> buffers, size_t buffer_size) override;
  [[nodiscard]] bool Submit(IoRequest& request) override;
  [[nodiscard]] IoRequest* Reap(bool wait) override;
  [[nodiscard]] int64_t Read(uint64_t offset, std::span<std::byte> to) override {
    return file_->Read(offset, to);
  }
  void ReadMany(std::span<IoRead> reads) override UZ_EXCLUDES(read_mutex_);
  void Discard(uint64_t offset, uint64_t length) override { file_->Discard(offset, length); }
  [[nodiscard]] uint64_t Occupied() override { return file_->Occupied(); }

 private:
  static constexpr uint32_t kReadDepth = 16;

  size_t SubmitReads(std::span<IoRead> reads) UZ_REQUIRES(read_mutex_);
  void ReapReads(size_t count) UZ_REQUIRES(read_mutex_);
  void Enter(IoRequest& request);
  [[nodiscard]] bool Finish(IoRequest& request, int result);

  const BackingFile* file_ = nullptr;
  UringRing ring_;
  uint32_t depth_ = 0;
  uint32_t in_flight_ = 0;
  bool registered_ = false;
  Mutex read_mutex_{LockRank::kReadRing};
  UringRing read_ring_ UZ_GUARDED_BY(read_mutex_);
  bool has_read_ring_ = false;  // constant between Init and Close
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_URING_PORT_H_
