// FindSessions: the sessions of all runs of uzswap on this machine, and the run that a number
// names.
//
//     /proc/PID/fd/N -> "/memfd:uzswap-session"      held by the runner, and by the broker after it
//            │ O_PATH: a file of the kernel's memory, of the owner of the process?
//            │ each session once, by its inode, with all its holders
//            └─> Session
//
// A process can give any file that name, also one that does something when it is opened. So the
// file is opened for use only after its kind and its owner are known; finding that out does not ask
// the file system, which could be the other user's.
//
// The kernel permits what the caller may do with the process: root finds all runs, others find
// their own. No process is asked, so a runner that is stopped stops nobody. A session of another
// version of uzswap is counted only.
//
// One thread; exceptions only from allocation.
#ifndef UZSWAP_APPS_CLI_FIND_SESSIONS_H_
#define UZSWAP_APPS_CLI_FIND_SESSIONS_H_

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "refusal.h"
#include "run_lock.h"
#include "session/session.h"

namespace uzswap::cli {

struct SessionHolder {
  uint64_t start_time = 0;  // as /proc shows it to the caller
  uint32_t pid = 0;

  friend auto operator<=>(const SessionHolder&, const SessionHolder&) = default;
};

struct FoundSession {
  std::vector<SessionHolder> holders;  // the oldest first: the runner is older than its broker
  Session session;
  OwnDescriptor memory;  // its file, which can only be looked at; for RunLock

  [[nodiscard]] uint32_t holder() const { return holders.front().pid; }
};

struct FoundSessions {
  std::vector<FoundSession> sessions;  // by the number of the oldest holder
  uint32_t other_versions = 0;         // sessions that this program cannot read
  uint32_t unreadable = 0;             // processes whose descriptors the caller may not list
};

// `proc` is /proc, or a tree of the tests.
FoundSessions FindSessions(const std::string& proc = "/proc");

// The session of the run that `id` names, or why there is none. A number names a run if the process
// holds its session, else if it is a live process of it. Numbers of other PID namespaces than
// `own_namespace` name other processes here.
OrRefusal<FoundSession> FindRun(FoundSessions found, uint32_t id, uint64_t own_namespace);

// A file that can be a session's memory, by a descriptor that can only be looked at (O_PATH).
struct SessionMemory {
  int descriptor;  // the caller closes it
  uint64_t inode;  // all such files are in one file system
};
// Nothing if the file is of another kind, or if neither `owner` owns it nor `owner` is root. For
// FindSessions and tests.
std::optional<SessionMemory> LookAtMemory(const std::string& path, uint32_t owner);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_FIND_SESSIONS_H_
