// RangeRegistrar: adopts mappings. It registers them with userfaultfd and adds them to the table.
//
//   Adopt([s, e)):   gaps of [s, e) that the table does not have
//        whole mappings only, nothing pending  ->  Add to the table  ->  UFFDIO_REGISTER
//        ->  which pages are present (PAGEMAP_SCAN)  ->  Resident, the rest Untracked
//        ->  an event became pending meanwhile: all of it is undone, the next scan tries again
//
// Registering splits a mapping at the ends of the range, and a later mremap of what was one mapping
// would fail. So only whole mappings are registered, and only when no range of the table can be
// there that the program has already unmapped.
//
// The probe page is a registered page of ours that is always present. A ZEROPAGE on it answers
// EEXIST, or EAGAIN if an event is pending.
//
// All calls under the owner's lock. Nothing allocates after Init.
#ifndef UZSWAP_VM_RANGE_REGISTRAR_H_
#define UZSWAP_VM_RANGE_REGISTRAR_H_

#include <cstdint>

#include "base/result.h"
#include "base/statistics.h"
#include "base/units.h"
#include "os/address_space.h"
#include "os/mapping.h"
#include "os/user_fault_port.h"
#include "vm/mapping_events.h"
#include "vm/page_table.h"

namespace uzswap {

class RangeRegistrar {
 public:
  // All outlive this.
  struct Parts {
    os::UserFaultPort* port = nullptr;
    os::AddressSpace* address_space = nullptr;
    PageTable* table = nullptr;
    MappingEvents* events = nullptr;
    Statistics* statistics = nullptr;
  };

  // Once. Fails with the errno of mmap.
  Result<void> Init(const Parts& parts);
  // In a forked child, with ports of its own.
  void UseParts(const Parts& parts) { parts_ = parts; }
  // Registers the probe page. Fails with the errno of UFFDIO_REGISTER.
  Result<void> RegisterProbe();

  // Adopts the parts of the range that are not registered yet. Parts that the kernel refuses stay
  // unregistered. Returns whether anything was added.
  bool Adopt(AddressRange range);
  // Tracks the pages of settled discards (vm/discard_watch.h) that are still present, and clears
  // them. Returns how many pages that were. Requires: what was closed is settled.
  uint64_t TrackAgain(DiscardWatch& discards);
  // Is no event pending at this moment?
  [[nodiscard]] bool NothingPending();
  // In a forked child: registers what the child has of the table's ranges, and forgets the rest.
  // A page that is swapped out and also present has one of two causes. The page of a
  // mapping that another thread made while the parent forked is shared with the parent: the entries
  // describe the mapping before it, and are dropped. Otherwise the child has read zeroes there, and
  // is ended.
  Result<void> RegisterInChild();

 private:
  [[nodiscard]] bool IsWhole(AddressRange range);
  bool AdoptGap(AddressRange gap);
  void MarkPresent(AddressRange range);
  // True if the range has a new mapping.
  bool CheckPresentInChild(AddressRange range);
  [[nodiscard]] bool HasSwappedOut(AddressRange range);

  Parts parts_;
  os::Mapping probe_;
};

}  // namespace uzswap

#endif  // UZSWAP_VM_RANGE_REGISTRAR_H_
