// Stories: events of changed mappings, and what the calls answer meanwhile.
//
// A change is announced from before the kernel sends its first event until the thread has run again
// after its last event was read. "Announced" is seen by the calls only: they answer kRetry.
#include <cerrno>
#include <gtest/gtest.h>

#include "os/testing/user_fault_stories.h"

namespace uzswap::os {
namespace {

using enum PortOutcome;
using How = ThreadEnd::How;
using Kind = MappingChange::Kind;
using Event = UserFaultEvent::Kind;

constexpr ThreadEnd kSucceeded{How::kDone, 0};

bool IsMapped(FaultWorld& world, uint64_t page) {
  MapsEntry entry;
  return world.space().Find(PageAddress(page), &entry);
}

// Thread 3 touches a page that is missing, and gets `word` by a copy.
void ExpectRegistered(FaultWorld& world, uint64_t page, uint64_t word) {
  world.BeginLoad(3, PageAddress(page));
  world.AwaitUnreadFaults(1);
  ExpectFault(world, 3, page, false);
  ExpectResult(CopyWord(world, page, word), kDone, 1, "copy");
  EXPECT_EQ(world.Await(3), (ThreadEnd{How::kDone, word}));
}

// A touch of the missing page gets a zero page without a message.
void ExpectNotRegistered(FaultWorld& world, uint64_t page) {
  world.BeginLoad(3, PageAddress(page));
  EXPECT_EQ(world.Await(3), (ThreadEnd{How::kDone, 0}));
  ExpectNoMessage(world);
}

void UnmapIsAnnouncedUntilItsEventWasRead(FaultWorld& world) {
  MapRegistered(world, 0, 4);
  world.BeginChange(1, {Kind::kUnmap, Pages(1, 3)});
  world.AwaitEvent(1);
  EXPECT_FALSE(IsMapped(world, 1)) << "gone before it is reported";
  EXPECT_TRUE(IsMapped(world, 0));
  EXPECT_TRUE(IsMapped(world, 3));
  ExpectRefusedWhileAnnounced(world, true);
  EXPECT_EQ(world.Look(1).how, How::kNot);
  ExpectEvent(world, Event::kUnmap, Pages(1, 3));
  EXPECT_EQ(world.Await(1), kSucceeded);
  ExpectRefusedWhileAnnounced(world, false);
  ExpectResult(CopyWord(world, 1, 1), kGone, 0, "copy");
  EXPECT_EQ(world.Peek(PageAddress(0)), WordOf(0));
  EXPECT_EQ(world.Peek(PageAddress(3)), WordOf(3));
  ExpectNoMessage(world);
}

// The event names the range of the call, not the mappings: registered or not, mapped or not.
void UnmapOfSeveralMappingsIsOneEvent(FaultWorld& world) {
  MapRegistered(world, 1, 3);
  world.Map(Pages(3, 5), {});
  MapRegistered(world, 5, 7, {});
  world.Protect(Pages(6, 7), {.writable = false});
  world.BeginChange(1, {Kind::kUnmap, Pages(0, 9)});
  world.AwaitEvent(1);
  ExpectEvent(world, Event::kUnmap, Pages(0, 9));
  EXPECT_EQ(world.Await(1), kSucceeded);
  for (uint64_t page = 0; page < 9; ++page) EXPECT_FALSE(IsMapped(world, page));
  ExpectNoMessage(world);
}

void UnmapOfUnregisteredMappingsIsNoEvent(FaultWorld& world) {
  world.Map(Pages(0, 2), {});
  MapRegistered(world, 2, 3);
  world.BeginChange(1, {Kind::kUnmap, Pages(0, 2)});
  EXPECT_EQ(world.Await(1), kSucceeded);
  ExpectNoMessage(world);
  EXPECT_TRUE(IsMapped(world, 2));
}

void AReplacedMappingIsNewAtOnceAndNotRegistered(FaultWorld& world) {
  MapRegistered(world, 0, 4);
  world.BeginChange(1, {Kind::kReplace, Pages(1, 3)});
  world.AwaitEvent(1);
  EXPECT_TRUE(IsMapped(world, 1));
  EXPECT_FALSE(IsPresent(world, PageAddress(1)));
  ExpectRefusedWhileAnnounced(world, true);
  ExpectEvent(world, Event::kUnmap, Pages(1, 3));
  EXPECT_EQ(world.Await(1), kSucceeded);
  ExpectNotRegistered(world, 1);
  ExpectResult(CopyWord(world, 2, 1), kGone, 0, "copy");
  EXPECT_EQ(world.Peek(PageAddress(3)), WordOf(3));
}

// Why there is one userfaultfd for the program and the frames: docs/decisions/0001-one-context.md.
void AnotherUserfaultfdIsNotRefused(FaultWorld& world) {
  MapRegistered(world, 0, 1);
  MapRegistered(world, 2, 3);
  world.Map(Pages(10, 11), {});
  ASSERT_TRUE(world.release_port().Register(PageAddress(10), kPageSize).ok());
  world.BeginChange(1, {Kind::kReplace, Pages(0, 1)});
  world.AwaitEvent(1);
  ExpectResult(MovePages(world, 0, 2, 1), kRetry, 0, "through the one that has the event");
  ExpectResult(world.release_port().Move(PageAddress(10), PageAddress(2), kPageSize), kDone, 1,
               "through the other");
  ExpectEvent(world, Event::kUnmap, Pages(0, 1));
  EXPECT_EQ(world.Await(1), kSucceeded);
}

void WakeAndRegisterAreNotRefused(FaultWorld& world) {
  MapMissing(world, 0, 1);
  MapMissing(world, 2, 3);
  world.Map(Pages(10, 11), {});
  world.BeginLoad(2, PageAddress(2));
  world.AwaitUnreadFaults(1);
  ExpectFault(world, 2, 2, false);
  world.BeginChange(1, {Kind::kUnmap, Pages(0, 1)});
  world.AwaitEvent(1);
  EXPECT_TRUE(world.port().Register(PageAddress(10), kPageSize).ok());
  world.port().Wake(PageAddress(2), kPageSize);
  world.AwaitUnreadFaults(1);
  const std::vector<UserFaultEvent> events = world.Read(8);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].start, PageAddress(2)) << "woken, it faulted again";
  EXPECT_EQ(events[1].kind, Event::kUnmap);
  EXPECT_EQ(world.Await(1), kSucceeded);
  ExpectResult(CopyWord(world, 2, 3), kDone, 1, "copy");
  EXPECT_EQ(world.Await(2), (ThreadEnd{How::kDone, 3}));
}

