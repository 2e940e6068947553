// FaultHandler: answers one page fault.
//
//   state of the page        answer                                                 kernel call
//   Resident                 it was answered before, or the program discarded it    ZEROPAGE
//   Staged                   moved back, with adjacent frames for a scan            MOVE
//   InFlight                 copied from the frame that is being compressed         COPY
//   Untracked                the zero page; zeroes if it is written to              ZEROPAGE, COPY
//   Compressed, SameFilled   decompressed or filled, with neighbours for a scan     COPY
//   not registered           a mapping that grew is adopted, or the thread is woken
//   a staging frame          mlockall of the program touched it: it is made to skip the frames
//
// Resolve() does bounded work and never waits: not for a device, not for memory, not for a
// compression. If it would have to wait, it answers what for (Resolution), and the caller waits
// without the lock. So it works from a message loop, and from a SIGBUS handler in the faulting
// thread.
//
// All calls under the owner's lock. A ThreadContext belongs to one thread at a time. Nothing
// allocates after Init. Ends the process if the content of a page would become uncertain.
#ifndef UZSWAP_PAGER_FAULT_HANDLER_H_
#define UZSWAP_PAGER_FAULT_HANDLER_H_

#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "base/statistics.h"
#include "os/address_space.h"
#include "os/mapping.h"
#include "pager/readahead.h"
#include "pager/swap_in.h"
#include "reclaim/reclaimer.h"
#include "reclaim/watermarks.h"
#include "swap/page_store.h"
#include "vm/address_map.h"

namespace uzswap {

enum class Access : uint8_t { kRead, kWrite };

// What came of a fault, by what must happen next. Of several faults the largest decides.
enum class [[nodiscard]] Resolution : uint8_t{
    kResolved,      // the page is there, or the thread must look again
    kNeedsMemory,   // wait until memory is freed
    kNeedsEvent,    // an event is pending: read it
    kNeedsRead,     // SwapIn has a request for the page: read it
    kNeedsReclaim,  // store staged pages first
};

// What a thread needs to answer faults.
struct ThreadContext {
  // Once. Fails with the errno of mmap.
  Result<void> Init(CompressedCache& compressed_cache);

  CacheContext cache;
  os::Mapping scratch;         // Readahead::kWindowMax pages
  uint8_t reclaim_rounds = 0;  // how often pages were stored for this fault
  bool may_wait = true;        // false: answer even beyond the limit, nobody can free memory now
};

class FaultHandler {
 public:
  // All outlive this.
  struct Parts {
    AddressMap* map = nullptr;
    Reclaimer* reclaimer = nullptr;
    SwapIn* swap_in = nullptr;
    PageStore* store = nullptr;
    os::AddressSpace* address_space = nullptr;
    Headroom* headroom = nullptr;
    Statistics* statistics = nullptr;
    int64_t overdraft = 0;  // pages beyond the headroom, before faults must help or wait
    // Never block. `page_poisoned` is called before the thread is woken: the program gets SIGBUS.
    // `error` is the errno of the read, 0 if what was read is damaged.
    void (*page_poisoned)(void* argument, uint64_t address, int error) = nullptr;
    // Is memory about to be freed, so that a fault far beyond the overdraft should wait?
    bool (*relief_comes)(void* argument) = nullptr;
    void* callback_argument = nullptr;
  };

  void Init(const Parts& parts) { parts_ = parts; }
  void SetOverdraft(int64_t pages) { parts_.overdraft = pages; }

  Resolution Resolve(uint64_t address, Access access, ThreadContext& thread);

 private:
  // One fault on a registered page. The table's ranges do not change meanwhile.
  struct Fault {
    const RegisteredRange& range;
    uint64_t address;
    PageIndex index;
    Access access;
    ThreadContext& thread;
  };
  // Pages in the scratch memory, and why there are not more.
  struct FilledRun {
    size_t count = 0;
    LoadedPage stopped = LoadedPage::kLoaded;
    int error = 0;
  };

  Resolution ResolveRegistered(const Fault& fault);
  Resolution ResolveUnregistered(uint64_t address);
  Resolution ResolveStagingFrame(uint64_t address);
  Resolution ResolveResident(const Fault& fault);
  Resolution ReturnStaged(const Fault& fault, size_t window);
  Resolution CopyBack(const Fault& fault);
  Resolution Populate(const Fault& fault, size_t window);
  Resolution PopulateZero(const Fault& fault);
  Resolution Poison(const Fault& fault, int error);
  // The page could not be populated, and its entry is unchanged.
  Resolution Conclude(const Fault& fault, os::PortOutcome outcome);

  [[nodiscard]] size_t RunLength(const Fault& fault, size_t window);
  FilledRun FillRun(const Fault& fault, size_t count);
  LoadedPage Fill(const PageEntry& entry, ThreadContext& thread, std::byte* page, int* error);
  void RequestReads(const Fault& fault, const FilledRun& run, size_t count);
  [[nodiscard]] Resolution RoomFor(const Fault& fault);
  void Wake(uint64_t address);

  [[nodiscard]] PageEntry EntryOf(PageIndex index) { return parts_.map->table().entry(index); }
  [[nodiscard]] os::UserFaultPort& port() { return parts_.map->port(); }

  static constexpr uint32_t kStagingFaultsMax = 1000;

  Parts parts_;
  Readahead readahead_;
  uint32_t staging_faults_ = 0;  // in a row
};

}  // namespace uzswap

#endif  // UZSWAP_PAGER_FAULT_HANDLER_H_
