#include "os/locked_memory.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "os/procfs.h"

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
  ProcFile file;
  if (!file.Open("/proc/self/status").ok()) return Bytes(0);
  char text[4096];
  const long got = syscall(SYS_pread64, file.descriptor(), text, sizeof(text), 0L);
  return got <= 0 ? Bytes(0) : LockedBytesIn({text, static_cast<size_t>(got)});
}

}  // namespace uzswap::os
