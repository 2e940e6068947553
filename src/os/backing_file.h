// BackingFile: the open file or block device that cold pages are written to.
//
//   path given           what is opened
//   a directory          an unlinked file in it (O_TMPFILE, or created and unlinked at once)
//   nothing there        a new file of mode 0600, which stays
//   an empty file        that file
//   a block device       the device, exclusively: refused while mounted or otherwise in use
//   anything else        refused with EEXIST: no content is ever overwritten
//
// A named file has one writer: it is locked (flock) from Open until nobody has the open file any
// more, a forked child included. Who comes second gets EBUSY, as with a device, and may have an
// unlinked file in the same folder instead: OpenBeside.
//
//   writer ── Open ──> description A (flock, read and write)
//                          ^ OthersRead(): does anybody else hold a read lock?
//   reader ── OpenForReading ──> description B ── ShareLock(): read lock on byte 0
//             (another descriptor table)           until the last process with B is gone
//
// The read lock is of the open file description, not of the process: a forked child keeps it
// after its parent has ended, and a killed one gives it up without having to say so.
//
// O_DIRECT is used where the file system allows it with 4 KiB alignment: the page cache would
// keep a second copy of what was evicted, and charge it to the very budget we defend.
//
// The descriptor lives in the descriptor table of the thread that opened it. No heap.
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
  // EBUSY: a device in use, or a named file that another process writes to.
  static Result<BackingFile> Open(const char* path, bool allow_direct = true);
  // An unlinked file in the folder of `path`, which must be absolute: for who comes second to a
  // named file, or finds it not empty.
  static Result<BackingFile> OpenBeside(const char* path, bool allow_direct = true);
  // Opens again, for reading only, what the thread `fd_owner_task` of this process has open as
  // `fd`. Give direct() of the original, so that both see the same bytes.
  static Result<BackingFile> OpenForReading(int fd_owner_task, int fd, bool allow_direct = true);
  // Takes over a descriptor of this thread's table, as after fork. Not open when `fd` is not.
  static BackingFile AdoptFd(int fd);

  [[nodiscard]] static bool IsDevice(const char* path);
  // Did Open fail because somebody else has, or has written to, what is at the path?
  [[nodiscard]] static bool IsTaken(const Error& error);
  // The descriptor is in another table: leaves it alone.
  void Forget() { fd_ = -1; }

  // For a reader: tells the writer, until every process has closed this open file.
  [[nodiscard]] Result<void> ShareLock();
  // For the writer: whether anybody else has it open with ShareLock. True when in doubt.
  [[nodiscard]] bool OthersRead() const;

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
  static Result<BackingFile> FromEmpty(Result<int> fd, bool allow_direct);
  Result<void> Measure();
  Result<void> RequireEmpty() const;
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
