// Pager: the program's missing pages. It takes cold pages away, gives touched ones back, and
// follows what the program does to its mappings.
//
//     program's mappings            StagingFrames                 PageStore
//    +------------------+  MOVE   +-----------+   compress   +-----------+
//    | Resident pages   | ------> | Cached    | -----------> | pool      |
//    |                  | <------ | Spent     |              | objects   |
//    |                  |  MOVE   +-----------+  decompress  |           |
//    +------------------+ <--------------------------------- +-----------+
//                             COPY                 Spent frames drain to the kernel
//
// Threads:
//   the pager thread   ServeOnce in a loop: faults, events, and taking pages when room is short
//   the keeper         Adopt, Take, CompressOldest, Drain
//   program threads    only the fork calls, from fork handlers
//
// One lock, held for bounded work, guards everything; it is never held while a page is
// compressed in the background or read from a device, so no fault waits for that but its own.
// Messages are read and applied under the lock, and every MOVE is refused by the kernel while a
// message waits: so whoever holds the lock knows the address space as it is. Each pair of racers
// with its winner is in docs/design/races.md.
//
// When the kernel refuses something that would make a page's content uncertain, the pager
// aborts the process: it never continues with a wrong byte.
#ifndef UZSWAP_PAGER_PAGER_H_
#define UZSWAP_PAGER_PAGER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/mutex.h"
#include "base/result.h"
#include "base/rng.h"
#include "base/statistics.h"
#include "base/thread_annotations.h"
#include "os/address_space.h"
#include "os/user_fault_port.h"
#include "os/virtual_array.h"
#include "pager/readahead.h"
#include "reclaim/staging_frames.h"
#include "reclaim/watermarks.h"
#include "swap/page_store.h"
#include "vm/late_events.h"
#include "vm/page_table.h"

namespace uzswap {

class Pager final : private PageTable::Relocation {
 public:
  // What the pager stands on. All outlive it.
  struct Parts {
    os::UserFaultPort* port = nullptr;        // the program's mappings and the swap frames
    os::UserFaultPort* drain_port = nullptr;  // the drain, on a context without events
    os::AddressSpace* address_space = nullptr;
    PageStore* store = nullptr;
    Statistics* statistics = nullptr;
    Headroom* headroom = nullptr;
    Watermarks levels;
    // Called, without blocking, when the keeper should compress.
    void (*wake_keeper)(void* context) = nullptr;
    void* callback_context = nullptr;
    // Called, without blocking, when a page is lost: the program gets SIGBUS. `error` is the
    // errno of the read, 0 if what was read is damaged.
    void (*page_lost)(void* context, uint64_t address, int error) = nullptr;
    // Is memory about to come free, so that a fault beyond the overdraft had better wait?
    // Never blocks. nullptr: no.
    bool (*relief_comes)(void* context) = nullptr;
  };

  Pager() = default;
  Pager(const Pager&) = delete;
  Pager& operator=(const Pager&) = delete;

  Result<void> Init(const Parts& parts) UZ_EXCLUDES(mutex_);

  // Sleeps until there is a message (or the time is over) and serves all that wait.
  // Returns the thread whose fault was served last, 0 if none.
  uint32_t ServeOnce(int timeout_ms) UZ_EXCLUDES(mutex_);
  // The same without sleeping first. Whoever reads messages outside ServeOnce calls it after:
  // the pager thread does not wake for messages that somebody else has read.
  uint32_t ServeWaiting() UZ_EXCLUDES(mutex_);

  // Takes the parts of [start, end) that are not in care yet into care. Parts the kernel
  // refuses stay outside. Returns whether anything was added.
  bool Adopt(uint64_t start, uint64_t end) UZ_EXCLUDES(mutex_);
  // Keeps the pages of [start, end) resident from now on, as far as they are in care.
  void PinResident(uint64_t start, uint64_t end) UZ_EXCLUDES(mutex_);

