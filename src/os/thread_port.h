// ThreadPort: writes with pwrite(2) in the thread that waits for the write. See os/io_port.h.
//
//   Submit -> queue -> Reap(wait) writes the oldest request and returns it
//
// For machines that forbid io_uring. The port starts no thread: a thread in the program needs a
// stack and a descriptor table from the engine. Reap without `wait` writes nothing.
#ifndef UZSWAP_OS_THREAD_PORT_H_
#define UZSWAP_OS_THREAD_PORT_H_

#include "os/backing_file.h"
#include "os/io_port.h"

namespace uzswap::os {

class ThreadPort final : public IoPort {
 public:
  ThreadPort() = default;
  ~ThreadPort();

  void Init(const BackingFile& file, uint32_t depth);

  [[nodiscard]] const char* name() const override { return "threads"; }
  [[nodiscard]] uint32_t depth() const override { return depth_; }
  [[nodiscard]] uint64_t capacity() const override { return file_->capacity(); }
  void Prepare(std::span<std::byte>, size_t) override {}
  [[nodiscard]] bool Submit(IoRequest& request) override;
  [[nodiscard]] IoRequest* Reap(bool wait) override;
  [[nodiscard]] int64_t Read(uint64_t offset, std::span<std::byte> to) override {
    return file_->Read(offset, to);
  }
  void Discard(uint64_t offset, uint64_t length) override { file_->Discard(offset, length); }
  [[nodiscard]] uint64_t Occupied() override { return file_->Occupied(); }

 private:
  const BackingFile* file_ = nullptr;
  uint32_t depth_ = 0;
  uint32_t in_flight_ = 0;
  // The queue, linked by IoRequest::next. First in, first out.
  IoRequest* head_ = nullptr;
  IoRequest* tail_ = nullptr;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_THREAD_PORT_H_
