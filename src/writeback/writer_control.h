// WriterControl: how other threads make the writer's thread pause, resume and stop.
//
//   another thread                     the writer's thread
//   Pause:  request = kPause  ------>  sees it between two units, drains, calls HoldStill
//           waits         <----------  paused = 1
//   Resume: request = kRun   ------->  paused = 0, continues
//   Stop:   request = kStop  ------->  leaves Run, also out of a pause
//
// Pause and Resume: one thread at a time. Stop: any thread. HoldStill and Rest: the writer's
// thread. No locks, no allocation.
#ifndef UZSWAP_WRITEBACK_WRITER_CONTROL_H_
#define UZSWAP_WRITEBACK_WRITER_CONTROL_H_

#include <atomic>
#include <climits>
#include <cstdint>

#include "cache/pool_gate.h"
#include "os/thread.h"

namespace uzswap {

class WriterControl {
 public:
  enum class Request : uint32_t { kRun, kPause, kStop };

  // The gate wakes a writer that waits for a call.
  void Init(PoolGate& gate) { gate_ = &gate; }

  [[nodiscard]] Request request() const { return request_.load(std::memory_order_acquire); }
  [[nodiscard]] bool interrupted() const { return request() != Request::kRun; }

  // Returns when the writer holds still. Requires: a thread is in Writeback::Run.
  void Pause() {
    // The writer may still be waking up from the last pause.
    while (paused_.load(std::memory_order_acquire) != 0) os::YieldProcessor();
    Send(Request::kPause);
    while (paused_.load(std::memory_order_acquire) == 0) os::FutexWait(&paused_, 0, kRecheckNs);
  }
  void Resume() { Send(Request::kRun); }
  void Stop() { Send(Request::kStop); }

  // Tells Pause that nothing is in flight, and waits until the request is another one.
  void HoldStill() {
    paused_.store(1, std::memory_order_release);
    os::FutexWake(&paused_, INT_MAX);
    while (request() == Request::kPause) {
      os::FutexWait(&request_, static_cast<uint32_t>(Request::kPause), kRecheckNs);
    }
    paused_.store(0, std::memory_order_release);
  }
  // Waits for the given time, or until there is a request.
  void Rest(uint64_t timeout_ns) {
    os::FutexWait(&request_, static_cast<uint32_t>(Request::kRun), timeout_ns);
  }

  void ResetAfterFork() {
    request_.store(Request::kRun, std::memory_order_relaxed);
    paused_.store(0, std::memory_order_relaxed);
  }

 private:
  // Waits are woken; the timeout only bounds what a missed wake-up would cost.
  static constexpr uint64_t kRecheckNs = 1'000'000'000;

  void Send(Request request) {
    request_.store(request, std::memory_order_release);
    os::FutexWake(&request_, INT_MAX);
    gate_->Call();
  }

  PoolGate* gate_ = nullptr;
  std::atomic<Request> request_{Request::kRun};  // set by others (release), read by Run (acquire)
  std::atomic<uint32_t> paused_{0};              // release by the writer, acquire by Pause
};

}  // namespace uzswap

#endif  // UZSWAP_WRITEBACK_WRITER_CONTROL_H_