  // Moves up to `want` cold pages into the swap cache. Returns how many it took.
  size_t Take(size_t want) UZ_EXCLUDES(mutex_);
  // Compresses up to `max` of the oldest cached pages, outside the lock. Returns how many
  // frames were spent. One caller at a time per context.
  size_t CompressOldest(CacheContext& context, size_t max) UZ_EXCLUDES(mutex_);
  // Gives up to `max` spent frames back to the kernel. Returns how many.
  size_t Drain(size_t max) UZ_EXCLUDES(mutex_);

  // The oldest pages that the kernel refused to move because they are, or were, shared with a
  // forked child. Whoever writes to them (MADV_POPULATE_WRITE) makes them movable again.
  // Forgets what it returns.
  size_t BusyPages(uint64_t* addresses, size_t capacity) UZ_EXCLUDES(mutex_);
  // These pages may be taken again without delay.
  void CoolDown(const uint64_t* addresses, size_t count) UZ_EXCLUDES(mutex_);

  struct Picture {
    PageCount resident;  // pages of the program in care and present
    size_t cached = 0;   // frames of the swap cache, by state
    size_t spent = 0;
    size_t populated = 0;
  };
  Picture Look() UZ_EXCLUDES(mutex_);

  // Fork. The keeper freezes the pager (nothing of it changes until Thaw, so the child gets a
  // consistent copy) while a program thread forks; see docs/design/fork.md.
  void Freeze() UZ_ACQUIRE(mutex_);
  void Thaw() UZ_RELEASE(mutex_);
  // While frozen: serves waiting threads if `thread`, the one that is to fork, waits for a page
  // itself, or sleeps for a lock (`lock_wait`) that one of them may hold. It cannot be forking
  // then, so the state may change. Otherwise messages are put aside for Thaw.
  void RescueFrozen(uint32_t thread, bool lock_wait) UZ_REQUIRES(mutex_);
  // Any program thread: is the page of `address` in care and not in the program's memory?
  bool IsAway(uint64_t address) UZ_EXCLUDES(mutex_);
  // Any program thread: is `address` in care?
  bool InCare(uint64_t address) UZ_EXCLUDES(mutex_);
  // The same while another thread holds the pager frozen for the caller.
  bool IsAwayFrozen(uint64_t address) UZ_NO_THREAD_SAFETY_ANALYSIS;
  bool InCareFrozen(uint64_t address) UZ_NO_THREAD_SAFETY_ANALYSIS;
  // In the child, before any other engine thread exists: the lock's holder stayed behind.
  void ResetAfterFork() { mutex_.ResetAfterFork(); }
  // In the child, with ports of its own: registers frames and regions again, drops what the
  // child does not have. Aborts the child if a page was touched too early: it read zeroes.
  Result<void> RebuildInChild(const Parts& parts) UZ_EXCLUDES(mutex_);

  // Checks everything against everything. Costly.
  void Audit() UZ_EXCLUDES(mutex_);

 private:
  friend class PagerTestPeer;

  enum class Served : uint8_t {
    kDone,
    kThrottled,  // memory must come free first
    kLater,      // an event must be read first
    kRead,       // its page must be read from the backing store first
  };
  // What is to be done after a pass over the faults; the last one that applies counts.
  enum class Pass : uint8_t { kFinished, kMustWait, kEventDue, kMustRead };

  // A thread waits for one page at a time. All must fit: the kernel hands out events only when
  // no fault is left to read, and some faults cannot be served before an event was read.
  static constexpr size_t kParkedMax = 1 << 16;
  static constexpr int kAdoptTries = 16;
  static constexpr size_t kDeferredMax = 256;
  static constexpr size_t kBusyMax = 256;
  static constexpr size_t kReadBatch = 16;
  static constexpr size_t kTakeBatch = 64;      // pages in one MOVE
  static constexpr size_t kCompressBatch = 16;  // pages in flight at once
  static constexpr size_t kHandTakes = 64;      // pages before the hand jumps
  static constexpr size_t kDrainPages = 64;
  static constexpr size_t kReadsMax = 16;  // pages asked for from the backing store at once
  static constexpr size_t kAheadMax = 8;   // of these, pages that nobody waits for yet
  static constexpr int kThrottleMs = 1;
  static constexpr size_t kRecent = 32;  // pages that an instruction, or a few, need at once
  static constexpr size_t kSweepWords = 1 << 18;  // words looked at under one hold of the lock

