// CountedMove: UFFDIO_MOVE whose answer says what was moved, even where the kernel's does not.
//
//     | moved, reported | moved, not reported | not moved |
//     |<--------- what counts ------------->|
//
// Linux 6.18 can move pages and not report it (docs/decisions/0007-moves-are-recounted.md). A page
// that was moved but not reported would read as zeroes, or be there twice. So wherever an answer is
// short, the page map says which pages are present on the side that nobody else fills or empties.
//
// Any thread that may use the port and the address space. The caller keeps both sides still: nobody
// else moves pages into or out of them meanwhile.
#ifndef UZSWAP_OS_COUNTED_MOVE_H_
#define UZSWAP_OS_COUNTED_MOVE_H_

#include <cstddef>
#include <cstdint>

#include "base/counter.h"
#include "os/address_space.h"
#include "os/user_fault_port.h"

namespace uzswap::os {

inline constexpr size_t kCountedMoveMax = 64;  // pages: a mask of present pages has 64 bits

// The kernel gives the other refusals before it moves anything.
constexpr bool MayReportTooLittle(const PortResult& result) {
  if (result.outcome == PortOutcome::kDone) return false;
  return result.done_bytes > 0 || result.outcome == PortOutcome::kExists ||
         result.outcome == PortOutcome::kGone;
}

// Bit i: page i of the range is present. Ends the process if that cannot be found out.
uint64_t PresentMask(AddressSpace& space, uint64_t start, size_t pages);

// `moved`: bit i: page i was moved. Pages moved without a report follow directly on those that were
// reported.
PortResult AddUnreported(PortResult result, size_t pages, uint64_t moved,
                         RelaxedCounter& unreported);

// Into `destination`, which had no page before. `source` has none where one was moved.
PortResult MoveIn(UserFaultPort& port, AddressSpace& space, uint64_t destination, uint64_t source,
                  size_t pages, RelaxedCounter& unreported);
// Out of `source`, which had a page everywhere. Wakes the threads that wait for the destination.
PortResult MoveOut(UserFaultPort& port, AddressSpace& space, uint64_t destination, uint64_t source,
                   size_t pages, RelaxedCounter& unreported);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_COUNTED_MOVE_H_
