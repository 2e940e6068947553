// MemoryFile: memory that is shared with one other process for a while.
//
//      +-------+------------------------------------+-------+
//      | guard | data(), size() bytes               | guard |      address space: from Reserve on
//      +-------+------------------------------------+-------+
//   closed       no access, no memory, no descriptor
//   open         a memfd of this size, zero at first; descriptor() is for the other process, which
//                maps it by SharedMemory::FromDescriptor
//
//           Open                       Close: frees the memory, also if the other process has it
//   closed ──────> open ──────────────────────────────────────────────────────────> closed
//                    └─────────────────────────────── Forget: a forked child ──────────┘
//
// The size is sealed: an access never raises SIGBUS because the other process has made the file
// shorter. Everything else the other process may do at any time, so what is read must be checked,
// and copied before it is checked.
//
// The range is an own range (os/mapping.h) of the purpose kShared: its pages are in the file, so
// the kernel does not count them in RssAnon.
//
// A forked child inherits the mapping of its parent's file. It must call Forget before anything
// else. Only raw system calls, no heap. One thread, always of the same descriptor table.
#ifndef UZSWAP_OS_MEMORY_FILE_H_
#define UZSWAP_OS_MEMORY_FILE_H_

#include <cstddef>

#include "base/result.h"
#include "base/units.h"
#include "os/mapping.h"

namespace uzswap::os {

class MemoryFile {
 public:
  MemoryFile() = default;
  MemoryFile(MemoryFile&& other) noexcept;
  MemoryFile& operator=(MemoryFile&& other) noexcept;
  ~MemoryFile();

  // Reserves address space, closed. `size` is rounded up to pages.
  static Result<MemoryFile> Reserve(Bytes size, const char* what);

  // A new file of zeroes. Fails with the errno of memfd_create, ftruncate or mmap, and is then
  // closed. Requires: closed.
  Result<void> Open(const char* name);
  // Nothing if it is closed.
  void Close();
  // As Close, but leaves alone the file, which is the parent's, and the descriptor, which is of the
  // parent's table.
  void Forget();

  [[nodiscard]] bool is_open() const { return descriptor_ >= 0; }
  // Requires: open.
  [[nodiscard]] std::byte* data() const;
  [[nodiscard]] size_t size() const { return range_.size(); }
  // -1 if it is closed.
  [[nodiscard]] int descriptor() const { return descriptor_; }

 private:
  void MakeInaccessible();

  Mapping range_;
  int descriptor_ = -1;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_MEMORY_FILE_H_
