#include "system/churn/transfer.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "system/churn/history.h"

namespace uzswap::churn {
namespace {

using Call = ssize_t (*)(int, std::byte*, size_t);

// Repeats a transfer until all bytes are transferred: signals and short counts are normal.
void TransferAll(const char* what, Call call, int descriptor, std::byte* data, size_t size) {
  while (size > 0) {
    const ssize_t done = call(descriptor, data, size);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) FailCall(what);
    data += done;
    size -= static_cast<size_t>(done);
  }
}

ssize_t Write(int descriptor, std::byte* data, size_t size) {
  return write(descriptor, data, size);
}
ssize_t Read(int descriptor, std::byte* data, size_t size) { return read(descriptor, data, size); }

}  // namespace

Transfer::Transfer(const char* folder, Rng& rng) : rng_(rng) {
  if (pipe2(pipe_, O_CLOEXEC) != 0) FailCall("pipe");
  std::string name = std::string(folder) + "/churn-XXXXXX";
  file_ = mkostemp(name.data(), O_CLOEXEC);
  if (file_ < 0) FailCall("mkostemp");
  direct_ = open(name.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
  unlink(name.c_str());
  has_ring_ = io_uring_queue_init(8, &ring_, 0) == 0;
}

Transfer::~Transfer() {
  if (has_ring_) io_uring_queue_exit(&ring_);
  for (const int descriptor : {pipe_[0], pipe_[1], file_, direct_}) {
    if (descriptor >= 0) close(descriptor);
  }
}

void Transfer::PipeRoundTrip(Region& region, Range range) {
  Note("pipe out", region.id(), range.first, range.count, 0);
  TransferAll("write to a pipe", Write, pipe_[1], region.At(range.first), range.count * kPageBytes);
  // Read into the same pages, which have other content by then.
  region.Write(range);
  const uint32_t version = region.NextVersion();
  PageImage image;
  for (uint32_t i = 0; i < range.count; ++i) {
    TransferAll("read from a pipe", Read, pipe_[0], image.bytes(), kPageBytes);
  }
  Note("pipe in", region.id(), range.first, range.count, version);
  for (uint32_t i = 0; i < range.count; ++i) {
    FillImage({region.id(), range.first + i, version}, image);
    TransferAll("write to a pipe", Write, pipe_[1], image.bytes(), kPageBytes);
  }
  TransferAll("read from a pipe", Read, pipe_[0], region.At(range.first), range.count * kPageBytes);
  region.Expect(range, version);
  region.Verify(range, "reading what a pipe brought");
}

void Transfer::SplicedPipe(Region& region, Range range, const Work& meanwhile) {
  region.Write(range);
  Note("vmsplice", region.id(), range.first, range.count, 0);
  iovec part{region.At(range.first), range.count * kPageBytes};
  const ssize_t spliced = vmsplice(pipe_[1], &part, 1, SPLICE_F_NONBLOCK);
  if (spliced < 0 && errno == EAGAIN) return;
  if (spliced < 0) FailCall("vmsplice");
  meanwhile();
  PageImage expected;
  PageImage found;
  for (uint32_t i = 0; i < static_cast<uint32_t>(spliced) / kPageBytes; ++i) {
    TransferAll("read from a pipe", Read, pipe_[0], found.bytes(), kPageBytes);
    std::memcpy(expected.words, region.At(range.first + i), kPageBytes);
    if (std::memcmp(expected.words, found.words, kPageBytes) == 0) continue;
    FailPage("reading a spliced page", region.id(), range.first + i, region.At(range.first + i),
             expected, found);
  }
  region.Verify(range, "reading what was spliced");
}

uint32_t Transfer::PrepareFile(Region& region, Range range) {
  const uint32_t version = region.NextVersion();
  PageImage image;
  for (uint32_t i = 0; i < range.count; ++i) {
    FillImage({region.id(), range.first + i, version}, image);
    if (pwrite(file_, image.bytes(), kPageBytes, static_cast<off_t>(i * kPageBytes)) !=
        static_cast<ssize_t>(kPageBytes)) {
      FailCall("pwrite");
    }
  }
  return version;
}

void Transfer::FileRoundTrip(Region& region, Range range) {
  Note("file out", region.id(), range.first, range.count, 0);
  const size_t bytes = range.count * kPageBytes;
  if (pwrite(file_, region.At(range.first), bytes, 0) != static_cast<ssize_t>(bytes)) {
    FailCall("pwrite of program memory");
  }
  region.DontNeed(range);
  const uint32_t version = PrepareFile(region, range);
  Note("file in", region.id(), range.first, range.count, version);
  // In two parts whose border is inside a page.
  const size_t border = 1 + rng_.Below(bytes - 1);
  iovec parts[2] = {{region.At(range.first), border},
                    {region.At(range.first) + border, bytes - border}};
  if (preadv(file_, parts, 2, 0) != static_cast<ssize_t>(bytes)) FailCall("preadv");
  region.Expect(range, version);
  region.Verify(range, "reading what a file brought");
}

void Transfer::DirectRead(Region& region, Range range) {
  const uint32_t version = PrepareFile(region, range);
  if (fdatasync(file_) != 0) FailCall("fdatasync");
  Note("direct read", region.id(), range.first, range.count, version);
  const size_t bytes = range.count * kPageBytes;
  const ssize_t done = pread(direct_, region.At(range.first), bytes, 0);
  if (done != static_cast<ssize_t>(bytes)) FailCall("pread with O_DIRECT");
  region.Expect(range, version);
  region.Verify(range, "reading what O_DIRECT brought");
}

void Transfer::SubmitAndWait(Range range, const Work& meanwhile) {
  if (io_uring_submit(&ring_) != 1) FailCall("io_uring_submit");
  meanwhile();
  io_uring_cqe* completion = nullptr;
  int status = -EINTR;
  while (status == -EINTR) status = io_uring_wait_cqe(&ring_, &completion);
  if (status != 0) Fail("io_uring_wait_cqe: %s", strerrordesc_np(-status));
  const auto bytes = static_cast<int>(range.count * kPageBytes);
  if (completion->res != bytes) {
    Fail("io_uring read: %d of %d bytes", completion->res, bytes);
  }
  io_uring_cqe_seen(&ring_, completion);
}

void Transfer::RingRead(Region& region, Range range, const Work& meanwhile) {
  const uint32_t version = PrepareFile(region, range);
  Note("ring read", region.id(), range.first, range.count, version);
  const int descriptor = has_direct() && rng_.OneIn(2) ? direct_ : file_;
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  io_uring_prep_read(entry, descriptor, region.At(range.first),
                     static_cast<unsigned>(range.count * kPageBytes), 0);
  SubmitAndWait(range, meanwhile);
  region.Expect(range, version);
  region.Verify(range, "reading what io_uring brought");
}

void Transfer::RegisteredRead(Region& region, Range range, const Work& meanwhile) {
  iovec buffer{region.At(range.first), range.count * kPageBytes};
  Note("register", region.id(), range.first, range.count, 0);
  if (io_uring_register_buffers(&ring_, &buffer, 1) != 0) return;  // a limit on locked memory
  meanwhile();  // the pages are pinned now: if a pager moves them, the next read is lost
  region.Verify(range, "reading registered pages");
  const uint32_t version = PrepareFile(region, range);
  Note("registered read", region.id(), range.first, range.count, version);
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  io_uring_prep_read_fixed(entry, file_, region.At(range.first),
                           static_cast<unsigned>(range.count * kPageBytes), 0, 0);
  SubmitAndWait(range, meanwhile);
  region.Expect(range, version);
  region.Verify(range, "reading what came through a registered buffer");
  if (io_uring_unregister_buffers(&ring_) != 0) FailCall("io_uring_unregister_buffers");
}

void Transfer::ReadOwnProcess(Region& region, Range range) {
  Note("process_vm_readv", region.id(), range.first, range.count, 0);
  PageImage found;
  PageImage expected;
  for (uint32_t page = range.first; page < range.first + range.count; ++page) {
    iovec local{found.words, kPageBytes};
    iovec remote{region.At(page), kPageBytes};
    const ssize_t done = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
    if (done < 0 && (errno == EPERM || errno == ENOSYS)) return;
    if (done != static_cast<ssize_t>(kPageBytes)) FailCall("process_vm_readv");
    std::memcpy(expected.words, region.At(page), kPageBytes);
    if (std::memcmp(expected.words, found.words, kPageBytes) == 0) continue;
    FailPage("process_vm_readv", region.id(), page, region.At(page), expected, found);
  }
  region.Verify(range, "reading after process_vm_readv");
}

void Transfer::FutexPeek(Region& region, Range range) {
  for (uint32_t page = range.first; page < range.first + range.count; ++page) {
    auto* word = reinterpret_cast<uint32_t*>(region.At(page) + 64);
    const auto other = static_cast<uint32_t>(region.ExpectedWord(page, 8)) ^ 1u;
    Note("futex", region.id(), page, 1, 0);
    // The kernel reads the word itself, finds it different and returns at once.
    if (syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, other, nullptr, nullptr, 0) != -1 ||
        errno != EAGAIN) {
      FailCall("futex wait on program memory");
    }
  }
}

}  // namespace uzswap::churn
