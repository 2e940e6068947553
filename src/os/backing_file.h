// BackingFile: the open file or block device that cold pages are written to.
//
//   path given           what is opened
//   a directory          an unlinked file in it (O_TMPFILE, or created and unlinked at once)
//   nothing there        a new file of mode 0600, which stays
//   an empty file        that file
//   a block device       the device, exclusively: refused while mounted or otherwise in use
//   anything else        refused with EEXIST: no content is ever overwritten
//
// O_DIRECT is used where the file system allows it with 4 KiB alignment: the page cache would
// keep a second copy of what was evicted, and charge it to the very budget we defend.
//
// The descriptor lives in the descriptor table of the thread that opened it.
#ifndef UZSWAP_OS_BACKING_FILE_H_
#define UZSWAP_OS_BACKING_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace uzswap::os {

class BackingFile {
 public:
  BackingFile() = default;
  BackingFile(BackingFile&& other) noexcept;
  BackingFile& operator=(BackingFile&& other) noexcept;
  ~BackingFile();

  // `allow_direct` false leaves O_DIRECT away.
  static Result<BackingFile> Open(const char* path, bool allow_direct = true);

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] bool is_open() const { return fd_ >= 0; }
  [[nodiscard]] bool direct() const { return direct_; }
  // Bytes of a device; UINT64_MAX for a file.
  [[nodiscard]] uint64_t capacity() const { return capacity_; }

  // As IoPort has them.
  [[nodiscard]] int64_t Read(uint64_t offset, std::span<std::byte> to) const;
  [[nodiscard]] int Write(uint64_t offset, std::span<const std::byte> from) const;  // errno or 0
  void Discard(uint64_t offset, uint64_t length) const;
  [[nodiscard]] uint64_t Occupied() const;

 private:
  static Result<BackingFile> OpenNode(const char* path, int flags);
  Result<void> Measure();
  void TryDirect();

  int fd_ = -1;
  bool direct_ = false;
  bool is_device_ = false;
  uint64_t capacity_ = UINT64_MAX;
};

// How often a call that the kernel asks to have repeated is repeated.
inline constexpr uint32_t kIoAttemptsMax = 16;

}  // namespace uzswap::os

#endif  // UZSWAP_OS_BACKING_FILE_H_
