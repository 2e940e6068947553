#include "os/locked_memory.h"

#include "os/read_file.h"

namespace uzswap::os {

Bytes LockedBytesIn(std::string_view status) {
  return SizeOfField(status, "\nVmLck:").value_or(Bytes(0));
}

Bytes LockedBytes() {
  char buffer[4096];
  const Result<std::string_view> text = ReadSmallFile("/proc/self/status", buffer);
  return text.ok() ? LockedBytesIn(text.value()) : Bytes(0);
}

}  // namespace uzswap::os
