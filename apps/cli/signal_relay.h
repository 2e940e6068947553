// SignalRelay: passes signals and job control on from their senders to CMD.
//
// The runner is in CMD's process group, so that the shell and the terminal treat both as one job.
// From construction on, the runner blocks the signals and reads them from descriptor():
//
//   from the terminal (Ctrl-C, hang-up, window size)   dropped: the kernel sent it to the group
//   from a process (kill PID)                          meant for CMD: sent on to it
//   from CMD itself                                    dropped
//   SIGCHLD                                            the state of CMD has changed
//
// A signal for the whole group (kill -- -PGID) reaches CMD twice.
// When its terminal stops CMD, the runner stops too; the shell would not notice otherwise. The
// SIGCONT that follows is sent on, unless CMD already has it.
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
  // In the forked child, before exec: restores what the runner found. Async-signal-safe.
  void RestoreInChild() const;
  // Reads the signals that have arrived and sends them on to `child`; true if the state of a
  // child has changed.
  bool Relay(pid_t child) const;
  // After CMD has ended: sleeps until a signal has arrived, SIGCHLD of another child for example,
  // or the timeout has passed. Drops what has arrived.
  void PauseForChild(int timeout_ms) const;
  // CMD was stopped by `signal`: stops the runner too if a terminal controls it.
  static void FollowStop(int signal);
  // Ends this process by `signal`, as CMD ended; if that fails, with status 128 + signal.
  [[noreturn]] static void DieBy(int signal);

 private:
  sigset_t former_mask_;
  struct sigaction former_child_;
  int descriptor_;
};

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_SIGNAL_RELAY_H_
