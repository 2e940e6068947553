#include "os/random.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace uzswap::os {

Result<void> FillRandom(std::span<std::byte> bytes) {
  UZ_CHECK_LE(bytes.size(), 256u);
  long count = 0;
  do {
    count = syscall(SYS_getrandom, bytes.data(), bytes.size(), 0);
  } while (count < 0 && errno == EINTR);
  if (count != static_cast<long>(bytes.size())) return Error{errno, "getrandom"};
  return {};
}

}  // namespace uzswap::os
