#include "os/program_stderr.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <ctime>

#include "os/program.h"

namespace uzswap::os {
namespace {

// Opens a new file description, so that `more_flags` do not change the program's descriptor.
long OpenStderr(int more_flags) {
  return syscall(SYS_openat, AT_FDCWD, ProgramPath("fd/2").c_str(),
                 O_WRONLY | O_APPEND | O_NOCTTY | O_CLOEXEC | more_flags, 0);
}

bool HasRoom(long file) {
  pollfd ready = {static_cast<int>(file), POLLOUT, 0};
  const timespec at_once{};
  return syscall(SYS_ppoll, &ready, 1, &at_once, nullptr, 8) == 1 && (ready.revents & POLLOUT) != 0;
}

// The program's own file description, where it cannot be opened again: a socket, as under systemd,
// or a file of another user. -1 inside of the program, where a filter may forbid the calls. Setting
// O_NONBLOCK would change the program's description, so it is -1 without room for a line, too.
long BorrowStderr() {
  if (!OutsideProgram()) return -1;
  const int program = OpenProgramPidfd();
  if (program < 0) return -1;
  constexpr long kPidfdGetfd = 438;
  const long borrowed = syscall(kPidfdGetfd, program, STDERR_FILENO, 0);
  syscall(SYS_close, program);
  if (borrowed < 0 || HasRoom(borrowed)) return borrowed;
  syscall(SYS_close, borrowed);
  return -1;
}

// write(2) without SIGPIPE for a pipe without readers: the program did not write the line.
long WriteWithoutSignal(long file, const char* text, size_t length) {
  const uint64_t pipe_signal = uint64_t{1} << (SIGPIPE - 1);
  uint64_t before = 0;
  uint64_t pending = 0;
  syscall(SYS_rt_sigprocmask, SIG_BLOCK, &pipe_signal, &before, sizeof(before));
  syscall(SYS_rt_sigpending, &pending, sizeof(pending));
  const long written = syscall(SYS_write, file, text, length);
  if (written < 0 && errno == EPIPE && (pending & pipe_signal) == 0) {
    const timespec at_once{};
    syscall(SYS_rt_sigtimedwait, &pipe_signal, nullptr, &at_once, sizeof(pipe_signal));
  }
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof(before));
  return written;
}

}  // namespace

void WriteToProgramStderr(std::string_view line) {
  const long opened = OpenStderr(0);
  // A socket, a file of another user, or no /proc.
  const long file = opened < 0 && !OutsideProgram() ? STDERR_FILENO : opened;
  if (file < 0) return;
  WriteWithoutSignal(file, line.data(), line.size());
  if (opened >= 0) syscall(SYS_close, opened);
}

bool TryWriteToProgramStderr(std::string_view line) {
  long opened = OpenStderr(O_NONBLOCK);
  if (opened < 0) opened = BorrowStderr();
  if (opened < 0) return false;
  // A write of up to PIPE_BUF bytes to a pipe is atomic, see pipe(7).
  const size_t length = std::min<size_t>(line.size(), PIPE_BUF);
  const long written = WriteWithoutSignal(opened, line.data(), length);
  syscall(SYS_close, opened);
  return written == static_cast<long>(length);
}

}  // namespace uzswap::os
