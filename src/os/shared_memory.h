// SharedMemory: memory that several processes map. It is zero at the start.
//
//   creator    a memfd with a fixed size, sealed against shrinking and growing, so that no access
//              raises SIGBUS. The creator keeps the descriptor, so that other processes can open
//              /proc/PID/fd/N while the creator runs.
//   others     OpenPath: maps it and closes the descriptor
//   private    no descriptor; shared with children by fork only
//
// The kernel allocates a page at its first touch, also by a read. Any thread may call the static
// functions. An object belongs to one thread.
#ifndef UZSWAP_OS_SHARED_MEMORY_H_
#define UZSWAP_OS_SHARED_MEMORY_H_

#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "base/units.h"

namespace uzswap::os {

enum class OtherUsers : uint8_t { kNone, kSome, kUnknown };

class SharedMemory {
 public:
  SharedMemory() = default;
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  ~SharedMemory();

  static Result<SharedMemory> Create(const char* name, Bytes size);
  // The file of Create: a memfd of this size, zero and sealed. The descriptor is the caller's.
  static Result<int> CreateFile(const char* name, Bytes size);
  static Result<SharedMemory> CreatePrivate(Bytes size);
  // Fails with EPROTO if the file is not sealed or has another size: it is not uzswap's, or of
  // another version.
  static Result<SharedMemory> OpenPath(const char* path, Bytes size);
  // The same for an open descriptor, which it closes.
  static Result<SharedMemory> FromDescriptor(int descriptor, Bytes size);

  // Whether FromDescriptor would take it: a sealed memfd of this size.
  static bool IsSealedFile(int descriptor, Bytes size);

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] size_t size() const { return size_; }
  // The descriptor of the creator. -1 in other processes.
  [[nodiscard]] int descriptor() const { return descriptor_; }
  // For the creator, and processes that it forked: does a process that used OpenPath, or a child
  // that it forked, still map the memory? kUnknown: not the creator's, or the kernel does not tell.
  [[nodiscard]] OtherUsers FindOtherUsers() const;

 private:
  static Result<SharedMemory> Map(int descriptor, size_t size, int flags);

  std::byte* data_ = nullptr;
  size_t size_ = 0;
  int descriptor_ = -1;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_SHARED_MEMORY_H_
