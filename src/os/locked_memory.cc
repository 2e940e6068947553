#include "os/locked_memory.h"

#include "os/read_file.h"

namespace uzswap::os {

Bytes LockedBytesIn(std::string_view status) {
  constexpr std::string_view kField = "\nVmLck:";
  const size_t found = status.find(kField);
  if (found == std::string_view::npos) return Bytes(0);
  uint64_t kibibytes = 0;
  for (const char c : status.substr(found + kField.size())) {
    if (c >= '0' && c <= '9') {
      kibibytes = kibibytes * 10 + static_cast<uint64_t>(c - '0');
    } else if (c != ' ' && c != '\t') {
      break;
    }
  }
  return Bytes(kibibytes << 10);
}

Bytes LockedBytes() {
  char buffer[4096];
  const Result<std::string_view> text = ReadSmallFile("/proc/self/status", buffer);
  return text.ok() ? LockedBytesIn(text.value()) : Bytes(0);
}

}  // namespace uzswap::os
