// PagerWorld: a pager over a fake kernel, a real pool and a program whose every byte is known.
// Tests only.
//
//      model:   page -> the bytes the program must see        (nothing: zeroes)
//      fake:    mappings, present pages, threads, events      (os/fake_user_fault.h)
//      pager:   the code under test, with a PageStore over a ZbudPool
//      device:  on request, a fake one that the compressed cache writes back to
//
// The program's operations change fake and model together. Check() compares every page of the
// program with the model without touching it: where a page is away, the content is read where
// the pager keeps it. While a change of mappings is announced the pager cannot know better, so
// only present pages are compared. The first difference is kept as a line of text, and ok()
// turns false; the world knows nothing of gtest, so that the fuzzer can use it.
//
// Nothing here sleeps or loops without a bound. One thread only, unless noted.
//
// Size: it is the vocabulary of the pager's tests: what a program, a kernel and a device can do.
#ifndef UZSWAP_PAGER_TESTING_PAGER_WORLD_H_
#define UZSWAP_PAGER_TESTING_PAGER_WORLD_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/statistics.h"
#include "base/testing/page_corpus.h"
#include "codec/codec.h"
#include "frame/frame_arena.h"
#include "os/testing/fake_io_port.h"
#include "os/testing/fake_user_fault.h"
#include "pager/pager.h"
#include "pool/zbud_pool.h"
#include "writeback/writeback.h"

namespace uzswap {

// Reaches what tests must see or force, and nothing else does.
class PagerTestPeer {
 public:
  using Batch = Evictor::StoreBatch;
  using Work = Pager::Work;

  // One pass over the messages, and the work that it needs. False if a fault waits for an event
  // that is not there yet, or for memory.
  static bool ServePass(Pager& pager);
  // The same in steps: the work is left to the caller, if *has_work.
  static bool BeginPass(Pager& pager, Work* work, bool* has_work);
  static bool BeginPass(Pager& pager, Work* work) {
    bool has_work = false;
    return BeginPass(pager, work, &has_work);
  }
  // A pass of another thread while there is work under way.
  static void BeginPassElsewhere(Pager& pager) {
    uint32_t thread = 0;
    MutexLock lock(pager.mutex_);
    static_cast<void>(pager.ServeLocked(&thread));
  }
  static void DoWork(Pager& pager, Work* work) { pager.DoWork(work); }
  // Adopt without serving at its end, which would wait for events that the test must queue.
  static bool Adopt(Pager& pager, uint64_t start, uint64_t end);
  static PageState StateOf(Pager& pager, uint64_t address);
  static bool IsRegistered(Pager& pager, uint64_t address);
  // A fault on the first Empty staging frame.
  static Resolution ResolveEmptyFrame(Pager& pager);
  // The page table has no memory for more ranges from now on.
  static void RefuseRanges(Pager& pager);
  // The content that the pager would populate. False for a page whose entry says Resident.
  static bool ContentOf(Pager& pager, CacheContext& context, uint64_t address, std::byte* page);
  // Makes the page as old as can be and puts the clock's hand on it.
  static void AimAt(Pager& pager, uint64_t address);
  // In a test the thread that froze the pager is the one that forks: the child's record of held
  // locks must not keep it.
  static void ReleaseLockInChild(Pager& pager) UZ_NO_THREAD_SAFETY_ANALYSIS {
    pager.mutex_.Unlock();
  }
  static uint8_t AgeOf(Pager& pager, uint64_t address);

  static void BeginBatch(Pager& pager, size_t max, Batch* batch) {
    MutexLock lock(pager.mutex_);
    pager.reclaimer_.evictor().BeginStore(max, batch);
  }
  static void StoreBatch(Pager& pager, CacheContext& context, Batch* batch);
  // What Freeze does before a fork.
  static void BeginSharing(Pager& pager) {
    MutexLock lock(pager.mutex_);
    pager.reclaimer_.contents().BeginSharing();
  }
  static SwapSlot KeptSlotOf(Pager& pager, uint64_t address) {
    MutexLock lock(pager.mutex_);
    return pager.map_.table().EntryOf(address).kept_slot();
  }
  static size_t FinishBatch(Pager& pager, const Batch& batch) {
    MutexLock lock(pager.mutex_);
    return pager.reclaimer_.evictor().FinishStore(batch);
  }
};

class PagerWorld {
 public:
  using Page = std::array<std::byte, kPageSize>;
  using Access = os::FakeUserFault::Access;
  using ChangeId = os::FakeUserFault::ChangeId;

  struct Options {
    uint64_t frames = 64;
    uint64_t pool_frames = 256;
    int64_t headroom = 1000;  // pages
    int64_t overdraft = 16;
    const Codec* codec = nullptr;
    uint64_t device_bytes = 0;  // of the backing store; none if 0
  };

  // Where the program's memory lies; nothing real is there.
  static constexpr uint64_t kBase = 0x200000000000;
  static constexpr uint64_t kEnd = kBase + (uint64_t{1} << 32);
  // The address of the program's page number `page`.
  static constexpr uint64_t At(uint64_t page) { return kBase + (page << kPageShift); }