void RemapIsTwoEventsInThisOrder(FaultWorld& world) {
  MapRegistered(world, 0, 2);
  world.BeginChange(1, {Kind::kRemap, Pages(0, 2), PageAddress(10), BytesOfPages(2)});
  world.AwaitEvent(1);
  EXPECT_FALSE(IsMapped(world, 0));
  EXPECT_EQ(world.Peek(PageAddress(11)), WordOf(1)) << "moved before it is reported";
  ExpectRefusedWhileAnnounced(world, true);
  ExpectEvent(world, Event::kRemap, Pages(0, 2), PageAddress(10));
  world.AwaitEvent(1);
  ExpectRefusedWhileAnnounced(world, true);
  ExpectEvent(world, Event::kUnmap, Pages(0, 2));
  EXPECT_EQ(world.Await(1), kSucceeded);
  ExpectRefusedWhileAnnounced(world, false);
  const uint64_t frames = world.MakeFrames(1);
  ExpectResult(world.port().Move(frames, PageAddress(10), kPageSize), kDone, 1, "out");
  ExpectRegistered(world, 10, 77);
  ExpectNoMessage(world);
}

void RemapOfAPartLeavesTheRest(FaultWorld& world) {
  MapRegistered(world, 0, 4);
  world.BeginChange(1, {Kind::kRemap, Pages(1, 3), PageAddress(10), BytesOfPages(2)});
  world.AwaitEvent(1);
  ExpectEvent(world, Event::kRemap, Pages(1, 3), PageAddress(10));
  world.AwaitEvent(1);
  ExpectEvent(world, Event::kUnmap, Pages(1, 3));
  EXPECT_EQ(world.Await(1), kSucceeded);
  EXPECT_EQ(world.Peek(PageAddress(0)), WordOf(0));
  EXPECT_EQ(world.Peek(PageAddress(3)), WordOf(3));
  EXPECT_EQ(world.Peek(PageAddress(10)), WordOf(1));
  EXPECT_FALSE(IsMapped(world, 2));
}

