// Stories: messages of faults, and who is woken by which call.
#include <gtest/gtest.h>

#include "os/testing/user_fault_stories.h"

namespace uzswap::os {
namespace {

using enum PortOutcome;
using How = ThreadEnd::How;

void AFaultReportsWhoTouchedWhatAndHow(FaultWorld& world) {
  MapMissing(world, 0, 3);
  world.BeginLoad(1, PageAddress(0) + 0x128);
  world.AwaitUnreadFaults(1);
  ExpectFault(world, 1, 0, false);
  ExpectResult(CopyWord(world, 0, 7), kDone, 1, "copy");
  EXPECT_EQ(world.Await(1), (ThreadEnd{How::kDone, 0})) << "the word at 0x128";
  world.BeginStore(2, PageAddress(1), 42);
  world.AwaitUnreadFaults(1);
  ExpectFault(world, 2, 1, true);
  ExpectResult(CopyWord(world, 1, 7), kDone, 1, "copy");
  EXPECT_EQ(world.Await(2).how, How::kDone);
  EXPECT_EQ(world.Peek(PageAddress(1)), 42u) << "the store came after the copy";
  world.BeginLoad(1, PageAddress(1));
  EXPECT_EQ(world.Await(1), (ThreadEnd{How::kDone, 42})) << "a present page needs no message";
  ExpectNoMessage(world);
}

void FaultsComeInTheirOrderAndAsManyAsAskedFor(FaultWorld& world) {
  MapMissing(world, 0, 3);
  for (const uint32_t thread : {1, 2, 3}) {
    world.BeginLoad(thread, PageAddress(3 - thread));
    world.AwaitUnreadFaults(thread);
  }
  const std::vector<UserFaultEvent> first = world.Read(2);
  ASSERT_EQ(first.size(), 2u);
  EXPECT_EQ(first[0].thread, 1u);
  EXPECT_EQ(first[0].start, PageAddress(2));
  EXPECT_EQ(first[1].thread, 2u);
  world.AwaitUnreadFaults(1);
  ExpectFault(world, 3, 0, false);
  ExpectNoMessage(world);
  for (const uint64_t page : {0, 1, 2}) ExpectResult(CopyWord(world, page, page), kDone, 1, "copy");
  for (const uint32_t thread : {1, 2, 3}) {
    EXPECT_EQ(world.Await(thread), (ThreadEnd{How::kDone, 3 - thread}));
  }
}

void TwoThreadsOnOnePageAreTwoMessagesAndOneWakes(FaultWorld& world) {
  MapMissing(world, 0, 1);
  world.BeginLoad(1, PageAddress(0));
  world.AwaitUnreadFaults(1);
  ExpectFault(world, 1, 0, false);
  world.BeginStore(2, PageAddress(0) + 8, 1);
  world.AwaitUnreadFaults(1);
  ExpectFault(world, 2, 0, true);
  ExpectResult(CopyWord(world, 0, 7), kDone, 1, "copy");
  EXPECT_EQ(world.Await(1), (ThreadEnd{How::kDone, 7}));
  EXPECT_EQ(world.Await(2).how, How::kDone);
  ExpectNoMessage(world);
}

void AFaultServedBeforeItWasReadIsNeverRead(FaultWorld& world) {
  MapMissing(world, 0, 2);
  world.BeginLoad(1, PageAddress(0));
  world.AwaitUnreadFaults(1);
  ExpectResult(CopyWord(world, 0, 7), kDone, 1, "copy");
  EXPECT_EQ(world.Await(1), (ThreadEnd{How::kDone, 7}));
  ExpectNoMessage(world);
}

// Of two threads, the message of one was read when the page came. The reader then finds it there.
void AFaultReadIsAnsweredByAnotherCallMeanwhile(FaultWorld& world) {
  MapMissing(world, 0, 1);
  world.BeginLoad(1, PageAddress(0));
  world.AwaitUnreadFaults(1);
  ExpectFault(world, 1, 0, false);
  world.BeginLoad(2, PageAddress(0));
  world.AwaitUnreadFaults(1);
  ExpectResult(CopyWord(world, 0, 7), kDone, 1, "the first answer");
  EXPECT_EQ(world.Await(1), (ThreadEnd{How::kDone, 7}));
  EXPECT_EQ(world.Await(2), (ThreadEnd{How::kDone, 7}));
  ExpectResult(CopyWord(world, 0, 8), kExists, 0, "the second");
  ExpectNoMessage(world);
}

void MoveWakesThoseWhoWaitForItsDestination(FaultWorld& world) {
  MapMissing(world, 0, 4);
  const uint64_t frames = world.MakeFrames(4);
  for (const uint64_t page : {0, 1}) ExpectResult(CopyWord(world, page, page), kDone, 1, "copy");
  ExpectResult(world.port().Move(frames, PageAddress(0), BytesOfPages(2)), kDone, 2, "out");
  world.BeginLoad(1, PageAddress(1));
  world.AwaitUnreadFaults(1);
  ExpectFault(world, 1, 1, false);
  world.BeginLoad(2, PageAddress(2));
  world.AwaitUnreadFaults(1);
  ExpectFault(world, 2, 2, false);
  ExpectResult(world.port().Move(PageAddress(0), frames, BytesOfPages(2)), kDone, 2, "back");
  EXPECT_EQ(world.Await(1), (ThreadEnd{How::kDone, 1}));
  EXPECT_EQ(world.Look(2).how, How::kNot) << "its page is beyond the range";
  ExpectResult(world.port().Zero(PageAddress(2)), kDone, 1, "zero");
  EXPECT_EQ(world.Await(2), (ThreadEnd{How::kDone, 0}));
  ExpectNoMessage(world);
}

void APartialCallWakesForWhatItDid(FaultWorld& world) {
  MapMissing(world, 0, 3);
  MapMissing(world, 10, 13);
  for (const uint64_t page : {10, 12}) ExpectResult(CopyWord(world, page, page), kDone, 1, "copy");
  for (const uint32_t thread : {1, 2}) {
    world.BeginLoad(thread, PageAddress(thread - 1));
    world.AwaitUnreadFaults(1);
    ExpectFault(world, thread, thread - 1, false);
  }
  ExpectResult(MovePages(world, 0, 10, 3), kRetry, 1, "stopped by a hole");
  EXPECT_EQ(world.Await(1), (ThreadEnd{How::kDone, 10}));
  EXPECT_EQ(world.Look(2).how, How::kNot);
  ExpectResult(CopyWord(world, 1, 5), kDone, 1, "copy");
  EXPECT_EQ(world.Await(2), (ThreadEnd{How::kDone, 5}));
  ExpectNoMessage(world);
}

void ACallThatFailsWakesNobody(FaultWorld& world) {
  MapMissing(world, 0, 2);
  MapMissing(world, 10, 11);
  world.BeginLoad(1, PageAddress(0));
  world.AwaitUnreadFaults(1);
  ExpectFault(world, 1, 0, false);
  ExpectResult(MovePages(world, 0, 10, 1), kGone, 0, "nothing at the source");
  EXPECT_EQ(world.Look(1).how, How::kNot);
  ExpectResult(CopyWord(world, 0, 7), kDone, 1, "copy");
  EXPECT_EQ(world.Await(1), (ThreadEnd{How::kDone, 7}));
  ExpectNoMessage(world);
}

void WokenWithoutAPageAThreadFaultsAgain(FaultWorld& world) {
  MapMissing(world, 0, 2);
  world.BeginLoad(1, PageAddress(0));
  world.AwaitUnreadFaults(1);
  ExpectFault(world, 1, 0, false);
  world.port().Wake(PageAddress(1), kPageSize);
  EXPECT_EQ(world.Look(1).how, How::kNot) << "another page";
  ExpectNoMessage(world);
  world.port().Wake(PageAddress(0), BytesOfPages(2));
  world.AwaitUnreadFaults(1);
  ExpectFault(world, 1, 0, false);
  ExpectResult(CopyWord(world, 0, 7), kDone, 1, "copy");
  EXPECT_EQ(world.Await(1), (ThreadEnd{How::kDone, 7}));
  ExpectNoMessage(world);
}

// A port may wake the thread early, so its state is not looked at before Wake.
void HeldWakesWakeNobodyUntilWake(FaultWorld& world) {
  MapMissing(world, 0, 1);
  world.BeginLoad(1, PageAddress(0));
  world.AwaitUnreadFaults(1);
  ExpectFault(world, 1, 0, false);
  world.port().HoldWakes(true);
  ExpectResult(CopyWord(world, 0, 7), kDone, 1, "copy");
  world.port().HoldWakes(false);
  world.port().Wake(PageAddress(0), kPageSize);
  EXPECT_EQ(world.Await(1), (ThreadEnd{How::kDone, 7}));
  ExpectNoMessage(world);
}

void UnreadAndWokenAFaultIsReadOnce(FaultWorld& world) {
  MapMissing(world, 0, 1);
  world.BeginLoad(1, PageAddress(0));
  world.AwaitUnreadFaults(1);
  world.port().Wake(PageAddress(0), kPageSize);
  world.AwaitUnreadFaults(1);
  ExpectFault(world, 1, 0, false);
  ExpectNoMessage(world);
  ExpectResult(CopyWord(world, 0, 7), kDone, 1, "copy");
  EXPECT_EQ(world.Await(1), (ThreadEnd{How::kDone, 7}));
}

void AFaultOnAPageThatWasMovedOutComesAgain(FaultWorld& world) {
  MapMissing(world, 0, 1);
  const uint64_t frames = world.MakeFrames(1);
  for (uint64_t round = 0; round < 3; ++round) {
    world.BeginStore(1, PageAddress(0), round);
    world.AwaitUnreadFaults(1);
    ExpectFault(world, 1, 0, true);
    if (round == 0) {
      ExpectResult(world.port().Zero(PageAddress(0)), kDone, 1, "zero");
    } else {
      ExpectResult(world.port().Move(PageAddress(0), frames, kPageSize), kDone, 1, "back");
    }
    EXPECT_EQ(world.Await(1).how, How::kDone);
    ExpectResult(world.port().Move(frames, PageAddress(0), kPageSize), kDone, 1, "out");
    EXPECT_EQ(world.Peek(frames), round);
  }
  ExpectNoMessage(world);
}

void TouchesThatAreNotAllowedSendNoMessage(FaultWorld& world) {
  MapMissing(world, 0, 1, {.writable = false});
  MapMissing(world, 2, 3, {.readable = false, .writable = false});
  world.BeginStore(1, PageAddress(0), 1);
  EXPECT_EQ(world.Await(1).how, How::kSegv);
  world.BeginLoad(1, PageAddress(2));
  EXPECT_EQ(world.Await(1).how, How::kSegv);
  world.BeginLoad(1, PageAddress(9));
  EXPECT_EQ(world.Await(1).how, How::kSegv) << "no mapping";
  ExpectNoMessage(world);
  world.BeginLoad(1, PageAddress(0));
  world.AwaitUnreadFaults(1);
  ExpectFault(world, 1, 0, false);
  ExpectResult(CopyWord(world, 0, 7), kDone, 1, "copy");
  EXPECT_EQ(world.Await(1), (ThreadEnd{How::kDone, 7}));
}

void AnUnregisteredMappingSendsNoMessage(FaultWorld& world) {
  world.Map(Pages(0, 2), {});
  world.BeginLoad(1, PageAddress(0));
  EXPECT_EQ(world.Await(1), (ThreadEnd{How::kDone, 0}));
  ASSERT_TRUE(world.port().Register(PageAddress(0), BytesOfPages(2)).ok());
  world.BeginLoad(1, PageAddress(0));
  EXPECT_EQ(world.Await(1), (ThreadEnd{How::kDone, 0})) << "present before";
  ExpectNoMessage(world);
  world.BeginLoad(1, PageAddress(1));
  world.AwaitUnreadFaults(1);
  ExpectFault(world, 1, 1, false);
  ExpectResult(world.port().Zero(PageAddress(1)), kDone, 1, "zero");
  EXPECT_EQ(world.Await(1), (ThreadEnd{How::kDone, 0}));
}

}  // namespace

#define UZ_STORY(name) \
  UserFaultStory { #name, name }

std::vector<UserFaultStory> UserFaultFaultStories() {
  return {
      UZ_STORY(AFaultReportsWhoTouchedWhatAndHow),
      UZ_STORY(FaultsComeInTheirOrderAndAsManyAsAskedFor),
      UZ_STORY(TwoThreadsOnOnePageAreTwoMessagesAndOneWakes),
      UZ_STORY(AFaultServedBeforeItWasReadIsNeverRead),
      UZ_STORY(AFaultReadIsAnsweredByAnotherCallMeanwhile),
      UZ_STORY(MoveWakesThoseWhoWaitForItsDestination),
      UZ_STORY(APartialCallWakesForWhatItDid),
      UZ_STORY(ACallThatFailsWakesNobody),
      UZ_STORY(WokenWithoutAPageAThreadFaultsAgain),
      UZ_STORY(HeldWakesWakeNobodyUntilWake),
      UZ_STORY(UnreadAndWokenAFaultIsReadOnce),
      UZ_STORY(AFaultOnAPageThatWasMovedOutComesAgain),
      UZ_STORY(TouchesThatAreNotAllowedSendNoMessage),
      UZ_STORY(AnUnregisteredMappingSendsNoMessage),
  };
}

}  // namespace uzswap::os
