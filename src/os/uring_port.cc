#include "os/uring_port.h"

#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

namespace uzswap::os {
namespace {

constexpr size_t kBuffersMax = 256;

bool Repeatable(int error) { return error == EINTR || error == EAGAIN; }

}  // namespace

UringPort::~UringPort() {
  UZ_CHECK_EQ(in_flight_, 0u);
  Close();
}

Result<void> UringPort::Init(const BackingFile& file, uint32_t depth) {
  UZ_CHECK_EQ(depth_, 0u);
  const Result<void> opened = ring_.Open(depth);
  if (!opened.ok()) return opened;
  file_ = &file;
  depth_ = depth;
  MutexLock lock(read_mutex_);
  // If this fails, ReadMany reads one by one.
  has_read_ring_ = read_ring_.Open(kReadDepth).ok();
  return {};
}

void UringPort::Close() {
  ring_.Close();
  MutexLock lock(read_mutex_);
  read_ring_.Close();
  has_read_ring_ = false;
  depth_ = 0;
  in_flight_ = 0;
  registered_ = false;
}

void UringPort::Forget() {
  if (depth_ == 0) return;
  ring_.Forget();
  read_mutex_.ResetAfterFork();
  MutexLock lock(read_mutex_);
  read_ring_.Forget();
  has_read_ring_ = false;
  depth_ = 0;
  in_flight_ = 0;
  registered_ = false;
}

void UringPort::Prepare(std::span<std::byte> buffers, size_t buffer_size) {
  iovec vectors[kBuffersMax];
  const size_t count = buffers.size() / buffer_size;
  if (count > kBuffersMax) return;
  for (size_t i = 0; i < count; ++i) {
    vectors[i] = {buffers.data() + i * buffer_size, buffer_size};
  }
  registered_ = io_uring_register_buffers(ring_.get(), vectors, static_cast<unsigned>(count)) == 0;
}

bool UringPort::Submit(IoRequest& request) {
  if (in_flight_ == depth_) return false;
  request.error = 0;
  request.written = 0;
  request.attempts = 0;
  ++in_flight_;
  Enter(request);
  return true;
}

void UringPort::Enter(IoRequest& request) {
  io_uring_sqe* entry = io_uring_get_sqe(ring_.get());
  UZ_CHECK(entry != nullptr);  // the ring has depth_ entries and every Enter submits
  std::byte* const data = request.data + request.written;
  const uint32_t length = request.length - request.written;
  const uint64_t offset = request.offset + request.written;
  if (registered_ && request.buffer != IoRequest::kNoBuffer) {
    io_uring_prep_write_fixed(entry, file_->fd(), data, length, offset,
                              static_cast<int>(request.buffer));
  } else {
    io_uring_prep_write(entry, file_->fd(), data, length, offset);
  }
  io_uring_sqe_set_data(entry, &request);
  int result = io_uring_submit(ring_.get());
  for (uint32_t i = 0; i < kIoAttemptsMax && result < 0 && Repeatable(-result); ++i) {
    result = io_uring_submit(ring_.get());
  }
  // An entry that stays in the submission ring would be submitted by the next call, after its owner
  // was told that it failed. So the kernel must take every entry.
  UZ_CHECK(result >= 0);
}

bool UringPort::Finish(IoRequest& request, int result) {
  if (result > 0) {
    request.written += static_cast<uint32_t>(result);
    if (request.written >= request.length) return true;
  } else if (result < 0 && !Repeatable(-result)) {
    request.error = -result;
    return true;
  }
  if (++request.attempts == kIoAttemptsMax) {
    request.error = result == 0 ? ENOSPC : EIO;
    return true;
  }
  Enter(request);
  return false;
}

IoRequest* UringPort::Reap(bool wait) {
  while (in_flight_ > 0) {
    io_uring_cqe* entry = nullptr;
    const int result =
        wait ? io_uring_wait_cqe(ring_.get(), &entry) : io_uring_peek_cqe(ring_.get(), &entry);
    if (result == -EINTR) continue;
    if (result == -EAGAIN) return nullptr;
    UZ_CHECK_EQ(result, 0);
    auto* request = static_cast<IoRequest*>(io_uring_cqe_get_data(entry));
    const int written = entry->res;
    io_uring_cqe_seen(ring_.get(), entry);
    if (!Finish(*request, written)) continue;
    --in_flight_;
    return request;
  }
  return nullptr;
}

void UringPort::ReadMany(std::span<IoRead> reads) {
  if (reads.size() > 1 && has_read_ring_ && read_mutex_.TryLock()) {
    while (!reads.empty()) {
      const size_t count = SubmitReads(reads.first(std::min<size_t>(reads.size(), kReadDepth)));
      if (count == 0) break;
      ReapReads(count);
      // pread completes a short read, or fails.
      for (IoRead& read : reads.first(count)) {
        if (read.got != static_cast<int64_t>(read.to.size())) read.got = Read(read.offset, read.to);
      }
      reads = reads.subspan(count);
    }
    read_mutex_.Unlock();
  }
  for (IoRead& read : reads) read.got = Read(read.offset, read.to);
}

// Returns how many reads the kernel took.
size_t UringPort::SubmitReads(std::span<IoRead> reads) {
  for (IoRead& read : reads) {
    io_uring_sqe* entry = io_uring_get_sqe(read_ring_.get());
    UZ_CHECK(entry != nullptr);  // the kernel took all earlier entries
    io_uring_prep_read(entry, file_->fd(), read.to.data(), static_cast<unsigned>(read.to.size()),
                       read.offset);
    io_uring_sqe_set_data(entry, &read);
    read.got = 0;
  }
  size_t taken = 0;
  for (uint32_t attempt = 0; taken < reads.size();) {
    const int result = io_uring_submit(read_ring_.get());
    if (result > 0) {
      taken += static_cast<size_t>(result);
    } else {
      // An entry that stays in the ring would be submitted by the next call, with an invalid
      // buffer.
      UZ_CHECK((result == 0 || Repeatable(-result)) && ++attempt < kIoAttemptsMax);
    }
  }
  return taken;
}

void UringPort::ReapReads(size_t count) {
  while (count > 0) {
    io_uring_cqe* entry = nullptr;
    const int result = io_uring_wait_cqe(read_ring_.get(), &entry);
    if (result == -EINTR) continue;
    UZ_CHECK_EQ(result, 0);
    static_cast<IoRead*>(io_uring_cqe_get_data(entry))->got = entry->res;
    io_uring_cqe_seen(read_ring_.get(), entry);
    --count;
  }
}

}  // namespace uzswap::os
