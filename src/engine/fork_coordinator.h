// ForkCoordinator: a program thread forks, and the reclaim daemon holds the engine still for it.
//
//   forking thread                                    reclaim daemon
//   --------------                                    --------------
//   Prepare:  kIdle ──> kListRequested                lists the threads        ──> kListed
//             touches the fork roots
//             kListed ──> kFreezeRequested            pauses the writer,
//                                                     freezes the pager        ──> kFrozen
//             have the roots stayed? if not, kThawRequested and once more, at most 4 times
//   fork()                                            kFrozen: each millisecond, Rescue
//   ParentAfter: kFrozen ──> kThawRequested           thaws, serves what waits ──> kThawed
//                kThawed ──> kIdle
//   ChildAfter:  kIdle; a new daemon starts, rebuilds, and says NoteDaemonReady; the child's first
//                thread waits for that before it touches anything
//
//   kIdle ──> kListRequested ──> kListed ──> kFreezeRequested ──> kFrozen ──> kThawRequested
//     ^            ^                                                               │
//     │            └───────────────────────── kThawed <────────────────────────────┘
//     └──────────────────────────────────────────┘
//
// One state word, changed in one function: a side changes it only out of a state that gives it the
// turn, so no change is ever lost. A process that is not managed goes through the same states;
// holding the daemon still keeps it from activating while the child is made.
//
// Prepare, ParentAfter, ChildAfter: fork handlers, in the forking thread. The C library runs the
// handlers of two threads that fork at once side by side, so a mutex is held from Prepare to
// ParentAfter. Serve: the reclaim daemon. Nothing allocates.
#ifndef UZSWAP_ENGINE_FORK_COORDINATOR_H_
#define UZSWAP_ENGINE_FORK_COORDINATOR_H_

#include <atomic>
#include <cstdint>

#include "base/mutex.h"
#include "base/statistics.h"
#include "engine/fork_roots.h"
#include "pager/residence.h"

namespace uzswap {

enum class ForkState : uint32_t {
  kIdle,
  kListRequested,
  kListed,
  kFreezeRequested,
  kFrozen,
  kThawRequested,
  kThawed,
};

constexpr bool IsForkTransition(ForkState from, ForkState to) {
  switch (from) {
    case ForkState::kIdle:
      return to == ForkState::kListRequested;
    case ForkState::kListRequested:
      return to == ForkState::kListed;
    case ForkState::kListed:
      return to == ForkState::kFreezeRequested;
    case ForkState::kFreezeRequested:
      return to == ForkState::kFrozen;
    case ForkState::kFrozen:
      return to == ForkState::kThawRequested;
    case ForkState::kThawRequested:
      return to == ForkState::kThawed;
    case ForkState::kThawed:
      return to == ForkState::kListRequested || to == ForkState::kIdle;
  }
  return false;
}

// What the coordinator acts on; tests replace it.
class ForkPort {
 public:
  // --- The reclaim daemon ---
  // Finds the threads of the program. The following three do nothing in an unmanaged process.
  virtual void ListThreads() = 0;
  virtual void Freeze() = 0;
  // While frozen. `thread`, which is to fork, has not come back yet: if it waits for a page, or for
  // a lock whose holder does, serves the threads that wait.
  virtual void Rescue(uint32_t thread) = 0;
  virtual void Thaw() = 0;

  // --- The forking thread ---
  virtual bool active() = 0;
  virtual void WakeDaemon() = 0;
  // The threads that ListThreads found: an address inside each one's descriptor.
  virtual const uint64_t* thread_hints(size_t* count) = 0;
  virtual Residence Where(uint64_t address) = 0;
  virtual Residence WhereFrozen(uint64_t address) = 0;
  virtual void NoteBroughtIn() = 0;
  // Of this process. Both sides count in it.
  virtual Statistics& statistics() = 0;
  // Frozen, and about to fork: opens the backing file for the child.
  virtual void OpenForChild() = 0;

 protected:
  ~ForkPort() = default;
};

class ForkCoordinator {
 public:
  static constexpr int kTriesMax = 4;
  // A forking thread that has not come back after this long may be waiting for a page.
  static constexpr uint64_t kRescueAfterNs = 1'000'000;

  // Both must outlive the coordinator.
  void Init(ForkPort& port, const ForkRoots& roots);

  // --- The forking thread ---
  // They hold the mutex across the fork, which clang's analysis cannot follow.
  void Prepare() UZ_NO_THREAD_SAFETY_ANALYSIS;
  void ParentAfter() UZ_NO_THREAD_SAFETY_ANALYSIS;
  // Resets everything that the child inherited. Requires: the only thread.
  void ChildAfter() UZ_NO_THREAD_SAFETY_ANALYSIS;
  // In the child: until its daemon is ready. Does not return before.
  void AwaitDaemon();

  // --- The reclaim daemon ---
  // Serves requests until there is none left; while frozen it does not return.
  void Serve();
  enum class Turn : uint8_t {
    kNotOurs,  // nothing is requested
    kServed,   // a request was served; the forking thread has the turn
    kHolding,  // frozen: nothing may be done until the thaw is requested
  };
  // One state, without waiting.
  Turn ServeOnce();
  // The daemon of a new process or child is ready to serve.
  void NoteDaemonReady();

  [[nodiscard]] ForkState state() const {
    // Acquire: what the other side wrote before it gave up the turn is seen.
    return static_cast<ForkState>(state_.load(std::memory_order_acquire));
  }

  // One request of the forking thread, without waiting for its answer. For Prepare, and for tests
  // that step both sides.
  void Request(ForkState request);

 private:
  void Change(ForkState from, ForkState to);
  void RequestAndWait(ForkState request, ForkState answer);
  // The roots, and the forking thread's stack. Requires: called by that thread.
  void ForEachRoot(ForkRoots::Visit visit, void* argument);
  void TouchRoots();
  bool RootsStayed();

  ForkPort* port_ = nullptr;
  const ForkRoots* roots_ = nullptr;
  Mutex mutex_{LockRank::kEngine};
  // Both sides sleep on it.
  std::atomic<uint32_t> state_{static_cast<uint32_t>(ForkState::kIdle)};
  // Relaxed: published by the change to kFreezeRequested.
  std::atomic<uint32_t> forking_thread_{0};
  // 1: the daemon is ready. Release by the daemon, acquire by the child's first thread.
  std::atomic<uint32_t> ready_{0};
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_FORK_COORDINATOR_H_
