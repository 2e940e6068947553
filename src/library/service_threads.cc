#include "library/service_threads.h"

#include <chrono>

#include "os/thread.h"

namespace uzswap {

ServiceThreads::~ServiceThreads() { Stop(); }

void* ServiceThreads::WriterMain(void* self) {
  static_cast<ServiceThreads*>(self)->stack_->writeback().Run(os::MonotonicNanoseconds);
  return nullptr;
}

void* ServiceThreads::MaintenanceMain(void* self) {
  static_cast<ServiceThreads*>(self)->Maintain();
  return nullptr;
}

// Not std::thread: a thread that cannot be started is an error here, not an exception.
Result<void> ServiceThreads::Start(StorageStack& stack) {
  stack_ = &stack;
  const os::BlockedSignals blocked;
  int error = pthread_create(&writer_, nullptr, WriterMain, this);
  started_ += error == 0 ? 1 : 0;
  if (error == 0) error = pthread_create(&maintenance_, nullptr, MaintenanceMain, this);
  started_ += error == 0 ? 1 : 0;
  if (error != 0) return Error{error, "a service thread"};
  pthread_setname_np(writer_, "uzswap-writer");
  pthread_setname_np(maintenance_, "uzswap-trimmer");
  return {};
}

void ServiceThreads::Stop() {
  if (started_ == 0) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  ends_.notify_all();
  stack_->writeback().Stop();
  pthread_join(writer_, nullptr);
  if (started_ > 1) pthread_join(maintenance_, nullptr);
  started_ = 0;
}

bool ServiceThreads::Sleep() {
  std::unique_lock lock(mutex_);
  return !ends_.wait_for(lock, std::chrono::nanoseconds(kPauseNs), [this] { return stopping_; });
}

void ServiceThreads::Maintain() {
  bool more = false;
  while (Sleep()) {
    if (!frees_.exchange(false, std::memory_order_relaxed) && !more) continue;
    // A bounded number of rounds: each is bounded too, and the end must not wait for long.
    constexpr int kRounds = 64;
    more = true;
    for (int i = 0; i < kRounds && more; ++i) more = stack_->Trim().more;
  }
}

}  // namespace uzswap