void RemapOntoAMappingUnmapsThatFirst(FaultWorld& world) {
  MapRegistered(world, 0, 2);
  MapRegistered(world, 9, 13);
  world.BeginChange(1, {Kind::kRemap, Pages(0, 2), PageAddress(10), BytesOfPages(2)});
  world.AwaitEvent(1);
  EXPECT_EQ(world.Peek(PageAddress(10)), WordOf(0)) << "all is done before the first event";
  ExpectEvent(world, Event::kUnmap, Pages(10, 12));
  world.AwaitEvent(1);
  ExpectEvent(world, Event::kRemap, Pages(0, 2), PageAddress(10));
  world.AwaitEvent(1);
  ExpectEvent(world, Event::kUnmap, Pages(0, 2));
  EXPECT_EQ(world.Await(1), kSucceeded);
  EXPECT_EQ(world.Peek(PageAddress(9)), WordOf(9));
  EXPECT_EQ(world.Peek(PageAddress(12)), WordOf(12));
}

void RemapThatGrowsReportsTheOldLength(FaultWorld& world) {
  MapRegistered(world, 0, 2);
  world.BeginChange(1, {Kind::kRemap, Pages(0, 2), PageAddress(10), BytesOfPages(4)});
  world.AwaitEvent(1);
  ExpectEvent(world, Event::kRemap, Pages(0, 2), PageAddress(10));
  world.AwaitEvent(1);
  ExpectEvent(world, Event::kUnmap, Pages(0, 2));
  EXPECT_EQ(world.Await(1), kSucceeded);
  EXPECT_EQ(world.Peek(PageAddress(11)), WordOf(1));
  ExpectRegistered(world, 13, 5);
}

void RemapThatKeepsItsSourceIsOneEvent(FaultWorld& world) {
  MapRegistered(world, 0, 2);
  world.BeginChange(1, {Kind::kRemapKeepSource, Pages(0, 2), PageAddress(10), BytesOfPages(2)});
  world.AwaitEvent(1);
  ExpectEvent(world, Event::kRemap, Pages(0, 2), PageAddress(10));
  EXPECT_EQ(world.Await(1), kSucceeded);
  EXPECT_EQ(world.Peek(PageAddress(10)), WordOf(0));
  EXPECT_FALSE(IsPresent(world, PageAddress(0)));
  ExpectRegistered(world, 0, 5);
  ExpectNoMessage(world);
}

void RemapOfAnUnregisteredMappingIsNoEvent(FaultWorld& world) {
  world.Map(Pages(0, 1), {});
  world.StoreNow(PageAddress(0), 5);
  world.BeginChange(1, {Kind::kRemap, Pages(0, 1), PageAddress(10), BytesOfPages(1)});
  EXPECT_EQ(world.Await(1), kSucceeded);
  ExpectNoMessage(world);
  EXPECT_EQ(world.Peek(PageAddress(10)), 5u);
}

// Pages that are out of the mapping move with it: a fault comes with the new address.
void AFaultAfterARemapHasTheNewAddress(FaultWorld& world) {
  MapMissing(world, 0, 2);
  world.BeginChange(1, {Kind::kRemap, Pages(0, 2), PageAddress(10), BytesOfPages(2)});
  world.AwaitEvent(1);
  world.BeginLoad(2, PageAddress(11));
  world.AwaitUnreadFaults(1);
  ExpectResult(CopyWord(world, 11, 1), kRetry, 0, "while the remap is announced");
  // The fault is read first, though it came later.
  std::vector<UserFaultEvent> events = world.Read(1);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind, Event::kPageFault);
  EXPECT_EQ(events[0].start, PageAddress(11));
  ExpectEvent(world, Event::kRemap, Pages(0, 2), PageAddress(10));
  world.AwaitEvent(1);
  ExpectEvent(world, Event::kUnmap, Pages(0, 2));
  EXPECT_EQ(world.Await(1), kSucceeded);
  ExpectResult(CopyWord(world, 11, 4), kDone, 1, "copy");
  EXPECT_EQ(world.Await(2), (ThreadEnd{How::kDone, 4}));
}

