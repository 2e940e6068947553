// IoPort: the interface between a backing store and its file or device.
//
//      one writing thread                               any thread
//   Submit(request) --> [ up to depth() in flight ]     Read(offset, to)   waits for its own
//   Reap(wait) <------- [ completed, in any order  ]                       bytes only
//                                                       ReadMany(reads)    several at once
//
//   UringPort    io_uring with registered buffers                  (os/uring_port.h)
//   ThreadPort   pwrite(2) by the thread that reaps                (os/thread_port.h)
//   FakeIoPort   memory; fails when a test wants it                (os/testing/fake_io_port.h)
//
// Writes are asynchronous because writeback submits many at once. Reads are synchronous because a
// fault waits for each of them, and passing the read to another processor costs more than the call.
//
// A request belongs to the port from a successful Submit until Reap returns it. Its buffer must not
// change meanwhile. Ports complete short writes and repeat calls that fail with EINTR or EAGAIN, at
// most kIoAttemptsMax times. A returned request is either completely written (error == 0) or failed
// with an errno. After a failure the content of its part of the file is undefined.
//
// Submit, Reap, Prepare and Discard: one thread at a time (the store's writer lock).
// Read, ReadMany, name, depth and capacity: any thread at any time. Nothing allocates after Init.
#ifndef UZSWAP_OS_IO_PORT_H_
#define UZSWAP_OS_IO_PORT_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "base/units.h"

namespace uzswap::os {

// Offset, length and buffer address of every request are multiples of this. Direct I/O needs it.
inline constexpr size_t kIoAlignment = 4096;

// How many files a process reads at most: its own, and those that it inherited.
inline constexpr size_t kFilesReadMax = 4;

struct IoRequest {
  static constexpr uint32_t kNoBuffer = UINT32_MAX;

  uint64_t offset = 0;
  std::byte* data = nullptr;
  uint32_t length = 0;
  uint32_t buffer = kNoBuffer;  // the index of the prepared buffer that contains `data`
  int error = 0;                // errno; valid after Reap

  // For the port only, while the request is in flight.
  uint32_t written = 0;
  uint32_t attempts = 0;
  IoRequest* next = nullptr;
};

// One of several reads of a ReadMany.
struct IoRead {
  uint64_t offset = 0;
  std::span<std::byte> to;
  int64_t got = 0;  // the return value of Read
};

class IoPort {
 public:
  IoPort() = default;
  IoPort(const IoPort&) = delete;
  IoPort& operator=(const IoPort&) = delete;

  [[nodiscard]] virtual const char* name() const = 0;
  // The largest number of writes in flight.
  [[nodiscard]] virtual uint32_t depth() const = 0;
  // The size of the device in bytes. UINT64_MAX for a file, which can grow.
  [[nodiscard]] virtual uint64_t capacity() const = 0;

  // Tells the port the buffers that writes will use. Optional. A failure is ignored.
  virtual void Prepare(std::span<std::byte> buffers, size_t buffer_size) = 0;

  // False if depth() requests are in flight.
  [[nodiscard]] virtual bool Submit(IoRequest& request) = 0;
  // A completed request, or nullptr if there is none. With `wait`, nullptr only if no request is in
  // flight.
  [[nodiscard]] virtual IoRequest* Reap(bool wait) = 0;

  // Returns the number of bytes read, which is short only at the end of the file, or a negative
  // errno.
  [[nodiscard]] virtual int64_t Read(uint64_t offset, std::span<std::byte> to) = 0;

  // Does several reads, in parallel if the port can. Returns when all have ended.
  virtual void ReadMany(std::span<IoRead> reads) {
    for (IoRead& read : reads) read.got = Read(read.offset, read.to);
  }

  // Releases the space of a range if the file system can. The range then reads as zero or as
  // before.
  virtual void Discard(uint64_t offset, uint64_t length) = 0;
  // The bytes that the file uses on the disk.
  [[nodiscard]] virtual uint64_t Occupied() = 0;

 protected:
  ~IoPort() = default;  // not virtual: ports are members of their owners
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_IO_PORT_H_
