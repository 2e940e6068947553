#include "os/counted_move.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "base/units.h"

namespace uzswap::os {

uint64_t PresentMask(AddressSpace& space, uint64_t start, size_t pages) {
  UZ_DCHECK_LE(pages, kCountedMoveMax);
  uint64_t mask = 0;
  PresentWalk walk(space, start, start + (pages << kPageShift));
  for (PresentRun run; walk.Next(&run);) {
    for (uint64_t page = run.start; page < run.end; page += kPageSize) {
      mask |= uint64_t{1} << ((page - start) >> kPageShift);
    }
  }
  if (walk.failed()) {
    Panic(__FILE__, __LINE__, "which pages the kernel has moved cannot be found out");
  }
  return mask;
}

PortResult AddUnreported(PortResult result, size_t pages, uint64_t moved,
                         RelaxedCounter& unreported) {
  const size_t reported = result.done_bytes >> kPageShift;
  const auto in_a_row = static_cast<size_t>(std::countr_one(moved >> reported));
  const size_t more = std::min(in_a_row, pages - reported);
  if (more == 0) return result;
  unreported.Add(more);
  const size_t done = reported + more;
  return {done == pages ? PortOutcome::kDone : result.outcome, done << kPageShift};
}

PortResult MoveIn(UserFaultPort& port, AddressSpace& space, uint64_t destination, uint64_t source,
                  size_t pages, RelaxedCounter& unreported) {
  const PortResult result = port.Move(destination, source, pages << kPageShift);
  if (!MayReportTooLittle(result)) return result;
  // A place that was full before holds something else, and the page is where it was.
  const uint64_t moved =
      PresentMask(space, destination, pages) & ~PresentMask(space, source, pages);
  return AddUnreported(result, pages, moved, unreported);
}

PortResult MoveOut(UserFaultPort& port, AddressSpace& space, uint64_t destination, uint64_t source,
                   size_t pages, RelaxedCounter& unreported) {
  const PortResult reported = port.Move(destination, source, pages << kPageShift);
  if (!MayReportTooLittle(reported)) return reported;
  const PortResult result =
      AddUnreported(reported, pages, ~PresentMask(space, source, pages), unreported);
  if (result.done_bytes > reported.done_bytes) {
    // The kernel wakes only the threads that wait for what it reports.
    port.Wake(destination + reported.done_bytes, result.done_bytes - reported.done_bytes);
  }
  return result;
}

}  // namespace uzswap::os
