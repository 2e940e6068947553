// BrokerFiles: what the engine gets from the broker of its run (docs/design/broker.md).
//
//   files    what the engine's process cannot open: os/open_fallback.h asks here
//   guard    the broker keeps the program's userfaultfd, and kills the program if the engine's
//            process ends before it; so does the kernel (os/program_tether.h). Only for an
//            engine in a process of its own.
//
//   session  its memory, for a process that cannot open it (Session::FromEnvironment)
//
// Without a broker (it was killed, another network namespace, no runner) files are missing as
// before, and nothing is guarded.
//
// One object in a process. Start: the program's thread, before the engine's threads. Guard: the
// writer thread, once. Unguard: the reclaim daemon; if Guard has not returned yet, the broker finds
// by itself that the memory is not used. Forget: a forked child's only thread. Nothing allocates.
#ifndef UZSWAP_ENGINE_BROKER_FILES_H_
#define UZSWAP_ENGINE_BROKER_FILES_H_

#include <atomic>
#include <optional>
#include <string_view>

#include "broker/broker_client.h"
#include "engine/session_member.h"
#include "os/program_tether.h"

namespace uzswap {

class BrokerFiles {
 public:
  void Start(SessionMember& member);
  // With the userfaultfds open, before anything is swapped out. The daemon.
  void Tie();
  // A failure is counted (`unguarded_engines`).
  void Guard(int userfaultfd);
  // Requires: the program is gone.
  void Unguard();
  void Forget();

 private:
  SessionMember* member_ = nullptr;
  os::ProgramTether tether_;
  std::optional<BrokerClient> guard_;
  // Release by Guard, acquire by Unguard: guard_ is complete.
  std::atomic<bool> guarded_{false};
};

// A descriptor of the session's memory, or -1. `broker` is the value of UZSWAP_BROKER. The
// program's thread, before anything else of the engine.
int JoinByBroker(std::string_view broker);

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_BROKER_FILES_H_
