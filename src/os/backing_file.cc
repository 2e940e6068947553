#include "os/backing_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "os/io_port.h"
#include "os/text_line.h"

namespace uzswap::os {
namespace {

constexpr int kFlags = O_RDWR | O_CLOEXEC | O_NOFOLLOW;
constexpr mode_t kMode = 0600;
constexpr size_t kPathMax = 4096;
constexpr const char* kTemplate = "/.uzswap-XXXXXX";

bool Repeatable(int error) { return error == EINTR || error == EAGAIN; }

// For file systems without O_TMPFILE.
Result<int> CreateUnlinked(const char* directory) {
  char path[kPathMax];
  const size_t length = strlen(directory);
  if (length + strlen(kTemplate) + 1 > sizeof(path)) {
    return Error{ENAMETOOLONG, "the backing directory"};
  }
  memcpy(path, directory, length);
  memcpy(path + length, kTemplate, strlen(kTemplate) + 1);
  const int fd = mkostemp(path, O_CLOEXEC);
  if (fd < 0) return Error{errno, "creating a file in the backing directory"};
  if (unlink(path) != 0) {
    const int error = errno;
    close(fd);
    return Error{error, "unlinking the backing file"};
  }
  return fd;
}

Result<int> OpenInDirectory(const char* directory) {
  const int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, kMode);
  if (fd >= 0) return fd;
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) {
    return Error{errno, "creating an unlinked file in the backing directory"};
  }
  return CreateUnlinked(directory);
}

// The lock belongs to the open file, so it lasts until the last process that inherited it has
// ended.
Result<int> LockForWriting(int fd) {
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  const int error = errno;
  close(fd);
  if (error == EWOULDBLOCK) return Error{EBUSY, "the backing file is used by another process"};
  return Error{error, "locking the backing file"};
}

Result<int> OpenPath(const char* path) {
  struct stat status = {};
  if (stat(path, &status) != 0) {
    if (errno != ENOENT) return Error{errno, "looking at the backing path"};
    const int fd = open(path, kFlags | O_CREAT | O_EXCL, kMode);
    if (fd < 0) return Error{errno, "creating the backing file"};
    return LockForWriting(fd);
  }
  if (S_ISDIR(status.st_mode)) return OpenInDirectory(path);
  if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) {
    return Error{EINVAL, "the backing path is neither a directory, a file nor a block device"};
  }
  // O_EXCL without O_CREAT on a block device: fail if the system uses it.
  const int fd = open(path, kFlags | (S_ISBLK(status.st_mode) ? O_EXCL : 0));
  if (fd < 0) return Error{errno, "opening the backing file"};
  return S_ISREG(status.st_mode) ? LockForWriting(fd) : Result<int>(fd);
}

// A lock on the first byte. No other code locks a byte range of this file.
struct flock ReadersByte(short type) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_len = 1;
  return lock;
}

}  // namespace

BackingFile::BackingFile(BackingFile&& other) noexcept { *this = std::move(other); }

BackingFile& BackingFile::operator=(BackingFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(direct_, other.direct_);
  std::swap(is_device_, other.is_device_);
  std::swap(capacity_, other.capacity_);
  std::swap(device_number_, other.device_number_);
  std::swap(inode_, other.inode_);
  return *this;
}

BackingFile::~BackingFile() {
  if (fd_ >= 0) syscall(SYS_close, fd_);
}

Result<BackingFile> BackingFile::FromEmpty(Result<int> fd, bool allow_direct) {
  if (!fd.ok()) return fd.error();
  BackingFile file;
  file.fd_ = fd.value();
  if (Result<void> measured = file.Measure(); !measured.ok()) return measured.error();
  if (Result<void> empty = file.RequireEmpty(); !empty.ok()) return empty.error();
  if (allow_direct) file.TryDirect();
  return file;
}

Result<BackingFile> BackingFile::Open(const char* path, bool allow_direct) {
  return FromEmpty(OpenPath(path), allow_direct);
}

Result<BackingFile> BackingFile::OpenBeside(const char* path, bool allow_direct) {
  const std::string_view whole(path);
  const size_t slash = whole.rfind('/');
  if (slash == std::string_view::npos) return Error{EINVAL, "the backing path is not absolute"};
  if (slash >= kPathMax) return Error{ENAMETOOLONG, "the backing directory"};
  TextLine<kPathMax> folder;
  folder.Text(slash == 0 ? "/" : whole.substr(0, slash));
  return FromEmpty(OpenInDirectory(folder.c_str()), allow_direct);
}

Result<BackingFile> BackingFile::OpenUnlinked(const char* path, bool allow_direct) {
  struct stat status;
  const bool found = stat(path, &status) == 0;
  if (found && S_ISDIR(status.st_mode)) return Open(path, allow_direct);
  if (found && S_ISBLK(status.st_mode)) return Error{ENOTSUP, "a file of its own on a device"};
  return OpenBeside(path, allow_direct);
}

bool BackingFile::IsDevice(const char* path) {
  struct stat status = {};
  return stat(path, &status) == 0 && S_ISBLK(status.st_mode);
}

bool BackingFile::IsTaken(const Error& error) {
  return error.errno_value == EBUSY || error.errno_value == EEXIST;
}

