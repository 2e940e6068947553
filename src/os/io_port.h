// IoPort: the seam between a backing store and the file or device under it.
//
//      one writing thread                               any thread
//   Submit(request) --> [ up to depth() in flight ]     Read(offset, to)   waits for its own
//   Reap(wait) <------- [ completed, in any order  ]                       bytes only; ReadMany
//                                                                          for several at once
//
//   UringPort    io_uring with registered buffers       (os/uring_port.h)
//   ThreadPort   ordinary writes, by the thread that reaps  (os/thread_port.h)
//   FakeIoPort   memory, with faults on order            (os/testing/fake_io_port.h)
//
// Writes are asynchronous because many belong to one decision; reads are not, because a fault
// stands behind each and handing it to another processor costs more than the call itself.
//
// A request belongs to the port from a successful Submit until Reap returns it; its buffer must
// not change meanwhile. Ports finish short writes themselves, and repeat what the kernel asks to
// have repeated, a bounded number of times: a returned request is either wholly written
// (error == 0) or failed with an errno. The part of the file it names is then undefined.
//
// Submit, Reap, Prepare and Discard: one thread at a time (the store's writer lock).
// Read, ReadMany and the constants: any thread, any time. Nothing here allocates after Init.
#ifndef UZSWAP_OS_IO_PORT_H_
#define UZSWAP_OS_IO_PORT_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "base/units.h"

namespace uzswap::os {

// Offsets, lengths and buffers of every request are multiples of this: direct I/O asks for it.
inline constexpr size_t kIoAlignment = 4096;

struct IoRequest {
  static constexpr uint32_t kNoBuffer = UINT32_MAX;

  uint64_t offset = 0;
  std::byte* data = nullptr;
  uint32_t length = 0;
  uint32_t buffer = kNoBuffer;  // which of the prepared buffers `data` lies in
  int error = 0;                // errno, once reaped

  // The port's own, while the request is in flight.
  uint32_t written = 0;
  uint32_t attempts = 0;
  IoRequest* next = nullptr;
};

// One of several reads made at once.
struct IoRead {
  uint64_t offset = 0;
  std::span<std::byte> to;
  int64_t got = 0;  // as Read returns it
};

class IoPort {
 public:
  IoPort() = default;
  IoPort(const IoPort&) = delete;
  IoPort& operator=(const IoPort&) = delete;

  [[nodiscard]] virtual const char* name() const = 0;
  // How many writes may be in flight.
  [[nodiscard]] virtual uint32_t depth() const = 0;
  // The bytes the device has, or UINT64_MAX where a file may grow.
  [[nodiscard]] virtual uint64_t capacity() const = 0;

  // Tells the port which buffers writes will come from; optional, and allowed to fail silently.
  virtual void Prepare(std::span<std::byte> buffers, size_t buffer_size) = 0;

  // False when depth() are in flight already.
  [[nodiscard]] virtual bool Submit(IoRequest& request) = 0;
  // A completed request, or nullptr: with `wait` only if none is in flight.
  [[nodiscard]] virtual IoRequest* Reap(bool wait) = 0;

  // The number of bytes read, short only at the end of the file, or a negative errno.
  [[nodiscard]] virtual int64_t Read(uint64_t offset, std::span<std::byte> to) = 0;

  // The same for many, side by side where the port can; returns when all have ended.
  virtual void ReadMany(std::span<IoRead> reads) {
    for (IoRead& read : reads) read.got = Read(read.offset, read.to);
  }

  // Gives the space of a part back, where that is possible; it reads as zeroes or as before.
  virtual void Discard(uint64_t offset, uint64_t length) = 0;
  // The bytes the file occupies on its medium.
  [[nodiscard]] virtual uint64_t Occupied() = 0;

 protected:
  ~IoPort() = default;  // ports are members of their owners
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_IO_PORT_H_
