#include "os/read_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/parse_size.h"

namespace uzswap::os {

Result<size_t> ReadToEnd(int descriptor, std::span<char> buffer) {
  size_t length = 0;
  while (length < buffer.size()) {
    const ssize_t count = read(descriptor, buffer.data() + length, buffer.size() - length);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Error{errno, "read"};
    if (count == 0) break;
    length += static_cast<size_t>(count);
  }
  return length;
}

Result<std::string_view> ReadSmallFile(const char* path, std::span<char> buffer) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Error{errno, "open"};
  const Result<size_t> length = ReadToEnd(fd, buffer);
  close(fd);
  if (!length.ok()) return length.error();
  return std::string_view(buffer.data(), length.value());
}

std::optional<Bytes> SizeOfField(std::string_view text, std::string_view name) {
  const size_t found = text.find(name);
  if (found == std::string_view::npos) return std::nullopt;
  const std::string_view rest = text.substr(found + name.size());
  const size_t first = rest.find_first_not_of(" \t");
  if (first == std::string_view::npos) return std::nullopt;
  const std::string_view digits = rest.substr(first, rest.find(' ', first) - first);
  const std::optional<uint64_t> kibibytes = ParseDecimal(digits);
  if (!kibibytes) return std::nullopt;
  return Bytes(*kibibytes << 10);
}

bool ListHas(std::string_view list, std::string_view item) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    if (list.substr(0, comma) == item) return true;
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return false;
}

}  // namespace uzswap::os