  // How far a fault has come whose page is on disk.
  enum class ReadState : uint8_t {
    kNone,
    kWanted,    // its slot is in wanted_, if there was room
    kUnderWay,  // it is being read without the lock
    kTried,     // if it is not in memory now, the load waits for the device itself
  };
  struct Parked {
    os::UserFaultEvent fault;
    uint64_t read_ns = 0;
    ReadState read = ReadState::kNone;
  };

  // Slots of pages to be read from the backing store, without the lock.
  struct ReadList {
    uint32_t slots[kReadsMax];
    size_t count = 0;

    bool Add(uint32_t slot) {
      if (count == kReadsMax) return false;
      slots[count++] = slot;
      return true;
    }
    // Requires: not empty.
    uint32_t TakeFirst() {
      const uint32_t first = slots[0];
      --count;
      for (size_t i = 0; i < count; ++i) slots[i] = slots[i + 1];
      return first;
    }
  };

  // Pages in the scratch memory, and why there are not more.
  struct FilledRun {
    size_t count = 0;
    LoadedPage stopped = LoadedPage::kLoaded;
  };

  // Pages on their way into the pool: begun and finished under the lock, stored without it.
  struct CompressBatch {
    FrameId frames[kCompressBatch];
    const std::byte* pages[kCompressBatch];
    StoredPage outcomes[kCompressBatch];
    size_t count = 0;
  };

  // The memory of ours that takes part in moves, with the contexts it belongs to.
  Result<void> RegisterOwn() UZ_REQUIRES(mutex_);
  void UseParts(const Parts& parts) UZ_REQUIRES(mutex_);
  void WordMoved(PageIndex from, PageIndex to, const PageEntry& word) override;

  // pager_serve.cc
  Pass ServeLocked(uint32_t* last_thread) UZ_REQUIRES(mutex_);
  static Pass PassAfter(Served served);
  size_t ReadLocked() UZ_REQUIRES(mutex_);

  // pager_faults.cc
  Served ServeFault(const os::UserFaultEvent& fault) UZ_REQUIRES(mutex_);
  Served ServeKnown(const Region& region, const os::UserFaultEvent& fault) UZ_REQUIRES(mutex_);
  Served ServeUnknown(const os::UserFaultEvent& fault) UZ_REQUIRES(mutex_);
  Served ServeResident(uint64_t address) UZ_REQUIRES(mutex_);
  Served ReturnCached(const Region& region, uint64_t address, size_t window) UZ_REQUIRES(mutex_);
  Served CopyBack(PageIndex number, uint64_t address) UZ_REQUIRES(mutex_);
  Served Supply(const Region& region, uint64_t address, bool write, size_t window)
      UZ_REQUIRES(mutex_);
  Served SupplyZero(PageIndex number, uint64_t address) UZ_REQUIRES(mutex_);
  Served Conclude(PageIndex number, uint64_t address, os::PortOutcome outcome) UZ_REQUIRES(mutex_);
  size_t RunLength(const Region& region, uint64_t address, size_t window) UZ_REQUIRES(mutex_);
  LoadedPage Fill(const PageEntry& word, std::byte* page, LoadFrom from) UZ_REQUIRES(mutex_);
  // The page of `number` answered a fault.
  void NoteRecent(PageIndex number) UZ_REQUIRES(mutex_) {
    recent_[recent_next_++ % kRecent] = number;
  }
  // The page of `number` is in the program now; its stored copy goes.
  void NoteSupplied(PageIndex number, uint8_t heat) UZ_REQUIRES(mutex_);
  void BalanceLocked() UZ_REQUIRES(mutex_);

