// Pager: one lock around what serves the program's page faults and what takes its pages away.
//
//     program's mappings          staging frames               compressed cache
//    +------------------+  MOVE   +-----------+    compress    +-----------+
//    | Resident pages   | ------> | Staged    | -------------> | pool,     |
//    |                  | <------ | ToFree    |                | disk      |
//    |                  |  MOVE   +-----------+   decompress   |           |
//    +------------------+ <----------------------------------- +-----------+
//                             COPY             ToFree frames are released to the kernel
//
//   AddressMap     which addresses are registered, and the entry of each page       (vm)
//   Reclaimer      victims, staging frames, storing, releasing                      (reclaim)
//   FaultQueue     messages that were read, and faults that wait
//   FaultHandler   the answer to one fault
//   SwapIn         pages that must be read from the backing store first
//
// Threads:
//   the pager thread     ServeOnce in a loop: faults, events, isolation when headroom is short
//   the reclaim daemon   Adopt, Isolate, StoreOldest, ReleaseFrames, and the fork calls
//   program threads      only ResidenceOf, from fork handlers
//
// The lock is held for bounded work. It is never held while a page is compressed, while a device is
// read (except by RestoreInChild and RestoreAll, when no other thread exists), or while a thread
// sleeps: a pass over the faults answers what it can, and says what the rest needs (Resolution).
// One thread at a time does that without the lock (`working_`). Messages are read and applied under
// the lock, and the kernel refuses every move while an event is pending: so the holder of the lock
// knows the address space as it is. docs/design/races.md has each pair of racers with its winner.
//
// Size: 14 members and 41 methods, because it is the face of three kinds of callers (the pager
// thread, the reclaim daemon, fork handlers); most forward to a part under the lock. Fork stays in
// this class because freeze, rescue and rebuild are the protocol of its lock.
//
// If the kernel refuses something so that the content of a page would become uncertain, the pager
// ends the process. It never continues with a wrong byte.
#ifndef UZSWAP_PAGER_PAGER_H_
#define UZSWAP_PAGER_PAGER_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/mutex.h"
#include "base/result.h"
#include "base/statistics.h"
#include "base/thread_annotations.h"
#include "os/address_space.h"
#include "os/user_fault_port.h"
#include "pager/deferred_events.h"
#include "pager/fault_handler.h"
#include "pager/fault_queue.h"
#include "pager/patient_lock.h"
#include "pager/residence.h"
#include "pager/swap_in.h"
#include "reclaim/reclaimer.h"
#include "reclaim/watermarks.h"
#include "swap/page_store.h"
#include "vm/address_map.h"

namespace uzswap {

class Pager final {
 public:
  // What the pager stands on. All outlive it.
  struct Parts {
    os::UserFaultPort* port = nullptr;          // the program's mappings and the staging frames
    os::UserFaultPort* release_port = nullptr;  // the release window; has no events
    os::AddressSpace* address_space = nullptr;
    PageStore* store = nullptr;
    Statistics* statistics = nullptr;
    Headroom* headroom = nullptr;
    Watermarks watermarks;
    // Callbacks with `callback_argument`. None may block.
    // The reclaim daemon should store pages.
    void (*wake_daemon)(void* argument) = nullptr;
    // Messages were read. Sets the headroom again if the daemon has not for a while. May be null.
    void (*refresh_headroom)(void* argument) = nullptr;
    // See FaultHandler::Parts.
    void (*page_poisoned)(void* argument, uint64_t address, int error) = nullptr;
    bool (*relief_comes)(void* argument) = nullptr;
    // The pager's lock has been held for long, perhaps by a thread that gets no processor. May be
    // null.
    void (*lock_stalled)(void* argument) = nullptr;
    void* callback_argument = nullptr;
  };

  Pager() = default;
  Pager(const Pager&) = delete;
  Pager& operator=(const Pager&) = delete;

  // Once. Fails with the errno of mmap or of userfaultfd.
  Result<void> Init(const Parts& parts) UZ_EXCLUDES(mutex_);

