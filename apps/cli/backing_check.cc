#include "backing_check.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "os/backing_file.h"
#include "real_path.h"
#include "session/options.h"

namespace uzswap::cli {
namespace {

constexpr uint64_t kRoomMin = uint64_t{1} << 20;
constexpr char kElsewhere[] = "name a folder on a disk, as in --backing /var/tmp";

Refusal Refuse(const std::string& path, const std::string& cause, const std::string& fix) {
  return {kCannotDo, "--backing: '" + path + "' " + cause, fix};
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Refusal FolderMissing(const std::string& path, const std::string& folder) {
  return Refuse(path, "cannot be created: there is no folder '" + folder + "'",
                "mkdir -p " + folder + ", or " + kElsewhere);
}

// The path itself if it exists, else the path at which it would be created.
OrRefusal<std::string> Absolute(const std::string& path) {
  std::string absolute = RealPath(path);
  if (absolute.empty()) {
    if (errno != ENOENT) return WhyNotBacking(path, BackingKind::kOther, errno);
    struct stat status = {};
    if (lstat(path.c_str(), &status) == 0) {
      return Refuse(path, "is a link to nothing", std::string("remove it, or ") + kElsewhere);
    }
    if (path.back() == '/') return FolderMissing(path, path);
    const std::string folder = FolderOf(path);
    const std::string real = RealPath(folder);
    if (real.empty()) {
      if (errno == ENOENT) return FolderMissing(path, folder);
      return WhyNotBacking(path, BackingKind::kOther, errno);
    }
    absolute = (real == "/" ? "" : real) + "/" + path.substr(path.rfind('/') + 1);
  }
  if (absolute.size() >= kBackingPathMax) {
    return Refusal{kCannotDo,
                   "--backing: the path is too long: " + std::to_string(absolute.size()) +
                       " characters, at most " + std::to_string(kBackingPathMax - 1),
                   "name a shorter one, as in --backing /var/tmp"};
  }
  return absolute;
}

// A path that does not exist will be a file.
BackingKind KindOf(const std::string& path) {
  struct stat status = {};
  if (stat(path.c_str(), &status) != 0) return BackingKind::kFile;
  if (S_ISDIR(status.st_mode)) return BackingKind::kFolder;
  if (S_ISREG(status.st_mode)) return BackingKind::kFile;
  return S_ISBLK(status.st_mode) ? BackingKind::kDevice : BackingKind::kOther;
}

// A file system that does not report its size (some in user space) is not full.
bool IsFull(const std::string& folder) {
  struct statvfs status = {};
  return statvfs(folder.c_str(), &status) == 0 && status.f_blocks != 0 &&
         uint64_t{status.f_bavail} * status.f_frsize < kRoomMin;
}

std::string NoteOn(const std::string& path, const std::string& folder) {
  struct statfs status = {};
  if (statfs(folder.c_str(), &status) != 0) return "";
  if (status.f_type != TMPFS_MAGIC && status.f_type != RAMFS_MAGIC) return "";
  return "--backing: '" + path +
         "' is on a file system in memory (tmpfs). Pages written there still take memory, which"
         " uzswap does not count and a cgroup does";
}

std::optional<Refusal> Try(const std::string& path, BackingKind kind, bool may_be_taken,
                           ProvedBacking& proved) {
  const Result<os::BackingFile> file = os::BackingFile::Open(path.c_str());
  if (!file.ok()) {
    if (may_be_taken && os::BackingFile::IsTaken(file.error())) return std::nullopt;
    return WhyNotBacking(path, kind, file.error().errno_value);
  }
  if (file.value().capacity() < kRoomMin) return WhyNotBacking(path, kind, ENOSPC);
  struct stat status = {};
  if (kind == BackingKind::kFile && fstat(file.value().fd(), &status) == 0) {
    proved.file_system = status.st_dev;
    proved.inode = status.st_ino;
  }
  return std::nullopt;
}

Refusal Taken(const std::string& path, BackingKind kind) {
  if (kind == BackingKind::kDevice) {
    return Refuse(path, "is in use: mounted, used as swap space, or opened by another program",
                  "umount or swapoff it if its content may be overwritten, or name another device");
  }
  return Refuse(path, "is the backing file of another run",
                "name its folder instead: each process then has a file of its own");
}

}  // namespace

Refusal WhyNotBacking(const std::string& path, BackingKind kind, int error) {
  switch (error) {
    case EACCES:
    case EPERM:
      return Refuse(path, std::string("may not be written to: ") + strerror(error),
                    "chmod or chown it, or name a folder that you own");
    case EROFS:
      return Refuse(path, "is on a read-only file system", kElsewhere);
    case ENOSPC:
    case EDQUOT:
      if (kind == BackingKind::kDevice) {
        return Refuse(path, "is a device with room for less than 1 MiB", "name a larger one");
      }
      return Refuse(path, "is on a full file system: uzswap needs a free inode and at least 1 MiB",
                    std::string("make room there, or ") + kElsewhere);
    case EBUSY:
      return Taken(path, kind);
    case EEXIST:
      return Refuse(path, "is not an empty file, and uzswap overwrites no data",
                    "remove it or name a folder, as in --backing /var/tmp");
    default:
      break;
  }
  if (error == EINVAL && kind == BackingKind::kOther) {
    return Refuse(path, "is neither a file nor a folder nor a block device", kElsewhere);
  }
  return Refuse(path, std::string("cannot be used: ") + strerror(error), kElsewhere);
}

OrRefusal<ProvedBacking> ProveBacking(const std::string& path, bool may_be_taken) {
  const auto absolute = Absolute(path);
  if (const Refusal* refusal = RefusalOf(absolute)) return *refusal;
  ProvedBacking proved;
  proved.path = std::get<std::string>(absolute);
  const BackingKind kind = KindOf(proved.path);
  if (kind == BackingKind::kOther) return WhyNotBacking(path, kind, EINVAL);
  if (kind != BackingKind::kDevice) {
    const std::string folder = kind == BackingKind::kFolder ? proved.path : FolderOf(proved.path);
    if (IsFull(folder)) return WhyNotBacking(path, kind, ENOSPC);
    proved.note = NoteOn(path, folder);
  }
  if (const auto refusal = Try(proved.path, kind, may_be_taken, proved)) return *refusal;
  return proved;
}

bool EmptyBacking(const ProvedBacking& backing) {
  if (backing.inode == 0) return true;
  const int fd = open(backing.path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return true;
  const os::BackingFile file = os::BackingFile::AdoptFd(fd);
  struct stat status = {};
  // It may be another file of the same name by now.
  if (fstat(fd, &status) != 0 || status.st_dev != backing.file_system ||
      status.st_ino != backing.inode) {
    return true;
  }
  // The writer may have ended while a forked child of it still reads.
  if (flock(fd, LOCK_EX | LOCK_NB) != 0 || file.OthersRead()) return false;
  // If truncation fails, the next run refuses the file and says what to do.
  [[maybe_unused]] const int ignored = ftruncate(fd, 0);
  return true;
}

}  // namespace uzswap::cli
