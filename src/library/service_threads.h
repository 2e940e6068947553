// ServiceThreads: the two threads of a storage stack in a program that uses the library.
//
//   writer       Writeback::Run: makes room in the pool whenever it is called
//   maintenance  Trim: compacts sparse frames and gives idle ones back, kPauseNs after the last use
//                and again while that pays
//
// Both block all signals: the program's handlers run on its own threads.
#ifndef UZSWAP_LIBRARY_SERVICE_THREADS_H_
#define UZSWAP_LIBRARY_SERVICE_THREADS_H_

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "base/result.h"
#include "swap/storage_stack.h"

namespace uzswap {

class ServiceThreads {
 public:
  ServiceThreads() = default;
  ServiceThreads(const ServiceThreads&) = delete;
  ServiceThreads& operator=(const ServiceThreads&) = delete;
  ~ServiceThreads();

  // Once. `stack` outlives the threads. Fails with the errno of pthread_create.
  Result<void> Start(StorageStack& stack);
  // Returns when both have ended. May be called again.
  void Stop();

  // Any thread: objects were freed, so there may be something to trim. Costs a relaxed load,
  // mostly.
  void NoteFrees() {
    if (!frees_.load(std::memory_order_relaxed)) frees_.store(true, std::memory_order_relaxed);
  }

 private:
  static constexpr uint64_t kPauseNs = 100'000'000;

  static void* WriterMain(void* self);
  static void* MaintenanceMain(void* self);
  void Maintain();
  // False: the threads are to end.
  bool Sleep();

  StorageStack* stack_ = nullptr;
  std::atomic<bool> frees_{false};
  std::mutex mutex_;
  std::condition_variable ends_;
  bool stopping_ = false;  // under mutex_
  pthread_t writer_{};
  pthread_t maintenance_{};
  int started_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_LIBRARY_SERVICE_THREADS_H_