void GrowingInPlaceIsNoEvent(FaultWorld& world) {
  MapRegistered(world, 0, 2);
  world.BeginChange(1, {Kind::kResizeInPlace, Pages(0, 2), 0, BytesOfPages(4)});
  EXPECT_EQ(world.Await(1), kSucceeded);
  ExpectNoMessage(world);
  ExpectRegistered(world, 3, 5);
}

void ShrinkingInPlaceUnmapsTheTail(FaultWorld& world) {
  MapRegistered(world, 0, 4);
  world.BeginChange(1, {Kind::kResizeInPlace, Pages(0, 4), 0, BytesOfPages(1)});
  world.AwaitEvent(1);
  ExpectEvent(world, Event::kUnmap, Pages(1, 4));
  EXPECT_EQ(world.Await(1), kSucceeded);
  EXPECT_EQ(world.Peek(PageAddress(0)), WordOf(0));
  EXPECT_FALSE(IsMapped(world, 1));
}

void DiscardedPagesGoAfterTheEventWasRead(FaultWorld& world) {
  MapRegistered(world, 0, 4);
  world.BeginChange(1, {Kind::kDontNeed, Pages(1, 3)});
  world.AwaitEvent(1);
  EXPECT_EQ(world.Peek(PageAddress(1)), WordOf(1)) << "still there";
  ExpectRefusedWhileAnnounced(world, true);
  ExpectEvent(world, Event::kRemove, Pages(1, 3));
  EXPECT_EQ(world.Await(1), kSucceeded);
  EXPECT_FALSE(IsPresent(world, PageAddress(1)));
  EXPECT_FALSE(IsPresent(world, PageAddress(2)));
  EXPECT_EQ(world.Peek(PageAddress(3)), WordOf(3));
  ExpectRefusedWhileAnnounced(world, false);
  ExpectRegistered(world, 1, 5);
  ExpectNoMessage(world);
}

// One event for each mapping, each with the part of the range that lies in it.
void DiscardOfTwoMappingsIsTwoEvents(FaultWorld& world) {
  MapRegistered(world, 0, 4);
  world.Protect(Pages(2, 4), {.writable = false});
  world.BeginChange(1, {Kind::kDontNeed, Pages(1, 4)});
  world.AwaitEvent(1);
  ExpectEvent(world, Event::kRemove, Pages(1, 2));
  world.AwaitEvent(1);
  EXPECT_FALSE(IsPresent(world, PageAddress(1))) << "the first part is done";
  EXPECT_TRUE(IsPresent(world, PageAddress(2)));
  ExpectRefusedWhileAnnounced(world, true);
  ExpectEvent(world, Event::kRemove, Pages(2, 4));
  EXPECT_EQ(world.Await(1), kSucceeded);
  EXPECT_FALSE(IsPresent(world, PageAddress(3)));
  EXPECT_TRUE(IsPresent(world, PageAddress(0)));
  ExpectNoMessage(world);
}

void DiscardOfAnUnregisteredMappingIsNoEvent(FaultWorld& world) {
  world.Map(Pages(0, 1), {});
  world.StoreNow(PageAddress(0), 5);
  world.BeginChange(1, {Kind::kDontNeed, Pages(0, 1)});
  EXPECT_EQ(world.Await(1), kSucceeded);
  EXPECT_FALSE(IsPresent(world, PageAddress(0)));
  ExpectNotRegistered(world, 0);
}

// What is in the pages afterwards is up to the kernel.
void FreeSendsTheEventOfADiscard(FaultWorld& world) {
  MapRegistered(world, 0, 2);
  world.BeginChange(1, {Kind::kFree, Pages(0, 2)});
  world.AwaitEvent(1);
  ExpectRefusedWhileAnnounced(world, true);
  ExpectEvent(world, Event::kRemove, Pages(0, 2));
  EXPECT_EQ(world.Await(1), kSucceeded);
  ExpectNoMessage(world);
}

