// RegionMemory: what the parts of a region share: its addresses, its words, its budget.
//
//     base                                              base + pages * 4 KiB
//      | Resident |   Stored   | Resident | Empty ...    |        words: one for each page
//
//      used = resident + staged + pool  <= limit       (pages)
//
// Plain references and counters. Any thread.
#ifndef UZSWAP_REGION_REGION_MEMORY_H_
#define UZSWAP_REGION_REGION_MEMORY_H_

#include <cstdint>

#include "base/counter.h"
#include "base/units.h"
#include "os/address_space.h"
#include "os/mapping.h"
#include "os/user_fault_port.h"
#include "region/region_word.h"
#include "swap/page_store.h"

namespace uzswap {

struct RegionCounters {
  RelaxedCounter resident;       // pages, now
  RelaxedCounter staged;         // pages in staging frames, now
  RelaxedCounter stored;         // pages in the pool or on disk, now; without same-filled ones
  RelaxedCounter pinned;         // pins, now
  RelaxedCounter faults;         // touches
  RelaxedCounter faults_zero;    // first touches
  RelaxedCounter faults_staged;  // answered from a staging frame
  RelaxedCounter faults_disk;    // for which the disk was read
  RelaxedCounter faults_raced;   // another thread had answered them
  RelaxedCounter faults_lost;    // the content cannot be read back
  RelaxedCounter read_ahead;     // pages
  RelaxedCounter isolated;       // pages
  RelaxedCounter refused;        // pages that the kernel refused to move
  RelaxedCounter incompressible;
  RelaxedCounter no_room;      // stores that the pool refused
  RelaxedCounter over_budget;  // faults that were answered although nothing could be reclaimed
  RelaxedCounter retries;      // calls that the kernel asked to repeat
  RelaxedCounter unreported_moves;
  RelaxedCounter evictions_elsewhere;  // another thread worked on the shard
};

struct RegionMemory {
  os::Mapping* mapping = nullptr;
  uint64_t pages = 0;
  uint64_t limit_pages = 0;
  os::UserFaultPort* port = nullptr;
  os::AddressSpace* address_space = nullptr;
  PageStore* store = nullptr;
  os::Mapping frames;  // staging frames, of all shards
  RegionWords words;
  RegionCounters counters;

  [[nodiscard]] uint64_t AddressOf(uint64_t page) const {
    return reinterpret_cast<uint64_t>(mapping->data()) + (page << kPageShift);
  }
  [[nodiscard]] std::byte* FrameData(uint32_t frame) const {
    return frames.data() + (uint64_t{frame} << kPageShift);
  }
  [[nodiscard]] uint64_t FrameAddress(uint32_t frame) const {
    return reinterpret_cast<uint64_t>(FrameData(frame));
  }
  // Gives the memory of a page of the region back to the kernel.
  void DropPage(uint64_t page) { mapping->Discard(page << kPageShift, kPageSize); }
  // Negative: over the budget.
  [[nodiscard]] int64_t HeadroomPages() const {
    const uint64_t used =
        counters.resident.Get() + counters.staged.Get() + PagesWithin(store->PoolBytes()).raw();
    return static_cast<int64_t>(limit_pages) - static_cast<int64_t>(used);
  }
};

}  // namespace uzswap

#endif  // UZSWAP_REGION_REGION_MEMORY_H_
