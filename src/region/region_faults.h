// RegionFaults: answers a page fault of a region, in the thread that faulted.
//
//   state of the page       answer                                             kernel call
//   Resident                another thread answered, or the program discarded  ZEROPAGE
//   Staged                  moved back: it left too early                      MOVE
//   Empty                   the zero page; zeroes if it is written to          ZEROPAGE, COPY
//   Stored, SameFilled      decompressed or filled; with neighbours for a      COPY
//                           thread that scans
//
//       claim the word ──> content in the context's scratch pages ──> COPY ──> give the word back
//
// No lock is held: the claim of the word keeps others away from the page, and nobody away from
// other pages. A page that cannot be read back stays Stored, and the fault is not answered (kLost).
//
// Readahead. A thread that faults where its last answer ended scans: the window doubles up to
// kWindowMax pages. Only neighbours that nobody has claimed come along.
//
// Any thread, also in a signal handler, each with its own context. Nothing allocates.
#ifndef UZSWAP_REGION_REGION_FAULTS_H_
#define UZSWAP_REGION_REGION_FAULTS_H_

#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "cache/cache_context.h"
#include "os/mapping.h"
#include "region/region_memory.h"

namespace uzswap {

enum class RegionAccess : uint8_t { kRead, kWrite };
// kLost: the content of the page cannot be read back. It is there for a later try.
enum class [[nodiscard]] RegionFault : uint8_t{kResolved, kLost};

// What a thread needs to answer faults.
struct RegionContext {
  static constexpr size_t kWindowMax = 16;

  // Once. Fails with the errno of mmap.
  Result<void> Init(CompressedCache& compressed_cache);

  CacheContext cache;
  os::Mapping scratch;     // kWindowMax pages
  uint64_t next_page = 0;  // where the last answer ended
  uint32_t window = 1;
};

class RegionFaults {
 public:
  // `memory` outlives this.
  void Init(RegionMemory& memory) { memory_ = &memory; }

  RegionFault Resolve(RegionContext& context, uint64_t page, RegionAccess access);
  // Brings pages in ahead of a touch, as far as the headroom allows.
  void BringIn(RegionContext& context, uint64_t first, uint64_t pages);
  // The pages read as zero afterwards. Pinned pages stay.
  void Discard(RegionContext& context, uint64_t first, uint64_t pages);

 private:
  // Adjacent pages that this thread has claimed.
  struct Run {
    uint64_t first = 0;
    size_t count = 0;
    RegionWord words[RegionContext::kWindowMax];  // before they were claimed
  };

  [[nodiscard]] uint32_t Window(RegionContext& context, uint64_t page) const;
  // Each gives back the words that it was given claimed.
  void ResolveResident(uint64_t page, RegionWord word);
  RegionFault ReturnStaged(uint64_t page, RegionWord word);
  void PopulateZero(uint64_t page, RegionWord word);
  RegionFault Populate(RegionContext& context, uint64_t page, RegionWord word, uint32_t window);

  void ExtendRun(Run* run, uint32_t window);
  size_t Fill(RegionContext& context, const Run& run);
  LoadedPage FillPage(RegionContext& context, RegionWord word, std::byte* page, LoadFrom from);
  void ReadFromDisk(RegionContext& context, const Run& run);
  void CopyRun(RegionContext& context, const Run& run, size_t filled);
  void FreeContent(RegionContext& context, RegionWord word);
  void GiveBackRest(const Run& run, size_t from);

  RegionMemory* memory_ = nullptr;
};

}  // namespace uzswap

#endif  // UZSWAP_REGION_REGION_FAULTS_H_
