// ThreadPort: writes by ordinary calls, on threads that are lent. See os/io_port.h.
//
//   Submit -> queue -> Serve() on lent threads -> done -> Reap
//                \---- Reap itself, when it would have to wait ----/
//
// The port starts no thread: inside a foreign program, threads need the engine's stacks and
// descriptor table. It needs none either: whoever waits in Reap takes the oldest queued request
// and writes it. So a lent thread that ends, or none at all, costs parallelism and nothing
// else. Requests are few (depth() at most) and large; one mutex does.
#ifndef UZSWAP_OS_THREAD_PORT_H_
#define UZSWAP_OS_THREAD_PORT_H_

#include <atomic>

#include "base/mutex.h"
#include "os/backing_file.h"
#include "os/io_port.h"

namespace uzswap::os {

class ThreadPort final : public IoPort {
 public:
  ThreadPort() = default;
  ~ThreadPort();

  void Init(const BackingFile& file, uint32_t depth);

  // Works until Stop, on the calling thread. Any number of threads.
  void Serve();
  // Ends every Serve, now and later, without losing requests: Reap finishes what is queued.
  void Stop();

  [[nodiscard]] const char* name() const override { return "threads"; }
  [[nodiscard]] uint32_t depth() const override { return depth_; }
  [[nodiscard]] uint64_t capacity() const override { return file_->capacity(); }
  void Prepare(std::span<std::byte>, size_t) override {}
  [[nodiscard]] bool Submit(IoRequest& request) override UZ_EXCLUDES(mutex_);
  [[nodiscard]] IoRequest* Reap(bool wait) override UZ_EXCLUDES(mutex_);
  [[nodiscard]] int64_t Read(uint64_t offset, std::span<std::byte> to) override {
    return file_->Read(offset, to);
  }
  void Discard(uint64_t offset, uint64_t length) override { file_->Discard(offset, length); }
  [[nodiscard]] uint64_t Occupied() override { return file_->Occupied(); }

 private:
  // First in, first out, through IoRequest::next.
  struct Queue {
    IoRequest* head = nullptr;
    IoRequest* tail = nullptr;
    void Push(IoRequest& request);
    [[nodiscard]] IoRequest* Pop();
  };

  void Write(IoRequest& request) const;
  void Complete(IoRequest& request) UZ_EXCLUDES(mutex_);

  const BackingFile* file_ = nullptr;
  uint32_t depth_ = 0;
  Mutex mutex_{LockRank::kLeaf};
  Queue queued_ UZ_GUARDED_BY(mutex_);
  Queue done_ UZ_GUARDED_BY(mutex_);
  uint32_t in_flight_ UZ_GUARDED_BY(mutex_) = 0;
  // Bumped (release) after every change of a queue, so that sleepers cannot miss one.
  std::atomic<uint32_t> submitted_{0};
  std::atomic<uint32_t> completed_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_THREAD_PORT_H_
