// SignalRelay: signals and job control between whoever sent them, the runner and CMD.
//
// The runner shares CMD's process group, so that the shell's job control and the terminal
// treat both as one. From construction on the signals are blocked in the runner and read from
// descriptor():
//
//   from the terminal (Ctrl-C, hang-up, window size)   the kernel told the whole group: dropped
//   from a process (kill PID)                          meant for CMD: sent on to it
//   from CMD itself                                    dropped
//   SIGCHLD                                            kChild: ask after CMD
//
// Somebody who signals the whole group by kill -- -PGID reaches CMD twice.
// When CMD is stopped by its terminal, the runner stops too, or the shell would not notice;
// its continuation is sent on, unless it reached CMD already.
//
// One per process, on its only thread.
#ifndef UZSWAP_APPS_CLI_SIGNAL_RELAY_H_
#define UZSWAP_APPS_CLI_SIGNAL_RELAY_H_

#include <sys/types.h>

#include <csignal>

namespace uzswap::cli {

class SignalRelay {
 public:
  SignalRelay();
  SignalRelay(const SignalRelay&) = delete;
  SignalRelay& operator=(const SignalRelay&) = delete;
  ~SignalRelay();

  [[nodiscard]] int descriptor() const { return descriptor_; }
  // In the forked child, before exec: everything as the runner found it. Only calls what is
  // allowed there.
  void RestoreInChild() const;
  // Reads what has arrived and sends on to `child`; true if a child changed its state.
  bool Relay(pid_t child) const;
  // CMD was stopped by `signal`: stop likewise if a terminal is in charge of us.
  static void FollowStop(int signal);
  // Ends this process as `signal` ended CMD; if it cannot, with 128 + signal.
  [[noreturn]] static void DieBy(int signal);

 private:
  sigset_t former_mask_;
  struct sigaction former_child_;
  int descriptor_;
};

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_SIGNAL_RELAY_H_
