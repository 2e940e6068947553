// FindSessions: the sessions of all runs of uzswap on this machine.
//
//     /proc/PID/fd/N -> "/memfd:uzswap-session"      held by the runner, and by the broker after it
//            │ each session once, by its inode
//            └─> Session
//
// The kernel permits what the caller may do with the process: root finds all runs, others find
// their own. No process is asked, so a runner that is stopped stops nobody. A session of another
// version of uzswap is counted only.
//
// One thread; exceptions only from allocation.
#ifndef UZSWAP_APPS_CLI_FIND_SESSIONS_H_
#define UZSWAP_APPS_CLI_FIND_SESSIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "session/session.h"

namespace uzswap::cli {

struct FoundSession {
  uint32_t holder = 0;  // the process that holds it: the runner, or its broker
  Session session;
};

struct FoundSessions {
  std::vector<FoundSession> sessions;  // by the number of the holder
  uint32_t other_versions = 0;         // sessions that this program cannot read
  uint32_t unreadable = 0;             // processes whose descriptors the caller may not list
};

// `proc` is /proc, or a tree of the tests.
FoundSessions FindSessions(const std::string& proc = "/proc");

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_FIND_SESSIONS_H_
