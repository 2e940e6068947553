// MappingEvents: applies what the kernel reports about the program's mappings to the page table.
//
//   event                  effect on the page table
//   UNMAP  [s, e)          the pages are discarded, the addresses are removed
//   REMOVE [s, e)          the pages are discarded, the addresses stay (madvise DONTNEED, REMOVE)
//   REMAP  [s, e) -> t     the addresses change, the pages keep their indices
//
// Events of different calls can be read in another order than the calls were made (late_events.h).
// Three rules follow:
//   - After REMAP of [s, e) an UNMAP of [s, e) is still to come. It concerns nobody.
//   - If a REMAP lands on addresses that the table still has, the former pages are *displaced*:
//     they keep their entries at addresses above every program (kDisplaced + address) until the
//     late event says whether they moved or went.
//   - An UNMAP can name addresses that the table did not have: it names what the call named, with
//     unregistered mappings and holes. Pages of a remap that has not returned stay there: nobody
//     can have unmapped them yet.
//
// All calls under the owner's lock. Nothing allocates. `PageDiscarder` frees what holds the content
// of a page: frames and swap slots belong to higher layers.
#ifndef UZSWAP_VM_MAPPING_EVENTS_H_
#define UZSWAP_VM_MAPPING_EVENTS_H_

#include <cstdint>

#include "base/statistics.h"
#include "base/units.h"
#include "os/user_fault_port.h"
#include "vm/discard_watch.h"
#include "vm/late_events.h"
#include "vm/page_table.h"

namespace uzswap {

class PageDiscarder {
 public:
  // The page becomes Untracked; whatever holds its content is freed.
  virtual void Discard(PageIndex index) = 0;

 protected:
  ~PageDiscarder() = default;
};

class MappingEvents {
 public:
  // All outlive this. `port` is the port whose answers prove that no event is pending.
  struct Parts {
    EventTrackingPort* port = nullptr;
    PageTable* table = nullptr;
    PageDiscarder* discarder = nullptr;
    Statistics* statistics = nullptr;
  };

  void Init(const Parts& parts) { parts_ = parts; }

  // Requires: not a page fault. Ends the process if two changes of one range overtake each other.
  void Apply(const os::UserFaultEvent& event);
  // Discards the pages of a range and keeps it registered.
  void DiscardRange(AddressRange range);
  // Discards the pages of a range and removes it from the table.
  void ForgetRange(AddressRange range);
  // Ranges that REMOVE events named.
  [[nodiscard]] DiscardWatch& discards() { return discards_; }
  // In a forked child: the parent's events will not be read here.
  void ForgetPending() { pending_.Clear(); }

 private:
  // A piece of a range about which an event makes one statement.
  struct FormerPiece {
    uint64_t end = 0;
    bool displaced = false;
  };

  void SettleLateEvents();
  void ApplyUnmap(AddressRange range);
  void ApplyRemap(AddressRange source, uint64_t target);
  // `spare_landed`: what a remap that has not returned put there stays.
  void ForgetFormer(AddressRange range, bool spare_landed);
  void ForgetAllButLanded(AddressRange range);
  [[nodiscard]] bool HasFormerPages(AddressRange range) const;
  [[nodiscard]] FormerPiece FormerFrom(AddressRange range) const;
  void MoveRange(AddressRange source, uint64_t target);

  Parts parts_;
  PendingUnmaps pending_;
  DiscardWatch discards_;
};

}  // namespace uzswap

#endif  // UZSWAP_VM_MAPPING_EVENTS_H_
