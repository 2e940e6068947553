// EngineRoom: whether a process may have an engine of its own.
//
// An engine is one task while it watches, and three once it is active. Where the number of tasks is
// limited (a container, a service, a user), engines of many processes would take the tasks of the
// program's own forks, which would fail. So engines take a part of the tasks at most: an eighth
// when a forked child needs one, and half when a program starts. A process that gets none runs
// without a limit, and uzswap reports it once. If it is the child of an active process, it first
// gets all its pages back.
//
// NoteStart: the program's thread that starts the engine. Fits: the same, and the only thread of a
// forked child.
#ifndef UZSWAP_ENGINE_ENGINE_ROOM_H_
#define UZSWAP_ENGINE_ENGINE_ROOM_H_

#include <algorithm>
#include <cstdint>

#include "os/task_limit.h"
#include "session/session.h"

namespace uzswap {

class EngineRoom {
 public:
  static constexpr uint64_t kTasksOfEngine = 2;  // some watch, some are active
  static constexpr uint64_t kShareOfChildren = 8;
  static constexpr uint64_t kShareOfPrograms = 2;

  // The program may have another root directory when it forks.
  void NoteStart() { cgroup_tasks_ = os::CgroupTaskLimit(); }

  // `engines` includes the one in question; they may take one in `share` of the tasks.
  [[nodiscard]] static bool FitsInto(uint64_t tasks, uint64_t share, uint64_t engines) {
    return tasks == os::kNoTaskLimit || engines * kTasksOfEngine <= tasks / share;
  }
  // Requires: this process has joined the session.
  [[nodiscard]] bool Fits(Session& session, uint64_t share) const {
    const uint64_t tasks = std::min(cgroup_tasks_, os::UserTaskLimit());
    if (FitsInto(tasks, share, session.EngineCount())) return true;
    // Processes that have ended are among them.
    session.MarkDead();
    return FitsInto(tasks, share, session.EngineCount());
  }

 private:
  uint64_t cgroup_tasks_ = os::kNoTaskLimit;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_ENGINE_ROOM_H_
