// VictimPolicy: which resident pages leave the program next.
//
//   faults   --> OnFault, OnRefault, OnReadahead, OnServed       what is in use
//   evictor  --> NextRun --> OnIsolated | OnRefused | OnSkipped  what is chosen, and what came of
//   it
//
// A policy keeps what it knows about a page in the policy bits of its page entry, which nobody else
// interprets: they follow the page through remaps and forks, and a table of untouched memory is a
// table of pages that the policy has not seen. The policy only proposes. The evictor isolates the
// pages and reports the result.
//
// Implementations: ClockPolicy (reclaim/clock_policy.h). All calls under the owner's lock. Nothing
// allocates.
#ifndef UZSWAP_RECLAIM_VICTIM_POLICY_H_
#define UZSWAP_RECLAIM_VICTIM_POLICY_H_

#include <cstddef>
#include <cstdint>

#include "base/units.h"

namespace uzswap {

// Adjacent pages of one registered range. No pages: there is no victim within the budget.
struct VictimRun {
  uint64_t address = 0;
  PageIndex first;
  size_t pages = 0;
};

class VictimPolicy {
 public:
  // --- From the fault handler ---
  // A fault populated the page: its first touch, or a load from the pool or the disk.
  virtual void OnFault(PageIndex index) = 0;
  // The page was touched while it was staged: it left too early.
  virtual void OnRefault(PageIndex index) = 0;
  // The page came in ahead of a touch.
  virtual void OnReadahead(PageIndex index) = 0;
  // A fault on the page was answered, however. It must stay until its thread has run.
  virtual void OnServed(PageIndex index) = 0;

  // --- From the evictor ---
  // The next victims, at most `want`. Looking at a page, or past pages that are not resident, takes
  // from `scan_left` what it costs.
  // Pages that are pinned or not resident are never proposed.
  virtual VictimRun NextRun(size_t want, size_t* scan_left) = 0;
  // How many pages a sweep scans at most before every page has been proposed.
  [[nodiscard]] virtual size_t SweepScanMax() const = 0;
  // The first `pages` of the last run were isolated.
  virtual void OnIsolated(size_t pages) = 0;
  // The first page of the last run could not be isolated: it is not proposed until RetryRefused.
  virtual void OnRefused(PageIndex index) = 0;
  // A while has passed: what was refused may be proposed again.
  virtual void RetryRefused() = 0;
  // The first page of the last run was not there.
  virtual void OnSkipped() = 0;
  // The page was stored: it was not touched while it was staged.
  virtual void OnStored(PageIndex index) = 0;
  // The page does not compress: it costs least where it is. As OnRefused.
  virtual void OnIncompressible(PageIndex index) = 0;
  // What made isolation impossible is over: the page can be proposed again at once.
  virtual void OnReclaimable(PageIndex index) = 0;

 protected:
  ~VictimPolicy() = default;
};

}  // namespace uzswap

#endif  // UZSWAP_RECLAIM_VICTIM_POLICY_H_
