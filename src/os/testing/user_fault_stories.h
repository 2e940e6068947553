// What userfaultfd does, told as stories: each is run against the real kernel and against
// FakeUserFault (os/user_fault_contract_test.cc), so that tests on the fake test what the kernel
// does. Where the two differ, the fake is wrong.
//
//   calls    every outcome of MOVE, COPY, ZEROPAGE, POISON and REGISTER      ..._calls.cc
//   faults   which message comes when, and who is woken by which call        ..._faults.cc
//   events   unmap, remap and remove, in the order in which the kernel sends ..._events.cc
//            them, and what the calls answer meanwhile
//
// Not told, and why:
//   WRITEPROTECT   UserFaultPort has no such call: uzswap does not use write protection.
//   ENOMEM         only when the machine has no memory. The fake injects it.
//   ESRCH          only when the process has ended.
//   The unreported moves of Linux 6.18 (docs/decisions/0007-moves-are-recounted.md) need a page
//   table entry to change within a few instructions of the kernel. No sequence of calls forces
//   that. The fake injects it (pager_moves_test), pager_kernel_test meets it by chance.
//   EAGAIN and EBUSY because the kernel migrates a page at that moment: by chance as well.
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

// Page number `page` of the world, and [first, end) in such numbers.
constexpr uint64_t PageAddress(uint64_t page) { return kWorldStart + (page << kPageShift); }
constexpr AddressRange Pages(uint64_t first, uint64_t end) {
  return {PageAddress(first), PageAddress(end)};
}
constexpr uint64_t BytesOfPages(uint64_t pages) { return pages << kPageShift; }

// The content of a page: a different word for each.
constexpr uint64_t WordOf(uint64_t page) { return 0x5757'0000'0000 + page; }

// Maps [first, end), writes WordOf to each page, and registers the range with port().
void MapRegistered(FaultWorld& world, uint64_t first, uint64_t end, FakeProtection protection = {});
// The same without any page.
void MapMissing(FaultWorld& world, uint64_t first, uint64_t end, FakeProtection protection = {});
// Copies a page whose word is `word` to page number `page`.
PortResult CopyWord(FaultWorld& world, uint64_t page, uint64_t word);

bool IsPresent(FaultWorld& world, uint64_t address);
// MOVE between two ranges of the world, by page numbers.
PortResult MovePages(FaultWorld& world, uint64_t to, uint64_t from, uint64_t pages);

void ExpectResult(const PortResult& result, PortOutcome outcome, uint64_t done_pages,
                  const char* what);
// Exactly one message waits, and it is this fault.
void ExpectFault(FaultWorld& world, uint32_t thread, uint64_t page, bool write);
// Exactly one message waits, and it is this event.
void ExpectEvent(FaultWorld& world, UserFaultEvent::Kind kind, AddressRange range,
                 uint64_t target = 0);
void ExpectNoMessage(FaultWorld& world);
// Every supplying call through port() is refused with kRetry, or none is. Destination and source
// of the calls are mappings at pages 500 to 503, made by the first use.
void ExpectRefusedWhileAnnounced(FaultWorld& world, bool announced);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_TESTING_USER_FAULT_STORIES_H_