  // pager_reads.cc
  FilledRun FillRun(PageIndex first, size_t count) UZ_REQUIRES(mutex_);
  void BeginReads(Pass pass, ReadList* reads) UZ_REQUIRES(mutex_);
  void DoReads(const ReadList& reads) UZ_EXCLUDES(mutex_);
  // Gives the first `most` faults of one state another.
  void MarkReads(ReadState from, ReadState to, size_t most) UZ_REQUIRES(mutex_);
  Served Lose(PageIndex number, uint64_t address) UZ_REQUIRES(mutex_);
  bool MustWait() UZ_REQUIRES(mutex_);

  // pager_events.cc
  struct FormerPiece {
    uint64_t end = 0;
    bool in_limbo = false;
  };
  void ApplyEvent(const os::UserFaultEvent& event) UZ_REQUIRES(mutex_);
  void SettleLateEvents() UZ_REQUIRES(mutex_);
  void ApplyUnmap(uint64_t start, uint64_t end) UZ_REQUIRES(mutex_);
  void ApplyRemap(uint64_t start, uint64_t end, uint64_t target) UZ_REQUIRES(mutex_);
  void ForgetFormer(uint64_t start, uint64_t end) UZ_REQUIRES(mutex_);
  FormerPiece FormerFrom(uint64_t start, uint64_t end) UZ_REQUIRES(mutex_);
  void MoveRange(uint64_t start, uint64_t end, uint64_t target) UZ_REQUIRES(mutex_);
  // Drops the pages of a range and takes it out of the map.
  void ForgetRange(uint64_t start, uint64_t end) UZ_REQUIRES(mutex_);
  void DiscardRange(uint64_t start, uint64_t end) UZ_REQUIRES(mutex_);
  void Discard(PageIndex number) UZ_REQUIRES(mutex_);
  bool AdoptLocked(uint64_t start, uint64_t end) UZ_REQUIRES(mutex_);
  bool NothingAnnounced() UZ_REQUIRES(mutex_);
  bool IsWhole(uint64_t start, uint64_t end) UZ_REQUIRES(mutex_);
  bool AdoptGap(uint64_t start, uint64_t end) UZ_REQUIRES(mutex_);
  void MarkPresent(uint64_t start, uint64_t end) UZ_REQUIRES(mutex_);

  // pager_moves.cc. As UserFaultPort::Move, but what is done is what the frames say.
  os::PortResult MoveIntoFrames(uint64_t source, FrameId first, size_t pages) UZ_REQUIRES(mutex_);
  os::PortResult MoveFromFrames(os::UserFaultPort& port, uint64_t destination, FrameId first,
                                size_t pages) UZ_REQUIRES(mutex_);
  os::PortResult AddUntold(os::PortResult result, size_t pages, uint64_t moved) UZ_REQUIRES(mutex_);
  uint64_t PresentMask(uint64_t start, size_t pages) UZ_REQUIRES(mutex_);

  // pager_reclaim.cc
  size_t TakeLocked(size_t want) UZ_REQUIRES(mutex_);
  void JumpHand() UZ_REQUIRES(mutex_);
  bool IsVictim(PageIndex number) UZ_REQUIRES(mutex_);
  size_t VictimRun(const Region& region, size_t want) UZ_REQUIRES(mutex_);
  size_t TakeRun(const Region& region, size_t want, bool* stop) UZ_REQUIRES(mutex_);
  void BeginBatch(size_t max, CompressBatch* batch) UZ_EXCLUDES(mutex_);
  void StoreBatch(CacheContext& context, CompressBatch* batch) UZ_EXCLUDES(mutex_);
  size_t FinishBatch(const CompressBatch& batch) UZ_EXCLUDES(mutex_);
  size_t BeginCompress(FrameId* frames, size_t max) UZ_REQUIRES(mutex_);
  bool FinishCompress(FrameId frame, const StoredPage& outcome) UZ_REQUIRES(mutex_);
  void GiveBackPoor(FrameId frame) UZ_REQUIRES(mutex_);
  void DirectReclaim() UZ_REQUIRES(mutex_);
  size_t DrainLocked(size_t max) UZ_REQUIRES(mutex_);
  void ChargePool() UZ_REQUIRES(mutex_);

