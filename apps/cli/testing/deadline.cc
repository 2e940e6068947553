#include "testing/deadline.h"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"

namespace uzswap::cli::testing {

int Deadline::left_ms() const {
  using std::chrono::milliseconds;
  const auto left =
      std::chrono::duration_cast<milliseconds>(end_ - std::chrono::steady_clock::now());
  return static_cast<int>(std::max(left, milliseconds(0)).count());
}

bool Deadline::AwaitReadable(int fd) const {
  pollfd ready = {fd, POLLIN, 0};
  int count = 0;
  do {
    count = poll(&ready, 1, left_ms());
  } while (count < 0 && errno == EINTR);
  return count > 0;
}

bool Deadline::AwaitEnd(pid_t child, int* status) const {
  const int descriptor = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
  UZ_CHECK(descriptor >= 0);
  const bool ended = AwaitReadable(descriptor);
  close(descriptor);
  if (ended) UZ_CHECK_EQ(waitpid(child, status, 0), child);
  return ended;
}

}  // namespace uzswap::cli::testing
