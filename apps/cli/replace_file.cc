#include "replace_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "real_path.h"

namespace uzswap::cli {
namespace {

// A new name in a folder is on the disk when the folder is. Some file systems cannot do it.
void SyncFolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

int Errno(bool good) { return good ? 0 : errno; }

}  // namespace

int WriteAll(int descriptor, std::string_view bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = write(descriptor, bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    done += static_cast<size_t>(count);
  }
  return 0;
}

std::string WithoutLinks(const std::string& path) {
  std::string real = RealPath(path);
  return real.empty() ? path : real;
}

int ReplaceFile(const std::string& path, std::string_view bytes, mode_t mode) {
  const std::string target = WithoutLinks(path);
  struct stat status = {};
  if (stat(target.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return EISDIR;
    if (!S_ISREG(status.st_mode)) return EEXIST;
    // Renaming would replace a read-only file too. Its owner does not want that.
    if (access(target.c_str(), W_OK) != 0) return errno;
  }
  const std::string beside = target + ".uzswap-" + std::to_string(getpid());
  const int fd = open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
  if (fd < 0) return errno;
  int failure = WriteAll(fd, bytes);
  if (failure == 0) failure = Errno(fsync(fd) == 0);
  if (close(fd) != 0 && failure == 0) failure = errno;
  if (failure == 0) failure = Errno(rename(beside.c_str(), target.c_str()) == 0);
  if (failure == 0) {
    SyncFolderOf(target);
  } else {
    unlink(beside.c_str());
  }
  return failure;
}

}  // namespace uzswap::cli
