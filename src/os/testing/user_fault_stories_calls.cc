// Stories: every outcome of the calls.
#include <array>
#include <cerrno>
#include <gtest/gtest.h>

#include "os/testing/user_fault_stories.h"

namespace uzswap::os {
namespace {

using enum PortOutcome;
using How = ThreadEnd::How;

constexpr FakeProtection kReadOnly{.writable = false};
constexpr FakeProtection kNoAccess{.readable = false, .writable = false};
constexpr FakeProtection kLocked{.locked = true};
constexpr FakeProtection kShared{.shared = true};

void MoveThereAndBack(FaultWorld& world, uint64_t pages) {
  MapRegistered(world, 0, pages);
  const uint64_t frames = world.MakeFrames(pages);
  ExpectResult(world.port().Move(frames, PageAddress(0), BytesOfPages(pages)), kDone, pages, "out");
  for (uint64_t page = 0; page < pages; ++page) {
    EXPECT_FALSE(IsPresent(world, PageAddress(page)));
    EXPECT_EQ(world.Peek(frames + BytesOfPages(page)), WordOf(page));
  }
  ExpectResult(world.port().Move(PageAddress(0), frames, BytesOfPages(pages)), kDone, pages,
               "back");
  for (uint64_t page = 0; page < pages; ++page) {
    EXPECT_FALSE(IsPresent(world, frames + BytesOfPages(page)));
    EXPECT_EQ(world.Peek(PageAddress(page)), WordOf(page));
  }
}
void MoveOnePage(FaultWorld& world) { MoveThereAndBack(world, 1); }
void MoveManyPages(FaultWorld& world) { MoveThereAndBack(world, 64); }

void MoveLooksAtTheRegistrationOfTheDestinationOnly(FaultWorld& world) {
  world.Map(Pages(0, 2), {});
  world.StoreNow(PageAddress(0), 7);
  MapRegistered(world, 10, 11);
  MapMissing(world, 12, 14);
  ExpectResult(MovePages(world, 12, 0, 1), kDone, 1, "from an unregistered mapping");
  EXPECT_EQ(world.Peek(PageAddress(12)), 7u);
  ExpectResult(MovePages(world, 1, 10, 1), kRefused, 0, "to an unregistered mapping");
  EXPECT_TRUE(IsPresent(world, PageAddress(10)));
}

void MoveToAMappingOfAnotherUserfaultfdIsRefused(FaultWorld& world) {
  MapRegistered(world, 0, 1);
  world.Map(Pages(10, 11), {});
  ASSERT_TRUE(world.release_port().Register(PageAddress(10), kPageSize).ok());
  ExpectResult(MovePages(world, 10, 0, 1), kRefused, 0, "through the wrong one");
  ExpectResult(world.release_port().Move(PageAddress(10), PageAddress(0), kPageSize), kDone, 1,
               "through its own");
}

void MoveStopsAtAHole(FaultWorld& world) {
  MapMissing(world, 0, 4);
  for (const uint64_t page : {0, 1, 3}) ExpectResult(CopyWord(world, page, page), kDone, 1, "copy");
  MapMissing(world, 10, 14);
  ExpectResult(MovePages(world, 10, 0, 4), kRetry, 2, "two pages, and a hole");
  ExpectResult(MovePages(world, 12, 2, 2), kGone, 0, "a hole first");
  EXPECT_TRUE(IsPresent(world, PageAddress(3)));
  EXPECT_EQ(world.Peek(PageAddress(11)), 1u);
}

void MoveStopsAtAnOccupiedDestination(FaultWorld& world) {
  MapRegistered(world, 0, 4);
  MapMissing(world, 10, 14);
  ExpectResult(CopyWord(world, 12, 99), kDone, 1, "copy");
  ExpectResult(MovePages(world, 10, 0, 4), kRetry, 2, "two pages, and one too many");
  ExpectResult(MovePages(world, 12, 2, 2), kExists, 0, "occupied first");
  EXPECT_EQ(world.Peek(PageAddress(12)), 99u);
  EXPECT_EQ(world.Peek(PageAddress(2)), WordOf(2));
  // The source has a hole as well: the destination decides.
  ExpectResult(MovePages(world, 12, 0, 1), kExists, 0, "a hole to an occupied page");
}

void MoveOfOrToAnUnmappedRangeFindsNothing(FaultWorld& world) {
  MapRegistered(world, 0, 1);
  MapMissing(world, 2, 3);
  ExpectResult(MovePages(world, 2, 20, 1), kGone, 0, "no source mapping");
  ExpectResult(MovePages(world, 20, 0, 1), kGone, 0, "no destination mapping");
}

void MoveAcrossTheBorderOfTwoMappingsIsRefused(FaultWorld& world) {
  MapRegistered(world, 0, 4);
  world.Protect(Pages(2, 4), kReadOnly);
  MapMissing(world, 10, 14);
  ExpectResult(MovePages(world, 11, 1, 2), kRefused, 0, "the source");
  world.Protect(Pages(2, 4), {});
  world.Protect(Pages(12, 14), kReadOnly);
  ExpectResult(MovePages(world, 11, 0, 2), kRefused, 0, "the destination");
  ExpectResult(MovePages(world, 10, 0, 2), kDone, 2, "up to the border");
}

void MoveOfAnUnalignedRangeIsRefused(FaultWorld& world) {
  MapRegistered(world, 0, 2);
  MapMissing(world, 10, 12);
  UserFaultPort& port = world.port();
  ExpectResult(port.Move(PageAddress(10) + 8, PageAddress(0), kPageSize), kRefused, 0, "to");
  ExpectResult(port.Move(PageAddress(10), PageAddress(0) + 8, kPageSize), kRefused, 0, "from");
  ExpectResult(port.Move(PageAddress(10), PageAddress(0), kPageSize + 8), kRefused, 0, "length");
  ExpectResult(port.Move(PageAddress(10), PageAddress(0), 0), kRefused, 0, "nothing");
}

void MoveFromAMappingThatCannotGivePagesIsRefused(FaultWorld& world) {
  MapMissing(world, 20, 24);
  MapMissing(world, 0, 1, kLocked);
  MapMissing(world, 2, 3, kReadOnly);
  MapMissing(world, 4, 5, kNoAccess);
  MapMissing(world, 6, 7, kShared);
  for (const uint64_t page : {0, 2, 4, 6}) {
    ExpectResult(CopyWord(world, page, WordOf(page)), kDone, 1, "copy");
    ExpectResult(MovePages(world, 20, page, 1), kRefused, 0, "out of a special mapping");
    EXPECT_TRUE(IsPresent(world, PageAddress(page)));
  }
  // Equal protection does not help where nobody may write.
  MapMissing(world, 8, 9, kReadOnly);
  ExpectResult(MovePages(world, 8, 2, 1), kRefused, 0, "between read-only mappings");
  MapMissing(world, 10, 11, kLocked);
  ExpectResult(MovePages(world, 10, 0, 1), kDone, 1, "between locked mappings");
  world.Map(Pages(30, 31), {});
  world.StoreNow(PageAddress(30), 3);
  ExpectResult(MovePages(world, 0, 30, 1), kRefused, 0, "into a locked mapping");
}

void MoveFromExecutableTakesPagesOutOfAnExecutableMapping(FaultWorld& world) {
  constexpr FakeProtection kAll{.executable = true};
  const uint64_t frames = world.MakeFrames(4);
  UserFaultPort& port = world.port();
  MapMissing(world, 0, 4, kAll);
  for (uint64_t page = 0; page < 4; ++page) {
    ExpectResult(CopyWord(world, page, WordOf(page)), kDone, 1, "copy");
  }
  ExpectResult(port.Move(frames, PageAddress(0), kPageSize), kRefused, 0, "Move");
  const uint64_t two = 2 * kPageSize;
  ExpectResult(port.MoveFromExecutable(frames, PageAddress(0), two), kDone, 2, "out");
  EXPECT_FALSE(IsPresent(world, PageAddress(1)));
  EXPECT_EQ(*reinterpret_cast<const uint64_t*>(frames + kPageSize), WordOf(1));
  // The frames are not executable any more.
  ExpectResult(port.Move(PageAddress(0), frames, kPageSize), kRefused, 0, "back");
  ExpectResult(port.Copy(PageAddress(0), reinterpret_cast<void*>(frames), two), kDone, 2, "copy");
  EXPECT_EQ(world.Peek(PageAddress(0)), WordOf(0));
  ExpectResult(port.MoveFromExecutable(frames, PageAddress(2), two), kExists, 0, "full frames");
  // For other mappings it is the wrong call.
  MapRegistered(world, 10, 11);
  MapMissing(world, 12, 13, {.writable = false, .executable = true});
  ExpectResult(CopyWord(world, 12, 1), kDone, 1, "copy");
  for (const uint64_t page : {10, 12}) {
    ExpectResult(port.MoveFromExecutable(frames + two, PageAddress(page), kPageSize), kRefused, 0,
                 "another protection");
  }
  ExpectResult(port.MoveFromExecutable(frames + two, PageAddress(2), two), kDone, 2, "the others");
}

void MoveOfAPinnedPageIsBusy(FaultWorld& world) {
  MapRegistered(world, 0, 3);
  MapMissing(world, 10, 13);
  if (!world.Pin(PageAddress(1))) GTEST_SKIP() << "no io_uring to pin a page with";
  ExpectResult(MovePages(world, 10, 0, 3), kRetry, 1, "up to the pinned page");
  ExpectResult(MovePages(world, 11, 1, 2), kBusy, 0, "the pinned page");
  EXPECT_EQ(world.Peek(PageAddress(1)), WordOf(1));
  world.Unpin();
  ExpectResult(MovePages(world, 11, 1, 2), kDone, 2, "no longer pinned");
}

void MoveOfAPageSharedWithAChildIsBusyUntilItIsWrittenTo(FaultWorld& world) {
  MapRegistered(world, 0, 2);
  MapMissing(world, 10, 13);
  world.Fork();
  ExpectResult(MovePages(world, 10, 0, 2), kBusy, 0, "though the child has ended");
  world.LoadNow(PageAddress(0));
  ExpectResult(MovePages(world, 10, 0, 1), kBusy, 0, "read");
  world.StoreNow(PageAddress(0), 8);
  ExpectResult(MovePages(world, 10, 0, 2), kRetry, 1, "written to, and the next one not");
  EXPECT_EQ(world.Peek(PageAddress(10)), 8u);
  ExpectResult(CopyWord(world, 12, 9), kDone, 1, "copy");
  ExpectResult(MovePages(world, 0, 12, 1), kDone, 1, "a page made after the fork");
}

void MoveTakesTheZeroPageToo(FaultWorld& world) {
  world.Map(Pages(0, 1), {});
  world.LoadNow(PageAddress(0));
  MapMissing(world, 10, 12);
  ExpectResult(MovePages(world, 10, 0, 1), kDone, 1, "from a mapping that was read");
  ExpectResult(world.port().Zero(PageAddress(11)), kDone, 1, "zero");
  EXPECT_EQ(world.Peek(PageAddress(10)), 0u);
  ASSERT_TRUE(world.port().Register(PageAddress(0), kPageSize).ok());
  ExpectResult(MovePages(world, 0, 11, 1), kDone, 1, "populated by a call");
  EXPECT_TRUE(IsPresent(world, PageAddress(0)));
}

void CopyOnePageAndMany(FaultWorld& world) {
  MapMissing(world, 0, 4);
  std::array<uint64_t, 4 * kPageSize / sizeof(uint64_t)> content = {};
  for (uint64_t page = 0; page < 4; ++page) content[page * kPageSize / 8] = WordOf(page);
  ExpectResult(world.port().Copy(PageAddress(0), content.data(), kPageSize), kDone, 1, "one");
  ExpectResult(world.port().Copy(PageAddress(1), content.data() + kPageSize / 8, 3 * kPageSize),
               kDone, 3, "three");
  for (uint64_t page = 0; page < 4; ++page) EXPECT_EQ(world.Peek(PageAddress(page)), WordOf(page));
}

void CopyStopsAtAPage(FaultWorld& world) {
  MapMissing(world, 0, 4);
  ExpectResult(CopyWord(world, 2, 99), kDone, 1, "copy");
  const std::array<uint64_t, 4 * kPageSize / sizeof(uint64_t)> content = {};
  ExpectResult(world.port().Copy(PageAddress(0), content.data(), 4 * kPageSize), kRetry, 2,
               "two pages, and one too many");
  ExpectResult(world.port().Copy(PageAddress(2), content.data(), 2 * kPageSize), kExists, 0,
               "occupied first");
  EXPECT_EQ(world.Peek(PageAddress(2)), 99u);
  EXPECT_FALSE(IsPresent(world, PageAddress(3)));
}

void CopyNeedsOneRegisteredMapping(FaultWorld& world) {
  MapMissing(world, 0, 4);
  world.Protect(Pages(2, 4), kReadOnly);
  const std::array<uint64_t, 2 * kPageSize / sizeof(uint64_t)> content = {};
  ExpectResult(world.port().Copy(PageAddress(1), content.data(), 2 * kPageSize), kGone, 0,
               "across a border");
  EXPECT_FALSE(IsPresent(world, PageAddress(1)));
  ExpectResult(CopyWord(world, 4, 1), kGone, 0, "no mapping");
  world.Map(Pages(10, 11), {});
  ExpectResult(CopyWord(world, 10, 1), kGone, 0, "not registered");
  ASSERT_TRUE(world.release_port().Register(PageAddress(10), kPageSize).ok());
  ExpectResult(CopyWord(world, 10, 1), kDone, 1, "registered with another userfaultfd");
  ExpectResult(world.port().Copy(PageAddress(0) + 8, content.data(), kPageSize), kRefused, 0,
               "unaligned destination");
  ExpectResult(world.port().Copy(PageAddress(0), content.data(), 8), kRefused, 0,
               "unaligned length");
  ExpectResult(world.port().Copy(PageAddress(0), content.data(), 0), kRefused, 0, "nothing");
}

void CopyServesMappingsThatCannotGivePages(FaultWorld& world) {
  MapMissing(world, 0, 1, kReadOnly);
  MapMissing(world, 2, 3, kLocked);
  MapMissing(world, 4, 5, kNoAccess);
  for (const uint64_t page : {0, 2, 4}) {
    ExpectResult(CopyWord(world, page, WordOf(page)), kDone, 1, "copy");
    EXPECT_TRUE(IsPresent(world, PageAddress(page)));
  }
  EXPECT_EQ(world.Peek(PageAddress(0)), WordOf(0));
  EXPECT_EQ(world.Peek(PageAddress(2)), WordOf(2));
}

void ZeroPopulatesAPageOfZeroes(FaultWorld& world) {
  MapMissing(world, 0, 2);
  ExpectResult(world.port().Zero(PageAddress(0)), kDone, 1, "zero");
  EXPECT_EQ(world.Peek(PageAddress(0)), 0u);
  ExpectResult(world.port().Zero(PageAddress(0)), kExists, 0, "again");
  world.StoreNow(PageAddress(0), 5);
  EXPECT_EQ(world.Peek(PageAddress(0)), 5u) << "a write needs no message";
  ExpectNoMessage(world);
  ExpectResult(world.port().Zero(PageAddress(9)), kGone, 0, "no mapping");
  ExpectResult(world.port().Zero(PageAddress(1) + 8), kRefused, 0, "unaligned");
}

void PoisonRaisesSigbusAtEveryTouch(FaultWorld& world) {
  MapMissing(world, 0, 2);
  world.BeginLoad(1, PageAddress(0));
  world.AwaitUnreadFaults(1);
  ExpectFault(world, 1, 0, false);
  ExpectResult(world.port().Poison(PageAddress(0)), kDone, 1, "poison");
  EXPECT_EQ(world.Await(1).how, How::kSigbus) << "the thread that waited";
  world.BeginStore(2, PageAddress(0), 1);
  EXPECT_EQ(world.Await(2).how, How::kSigbus) << "a store";
  world.BeginLoad(2, PageAddress(0));
  EXPECT_EQ(world.Await(2).how, How::kSigbus) << "a load";
  EXPECT_TRUE(IsPresent(world, PageAddress(0))) << "PAGEMAP_SCAN calls it swapped";
  ExpectNoMessage(world);
}

void PoisonTakesThePlaceOfAPage(FaultWorld& world) {
  MapMissing(world, 0, 3);
  ExpectResult(CopyWord(world, 0, 7), kDone, 1, "copy");
  ExpectResult(world.port().Poison(PageAddress(0)), kExists, 0, "over a page");
  EXPECT_EQ(world.Peek(PageAddress(0)), 7u);
  ExpectResult(world.port().Poison(PageAddress(1)), kDone, 1, "poison");
  ExpectResult(world.port().Poison(PageAddress(1)), kExists, 0, "over poison");
  ExpectResult(world.port().Zero(PageAddress(1)), kExists, 0, "zero over poison");
  ExpectResult(MovePages(world, 1, 0, 1), kExists, 0, "move to poison");
  ExpectResult(MovePages(world, 2, 1, 1), kRefused, 0, "move of poison");
  ExpectResult(CopyWord(world, 1, 8), kDone, 1, "copy over poison");
  EXPECT_EQ(world.Peek(PageAddress(1)), 8u) << "a copy heals";
  ExpectResult(world.port().Poison(PageAddress(9)), kGone, 0, "no mapping");
}

void PoisonGoesWhenThePageIsDiscarded(FaultWorld& world) {
  MapMissing(world, 0, 1);
  ExpectResult(world.port().Poison(PageAddress(0)), kDone, 1, "poison");
  world.BeginChange(1, {MappingChange::Kind::kDontNeed, Pages(0, 1)});
  world.AwaitEvent(1);
  ExpectEvent(world, UserFaultEvent::Kind::kRemove, Pages(0, 1));
  EXPECT_EQ(world.Await(1), (ThreadEnd{How::kDone, 0}));
  EXPECT_FALSE(IsPresent(world, PageAddress(0)));
  ExpectResult(CopyWord(world, 0, 8), kDone, 1, "copy");
  EXPECT_EQ(world.Peek(PageAddress(0)), 8u);
}

int RegisterError(FaultWorld& world, uint64_t start, uint64_t length) {
  const Result<void> result = world.port().Register(start, length);
  return result.ok() ? 0 : result.error().errno_value;
}

void RegisterAsksForAMapping(FaultWorld& world) {
  world.Map(Pages(0, 4), {});
  world.StoreNow(PageAddress(1), 5);
  EXPECT_EQ(RegisterError(world, PageAddress(0), BytesOfPages(4)), 0);
  EXPECT_EQ(world.Peek(PageAddress(1)), 5u) << "present pages stay";
  EXPECT_EQ(RegisterError(world, PageAddress(0), BytesOfPages(4)), 0) << "again";
  EXPECT_EQ(RegisterError(world, PageAddress(20), kPageSize), EINVAL) << "no mapping";
  world.Map(Pages(11, 12), {});
  EXPECT_EQ(RegisterError(world, PageAddress(10), BytesOfPages(4)), 0) << "holes at both ends";
  ExpectResult(CopyWord(world, 11, 1), kDone, 1, "the mapping in between is registered");
  EXPECT_EQ(RegisterError(world, PageAddress(0) + 8, kPageSize), EINVAL);
  EXPECT_EQ(RegisterError(world, PageAddress(0), 8), EINVAL);
  EXPECT_EQ(RegisterError(world, PageAddress(0), 0), EINVAL);
}

void RegisterRefusesWhatItCannotServe(FaultWorld& world) {
  world.Map(Pages(0, 1), {.writable = false, .anonymous = false});
  EXPECT_EQ(RegisterError(world, PageAddress(0), kPageSize), EINVAL) << "a file";
  world.Map(Pages(2, 3), {});
  ASSERT_TRUE(world.release_port().Register(PageAddress(2), kPageSize).ok());
  EXPECT_EQ(RegisterError(world, PageAddress(2), kPageSize), EBUSY) << "another userfaultfd's";
}

}  // namespace

#define UZ_STORY(name) \
  UserFaultStory { #name, name }

std::vector<UserFaultStory> UserFaultCallStories() {
  return {
      UZ_STORY(MoveOnePage),
      UZ_STORY(MoveManyPages),
      UZ_STORY(MoveLooksAtTheRegistrationOfTheDestinationOnly),
      UZ_STORY(MoveToAMappingOfAnotherUserfaultfdIsRefused),
      UZ_STORY(MoveStopsAtAHole),
      UZ_STORY(MoveStopsAtAnOccupiedDestination),
      UZ_STORY(MoveOfOrToAnUnmappedRangeFindsNothing),
      UZ_STORY(MoveAcrossTheBorderOfTwoMappingsIsRefused),
      UZ_STORY(MoveOfAnUnalignedRangeIsRefused),
      UZ_STORY(MoveFromAMappingThatCannotGivePagesIsRefused),
      UZ_STORY(MoveFromExecutableTakesPagesOutOfAnExecutableMapping),
      UZ_STORY(MoveOfAPinnedPageIsBusy),
      UZ_STORY(MoveOfAPageSharedWithAChildIsBusyUntilItIsWrittenTo),
      UZ_STORY(MoveTakesTheZeroPageToo),
      UZ_STORY(CopyOnePageAndMany),
      UZ_STORY(CopyStopsAtAPage),
      UZ_STORY(CopyNeedsOneRegisteredMapping),
      UZ_STORY(CopyServesMappingsThatCannotGivePages),
      UZ_STORY(ZeroPopulatesAPageOfZeroes),
      UZ_STORY(PoisonRaisesSigbusAtEveryTouch),
      UZ_STORY(PoisonTakesThePlaceOfAPage),
      UZ_STORY(PoisonGoesWhenThePageIsDiscarded),
      UZ_STORY(RegisterAsksForAMapping),
      UZ_STORY(RegisterRefusesWhatItCannotServe),
  };
}

}  // namespace uzswap::os
