// `uzswap set` and `uzswap shrink`: change the options of a run, or have it use less for a while.
//
//   uzswap set ID limit=300M          uzswap shrink ID --to 200M
//        │                                  │
//        │ holds more than that? ──yes─> ask the run through its session's memory, again and again,
//        │                                  │           and look how much it holds (ShrinkWatch)
//        │                                  ├── reached ────────────────────> done
//        └── Session::ChangeOptions <─ set ────┤
//                                           └── no progress ── set: holds less than the new limits?
//                                                   │                   ──> done
//                                                   └── refused; nothing is changed
//
// ID is the number of the runner or of any process of the run (`uzswap ps`). The processes follow
// within a step of reclaim. So a lower limit comes into force when usage is below it: no page fault
// has to wait for that, and a limit that cannot be kept is refused. While a run with a backing file
// shrinks, the bound of its pools falls with it: what they hold is a part of what must become less.
//
// One command at a time changes a run (run_lock.h). These commands only look and ask. They do not
// decide which processes of the run live: they may be in another PID namespace.
//
// The kernel permits it to the user of the run and to root, because it lets nobody else open the
// session (find_sessions.h). One thread; exceptions only from allocation.
#ifndef UZSWAP_APPS_CLI_CONTROL_H_
#define UZSWAP_APPS_CLI_CONTROL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "session/session.h"
#include "shrink_watch.h"

namespace uzswap::cli {

struct SetRequest {
  uint32_t id = 0;
  std::vector<std::string> changes;  // "limit=300M", "pool-limit=20%"
};

struct ShrinkRequest {
  uint32_t id = 0;
  std::string to;  // empty: as far as possible
};

// The live processes together. With a backing store `pools` is without what no process can give up.
Held HeldBy(const Session& session);
// What the pools may hold with a bound of `pool_limit`, zero if there is none: each process may
// keep a little.
Bytes PoolsWithin(Bytes pool_limit, uint32_t processes);

int SetCommand(const SetRequest& request);
int ShrinkCommand(const ShrinkRequest& request);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_CONTROL_H_
