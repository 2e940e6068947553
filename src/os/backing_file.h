// BackingFile: the open file or block device that old pages are written to.
//
//   path                     what is opened
//   a directory              an unlinked file in it (O_TMPFILE, or created and then unlinked)
//   a path without a file    a new file of mode 0600, which is not deleted
//   an empty file            that file
//   a block device           the device, exclusively: fails if it is mounted or otherwise in use
//   a file with content      fails with EEXIST: existing content is never overwritten
//   anything else            fails with EINVAL
//
// A named file has one writer. It is locked (flock) from Open until the last process that has the
// open file closes it, forked children included. A second process gets EBUSY, as with a device. It
// can use an unlinked file in the same directory instead: OpenBeside.
//
//   writer ── Open ──> description A (flock, read and write)
//                          ^ OthersRead(): does another description hold a read lock?
//   reader ── OpenForReading ──> description B ── ShareLock(): read lock on byte 0
//             (another descriptor table)           until the last process closes B
//
// The read lock belongs to the open file description, not to the process. A forked child keeps it
// after its parent has ended. The kernel releases it when the last holder is killed.
//
// O_DIRECT is used if the file system supports it with 4 KiB alignment. Without it the page cache
// keeps a second copy of the pages that were written back, and a cgroup charges that copy to the
// program.
//
// The descriptor is in the descriptor table of the thread that opened it. No heap.
#ifndef UZSWAP_OS_BACKING_FILE_H_
#define UZSWAP_OS_BACKING_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "os/io_port.h"

namespace uzswap::os {

class BackingFile {
 public:
  BackingFile() = default;
  BackingFile(BackingFile&& other) noexcept;
  BackingFile& operator=(BackingFile&& other) noexcept;
  ~BackingFile();

  // `allow_direct` false: O_DIRECT is not used.
  // EBUSY: the device is in use, or another process writes to the named file.
  static Result<BackingFile> Open(const char* path, bool allow_direct = true);
  // Opens an unlinked file in the directory of `path`, which must be absolute. For a process that
  // finds the named file in use or not empty.
  static Result<BackingFile> OpenBeside(const char* path, bool allow_direct = true);
  // Opens an unlinked file in `path` if that is a directory, else beside it. Fails with ENOTSUP for
  // a device.
  static Result<BackingFile> OpenUnlinked(const char* path, bool allow_direct = true);
  // Opens the file again, for reading only, that the thread `fd_owner_task` of this process or of
  // its sibling has open as `fd`. Pass direct() of the original as `allow_direct`, so that both see
  // the same bytes. The caller checks IsSameFile: a /proc of another PID namespace has other
  // threads.
  static Result<BackingFile> OpenForReading(int fd_owner_task, int fd, bool allow_direct = true);
  // Takes ownership of a descriptor of this thread's table, for use after fork. The result is not
  // open if `fd` is not.
  static BackingFile AdoptFd(int fd);

  [[nodiscard]] static bool IsDevice(const char* path);
  // True if Open failed because another process uses the path or has written to it.
  [[nodiscard]] static bool IsTaken(const Error& error);
  // For a thread whose descriptor table is another one: forgets the descriptor without closing it.
  void Forget() { fd_ = -1; }

  // For a reader: takes the read lock. It lasts until every process has closed this open file.
  [[nodiscard]] Result<void> ShareLock();
  // For the writer: true if another open file holds the read lock of ShareLock, or if that cannot
  // be found out.
  [[nodiscard]] bool OthersRead() const;

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] bool is_open() const { return fd_ >= 0; }
  [[nodiscard]] bool direct() const { return direct_; }
  [[nodiscard]] bool IsSameFile(const BackingFile& other) const {
    return device_number_ == other.device_number_ && inode_ == other.inode_;
  }
  [[nodiscard]] bool device() const { return is_device_; }
  // Bytes of a device; UINT64_MAX for a file.
  [[nodiscard]] uint64_t capacity() const { return capacity_; }

  // See IoPort.
  [[nodiscard]] int64_t Read(uint64_t offset, std::span<std::byte> to) const;
  [[nodiscard]] int Write(uint64_t offset, std::span<const std::byte> from) const;  // errno or 0
  void Discard(uint64_t offset, uint64_t length) const;
  [[nodiscard]] uint64_t Occupied() const;

 private:
  static Result<BackingFile> FromEmpty(Result<int> fd, bool allow_direct);
  Result<void> Measure();
  Result<void> RequireEmpty() const;
  void TryDirect();

  int fd_ = -1;
  bool direct_ = false;
  bool is_device_ = false;
  uint64_t capacity_ = UINT64_MAX;
  uint64_t device_number_ = 0;
  uint64_t inode_ = 0;
};

// What a forked child reads: the file of the process that wrote first, then those of descendants
// that write, down to its parent. One that is not open has nothing for the child.
struct InheritedFiles {
  BackingFile file[kFilesReadMax];
};

// How often a call is repeated that failed with EINTR or EAGAIN.
inline constexpr uint32_t kIoAttemptsMax = 16;

}  // namespace uzswap::os

#endif  // UZSWAP_OS_BACKING_FILE_H_
