// Fork: the daemon freezes the pager, a real fork(2) copies everything, the parent continues and
// the child rebuilds. The child reports by its exit status.
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "pager/testing/pager_world.h"

namespace uzswap {
namespace {

using Access = PagerWorld::Access;
using ChangeId = PagerWorld::ChangeId;

// With a device, what is compressed has gone to it.
class PagerFork : public testing::TestWithParam<bool> {
 protected:
  // Pages in every state: 0..7 compressed or on disk, 8..11 same-filled, 12..19 cached, 20..31
  // resident, 32..39 never touched.
  void SetUp() override {
    testing::FLAGS_gtest_death_test_style = "fast";
    world_.MapAndAdopt(0, 40);
    world_.Fill(0, 8, PageKind::kText, 1);
    PagerWorld::Page ones;
    ones.fill(std::byte{1});
    for (uint64_t page = 8; page < 12; ++page) world_.FillBytes(page, ones);
    world_.TakePages(0, 12);
    world_.CompressAll();
    if (GetParam()) world_.WriteBackAll();
    world_.Fill(12, 20, PageKind::kPointers, 5);
    world_.TakePages(12, 8);
    ASSERT_TRUE(world_.Check()) << world_.failure();
  }
  void Freeze() UZ_NO_THREAD_SAFETY_ANALYSIS {
    world_.writeback.WaitForWrites();
    if (GetParam()) world_.backing.BeginChild();
    world_.pager.Freeze();
  }
  void Thaw() UZ_NO_THREAD_SAFETY_ANALYSIS { world_.pager.Thaw(); }
  void Rescue(uint32_t thread, bool lock_wait = false) UZ_NO_THREAD_SAFETY_ANALYSIS {
    world_.pager.RescueFrozen(thread, lock_wait);
  }

  // In the child: rebuild, compare, continue to run, compare again.
  [[noreturn]] void LiveAsChild() {
    const Result<void> rebuilt = world_.BecomeChild();
    if (!rebuilt.ok()) Report("not rebuilt");
    if (!world_.Check()) Report(world_.failure());
    for (uint64_t page = 0; page < 40; page += 3) world_.Write(page, std::byte{77});
    if (!world_.ReadEverything()) Report(world_.failure());
    world_.pager.ReleaseFrames(64);
    for (uint64_t page = 0; page < 40; page += 3) {
      PagerTestPeer::AimAt(world_.pager, PagerWorld::At(page));
      world_.pager.Isolate(1);
    }
    world_.CompressAll();
    if (!world_.ReadEverything() || !world_.UnmapEverything()) Report(world_.failure());
    _exit(0);
  }
  // The child has no mapping there, and the model must forget it.
  [[noreturn]] void LiveWithout(uint64_t page) {
    if (!world_.BecomeChild().ok()) Report("not rebuilt");
    if (PagerTestPeer::IsRegistered(world_.pager, PagerWorld::At(page))) Report("still registered");
    if (!world_.Check() || !world_.UnmapEverything()) Report(world_.failure());
    _exit(0);
  }
  [[noreturn]] static void Report(const std::string& what) {
    fprintf(stderr, "the child: %s\n", what.c_str());
    _exit(1);
  }
  // The parent's side, after the child was born.
  void GoOnAsParent() {
    world_.fake.NoteForked();
    Thaw();
    world_.Pump();
    EXPECT_TRUE(world_.Check()) << world_.failure();
    for (uint64_t page = 0; page < 40; page += 2) EXPECT_TRUE(world_.Write(page, std::byte{9}));
    EXPECT_TRUE(world_.ReadEverything()) << world_.failure();
    world_.pager.ReleaseFrames(64);
    EXPECT_TRUE(world_.Check()) << world_.failure();
  }

  static PagerWorld::Options Wishes() {
    PagerWorld::Options options;
    options.device_bytes = GetParam() ? 4 << 20 : 0;
    return options;
  }

