#include "os/read_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace uzswap::os {

Result<std::string_view> ReadSmallFile(const char* path, std::span<char> buffer) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Error{errno, "open"};
  size_t length = 0;
  int failure = 0;
  while (length < buffer.size()) {
    const ssize_t count = read(fd, buffer.data() + length, buffer.size() - length);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) failure = errno;
    if (count <= 0) break;
    length += static_cast<size_t>(count);
  }
  close(fd);
  if (failure != 0) return Error{failure, "read"};
  return std::string_view(buffer.data(), length);
}

}  // namespace uzswap::os
