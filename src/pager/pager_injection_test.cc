// Every kind of call, refused in every way at its Nth time: never a wrong byte, never a hang. Where
// the answer leaves nothing right to do the process must end, and say why.
#include <unistd.h>

#include <csignal>
#include <gtest/gtest.h>
#include <iterator>
#include <string>

#include "pager/testing/pager_world.h"

namespace uzswap {
namespace {

using Call = os::FakeUserFault::Call;
using os::PortOutcome;

constexpr uint64_t kPages = 12;

// A short life with everything in it, always the same. True if every byte was right.
bool Live(PagerWorld& world) {
  world.Map(0, kPages);
  world.Fill(0, 3, PageKind::kText, 1);
  world.Adopt(0, kPages);
  world.Fill(3, kPages - 4, PageKind::kPointers, 2);
  world.Read(kPages - 1);
  world.Map(60, 32);
  world.Adopt(60, 32);
  for (const uint64_t page : {90, 61, 75}) world.Read(page);  // far apart: zero pages
  for (uint64_t page = 0; page < 8; ++page) {
    PagerTestPeer::AimAt(world.pager, PagerWorld::At(page));
    world.pager.Isolate(1);
  }
  world.Write(1, std::byte{3});
  PagerTestPeer::Batch batch;
  PagerTestPeer::BeginBatch(world.pager, 3, &batch);
  world.Write(2, std::byte{4});
  PagerTestPeer::StoreBatch(world.pager, world.context, &batch);
  PagerTestPeer::FinishBatch(world.pager, batch);
  world.CompressAll();
  if (!world.Check()) return false;
  for (uint64_t page = 0; page < kPages; ++page) world.Read(page);
  world.Finish(world.BeginDiscard(2, 3));
  world.Finish(world.BeginRemap(6, 3, 3, 40));
  world.pager.ReleaseFrames(4);
  world.Write(41, std::byte{5});
  return world.ReadEverything() && world.UnmapEverything();
}

uint64_t CallsOf(Call call) {
  PagerWorld world;
  EXPECT_TRUE(Live(world)) << world.failure();
  return world.fake.calls(call);
}

bool LiveWith(Call call, uint64_t nth, PortOutcome outcome, uint64_t done_pages,
              std::string* failure) {
  PagerWorld world;
  world.fake.Inject(call, nth, outcome, done_pages);
  Live(world);
  *failure = world.failure();
  return failure->empty();
}

struct Case {
  Call call;
  PortOutcome outcome;
  uint64_t done_pages = 0;
};

TEST(PagerInjectionUnreported, AtEveryMoveTheProgramContinues) {
  for (const Call call : {Call::kMove, Call::kRelease}) {
    const uint64_t calls = CallsOf(call);
    ASSERT_GT(calls, 0u);
    for (uint64_t nth = 1; nth <= calls; ++nth) {
      for (const uint64_t reported : {0, 1}) {
        PagerWorld world;
        world.fake.InjectUnreported(call, nth, reported, 2);
        EXPECT_TRUE(Live(world)) << "call " << nth << ": " << world.failure();
      }
    }
  }
}

class PagerInjection : public testing::TestWithParam<Case> {};

TEST_P(PagerInjection, AtEveryCallTheProgramContinues) {
  const Case refused = GetParam();
  const uint64_t calls = CallsOf(refused.call) + 4;
  ASSERT_GT(calls, 5u);
  for (uint64_t nth = 1; nth <= calls; ++nth) {
    std::string failure;
    ASSERT_TRUE(LiveWith(refused.call, nth, refused.outcome, refused.done_pages, &failure))
        << "call " << nth << ": " << failure;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Refusals, PagerInjection,
    testing::Values(
        Case{Call::kMove, PortOutcome::kRetry}, Case{Call::kMove, PortOutcome::kRetry, 1},
        Case{Call::kMove, PortOutcome::kBusy}, Case{Call::kMove, PortOutcome::kRefused},
        Case{Call::kMove, PortOutcome::kNoMemory}, Case{Call::kCopy, PortOutcome::kRetry},
        Case{Call::kCopy, PortOutcome::kRetry, 1}, Case{Call::kCopy, PortOutcome::kNoMemory},
        Case{Call::kCopy, PortOutcome::kGone}, Case{Call::kZero, PortOutcome::kRetry},
        Case{Call::kZero, PortOutcome::kNoMemory}, Case{Call::kZero, PortOutcome::kGone}));

TEST(PagerInjectionRegister, AMappingThatCannotBeRegisteredStaysTheKernels) {
  for (uint64_t nth = 1; nth <= 3; ++nth) {
    std::string failure;
    EXPECT_TRUE(LiveWith(Call::kRegister, nth, PortOutcome::kRefused, 0, &failure)) << failure;
  }
}

// Answers that no kernel gives unless content is lost already: right, or ended with a reason.
constexpr const char* kContinues = nullptr;
constexpr const char* kFrameIsFull = "an Empty staging frame has content";
constexpr const char* kPageIsPresent =
    "a page that is swapped out is present in the program's memory";
constexpr const char* kNoWayBack = "a page can neither be moved nor copied";

constexpr uint64_t kNth[] = {1, 3, 6, 9};

struct DeathCase {
  Call call;
  PortOutcome outcome;
  const char* ends[std::size(kNth)];  // why the process ends, for each of kNth
};

void ExpectEnd(const DeathCase& bad, uint64_t nth, const char* why) {
  const auto live = [&] {
    std::string failure;
    const bool right = LiveWith(bad.call, nth, bad.outcome, 0, &failure);
    fprintf(stderr, "uzswap: %s\n", right ? "continued" : failure.c_str());
    _exit(right ? 0 : 1);
  };
  if (why == kContinues) {
    EXPECT_EXIT(live(), testing::ExitedWithCode(0), "uzswap: continued");
  } else {
    EXPECT_EXIT(live(), testing::KilledBySignal(SIGABRT), why);
  }
}

TEST(PagerInjectionDeath, WhatCannotBeRightEndsTheProcess) {
  testing::FLAGS_gtest_death_test_style = "fast";
  // The process continues where the pager holds no content of the page, and where the entry says
  // that the page is present: then the thread faults again. The last call of kZero is the 8th.
  const DeathCase kCases[] = {
      {Call::kMove,
       PortOutcome::kExists,
       {kFrameIsFull, kFrameIsFull, kFrameIsFull, kPageIsPresent}},
      {Call::kCopy, PortOutcome::kExists, {kContinues, kContinues, kPageIsPresent, kContinues}},
      {Call::kCopy, PortOutcome::kBusy, {kNoWayBack, kNoWayBack, kNoWayBack, kNoWayBack}},
      {Call::kCopy, PortOutcome::kRefused, {kNoWayBack, kNoWayBack, kNoWayBack, kNoWayBack}},
      {Call::kZero, PortOutcome::kRefused, {kContinues, kContinues, kNoWayBack, kContinues}}};
  for (const DeathCase& bad : kCases) {
    for (size_t i = 0; i < std::size(kNth); ++i) {
      SCOPED_TRACE(testing::Message()
                   << "call " << static_cast<int>(bad.call) << " at " << kNth[i]);
      ExpectEnd(bad, kNth[i], bad.ends[i]);
    }
  }
}

}  // namespace
}  // namespace uzswap
