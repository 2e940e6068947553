// BrokerProcess: the broker of a run (broker/broker_server.h) as a process forked from the runner.
// It has the runner's rights, whatever the programs of the run give up.
//
//   runner ──fork──> broker            own process group, all signals blocked, folder "/",
//     │                 │              descriptors: /dev/null (0, 1, 2), listener, session, pipe
//     │                 │ serves
//     │ CMD ended:      │
//     │ nobody uses the session ──SIGKILL──> gone before the runner ends
//     │                 │
//     └─ends─(pipe)──>  │ once a second: nobody uses the session ──> ends
//
// The runner listens before CMD starts, and forks later (docs/decisions/0032):
//
//            a client waits, or Start                  CMD ended, nobody uses the session
//   kIdle ─────────────────────────────> kStarted ──────────────────────────────> kKilled
//     │                                     ^
//     └── the runner ends, a process uses ──┘   otherwise the listener is closed
//
// A client that connects before the fork waits in the listener's queue. If the broker cannot be
// started, the run continues without it, and session.broker_counters() counts it. If it is killed,
// its clients get an error; nothing else depends on it.
//
// One object, on the runner's only thread.
#ifndef UZSWAP_APPS_CLI_BROKER_PROCESS_H_
#define UZSWAP_APPS_CLI_BROKER_PROCESS_H_

#include <sys/types.h>

#include "session/session.h"

namespace uzswap::cli {

// Decides when a broker without a runner ends. The caller looks once a second.
//
// A process between exec and the opening of the session does not map the memory, but its record is
// live. A record of another pid namespace always stays live, because nobody can tell that its
// process has ended. So a session that nobody maps has ended after some looks.
class BrokerLifetime {
 public:
  static constexpr int kUnmappedLooks = 10;

  // True if the broker ends.
  bool NoteState(uint32_t live_processes, os::OtherUsers others);

 private:
  int unmapped_looks_ = 0;
};

class BrokerProcess {
 public:
  // Listens. `session` must outlive this object, and CMD must not have started.
  explicit BrokerProcess(Session& session);
  BrokerProcess(const BrokerProcess&) = delete;
  BrokerProcess& operator=(const BrokerProcess&) = delete;
  // The runner ends. Leaves a broker behind if a process uses the session.
  ~BrokerProcess();

  // Can be read if a client waits for the broker to start. -1 if it was started.
  [[nodiscard]] int listener() const { return listener_; }
  void StartIfAsked();
  // Does nothing if the broker was started already.
  void Start();

  [[nodiscard]] bool Is(pid_t process) const { return process == process_; }
  // A child of the runner has ended, perhaps this one.
  void ReapIfEnded();
  // CMD has ended: kills the broker if no process uses the session. The destructor reaps it.
  void EndIfUnused();

 private:
  bool Listen();
  bool Fork();
  void CloseListener();
  [[nodiscard]] bool InUse() const;

  Session& session_;
  BrokerAddress address_;
  int listener_ = -1;
  pid_t process_ = -1;
  bool killed_ = false;
  int runner_lives_ = -1;  // the end of a pipe; the kernel closes it with the runner
};

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_BROKER_PROCESS_H_
