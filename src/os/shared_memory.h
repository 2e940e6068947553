// SharedMemory: memory that several processes see, zeroed at the start.
//
//   creator    memfd, sized once, sealed against shrinking and growing: a process that maps
//              it can never meet SIGBUS. Keeps the descriptor, so that others find it as
//              /proc/PID/fd/N for as long as it lives.
//   others     OpenPath: map it, close the descriptor again
//   private    no descriptor; shared with children by fork only
//
// Pages are taken from the kernel on first touch (a read takes one too). Any thread may call
// these; the object itself is for one thread.
#ifndef UZSWAP_OS_SHARED_MEMORY_H_
#define UZSWAP_OS_SHARED_MEMORY_H_

#include <cstddef>

#include "base/result.h"
#include "base/units.h"

namespace uzswap::os {

class SharedMemory {
 public:
  SharedMemory() = default;
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  ~SharedMemory();

  static Result<SharedMemory> Create(const char* name, Bytes size);
  static Result<SharedMemory> CreatePrivate(Bytes size);
  // Fails with EPROTO when the file is not a sealed one of exactly `size` (it is not ours, or
  // of another version).
  static Result<SharedMemory> OpenPath(const char* path, Bytes size);

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] size_t size() const { return size_; }
  // The creator's descriptor, -1 otherwise.
  [[nodiscard]] int descriptor() const { return descriptor_; }

 private:
  static Result<SharedMemory> Map(int descriptor, size_t size, int flags);

  std::byte* data_ = nullptr;
  size_t size_ = 0;
  int descriptor_ = -1;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_SHARED_MEMORY_H_