Result<BackingFile> BackingFile::OpenForReading(int fd_owner_task, int fd, bool allow_direct) {
  TextLine<64> path;
  // A thread has a folder in /proc that the list of processes does not show.
  path.Text("/proc/").Decimal(static_cast<uint64_t>(fd_owner_task));
  path.Text("/fd/").Decimal(static_cast<uint64_t>(fd));
  BackingFile file;
  // Not open() of the C library, which is a cancellation point: this runs in the program's thread
  // during fork, where the thread must not be cancelled.
  file.fd_ = static_cast<int>(syscall(SYS_openat, AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC, 0));
  if (file.fd_ < 0) return Error{errno, "opening the backing file again"};
  if (Result<void> measured = file.Measure(); !measured.ok()) return measured.error();
  if (allow_direct) file.TryDirect();
  return file;
}

BackingFile BackingFile::AdoptFd(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return {};
  BackingFile file;
  file.fd_ = fd;
  file.direct_ = (flags & O_DIRECT) != 0;
  // Measure succeeded when the file was opened. If it fails here, the file has no size limit.
  static_cast<void>(file.Measure());
  return file;
}

Result<void> BackingFile::ShareLock() {
  struct flock lock = ReadersByte(F_RDLCK);
  if (fcntl(fd_, F_OFD_SETLK, &lock) != 0) return Error{errno, "a read lock on the backing file"};
  return {};
}

bool BackingFile::OthersRead() const {
  struct flock lock = ReadersByte(F_WRLCK);
  return fcntl(fd_, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

Result<void> BackingFile::Measure() {
  struct stat status = {};
  if (fstat(fd_, &status) != 0) return Error{errno, "fstat of the backing file"};
  device_number_ = status.st_dev;
  inode_ = status.st_ino;
  is_device_ = S_ISBLK(status.st_mode);
  if (!is_device_) return {};
  uint64_t bytes = 0;
  if (ioctl(fd_, BLKGETSIZE64, &bytes) != 0) return Error{errno, "size of the backing device"};
  capacity_ = bytes;
  return {};
}

// Checks the open and locked file: between stat and open another process may have replaced it.
Result<void> BackingFile::RequireEmpty() const {
  struct stat status = {};
  if (fstat(fd_, &status) != 0) return Error{errno, "fstat of the backing file"};
  if (S_ISBLK(status.st_mode)) return {};
  if (!S_ISREG(status.st_mode) || status.st_size != 0) {
    return Error{EEXIST, "the backing file exists and is not empty"};
  }
  return {};
}

void BackingFile::TryDirect() {
  struct statx status = {};
  if (statx(fd_, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) != 0) return;
  if ((status.stx_mask & STATX_DIOALIGN) == 0) return;
  const bool fits = status.stx_dio_mem_align != 0 && status.stx_dio_mem_align <= kIoAlignment &&
                    status.stx_dio_offset_align != 0 && status.stx_dio_offset_align <= kIoAlignment;
  const int flags = fcntl(fd_, F_GETFL);
  if (!fits || flags < 0) return;
  direct_ = fcntl(fd_, F_SETFL, flags | O_DIRECT) == 0;
}

int64_t BackingFile::Read(uint64_t offset, std::span<std::byte> to) const {
  size_t got = 0;
  for (uint32_t attempt = 0; attempt < kIoAttemptsMax && got < to.size();) {
    const ssize_t bytes =
        pread(fd_, to.data() + got, to.size() - got, static_cast<off_t>(offset + got));
    if (bytes == 0) break;
    if (bytes > 0) {
      got += static_cast<size_t>(bytes);
    } else if (!Repeatable(errno)) {
      return -errno;
    } else {
      ++attempt;
    }
    // A direct read whose length is not aligned has reached the end of the file.
    if (got % kIoAlignment != 0) break;
  }
  return static_cast<int64_t>(got);
}

int BackingFile::Write(uint64_t offset, std::span<const std::byte> from) const {
  size_t put = 0;
  for (uint32_t attempt = 0; put < from.size();) {
    const ssize_t bytes =
        pwrite(fd_, from.data() + put, from.size() - put, static_cast<off_t>(offset + put));
    if (bytes > 0) {
      put += static_cast<size_t>(bytes);
      continue;
    }
    if (bytes < 0 && !Repeatable(errno)) return errno;
    if (++attempt == kIoAttemptsMax) return bytes == 0 ? ENOSPC : EIO;
  }
  return 0;
}

void BackingFile::Discard(uint64_t offset, uint64_t length) const {
  // A hint: if the file system cannot make holes, the space is used again later.
  if (is_device_) {
    uint64_t range[2] = {offset, length};
    static_cast<void>(ioctl(fd_, BLKDISCARD, range));
  } else {
    static_cast<void>(fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                static_cast<off_t>(offset), static_cast<off_t>(length)));
  }
}

uint64_t BackingFile::Occupied() const {
  struct stat status = {};
  if (fstat(fd_, &status) != 0) return 0;
  return is_device_ ? capacity_ : static_cast<uint64_t>(status.st_blocks) * 512;
}

}  // namespace uzswap::os
