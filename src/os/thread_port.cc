#include "os/thread_port.h"

#include "base/check.h"

namespace uzswap::os {

ThreadPort::~ThreadPort() { UZ_CHECK_EQ(in_flight_, 0u); }

void ThreadPort::Init(const BackingFile& file, uint32_t depth) {
  file_ = &file;
  depth_ = depth;
}

bool ThreadPort::Submit(IoRequest& request) {
  if (in_flight_ == depth_) return false;
  ++in_flight_;
  request.error = 0;
  request.next = nullptr;
  if (tail_ == nullptr) {
    head_ = &request;
  } else {
    tail_->next = &request;
  }
  tail_ = &request;
  return true;
}

IoRequest* ThreadPort::Reap(bool wait) {
  if (!wait || head_ == nullptr) return nullptr;
  IoRequest* request = head_;
  head_ = request->next;
  if (head_ == nullptr) tail_ = nullptr;
  --in_flight_;
  request->error = file_->Write(request->offset, {request->data, request->length});
  return request;
}

}  // namespace uzswap::os
