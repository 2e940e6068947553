// LiveForkPort: what the fork coordinator asks for, done to the process it runs in.
//
//   ForkCoordinator ──> LiveForkPort ──┬── RangeScanner ──> the list of threads
//                                      ├── PagingStack ───> pager (freeze, thaw), storage (pause)
//                                      └── DaemonWaker, statistics
//
// Forwards, and decides nothing but how much is stored before a fork. Which thread calls what is
// said in engine/fork_coordinator.h.
#ifndef UZSWAP_ENGINE_LIVE_FORK_PORT_H_
#define UZSWAP_ENGINE_LIVE_FORK_PORT_H_

#include <optional>

#include "engine/broker_files.h"
#include "engine/daemon_urgency.h"
#include "engine/daemon_waker.h"
#include "engine/fork_coordinator.h"
#include "engine/fork_room.h"
#include "engine/paging_stack.h"
#include "engine/range_scanner.h"
#include "engine/reclaim_port.h"
#include "engine/session_member.h"

namespace uzswap {

class LiveForkPort final : public ForkPort {
 public:
  struct Parts {
    SessionMember* member = nullptr;
    PagingStack* paging = nullptr;
    RangeScanner* scanner = nullptr;
    DaemonUrgency* urgency = nullptr;
    DaemonWaker* waker = nullptr;
    os::ProgramWatch* watch = nullptr;
    BrokerFiles* broker = nullptr;
    ReclaimPort* reclaim = nullptr;
  };
  void Init(const Parts& parts) { parts_ = parts; }
  void ResetInChild() { room_ = ForkRoom(); }

  void ListThreads() override;
  // The pager's lock is held from Freeze to Thaw, which clang's analysis cannot follow.
  void Freeze() override UZ_NO_THREAD_SAFETY_ANALYSIS;
  void Rescue(uint32_t thread) override UZ_NO_THREAD_SAFETY_ANALYSIS;
  void Thaw() override UZ_NO_THREAD_SAFETY_ANALYSIS;

  bool active() override { return parts_.paging->active(); }
  void WakeDaemon() override { parts_.waker->Wake(); }
  const uint64_t* thread_hints(size_t* count) override;
  Residence Where(uint64_t address) override;
  Residence WhereFrozen(uint64_t address) override;
  void NoteBroughtIn() override { statistics().fork_pages_brought_in.Add(); }
  Statistics& statistics() override { return parts_.member->statistics(); }
  void OpenForChild() override { parts_.paging->OpenForChild(); }

 private:
  // Stores pages that parent and child would otherwise store each (engine/fork_room.h).
  void MakeRoom();

  Parts parts_;
  ForkRoom room_;
  // What the last Rescue saw of the forking thread: os::TaskReader::FutexSleep.
  std::optional<uint64_t> last_sleep_;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_LIVE_FORK_PORT_H_