  // Another limit. Their number of frames is that of Init.
  void SetWatermarks(const Watermarks& watermarks) UZ_EXCLUDES(mutex_);

  // Sleeps until there is a message (or until the timeout; -1: none) and serves all that wait.
  // Returns the thread whose fault was answered last, 0 if none.
  uint32_t ServeOnce(int timeout_ms) UZ_EXCLUDES(mutex_);
  // The same without sleeping first. A thread that reads messages outside ServeOnce calls it after:
  // the pager thread does not wake for messages that another thread has read.
  uint32_t ServeWaiting() UZ_EXCLUDES(mutex_);

  // Adopts the parts of the range that are not registered. Parts that the kernel refuses stay as
  // they are. The registered pages of `pinned` stay resident from the same moment on. Returns
  // whether anything was added.
  bool Adopt(AddressRange range, AddressRange pinned = {}) UZ_EXCLUDES(mutex_);
  // The registered pages of the range stay resident from now on.
  void PinResident(AddressRange range) UZ_EXCLUDES(mutex_);

  // Closes what was discarded so far (vm/discard_watch.h). True: something is closed, and waits for
  // TrackDiscardedAgain.
  bool CloseDiscards() UZ_EXCLUDES(mutex_);
  // Manages discarded pages that are in use again (MADV_FREE). Returns how many. Requires: every
  // call that discarded what is closed has ended.
  uint64_t TrackDiscardedAgain() UZ_EXCLUDES(mutex_);

  // --- Reclaim; see Evictor ---
  size_t Isolate(size_t want) UZ_EXCLUDES(mutex_);
  // Stores up to `max` of the oldest staged pages, without the lock. Returns how many frames can be
  // released. One caller at a time for each context.
  size_t StoreOldest(CacheContext& context, size_t max) UZ_EXCLUDES(mutex_);
  size_t ReleaseFrames(size_t max) UZ_EXCLUDES(mutex_);
  size_t TakeBusyPages(std::span<uint64_t> addresses) UZ_EXCLUDES(mutex_);
  size_t IsolatePages(std::span<const uint64_t> addresses) UZ_EXCLUDES(mutex_);
  [[nodiscard]] bool StoringGains() UZ_EXCLUDES(mutex_);
  // See VictimPolicy.
  void RetryRefused() UZ_EXCLUDES(mutex_);

  struct Snapshot {
    PageCount resident;  // registered pages that are present
    size_t staged = 0;   // staging frames, by state
    size_t to_free = 0;
    size_t populated = 0;  // with memory behind them
  };
  Snapshot TakeSnapshot() UZ_EXCLUDES(mutex_);

  // --- Fork; see docs/design/fork.md ---
  // The reclaim daemon freezes the pager while a program thread forks: nothing of it changes until
  // Thaw, so the child gets a consistent copy.
  void Freeze() UZ_ACQUIRE(mutex_);
  void Thaw() UZ_RELEASE(mutex_);
  // The daemon: no relative shares memory with this process any more. False: call it again.
  bool EndSharing() UZ_EXCLUDES(mutex_);
  // While frozen: serves waiting threads if `thread`, the one that is to fork, waits for a page
  // itself, or sleeps for a lock (`lock_wait`) that one of them may hold. It cannot be forking
  // then, so the state may change. Otherwise events are deferred until Thaw.
  void RescueFrozen(uint32_t thread, bool lock_wait) UZ_REQUIRES(mutex_);
  // Any program thread.
  Residence ResidenceOf(uint64_t address) UZ_EXCLUDES(mutex_);
  // The same while another thread holds the pager frozen for the caller.
  Residence ResidenceOfFrozen(uint64_t address) UZ_NO_THREAD_SAFETY_ANALYSIS;
  // In the child, before any other engine thread exists: the lock's holder stayed behind.
  void ResetAfterFork() { mutex_.ResetAfterFork(); }
  // In the child, with ports of its own: registers frames and ranges again, and drops what the
  // child does not have. Ends the child if a page was touched too early: it read zeroes.
  Result<void> RebuildInChild(const Parts& parts) UZ_EXCLUDES(mutex_);
  // The same for a child that cannot be served, with ports that write directly (os/direct_port.h):
  // all its pages are in its memory again, and the pager is not used any more. Fails if a page
  // cannot be read or written; the child must end then. Requires: no thread of the program runs.
  Result<void> RestoreInChild(const Parts& parts) UZ_EXCLUDES(mutex_);
  // The second half of it, after RebuildInChild with ports that were closed since.
  Result<void> RestoreAll(const Parts& parts) UZ_EXCLUDES(mutex_);

