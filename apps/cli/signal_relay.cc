#include "signal_relay.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>

#include "base/check.h"

namespace uzswap::cli {
namespace {

// Not relayed: signals that cannot be caught, signals for faults of the runner itself, and
// SIGPIPE, which is only blocked so that it does not end the runner before CMD.
constexpr int kRelayed[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR1,  SIGUSR2,  SIGALRM,
                            SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH, SIGVTALRM};

bool IsRelayed(int signal) {
  if (signal >= SIGRTMIN && signal <= SIGRTMAX) return true;
  for (const int relayed : kRelayed) {
    if (signal == relayed) return true;
  }
  return false;
}

sigset_t Watched() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : kRelayed) sigaddset(&set, signal);
  for (int signal = SIGRTMIN; signal <= SIGRTMAX; ++signal) sigaddset(&set, signal);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGPIPE);
  return set;
}

// A SIGCONT for the whole group has already reached `child`. Sending it again could undo a later
// stop. So ask whether `child` has continued or stopped since its last stop was read.
bool ContinuedOrStoppedAgain(pid_t child) {
  siginfo_t info = {};
  const int options = WSTOPPED | WCONTINUED | WNOHANG | WNOWAIT;
  return waitid(P_PID, static_cast<id_t>(child), &info, options) == 0 && info.si_pid == child;
}

// Raises `signal` on ourselves with its default effect, then blocks it again.
void RaiseWithDefault(int signal) {
  struct sigaction standard = {};
  struct sigaction former = {};
  standard.sa_handler = SIG_DFL;
  sigaction(signal, &standard, &former);
  sigset_t only;
  sigset_t mask;
  sigemptyset(&only);
  sigaddset(&only, signal);
  raise(signal);
  sigprocmask(SIG_UNBLOCK, &only, &mask);
  sigprocmask(SIG_SETMASK, &mask, nullptr);
  sigaction(signal, &former, nullptr);
}

}  // namespace

SignalRelay::SignalRelay() {
  const sigset_t watched = Watched();
  UZ_CHECK_EQ(sigprocmask(SIG_BLOCK, &watched, &former_mask_), 0);
  // If SIGCHLD is ignored, which is inherited, the kernel does not keep the status of CMD.
  struct sigaction standard = {};
  standard.sa_handler = SIG_DFL;
  UZ_CHECK_EQ(sigaction(SIGCHLD, &standard, &former_child_), 0);
  descriptor_ = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
  UZ_CHECK(descriptor_ >= 0);
}

SignalRelay::~SignalRelay() { close(descriptor_); }

void SignalRelay::RestoreInChild() const {
  sigaction(SIGCHLD, &former_child_, nullptr);
  sigprocmask(SIG_SETMASK, &former_mask_, nullptr);
}

bool SignalRelay::Relay(pid_t child) const {
  bool child_changed = false;
  signalfd_siginfo info = {};
  while (read(descriptor_, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
    const int signal = static_cast<int>(info.ssi_signo);
    const bool from_kernel = info.ssi_code == SI_KERNEL;
    const bool from_child = static_cast<pid_t>(info.ssi_pid) == child && info.ssi_code <= 0;
    if (signal == SIGCHLD) {
      child_changed = true;
    } else if (signal == SIGCONT && ContinuedOrStoppedAgain(child)) {
      continue;
    } else if (IsRelayed(signal) && !from_kernel && !from_child) {
      kill(child, signal);
    }
  }
  return child_changed;
}

void SignalRelay::PauseForChild(int timeout_ms) const {
  pollfd ready = {descriptor_, POLLIN, 0};
  poll(&ready, 1, timeout_ms);
  signalfd_siginfo info = {};
  while (read(descriptor_, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
  }
}

void SignalRelay::FollowStop(int signal) {
  const int terminal = open("/dev/tty", O_RDONLY | O_CLOEXEC);
  if (terminal < 0) return;
  const bool foreground = tcgetpgrp(terminal) == getpgrp();
  close(terminal);
  // A process that stops only CMD will continue only CMD.
  if (signal == SIGSTOP && !foreground) return;
  if (signal == SIGSTOP) {
    raise(SIGSTOP);
  } else {
    RaiseWithDefault(signal);
  }
}

void SignalRelay::DieBy(int signal) {
  // CMD has dumped its core if it was allowed to; a core of the runner would overwrite it.
  const rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  prctl(PR_SET_DUMPABLE, 0);
  RaiseWithDefault(signal);
  _exit(128 + signal);
}

}  // namespace uzswap::cli
