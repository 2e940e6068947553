// Engine: uzswap inside one process. It watches, and wires the parts together when needed.
//
//   constructor --Start--> [ Watching ] --usage nears the budget--> [ Active ]
//                             keeper polls                  keeper reclaims, pager serves
//
//   keeper   sleeps for as long as the program cannot outgrow what is left of the budget, then
//            looks at its memory; adopts, takes, compresses and drains; starts the pager
//   pager    follows the processor of the thread that faults, and serves
//   writer   keeps the compressed pool below its bound: writes back, or makes denser
//
// While watching nothing is registered and nothing is paid beyond a few looks a second. All
// are service threads (os/thread.h) with one descriptor table of their own; everything that
// uses a descriptor happens on them. Program threads enter through Start and the three fork
// calls only, and talk to the keeper through `order_`:
//
//   fork:   program thread                       keeper
//           kList    ------------------------->  lists the threads
//           touches the roots (fork_roots.h)
//           kFreeze  ------------------------->  pauses the writer, freezes the pager, holds still
//           fork()
//           parent: kThaw -------------------->  goes on
//           child:  starts a keeper of its own, which rebuilds; waits for it
//
// One Engine per process, in memory that is never unmapped. Nothing here allocates from the
// heap. When the engine cannot go on the process is aborted: its memory would be wrong.
#ifndef UZSWAP_ENGINE_ENGINE_H_
#define UZSWAP_ENGINE_ENGINE_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "engine/adopter.h"
#include "engine/cache_holder.h"
#include "engine/fork_roots.h"
#include "os/address_space.h"
#include "os/linux_user_fault.h"
#include "os/procfs.h"
#include "pager/pager.h"
#include "reclaim/watermarks.h"
#include "session/session.h"

namespace uzswap {

class Engine {
 public:
  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Joins the session, starts the keeper and begins to watch. `default_stack_bytes` is what
  // the C library gives a new thread. Once, before the program runs.
  Result<void> Start(Session session, const char* program_name, uint64_t default_stack_bytes);

  // A line for the person who started the program: by way of the runner, whose standard error is
  // the program's (a second description of the same file would write over what the program
  // writes); without a runner, straight to the program's.
  void Say(std::string_view line);

  // From fork handlers, in the forking thread.
  void PrepareFork() UZ_ACQUIRE(fork_mutex_);
  void ParentAfterFork() UZ_RELEASE(fork_mutex_);
  void ChildAfterFork() UZ_NO_THREAD_SAFETY_ANALYSIS;

 private:
  enum Order : uint32_t { kNone = 0, kList, kFreeze, kThaw };

  static void KeeperMain(void* self);
  static void PagerMain(void* self);
  static void WriterMain(void* self);
  static void WakeKeeper(void* self);

  // engine.cc
  void BeginKeeping();
  void BeginAsChild();
  // Where this process counts: its slot, or nowhere if the session's table was full.
  Statistics& statistics() { return slot_ ? slot_->statistics() : uncounted_; }
  [[noreturn]] void GiveUp(const char* what, Error error);
  Result<void> Activate();
  Result<void> StartServing();
  Result<void> OpenPorts();
  Pager::Parts MakeParts();

  // keeper.cc
  void Keep();
  void SleepFor(uint64_t ns);
  void WarnIfOver(Bytes tree);
  void WarnRefused(Error error);
  void WarnBacking(const char* what, Error error);
  void WarnIfStuck();
  static void PageLost(void* self, uint64_t address, int error);
  // What this process holds: its share where memory is shared with forked relatives.
  Bytes Usage(Bytes anonymous);
  void Unshare();
  void Look();
  void ScanIfGrown(int64_t anonymous_pages);
  uint64_t Interval();
  bool MustMakeRoom();
  bool MakeRoom();
  void TrimPool();
  // What cache, writer and file have to say, into the statistics.
  void ReportCache();
  // This process's part of what the tree may have in pools and on disk.
  void ShareBounds();
  void AskForDensity();
  void Obey();

  // fork.cc
  void Give(Order order);
  void TouchRoots();
  bool RootsStayed();

  Watermarks levels_;
  std::optional<Session> session_;
  std::optional<ProcessSlot> slot_;
  Statistics uncounted_;
  char name_[32] = {};

  os::MemoryReader memory_;
  os::ShareReader share_;
  os::LinuxAddressSpace address_space_;
  os::LinuxUserFault port_;
  os::LinuxUserFault drain_port_;
  Headroom headroom_;
  CacheHolder cache_;
  Pager pager_;
  Adopter adopter_;
  ForkRoots fork_roots_;
  CacheContext context_;  // the keeper's

  uint64_t default_stack_bytes_ = 0;
  bool active_ = false;   // written by the keeper; forking threads read it after Give
  bool refused_ = false;  // could not become active; watches only
  bool child_ = false;    // forked: the slot and the ports must be made anew
  // The file a child will read from, while a thread forks.
  std::optional<os::BackingFile> for_child_;
  static constexpr int kReported = 12;
  uint64_t reported_[kReported] = {};  // what cache, writer and file had counted at the last look
  bool forget_reported_ = false;       // in a new child: that was the parent's
  uint64_t totals_ns_ = 0;
  uint64_t shared_bounds_ns_ = 0;
  uint64_t asked_pool_bytes_ = 0;  // the pool's size when it was to become denser last

  int64_t unadopted_pages_ = 0;
  uint64_t scanned_ns_ = 0;

  // Set by forks, in parent and child; cleared when nothing is shared any more.
  std::atomic<bool> sharing_{false};
  uint64_t shared_ns_ = 0;      // when the share was read last
  int64_t shared_bytes_ = 0;    // what was subtracted then
  Bytes tree_;                  // at the last look
  int64_t headroom_pages_ = 0;  // likewise
  bool minor_ = false;          // holds much less than the others
  bool making_room_ = false;
  int fruitless_ = 0;
  int quiet_looks_ = 0;
  uint64_t faults_seen_ = 0;
  uint64_t held_seen_ = 0;

  // Wakes the keeper: 1 when there is something to do. Set by anyone, cleared by the keeper.
  std::atomic<uint32_t> wake_{0};
  // Held from the prepare handler to the end: glibc runs the handlers of two threads that fork
  // at once side by side.
  Mutex fork_mutex_{LockRank::kEngine};
  // What the forking thread wants, and what the keeper has reached.
  std::atomic<uint32_t> order_{kNone};
  std::atomic<uint32_t> reached_{kNone};
  std::atomic<uint32_t> forking_thread_{0};
  // The child's first thread waits for 1: its keeper is ready.
  std::atomic<uint32_t> ready_{0};
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_ENGINE_H_