  PagerWorld() : PagerWorld(Options{}) {}
  explicit PagerWorld(const Options& options);
  // UnmapEverything; a failure then ends the test program.
  ~PagerWorld();
  PagerWorld(const PagerWorld&) = delete;
  PagerWorld& operator=(const PagerWorld&) = delete;

  // --- The program ---
  void Map(uint64_t page, uint64_t pages, os::FakeProtection protection = {});
  void MapAndAdopt(uint64_t page, uint64_t pages);
  bool Adopt(uint64_t page, uint64_t pages) {
    return PagerTestPeer::Adopt(pager, At(page), At(page + pages));
  }
  // Fills pages with content of a kind; page i gets seed + i. Pumps while it must wait.
  void Fill(uint64_t page, uint64_t pages, PageKind kind, uint64_t seed);
  void FillBytes(uint64_t page, const Page& content);
  // One step of an access. A load that is done is compared with the model.
  Access TryWrite(uint32_t thread, uint64_t page, std::byte value);
  Access TryRead(uint32_t thread, uint64_t page);
  // The same until done; pumps while it must wait. False if it never gets through.
  bool Write(uint64_t page, std::byte value, uint32_t thread = 1);
  bool Read(uint64_t page, uint32_t thread = 1);

  ChangeId BeginUnmap(uint64_t page, uint64_t pages);
  ChangeId BeginReplace(uint64_t page, uint64_t pages);
  ChangeId BeginRemap(uint64_t page, uint64_t pages, uint64_t new_pages, uint64_t target,
                      bool keep_source = false);
  ChangeId BeginDiscard(uint64_t page, uint64_t pages);
  bool Step(ChangeId change);
  // To the end, with the pager reading. False if it never gets there.
  bool Finish(ChangeId change);

  // --- The pager ---
  // Serves until nothing is left to do, within a bound. False if faults had to be kept.
  bool Pump();
  // Forces these pages into a state, by the ordinary ways.
  void TakePages(uint64_t page, uint64_t pages);
  void CompressAll();
  // Writes everything that is in the pool to the device. Requires: there is one.
  void WriteBackAll();
  // A pass whose work is left open; and doing it. Pump does it first.
  void BeginOpenWork();
  void DoOpenWork();

  // --- Checks ---
  // Ends the program's memory, and checks that nothing is left of it in frames, pool or counts.
  bool UnmapEverything();
  // Compares every page with the model, and audits the pager.
  bool Check();
  // The same by reading every page through the program.
  bool ReadEverything();
  [[nodiscard]] bool ok() const { return failure_.empty(); }
  [[nodiscard]] const std::string& failure() const { return failure_; }
  PageState StateOf(uint64_t page) { return PagerTestPeer::StateOf(pager, At(page)); }
  // In the child's copy of the world, after fork(2).
  Result<void> BecomeChild();
  // The same if the fake kernel has already become a child's.
  Result<void> RebuildInChild();

  bool IsWritable(uint64_t page) {
    os::MapsEntry entry;
    return fake.Find(At(page), &entry) && entry.writable;
  }
  // The size of the mapping that holds the page.
  uint64_t MappingPages(uint64_t page) {
    os::MapsEntry entry;
    return fake.Find(At(page), &entry) ? (entry.end - entry.start) >> kPageShift : 0;
  }
  void Fail(const std::string& what) {
    if (failure_.empty()) failure_ = what;
  }
  // For tests in which something is left in the pool on purpose.
  void DoNotCheckAtEnd() { check_at_end_ = false; }

  // Pages the pager has given up, in order.
  [[nodiscard]] const std::vector<uint64_t>& poisoned() const { return poisoned_; }

  os::FakeUserFault fake;
  Statistics statistics;
  Headroom headroom;
  FrameArena arena;
  ZbudPool pool;
  os::FakeIoPort device;
  BackingStore backing;
  DictionarySet dictionaries;
  CompressedCache cache;
  Writeback writeback;
  PageStore store;
  Pager pager;
  CacheContext context;       // the reclaim daemon's
  bool relief_comes = false;  // what relief_comes answers
  int refreshes = 0;          // calls of refresh_headroom

 private:
  struct Discard {
    ChangeId change;
    uint64_t page;
    uint64_t pages;
  };

  static constexpr uint32_t kSlots = 1 << 12;

  void InitCache();
  Pager::Parts MakeParts();
  const Page& Expected(uint64_t page);
  std::string Describe(uint64_t page);
  void AcceptEmptied(uint64_t page, uint64_t offset, Page& expected);
  void CheckPage(uint64_t page, bool quiet);
  void ForgetModel(uint64_t page, uint64_t pages);
  // The zap took place: what the pages hold now is either nothing, or was written since.
  void ResolveDiscard(const Discard& discard);
  [[nodiscard]] bool UnderDiscard(uint64_t page) const;

  Options options_;
  std::map<uint64_t, std::unique_ptr<Page>> model_;
  std::map<uint64_t, bool> written_;  // pages written to while under a discard
  std::vector<Discard> discards_;
  CacheContext looking_;
  CacheContext writing_;
  std::vector<uint64_t> poisoned_;
  PagerTestPeer::Work open_work_;
  bool has_open_work_ = false;
  std::string failure_;
  bool check_at_end_ = true;
};

}  // namespace uzswap

#endif  // UZSWAP_PAGER_TESTING_PAGER_WORLD_H_