void MadviseRemoveIsRefusedForAnonymousMemory(FaultWorld& world) {
  MapRegistered(world, 0, 1);
  world.BeginChange(1, {Kind::kRemove, Pages(0, 1)});
  EXPECT_EQ(world.Await(1), (ThreadEnd{How::kDone, EINVAL}));
  ExpectNoMessage(world);
  EXPECT_EQ(world.Peek(PageAddress(0)), WordOf(0));
}

// A page populated between the event and the end of the discard stays or goes. Here: after it.
void AFaultReadBeforeTheEventWaitsForIt(FaultWorld& world) {
  MapMissing(world, 0, 2);
  world.BeginLoad(2, PageAddress(0));
  world.AwaitUnreadFaults(1);
  world.BeginChange(1, {Kind::kDontNeed, Pages(0, 2)});
  world.AwaitEvent(1);
  const std::vector<UserFaultEvent> events = world.Read(8);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].kind, Event::kPageFault);
  EXPECT_EQ(events[1].kind, Event::kRemove);
  EXPECT_EQ(world.Await(1), kSucceeded);
  ExpectResult(CopyWord(world, 0, 7), kDone, 1, "copy");
  EXPECT_EQ(world.Await(2), (ThreadEnd{How::kDone, 7}));
  ExpectNoMessage(world);
}

void FaultsAreReadBeforeEarlierEvents(FaultWorld& world) {
  MapMissing(world, 0, 1);
  MapMissing(world, 4, 5);
  world.BeginChange(1, {Kind::kUnmap, Pages(0, 1)});
  world.AwaitEvent(1);
  world.BeginStore(2, PageAddress(4), 1);
  world.AwaitUnreadFaults(1);
  ExpectResult(CopyWord(world, 4, 7), kRetry, 0, "while the unmap is announced");
  const std::vector<UserFaultEvent> events = world.Read(8);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].kind, Event::kPageFault);
  EXPECT_TRUE(events[0].write);
  EXPECT_EQ(events[1].kind, Event::kUnmap);
  EXPECT_EQ(world.Await(1), kSucceeded);
  EXPECT_EQ(world.Look(2).how, How::kNot);
  ExpectResult(CopyWord(world, 4, 7), kDone, 1, "copy");
  EXPECT_EQ(world.Await(2).how, How::kDone);
}

// An unmap wakes nobody. A thread that waits in the unmapped range ends only after a wake.
void AThreadThatWaitsInAnUnmappedRangeNeedsAWake(FaultWorld& world) {
  MapMissing(world, 0, 2);
  world.BeginLoad(2, PageAddress(0));
  world.AwaitUnreadFaults(1);
  ExpectFault(world, 2, 0, false);
  world.BeginChange(1, {Kind::kUnmap, Pages(0, 2)});
  world.AwaitEvent(1);
  ExpectEvent(world, Event::kUnmap, Pages(0, 2));
  EXPECT_EQ(world.Await(1), kSucceeded);
  EXPECT_EQ(world.Look(2).how, How::kNot);
  ExpectResult(CopyWord(world, 0, 7), kGone, 0, "copy");
  world.port().Wake(PageAddress(0), kPageSize);
  EXPECT_EQ(world.Await(2).how, How::kSegv);
  ExpectNoMessage(world);
}