  // Checks everything against everything. Costly.
  void Audit() UZ_EXCLUDES(mutex_);

 private:
  friend class PagerTestPeer;

  // What one thread does for faults without the lock.
  struct Work {
    SwapIn::Batch reads;
    Evictor::StoreBatch stores;
    StoreSink* sink = nullptr;  // where they go; any thread may use it
    bool reclaim = false;       // store, and release frames; else read
  };

  static constexpr int kAdoptTries = 16;
  static constexpr int kThrottleMs = 1;
  static constexpr size_t kIsolateBatch = 64;
  static constexpr size_t kReclaimForFault = 8;  // pages stored for a fault beyond the overdraft
  static constexpr size_t kReleaseForFault = 64;
  static constexpr size_t kRescuedMax = 64;
  static constexpr size_t kEndSharingLooks = 4096;  // pages and blocks, under one hold of the lock

  void UseParts(const Parts& parts) UZ_REQUIRES(mutex_);
  [[nodiscard]] StallCallback OnStall() const {
    return {parts_.lock_stalled, parts_.callback_argument};
  }
  Result<void> RegisterOwn() UZ_REQUIRES(mutex_);

  void PinLocked(AddressRange range) UZ_REQUIRES(mutex_);
  size_t ReadMessages() UZ_REQUIRES(mutex_);
  Resolution ServeLocked(uint32_t* last_thread) UZ_REQUIRES(mutex_);
  // One pass over the faults that have been read.
  Resolution ServePass(uint32_t* last_thread) UZ_REQUIRES(mutex_);
  Resolution Answer(ParkedFault* parked) UZ_REQUIRES(mutex_);
  void Balance() UZ_REQUIRES(mutex_);
  // Is there work to be done without the lock? The caller then owns it until DoWork returns.
  bool BeginWork(Resolution pass, Work* work) UZ_REQUIRES(mutex_);
  void DoWork(Work* work) UZ_EXCLUDES(mutex_);

  void ServeWhileFrozen() UZ_REQUIRES(mutex_);
  void ApplyDeferred() UZ_REQUIRES(mutex_);
  Residence Locate(uint64_t address) UZ_REQUIRES(mutex_);
  Result<void> RestorePage(PageIndex index, uint64_t address) UZ_REQUIRES(mutex_);

  Mutex mutex_{LockRank::kPager};
  Parts parts_;
  AddressMap map_ UZ_GUARDED_BY(mutex_);
  Reclaimer reclaimer_ UZ_GUARDED_BY(mutex_){map_.table()};
  FaultQueue queue_ UZ_GUARDED_BY(mutex_);
  FaultHandler handler_ UZ_GUARDED_BY(mutex_);
  SwapIn swap_in_;  // Read runs without the lock, by the working thread
  ThreadContext serving_ UZ_GUARDED_BY(mutex_);
  CacheContext work_context_;  // of the working thread
  bool working_ UZ_GUARDED_BY(mutex_) = false;
  bool rescuing_ UZ_GUARDED_BY(mutex_) = false;
  // Pages that this rescue has served, whose threads are not woken yet.
  uint64_t rescued_[kRescuedMax] UZ_GUARDED_BY(mutex_) = {};
  size_t rescued_count_ UZ_GUARDED_BY(mutex_) = 0;
  DeferredEvents deferred_ UZ_GUARDED_BY(mutex_);
};

}  // namespace uzswap

#endif  // UZSWAP_PAGER_PAGER_H_