  // pager_fork.cc
  void ApplyDeferred() UZ_REQUIRES(mutex_);
  void CountInChild() UZ_REQUIRES(mutex_);
  void AbortIfTouchedEarly(uint64_t start, uint64_t end) UZ_REQUIRES(mutex_);
  bool IsAwayHere(uint64_t address) UZ_REQUIRES(mutex_);

  Mutex mutex_{LockRank::kPager};
  Parts parts_;          // its port is the witness
  WitnessPort witness_;  // around the port that was given
  OwedUnmaps owed_ UZ_GUARDED_BY(mutex_);
  PageTable regions_ UZ_GUARDED_BY(mutex_);
  StagingFrames frames_ UZ_GUARDED_BY(mutex_);
  Readahead streams_ UZ_GUARDED_BY(mutex_);
  CacheContext context_ UZ_GUARDED_BY(mutex_);
  os::Mapping scratch_ UZ_GUARDED_BY(mutex_);
  os::Mapping drain_ UZ_GUARDED_BY(mutex_);
  os::Mapping sentinel_ UZ_GUARDED_BY(mutex_);  // a page that is registered and always there

  os::VirtualArray<Parked> parked_ UZ_GUARDED_BY(mutex_);
  size_t parked_count_ UZ_GUARDED_BY(mutex_) = 0;
  // Where the fault that is being served may be answered from.
  LoadFrom load_from_ UZ_GUARDED_BY(mutex_) = LoadFrom::kMemory;
  // Pages that faults of this pass wait for, and pages ahead of a walking thread.
  ReadList wanted_ UZ_GUARDED_BY(mutex_);
  ReadList ahead_ UZ_GUARDED_BY(mutex_);
  // Somebody reads, without the lock, with the context below.
  bool reading_ UZ_GUARDED_BY(mutex_) = false;
  CacheContext read_context_;

  // Events read while frozen, in order.
  os::UserFaultEvent deferred_[kDeferredMax] UZ_GUARDED_BY(mutex_);
  size_t deferred_count_ UZ_GUARDED_BY(mutex_) = 0;

  // The clock's hand: an address, so that it survives changes of the region map.
  uint64_t hand_ UZ_GUARDED_BY(mutex_) = 0;
  // Pages the hand may still take before it jumps.
  size_t hand_left_ UZ_GUARDED_BY(mutex_) = 0;
  Rng rng_ UZ_GUARDED_BY(mutex_){0x757a73776170};
  size_t resident_ UZ_GUARDED_BY(mutex_) = 0;
  // The pages that faults were answered with last, by turns.
  PageIndex recent_[kRecent] UZ_GUARDED_BY(mutex_) = {};
  size_t recent_next_ UZ_GUARDED_BY(mutex_) = 0;
  size_t compressing_ UZ_GUARDED_BY(mutex_) = 0;
  int64_t pool_pages_ UZ_GUARDED_BY(mutex_) = 0;  // charged to the headroom so far
  // Pages refused as incompressible since one was last stored.
  size_t poor_streak_ UZ_GUARDED_BY(mutex_) = 0;
  bool sweep_failed_ UZ_GUARDED_BY(mutex_) = false;
  uint64_t busy_[kBusyMax] UZ_GUARDED_BY(mutex_) = {};
  size_t busy_count_ UZ_GUARDED_BY(mutex_) = 0;
  bool forking_ UZ_GUARDED_BY(mutex_) = false;
  bool rescuing_ UZ_GUARDED_BY(mutex_) = false;
};

}  // namespace uzswap

#endif  // UZSWAP_PAGER_PAGER_H_
