#include "os/program_tether.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "os/program.h"

namespace uzswap::os {
namespace {

constexpr int kSetSignal = 10;  // F_SETSIG

// Moves a descriptor to the lowest free number from `min`.
int MoveTo(int descriptor, int min) {
  const long moved = syscall(SYS_fcntl, descriptor, F_DUPFD_CLOEXEC, min);
  syscall(SYS_close, descriptor);
  return static_cast<int>(moved);
}

bool Arm(int descriptor) {
  return syscall(SYS_fcntl, descriptor, F_SETOWN, ProgramPid()) == 0 &&
         syscall(SYS_fcntl, descriptor, kSetSignal, SIGKILL) == 0 &&
         syscall(SYS_fcntl, descriptor, F_SETFL, O_ASYNC) == 0;
}

void Disarm(int descriptor) {
  if (descriptor < 0) return;
  syscall(SYS_fcntl, descriptor, F_SETFL, 0);
  syscall(SYS_fcntl, descriptor, F_SETOWN, 0);
}

void CloseBoth(int* ends) {
  for (int i = 0; i < 2; ++i) {
    if (ends[i] >= 0) syscall(SYS_close, ends[i]);
    ends[i] = -1;
  }
}

}  // namespace

Result<void> ProgramTether::MakePair(int min, int armed, int* ends) {
  constexpr char kWhat[] = "a socket pair that ends the program";
  if (syscall(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    ends[0] = ends[1] = -1;
    return Error{errno, kWhat};
  }
  ends[0] = MoveTo(ends[0], min);
  ends[1] = MoveTo(ends[1], ends[0] < 0 ? min : ends[0] + 1);
  if (ends[0] >= 0 && ends[1] >= 0 && Arm(ends[armed])) return {};
  const int failure = errno;
  CloseBoth(ends);
  return Error{failure, kWhat};
}

Result<void> ProgramTether::Tie() {
  if (!OutsideProgram()) return {};
  const Result<void> below = MakePair(kBelow, 1, below_);
  if (!below.ok()) return below;
  const Result<void> above = MakePair(kAbove, 0, above_);
  if (!above.ok()) Untie();
  return above;
}

void ProgramTether::Untie() {
  Disarm(below_[1]);
  Disarm(above_[0]);
  CloseBoth(below_);
  CloseBoth(above_);
}

}  // namespace uzswap::os
