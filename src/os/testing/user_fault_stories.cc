#include "os/testing/user_fault_stories.h"

#include <array>
#include <gtest/gtest.h>

namespace uzswap::os {

void MapMissing(FaultWorld& world, uint64_t first, uint64_t end, FakeProtection protection) {
  world.Map(Pages(first, end), protection);
  ASSERT_TRUE(world.port().Register(PageAddress(first), BytesOfPages(end - first)).ok());
}

void MapRegistered(FaultWorld& world, uint64_t first, uint64_t end, FakeProtection protection) {
  world.Map(Pages(first, end), protection);
  for (uint64_t page = first; page < end; ++page) world.StoreNow(PageAddress(page), WordOf(page));
  ASSERT_TRUE(world.port().Register(PageAddress(first), BytesOfPages(end - first)).ok());
}

PortResult CopyWord(FaultWorld& world, uint64_t page, uint64_t word) {
  std::array<uint64_t, kPageSize / sizeof(uint64_t)> content = {};
  content[0] = word;
  return world.port().Copy(PageAddress(page), content.data(), kPageSize);
}

bool IsPresent(FaultWorld& world, uint64_t address) {
  PresentRun run{};
  uint64_t walked = 0;
  const Result<size_t> found =
      world.space().Present(address, address + kPageSize, &run, 1, &walked);
  EXPECT_TRUE(found.ok());
  return found.ok() && found.value() == 1;
}

PortResult MovePages(FaultWorld& world, uint64_t to, uint64_t from, uint64_t pages) {
  return world.port().Move(PageAddress(to), PageAddress(from), BytesOfPages(pages));
}

void ExpectResult(const PortResult& result, PortOutcome outcome, uint64_t done_pages,
                  const char* what) {
  EXPECT_EQ(static_cast<int>(result.outcome), static_cast<int>(outcome)) << what;
  EXPECT_EQ(result.done_bytes, BytesOfPages(done_pages)) << what;
}

void ExpectFault(FaultWorld& world, uint32_t thread, uint64_t page, bool write) {
  const std::vector<UserFaultEvent> events = world.Read(8);
  ASSERT_EQ(events.size(), 1u) << "for the fault of thread " << thread << " on page " << page;
  EXPECT_EQ(events[0].kind, UserFaultEvent::Kind::kPageFault);
  EXPECT_EQ(events[0].thread, thread);
  EXPECT_EQ(events[0].start, PageAddress(page));
  EXPECT_EQ(events[0].end, PageAddress(page + 1));
  EXPECT_EQ(events[0].write, write);
}

void ExpectEvent(FaultWorld& world, UserFaultEvent::Kind kind, AddressRange range,
                 uint64_t target) {
  // No more than one: the kernel wakes the thread during the read, and its next event may come.
  const std::vector<UserFaultEvent> events = world.Read(1);
  ASSERT_EQ(events.size(), 1u) << "for the event";
  EXPECT_EQ(static_cast<int>(events[0].kind), static_cast<int>(kind));
  EXPECT_EQ((events[0].start - kWorldStart) >> kPageShift,
            (range.start - kWorldStart) >> kPageShift);
  EXPECT_EQ((events[0].end - kWorldStart) >> kPageShift, (range.end - kWorldStart) >> kPageShift);
  EXPECT_EQ(events[0].target, target);
}

void ExpectNoMessage(FaultWorld& world) { EXPECT_EQ(world.Read(8).size(), 0u); }

void ExpectRefusedWhileAnnounced(FaultWorld& world, bool announced) {
  MapsEntry entry;
  if (!world.space().Find(PageAddress(500), &entry)) {
    MapRegistered(world, 500, 501);
    MapMissing(world, 502, 506);
  }
  const PortOutcome outcome = announced ? PortOutcome::kRetry : PortOutcome::kDone;
  const uint64_t done = announced ? 0 : 1;
  ExpectResult(MovePages(world, 502, 500, 1), outcome, done, "move");
  ExpectResult(CopyWord(world, 503, 1), outcome, done, "copy");
  ExpectResult(world.port().Zero(PageAddress(504)), outcome, done, "zero");
  ExpectResult(world.port().Poison(PageAddress(505)), outcome, done, "poison");
}

}  // namespace uzswap::os
