// Engine: uzswap inside one process. It owns the parts, wires them, and starts the reclaim daemon.
//
//   Start ──> [ watching ] ──usage nears the limit──> [ active ]
//               the daemon looks at the process's       the daemon reclaims, the pager thread
//               memory; nothing is registered           serves faults, the writer writes back
//
// A forked child may not have what the engine needs: after chroot it has no /proc, after setuid no
// permission, under a limit of processes no engine. If it has to, it first gets all pages back that
// are swapped out. Then it runs unwatched, and uzswap reports it once.
//
//   unwatched   no /proc:    the daemon serves forks only
//               no daemon:   the fork calls do nothing
//
//   SessionMember ── this process in the tree's session      Notices ──── lines for the user
//   UsageMeter ───── what it holds                           ReclaimDaemon ── what to do about it
//   PagingStack ──── pager and storage, once active          RangeScanner ─── what to register
//   ForkCoordinator  holds all of it still during fork       ForkRoots ────── what a child needs
//   GrowthWatch ──── growth while the daemon is late
//
// The daemon's loop: serve requests of forking threads, one step of reclaim, sleep. All engine
// threads are service threads (os/thread.h) in one process of their own, which shares the program's
// memory: what the program gives up or loses, they keep. Where the kernel does not permit that, or
// with `--engine threads`, they are in the program's process. Either way they have a descriptor
// table of their own; everything that uses a descriptor happens on them. Program threads enter
// through Start, LastWords and the three fork calls only.
//
//   program ──Start──> NoteProgram, claim a record ──clone──> engine process: DaemonMain ...
//           ──fork───> child: the same
//           ──exit, exec──> ProgramWatch::Gone ──> the engine process ends
//
// When the engine process fails, it kills the program: what is swapped out would read as zeroes.
//
// Size: twenty-one members, because it is composition only: nearly every one is a part that it
// wires.
//
// One Engine per process, in memory that is never unmapped. Nothing here allocates from the heap.
// When an active engine cannot continue it aborts the process: the program's memory would be wrong.
#ifndef UZSWAP_ENGINE_ENGINE_H_
#define UZSWAP_ENGINE_ENGINE_H_

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "engine/broker_files.h"
#include "engine/contention_watch.h"
#include "engine/daemon_urgency.h"
#include "engine/daemon_waker.h"
#include "engine/engine_room.h"
#include "engine/fork_coordinator.h"
#include "engine/fork_roots.h"
#include "engine/growth_watch.h"
#include "engine/live_fork_port.h"
#include "engine/live_growth_port.h"
#include "engine/live_reclaim_port.h"
#include "engine/notices.h"
#include "engine/paging_stack.h"
#include "engine/proc_usage_readers.h"
#include "engine/range_scanner.h"
#include "engine/reclaim_daemon.h"
#include "engine/session_member.h"
#include "engine/usage_meter.h"
#include "os/program_watch.h"

namespace uzswap {

class Engine {
 public:
  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  struct Program {
    const char* name;
    uint64_t default_stack_bytes;  // what the C library gives a new thread
    Bytes arena;                   // PagingStack::Parts
  };
  // Joins the session and starts the reclaim daemon. Once, before the program runs. If it fails
  // nothing runs, and the program is as it was.
  Result<void> Start(Session session, const Program& program);

  // The process has no daemon that could watch it, or Start failed: uzswap reports it once in a
  // tree. A forked child of an active process gets all its pages back first, from `files` what is
  // on disk; if that fails it is ended, and `what` says what is missing.
  void RunUnwatched(const char* what, Error error, os::InheritedFiles files = {});

  // The line of a panic. Any thread; never blocks. Ends the program, if that is another process.
  void LastWords(std::string_view line);

  // From fork handlers, in the forking thread. One thread at a time is between the first and one of
  // the others, if forks are held at all: in a process without a daemon they do nothing.
  [[nodiscard]] bool holds_forks() const { return !no_daemon_; }
  void PrepareFork();
  void ParentAfterFork();
  void ChildAfterFork();

  // For tests.
  SessionMember& member() { return member_; }

 private:
  static void DaemonMain(void* self);

  void Wire(Bytes arena);
  // Returns when the daemon's process or thread exists. `keep`: see os/thread.h.
  Result<void> StartDaemon(const os::KeptDescriptors& keep);
  // The same, if the limits on tasks leave room for it (engine_room.h).
  Result<void> StartDaemonIfRoom(uint64_t share, const os::KeptDescriptors& keep);
  Result<void> OpenProc();
  bool IsContended();
  // After each step: the priority of the daemon and of the pager.
  void ChooseUrgency(const ReclaimDaemon::Step& step);
  void BecomeChild();
  // Ends this process if the program is gone.
  void EndWithProgram();
  // Requires: not active.
  [[noreturn]] void ServeForksOnly();
  [[noreturn]] void GiveUp(const char* what, Error error);

  SessionMember member_;
  Notices notices_;
  DaemonWaker waker_;
  ContentionWatch contention_;
  DaemonUrgency urgency_;
  PagingStack paging_;
  ProcUsageReaders readers_{paging_};
  UsageMeter meter_;
  RangeScanner scanner_;
  LiveGrowthPort growth_port_;
  GrowthWatch growth_;
  LiveReclaimPort reclaim_port_;
  ReclaimDaemon daemon_;
  ForkRoots fork_roots_;
  LiveForkPort fork_port_;
  ForkCoordinator fork_;
  os::ProgramWatch watch_;
  BrokerFiles broker_;
  EngineRoom room_;
  bool forked_ = false;     // in a new child, until its daemon has taken over
  bool no_daemon_ = false;  // set by the only thread of a new child
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_ENGINE_H_
