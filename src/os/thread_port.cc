#include "os/thread_port.h"

namespace uzswap::os {

void ThreadPort::Queue::Push(IoRequest& request) {
  request.next = nullptr;
  if (tail == nullptr) {
    head = &request;
  } else {
    tail->next = &request;
  }
  tail = &request;
}

IoRequest* ThreadPort::Queue::Pop() {
  IoRequest* request = head;
  if (request == nullptr) return nullptr;
  head = request->next;
  if (head == nullptr) tail = nullptr;
  return request;
}

ThreadPort::~ThreadPort() {
  MutexLock lock(mutex_);
  UZ_CHECK_EQ(in_flight_, 0u);
}

void ThreadPort::Init(const BackingFile& file, uint32_t depth) {
  file_ = &file;
  depth_ = depth;
}

void ThreadPort::Write(IoRequest& request) const {
  request.error = file_->Write(request.offset, {request.data, request.length});
}

void ThreadPort::Complete(IoRequest& request) {
  {
    MutexLock lock(mutex_);
    done_.Push(request);
  }
  completed_.fetch_add(1, std::memory_order_release);
  completed_.notify_one();
}

bool ThreadPort::Submit(IoRequest& request) {
  {
    MutexLock lock(mutex_);
    if (in_flight_ == depth_) return false;
    ++in_flight_;
    request.error = 0;
    queued_.Push(request);
  }
  submitted_.fetch_add(1, std::memory_order_release);
  submitted_.notify_one();
  return true;
}

IoRequest* ThreadPort::Reap(bool wait) {
  for (;;) {
    const uint32_t seen = completed_.load(std::memory_order_acquire);
    IoRequest* own = nullptr;
    {
      MutexLock lock(mutex_);
      if (IoRequest* request = done_.Pop()) {
        --in_flight_;
        return request;
      }
      if (!wait || in_flight_ == 0) return nullptr;
      own = queued_.Pop();
    }
    if (own != nullptr) {
      Write(*own);
      MutexLock lock(mutex_);
      --in_flight_;
      return own;
    }
    completed_.wait(seen, std::memory_order_acquire);
  }
}

void ThreadPort::Serve() {
  while (!stopping_.load(std::memory_order_acquire)) {
    const uint32_t seen = submitted_.load(std::memory_order_acquire);
    IoRequest* request = nullptr;
    {
      MutexLock lock(mutex_);
      request = queued_.Pop();
    }
    if (request != nullptr) {
      Write(*request);
      Complete(*request);
    } else if (!stopping_.load(std::memory_order_acquire)) {
      submitted_.wait(seen, std::memory_order_acquire);
    }
  }
}

void ThreadPort::Stop() {
  stopping_.store(true, std::memory_order_release);
  submitted_.fetch_add(1, std::memory_order_release);
  submitted_.notify_all();
}

}  // namespace uzswap::os
