#include "os/testing/fake_io_port.h"

#include <time.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "base/testing/slowness.h"
#include "os/thread.h"

namespace uzswap::os {
namespace {

// Far beyond what a loaded machine needs.
const uint64_t kDeadlineNs = Slower(UINT64_C(100) * 1'000'000'000);

void SleepUntil(uint64_t due_ns) {
  const timespec due = {static_cast<time_t>(due_ns / 1'000'000'000u),
                        static_cast<long>(due_ns % 1'000'000'000u)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, nullptr) == EINTR) {
  }
}

}  // namespace

FakeIoPort::~FakeIoPort() {
  MutexLock lock(mutex_);
  UZ_CHECK_EQ(queued_, 0u);
}

Result<void> FakeIoPort::Init(uint64_t capacity, uint32_t depth) {
  UZ_CHECK_LE(depth, kDepthMax);
  Result<Mapping> memory = Mapping::Create(Bytes(capacity), "fake device");
  if (!memory.ok()) return memory.error();
  memory_ = std::move(memory).value();
  depth_ = depth;
  return {};
}

void FakeIoPort::Plan(IoFault fault, uint64_t call, int error, bool sticky) {
  MutexLock lock(mutex_);
  fault_ = fault;
  fault_call_ = call;
  fault_error_ = error;
  fault_sticky_ = sticky || fault == IoFault::kVanished;
}

void FakeIoPort::Heal() { Plan(IoFault::kNone, 0, 0, false); }

uint64_t FakeIoPort::calls() {
  MutexLock lock(mutex_);
  return calls_;
}

void FakeIoPort::Hold() { allowed_.store(0, std::memory_order_release); }

void FakeIoPort::Release(uint32_t count) {
  if (count == UINT32_MAX) {
    allowed_.store(UINT32_MAX, std::memory_order_release);
  } else {
    allowed_.fetch_add(count, std::memory_order_release);
  }
  FutexWake(&allowed_, INT_MAX);
}

IoFault FakeIoPort::Strike() {
  ++calls_;
  if (fault_ == IoFault::kNone) return IoFault::kNone;
  const bool struck = fault_sticky_ ? calls_ >= fault_call_ : calls_ == fault_call_;
  return struck ? fault_ : IoFault::kNone;
}

void FakeIoPort::Write(IoRequest& request, IoFault fault) {
  size_t length = request.length;
  if (request.offset + length > memory_.size()) request.error = ENOSPC;
  if (fault == IoFault::kError || fault == IoFault::kShortWrite) request.error = fault_error_;
  if (fault == IoFault::kVanished) request.error = ENODEV;
  if (fault == IoFault::kShortWrite) length /= 2;
  if (request.error != 0 && fault != IoFault::kShortWrite) return;
  if (fault == IoFault::kTorn) return;
  memcpy(memory_.data() + request.offset, request.data, length);
  if (fault == IoFault::kFlippedBit) memory_.data()[request.offset + length / 3] ^= std::byte{4};
  bytes_written_ += length;
  ++writes_;
}

bool FakeIoPort::Submit(IoRequest& request) {
  MutexLock lock(mutex_);
  if (queued_ == depth_) return false;
  request.error = 0;
  Write(request, Strike());
  due_ns_[queued_] = latency_ns_ == 0 ? 0 : MonotonicNanoseconds() + latency_ns_;
  queue_[queued_++] = &request;
  deepest_ = std::max(deepest_.load(), queued_);
  return true;
}

void FakeIoPort::AwaitRelease(uint64_t deadline_ns) {
  const uint64_t now = MonotonicNanoseconds();
  if (now >= deadline_ns) {
    Panic(__FILE__, __LINE__, "a thread waits in vain for the release of a held write");
  }
  FutexWait(&allowed_, 0, deadline_ns - now);
}

IoRequest* FakeIoPort::Reap(bool wait) {
  if (writes_in_reap_ && !wait) return nullptr;
  const uint64_t deadline_ns = MonotonicNanoseconds() + kDeadlineNs;
  for (;;) {
    uint64_t due_ns = 0;
    {
      MutexLock lock(mutex_);
      if (queued_ == 0) return nullptr;
      const uint32_t next = newest_first_ ? queued_ - 1 : 0;
      due_ns = due_ns_[next];
      const bool due = due_ns == 0 || MonotonicNanoseconds() >= due_ns;
      const uint32_t allowed = allowed_.load(std::memory_order_acquire);
      if (due && allowed > 0) {
        if (allowed != UINT32_MAX) allowed_.fetch_sub(1, std::memory_order_relaxed);
        IoRequest* request = queue_[next];
        std::copy(queue_ + next + 1, queue_ + queued_, queue_ + next);
        std::copy(due_ns_ + next + 1, due_ns_ + queued_, due_ns_ + next);
        --queued_;
        return request;
      }
    }
    if (!wait) return nullptr;
    if (due_ns != 0) SleepUntil(due_ns);
    AwaitRelease(deadline_ns);
  }
}

int64_t FakeIoPort::Read(uint64_t offset, std::span<std::byte> to) {
  MutexLock lock(mutex_);
  const IoFault fault = Strike();
  if (fault == IoFault::kError) return -fault_error_;
  if (fault == IoFault::kVanished) return -ENODEV;
  if (offset >= memory_.size()) return 0;
  size_t length = std::min<size_t>(to.size(), memory_.size() - offset);
  if (fault == IoFault::kTruncated) length = 0;
  memcpy(to.data(), memory_.data() + offset, length);
  if (fault == IoFault::kFlippedBit && length > 0) to[length / 3] ^= std::byte{4};
  return static_cast<int64_t>(length);
}

void FakeIoPort::Discard(uint64_t offset, uint64_t length) {
  MutexLock lock(mutex_);
  if (fault_ != IoFault::kVanished) memory_.Discard(offset, length);
}

uint64_t FakeIoPort::Occupied() { return memory_.size(); }

}  // namespace uzswap::os
