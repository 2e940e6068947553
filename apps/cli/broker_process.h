// BrokerProcess: the broker of a run (broker/broker_server.h) as a process forked from the runner,
// before CMD starts. It has the runner's rights, whatever the programs of the run give up.
//
//   runner ──fork──> broker            own session, all signals blocked, folder "/",
//     │                 │              descriptors: /dev/null (0, 1, 2), listener, session, pipe
//     │                 │ serves
//     │ CMD ended:      │
//     │ nobody uses the session ──SIGKILL──> gone before the runner ends
//     │                 │
//     └─ends─(pipe)──>  │ once a second: nobody uses the session ──> ends
//
// The listener is bound before the fork, so CMD finds it, and the runner waits for nothing. If the
// broker cannot be started, the run goes on without it, and session.broker_counters() counts it. If
// it is killed, its clients get an error; nothing else depends on it.
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
// live. A record of another pid namespace stays live for ever, because nobody can tell that its
// process has ended. So a session that nobody maps has ended after some looks.
class BrokerLifetime {
 public:
  static constexpr int kUnmappedLooks = 10;

  // True if the broker ends.
  bool Look(uint32_t live_processes, os::OtherUsers others);

 private:
  int unmapped_looks_ = 0;
};

class BrokerProcess {
 public:
  // Starts the broker. `session` must outlive this object, and CMD must not have started.
  explicit BrokerProcess(Session& session);
  BrokerProcess(const BrokerProcess&) = delete;
  BrokerProcess& operator=(const BrokerProcess&) = delete;
  // The runner ends. Leaves the broker alone if a process uses the session.
  ~BrokerProcess();

  [[nodiscard]] bool Is(pid_t process) const { return process == process_; }
  // A child of the runner has ended, perhaps this one.
  void ReapIfEnded();
  // CMD has ended: kills the broker if no process uses the session. The destructor reaps it.
  void EndIfUnused();

 private:
  bool Start();

  Session& session_;
  pid_t process_ = -1;
  bool killed_ = false;
  int runner_lives_ = -1;  // the end of a pipe; the kernel closes it with the runner
};

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_BROKER_PROCESS_H_