void EventsOfTwoThreadsAreReadInTheirOrder(FaultWorld& world) {
  MapRegistered(world, 0, 2);
  MapRegistered(world, 4, 6);
  MapRegistered(world, 8, 10);
  world.BeginChange(2, {Kind::kUnmap, Pages(4, 5)});
  world.AwaitEvent(2);
  world.BeginChange(1, {Kind::kDontNeed, Pages(0, 1)});
  world.AwaitEvent(1);
  world.BeginChange(3, {Kind::kRemap, Pages(8, 10), PageAddress(20), BytesOfPages(2)});
  world.AwaitEvent(3);
  const std::vector<UserFaultEvent> first = world.Read(1);
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first[0].start, PageAddress(4));
  EXPECT_EQ(world.Await(2), kSucceeded);
  ExpectRefusedWhileAnnounced(world, true);
  const std::vector<UserFaultEvent> rest = world.Read(8);
  ASSERT_EQ(rest.size(), 2u);
  EXPECT_EQ(rest[0].kind, Event::kRemove);
  EXPECT_EQ(rest[1].kind, Event::kRemap);
  EXPECT_EQ(world.Await(1), kSucceeded);
  world.AwaitEvent(3);
  ExpectEvent(world, Event::kUnmap, Pages(8, 10));
  EXPECT_EQ(world.Await(3), kSucceeded);
  ExpectRefusedWhileAnnounced(world, false);
}

// An event may be late: its range is mapped again, and even registered, before it is read.
void AnEventMayBeReadAfterItsRangeIsInUseAgain(FaultWorld& world) {
  MapRegistered(world, 0, 2);
  MapRegistered(world, 4, 6);
  world.BeginChange(1, {Kind::kUnmap, Pages(0, 2)});
  world.AwaitEvent(1);
  world.BeginChange(2, {Kind::kRemap, Pages(4, 6), PageAddress(0), BytesOfPages(2)});
  world.AwaitEvent(2);
  EXPECT_EQ(world.Peek(PageAddress(0)), WordOf(4));
  const std::vector<UserFaultEvent> events = world.Read(8);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].kind, Event::kUnmap);
  EXPECT_EQ(events[0].start, PageAddress(0));
  EXPECT_EQ(events[1].kind, Event::kRemap);
  EXPECT_EQ(events[1].target, PageAddress(0));
  EXPECT_EQ(world.Await(1), kSucceeded);
  world.AwaitEvent(2);
  ExpectEvent(world, Event::kUnmap, Pages(4, 6));
  EXPECT_EQ(world.Await(2), kSucceeded);
}

}  // namespace

#define UZ_STORY(name) \
  UserFaultStory { #name, name }

std::vector<UserFaultStory> UserFaultEventStories() {
  return {
      UZ_STORY(UnmapIsAnnouncedUntilItsEventWasRead),
      UZ_STORY(UnmapOfSeveralMappingsIsOneEvent),
      UZ_STORY(UnmapOfUnregisteredMappingsIsNoEvent),
      UZ_STORY(AReplacedMappingIsNewAtOnceAndNotRegistered),
      UZ_STORY(AnotherUserfaultfdIsNotRefused),
      UZ_STORY(WakeAndRegisterAreNotRefused),
      UZ_STORY(RemapIsTwoEventsInThisOrder),
      UZ_STORY(RemapOfAPartLeavesTheRest),
      UZ_STORY(RemapOntoAMappingUnmapsThatFirst),
      UZ_STORY(RemapThatGrowsReportsTheOldLength),
      UZ_STORY(RemapThatKeepsItsSourceIsOneEvent),
      UZ_STORY(RemapOfAnUnregisteredMappingIsNoEvent),
      UZ_STORY(AFaultAfterARemapHasTheNewAddress),
      UZ_STORY(GrowingInPlaceIsNoEvent),
      UZ_STORY(ShrinkingInPlaceUnmapsTheTail),
      UZ_STORY(DiscardedPagesGoAfterTheEventWasRead),
      UZ_STORY(DiscardOfTwoMappingsIsTwoEvents),
      UZ_STORY(DiscardOfAnUnregisteredMappingIsNoEvent),
      UZ_STORY(FreeSendsTheEventOfADiscard),
      UZ_STORY(MadviseRemoveIsRefusedForAnonymousMemory),
      UZ_STORY(AFaultReadBeforeTheEventWaitsForIt),
      UZ_STORY(FaultsAreReadBeforeEarlierEvents),
      UZ_STORY(AThreadThatWaitsInAnUnmappedRangeNeedsAWake),
      UZ_STORY(EventsOfTwoThreadsAreReadInTheirOrder),
      UZ_STORY(AnEventMayBeReadAfterItsRangeIsInUseAgain),
  };
}

}  // namespace uzswap::os
