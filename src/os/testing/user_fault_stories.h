// Stories: test cases of the behaviour of userfaultfd. Each runs with the real kernel and with
// FakeUserFault (os/user_fault_contract_test.cc). This ensures that the fake behaves like the
// kernel. If they differ, the fake is wrong.
//
//   calls    every outcome of MOVE, COPY, ZEROPAGE, POISON and REGISTER      ..._calls.cc
//   faults   which message is sent when, and which call wakes which thread   ..._faults.cc
//   events   unmap, remap and remove, in the kernel's order, and what the    ..._events.cc
//            calls answer meanwhile
//
// Not covered, and why:
//   WRITEPROTECT   UserFaultPort has no such call: uzswap does not use write protection.
//   ENOMEM         happens only if the machine has no memory. The fake injects it.
//   ESRCH          happens only if the process has ended.
//   Unreported moves of Linux 6.18 (docs/decisions/0007-moves-are-recounted.md) happen if a page
//   table entry changes within a few instructions of the kernel. No sequence of calls forces that.
//   The fake injects them (pager_moves_test). In pager_kernel_test they happen by chance.
//   EAGAIN and EBUSY because the kernel migrates a page at that moment also happen by chance.
#ifndef UZSWAP_OS_TESTING_USER_FAULT_STORIES_H_
#define UZSWAP_OS_TESTING_USER_FAULT_STORIES_H_

#include <vector>

#include "os/testing/fault_world.h"

namespace uzswap::os {

struct UserFaultStory {
  const char* name;
  void (*tell)(FaultWorld& world);
};

std::vector<UserFaultStory> UserFaultCallStories();
std::vector<UserFaultStory> UserFaultFaultStories();
std::vector<UserFaultStory> UserFaultEventStories();

// --- For the stories ---

// The address of page number `page` of the world, and the range of the pages [first, end).
constexpr uint64_t PageAddress(uint64_t page) { return kWorldStart + (page << kPageShift); }
constexpr AddressRange Pages(uint64_t first, uint64_t end) {
  return {PageAddress(first), PageAddress(end)};
}
constexpr uint64_t BytesOfPages(uint64_t pages) { return pages << kPageShift; }

// The content of a page: a different word for each page.
constexpr uint64_t WordOf(uint64_t page) { return 0x5757'0000'0000 + page; }

// Maps [first, end), writes WordOf to each page, and registers the range with port().
void MapRegistered(FaultWorld& world, uint64_t first, uint64_t end, FakeProtection protection = {});
// Maps [first, end) without any page, and registers the range with port().
void MapMissing(FaultWorld& world, uint64_t first, uint64_t end, FakeProtection protection = {});
// Copies a page whose word is `word` to page number `page`.
PortResult CopyWord(FaultWorld& world, uint64_t page, uint64_t word);

bool IsPresent(FaultWorld& world, uint64_t address);
// MOVE between two ranges of the world, by page numbers.
PortResult MovePages(FaultWorld& world, uint64_t to, uint64_t from, uint64_t pages);

void ExpectResult(const PortResult& result, PortOutcome outcome, uint64_t done_pages,
                  const char* what);
// Expects that exactly one message is queued, and that it is this fault.
void ExpectFault(FaultWorld& world, uint32_t thread, uint64_t page, bool write);
// Expects that exactly one message is queued, and that it is this event.
void ExpectEvent(FaultWorld& world, UserFaultEvent::Kind kind, AddressRange range,
                 uint64_t target = 0);
void ExpectNoMessage(FaultWorld& world);
// Expects that every call of port() that populates pages is refused with kRetry, or that none is.
// The calls use mappings at pages 500 to 503, which the first use makes.
void ExpectRefusedWhileAnnounced(FaultWorld& world, bool announced);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_TESTING_USER_FAULT_STORIES_H_