  PagerWorld world_{Wishes()};
};

INSTANTIATE_TEST_SUITE_P(WithoutAndWithDevice, PagerFork, testing::Bool());

TEST_P(PagerFork, ChildAndParentBothKeepEveryByte) {
  Freeze();
  EXPECT_EXIT(LiveAsChild(), testing::ExitedWithCode(0), "");
  GoOnAsParent();
}

// Pages that are only read, and one that is written to, leave again: nothing is stored for the
// former. They were loaded from the pool, or from the device.
TEST_P(PagerFork, UnchangedPagesAreNotStoredAgain) {
  Freeze();
  Thaw();
  const uint64_t slots = world_.store.slots_in_use();
  ASSERT_TRUE(world_.ReadEverything()) << world_.failure();
  EXPECT_EQ(world_.store.slots_in_use(), slots) << "the slots are kept";
  EXPECT_EQ(world_.statistics.kept_pages.Get(), 8u);
  EXPECT_TRUE(world_.Write(3, std::byte{99}));
  world_.TakePages(0, 8);
  world_.CompressAll();
  EXPECT_EQ(world_.statistics.unchanged_pages.Get(), 7u);
  EXPECT_EQ(world_.statistics.kept_pages.Get(), 0u);
  EXPECT_TRUE(world_.ReadEverything()) << world_.failure();
  EXPECT_EQ(world_.statistics.kept_pages.Get(), 7u) << "page 3 has a slot that nobody shares";
  EXPECT_TRUE(world_.pager.EndSharing());
  EXPECT_EQ(world_.statistics.kept_pages.Get(), 0u);
  EXPECT_TRUE(world_.ReadEverything()) << world_.failure();
}

// A page that is written to and then gets its former content back is unchanged.
TEST_P(PagerFork, ContentDecidesAndNotTheWrite) {
  Freeze();
  Thaw();
  PagerWorld::Page former;
  FillPageOf(PageKind::kText, 6, former);  // as SetUp did
  EXPECT_TRUE(world_.Write(5, std::byte{99}));
  EXPECT_TRUE(PagerTestPeer::KeptSlotOf(world_.pager, PagerWorld::At(5)).valid());
  world_.FillBytes(5, former);
  world_.TakePages(5, 1);
  world_.CompressAll();
  EXPECT_EQ(world_.statistics.unchanged_pages.Get(), 1u);
  EXPECT_TRUE(world_.ReadEverything()) << world_.failure();
}

TEST_P(PagerFork, NothingIsIsolatedWhileFrozen) {
  Freeze();
  EXPECT_EQ(world_.pager.ResidenceOfFrozen(PagerWorld::At(0)), Residence::kSwappedOut);
  EXPECT_EQ(world_.pager.ResidenceOfFrozen(PagerWorld::At(20)), Residence::kInProgram);
  EXPECT_EQ(world_.pager.ResidenceOfFrozen(PagerWorld::At(35)), Residence::kInProgram);
  EXPECT_EQ(world_.pager.ResidenceOfFrozen(PagerWorld::At(90)), Residence::kNotRegistered);
  Thaw();
}

// Pages shared with the child are refused until they are written to.
TEST_P(PagerFork, SharedPagesAreBusyUntilWritten) {
  Freeze();
  GoOnAsParent();
  PagerTestPeer::AimAt(world_.pager, PagerWorld::At(21));
  EXPECT_EQ(world_.StateOf(21), PageState::kResident);
  EXPECT_TRUE(world_.Write(22, std::byte{1}));
  PagerTestPeer::AimAt(world_.pager, PagerWorld::At(22));
  EXPECT_EQ(world_.pager.Isolate(1), 1u);
}

// --- while frozen ---

TEST_P(PagerFork, TheForkingThreadIsServedWhileFrozen) {
  Freeze();
  EXPECT_EQ(world_.TryRead(7, 0), Access::kWaiting);
  EXPECT_EQ(world_.TryRead(8, 12), Access::kWaiting);
  Rescue(99);  // neither is the one that forks: both wait
  EXPECT_TRUE(world_.fake.IsWaiting(7));
  Rescue(7);
  EXPECT_EQ(world_.TryRead(7, 0), Access::kDone);
  EXPECT_EXIT(LiveAsChild(), testing::ExitedWithCode(0), "");
  GoOnAsParent();
  EXPECT_EQ(world_.TryRead(8, 12), Access::kDone);
}

TEST_P(PagerFork, ThreadsThatMayHoldTheForkersLockAreServedWhileFrozen) {
  Freeze();
  EXPECT_EQ(world_.TryRead(8, 12), Access::kWaiting);
  Rescue(7, true);
  EXPECT_EQ(world_.TryRead(8, 12), Access::kDone);
  EXPECT_EXIT(LiveAsChild(), testing::ExitedWithCode(0), "");
  GoOnAsParent();
}

// Reading an event wakes its thread, which may hold the lock: the forking thread may continue.
TEST_P(PagerFork, NobodyIsServedForALockWhenAnEventWasRead) {
  Freeze();
  EXPECT_EQ(world_.TryRead(8, 12), Access::kWaiting);
  const ChangeId unmap = world_.BeginUnmap(0, 8);
  EXPECT_TRUE(world_.Step(unmap));
  Rescue(7, true);
  EXPECT_TRUE(world_.fake.IsWaiting(8));
  EXPECT_TRUE(world_.Step(unmap));
  world_.Map(0, 8);
  Rescue(7, true);
  EXPECT_EQ(world_.TryRead(8, 12), Access::kDone);
  EXPECT_EXIT(LiveAsChild(), testing::ExitedWithCode(0), "");
  GoOnAsParent();
}

// More than one rescue wakes at once.
TEST_P(PagerFork, EveryThreadIsServedAfterSomeRescues) {
  Freeze();
  constexpr uint32_t kThreads = 100;
  for (uint32_t thread = 100; thread < 100 + kThreads; ++thread) {
    EXPECT_EQ(world_.TryRead(thread, thread % 8), Access::kWaiting);
  }
  Rescue(7, true);
  EXPECT_EQ(world_.TryRead(100, 100 % 8), Access::kDone);
  Rescue(7, true);
  for (uint32_t thread = 100; thread < 100 + kThreads; ++thread) {
    EXPECT_FALSE(world_.fake.IsWaiting(thread)) << thread;
  }
  GoOnAsParent();
}

// The event was read: it is true of the child too, which the parent forked afterwards.
TEST_P(PagerFork, AnUnmapReadWhileFrozenIsAppliedOnBothSides) {
  Freeze();
  const ChangeId unmap = world_.BeginUnmap(0, 8);
  EXPECT_TRUE(world_.Step(unmap));
  Rescue(99);
  EXPECT_TRUE(world_.Step(unmap));
  world_.Map(0, 8);  // used again at once, and written to
  EXPECT_EQ(world_.TryWrite(1, 2, std::byte{5}), Access::kDone);
  EXPECT_EXIT(LiveAsChild(), testing::ExitedWithCode(0), "");
  GoOnAsParent();
}

TEST_P(PagerFork, AnUnmapThatIsNotReadLeavesTheChildToFindOut) {
  Freeze();
  const ChangeId unmap = world_.BeginUnmap(0, 8);
  EXPECT_EXIT(LiveAsChild(), testing::ExitedWithCode(0), "");
  world_.fake.NoteForked();
  Thaw();
  EXPECT_TRUE(world_.Finish(unmap));
  EXPECT_TRUE(world_.ReadEverything()) << world_.failure();
}

// Another thread uses the addresses again before the event is read. What it has written shows the
// child that its entries are those of the mapping before.
TEST_P(PagerFork, AMappingUsedAgainBeforeItsUnmapIsReadIsTheNewOneInTheChild) {
  Freeze();
  const ChangeId replace = world_.BeginReplace(0, 40);
  EXPECT_EQ(world_.TryWrite(1, 2, std::byte{5}), Access::kDone);
  EXPECT_EXIT(LiveAsChild(), testing::ExitedWithCode(0), "");
  world_.fake.NoteForked();
  Thaw();
  EXPECT_TRUE(world_.Finish(replace));
  EXPECT_TRUE(world_.ReadEverything()) << world_.failure();
}

TEST_P(PagerFork, MappingsKeptFromChildrenAreForgottenThere) {
  world_.fake.Protect(PagerWorld::At(0), 4 << kPageShift, {.kept_from_children = true});
  Freeze();
  EXPECT_EXIT(LiveWithout(0), testing::ExitedWithCode(0), "");
  GoOnAsParent();
}

// --- what must end the child ---

TEST_P(PagerFork, AChildThatTouchedAPageTooEarlyIsEnded) {
  Freeze();
  EXPECT_DEATH(
      {
        world_.fake.BecomeChild();
        std::byte byte{};
        world_.fake.Load(1, PagerWorld::At(3), {&byte, 1});  // reads a zero
        static_cast<void>(world_.RebuildInChild());
      },
      "a forked child touched a page before uzswap could serve it");
  Thaw();
}

// Pages of the mapping that moved can be swapped out: nobody knows where they belong.
TEST_P(PagerFork, AMappingThatMayHaveMovedOntoAnotherEndsTheChild) {
  Freeze();
  const ChangeId replace = world_.BeginReplace(0, 8);
  EXPECT_EQ(world_.TryWrite(1, 2, std::byte{5}), Access::kDone);
  const ChangeId unmap = world_.BeginUnmap(8, 4);
  EXPECT_DEATH(
      {
        world_.fake.BecomeChild();
        static_cast<void>(world_.RebuildInChild());
      },
      "a mapping was moved onto another one during a fork");
  world_.fake.NoteForked();
  Thaw();
  EXPECT_TRUE(world_.Finish(replace));
  EXPECT_TRUE(world_.Finish(unmap));
}

TEST_P(PagerFork, AChildThatTouchedOnlyWhatIsThereLives) {
  Freeze();
  EXPECT_EXIT(
      {
        world_.fake.BecomeChild();
        std::byte byte{};
        world_.fake.Load(1, PagerWorld::At(25), {&byte, 1});
        world_.fake.Load(1, PagerWorld::At(35), {&byte, 1});
        LiveAsChild();
      },
      testing::ExitedWithCode(0), "");
  Thaw();
}

TEST_P(PagerFork, AChildOfAChild) {
  Freeze();
  EXPECT_EXIT(
      {
        if (!world_.BecomeChild().ok()) Report("not rebuilt");
        world_.Write(1, std::byte{3});
        Freeze();
        const pid_t pid = fork();
        if (pid == 0) LiveAsChild();
        int status = 0;
        if (waitpid(pid, &status, 0) != pid || status != 0) Report("the grandchild failed");
        _exit(0);
      },
      testing::ExitedWithCode(0), "");
  Thaw();
}

}  // namespace
}  // namespace uzswap
