// A cache with its writer while the device, the arena or the write budget fails.
#include <cerrno>
#include <gtest/gtest.h>
#include <string>

#include "frame/testing/frame_arena_peer.h"
#include "os/testing/io_stories.h"
#include "writeback/testing/writeback_rig.h"

namespace uzswap {
namespace {

using os::IoFault;
using Story = os::IoStory;
using Rig = WritebackRig;

class WritebackFaultTest : public testing::TestWithParam<Story> {};

constexpr uint64_t kPages = 600;

// Stores, shrinks, loads and cleans, with a fault at one call. Every page is right or its load
// reports the failure; the writer never hangs; a page that could be kept was kept.
uint64_t RunWithFault(const Story& story, uint64_t call) {
  FixtureOptions options;
  options.encrypt = call % 3 == 0;
  Rig rig(options);
  rig.port.Plan(story.fault, call, story.error, story.sticky);
  rig.Fill(kPages);
  static_cast<void>(rig.writeback.Shrink(100 * kPageSize));
  uint64_t wrong = 0;
  uint64_t lost = 0;
  for (uint64_t i = 0; i < kPages; i += 1) {
    const LoadMode mode = i % 3 == 0 ? LoadMode::kExclusive : LoadMode::kKeep;
    switch (rig.Get(i, mode)) {
      case LoadOutcome::kLoaded:
        wrong += rig.got == PageOf(Rig::VersionOf(i)) ? 0 : 1;
        break;
      case LoadOutcome::kOnDisk:
      case LoadOutcome::kMiss:
        ++lost;
        break;
      case LoadOutcome::kIoError:
      case LoadOutcome::kCorrupt:
        EXPECT_TRUE(CachePeer::Holds(rig.cache, rig.At(i)));
        break;
    }
  }
  EXPECT_EQ(wrong, 0u) << story.name << " at " << call;
  EXPECT_EQ(lost, 0u) << story.name << " at " << call;
  WritebackPeer::CleanStore(rig.writeback);
  rig.cache.Audit();
  rig.port.Heal();
  const bool damages = story.fault == IoFault::kTorn || story.fault == IoFault::kFlippedBit;
  for (uint64_t i = 1; i < kPages && !damages; i += 3) {
    EXPECT_TRUE(rig.Is(i, Rig::VersionOf(i))) << story.name << " at " << call << " page " << i;
  }
  return rig.port.calls();
}

TEST_P(WritebackFaultTest, AtEveryCall) {
  const uint64_t calls = RunWithFault({"none", IoFault::kNone, 0, false}, 0);
  ASSERT_GT(calls, 200u);
  for (uint64_t call = 1; call <= calls; call = os::NextFailingCall(call, 10, 127)) {
    RunWithFault(GetParam(), call);
  }
}

INSTANTIATE_TEST_SUITE_P(All, WritebackFaultTest, testing::ValuesIn(os::kIoStories),
                         [](const auto& each) { return std::string(each.param.name); });

TEST(WritebackFaultTest, NoFrameForAnythingStillLosesNothing) {
  FixtureOptions options;
  options.frames = 64;
  WritebackOptions writing;
  writing.recompress_with = CodecByName("zstd");
  Rig rig(options, writing);
  for (uint64_t nth = 1; nth < 60; ++nth) {
    FrameArenaPeer::FailNth(rig.arena, nth);
    const uint64_t offset = nth;
    const StoreOutcome outcome = rig.Put(offset, Rig::VersionOf(offset));
    if (outcome == StoreOutcome::kStored) {
      EXPECT_TRUE(rig.Is(offset, Rig::VersionOf(offset)));
    } else {
      EXPECT_EQ(outcome, StoreOutcome::kNoSpace);
      EXPECT_EQ(rig.Get(offset), LoadOutcome::kMiss);
    }
    static_cast<void>(rig.writeback.Step());
  }
  FrameArenaPeer::FailNth(rig.arena, 0);
  rig.writeback.WaitForWrites();
  rig.cache.Audit();
}

TEST(WritebackFaultTest, AWearLimitStopsWritingNotServing) {
  FixtureOptions options;
  Rig rig(options);
  rig.store.SetWearLimit(256 << 10, 1'000'000'000, 0);
  rig.Fill(1500);
  EXPECT_FALSE(rig.writeback.Shrink(0));
  EXPECT_GT(rig.store.counters().over_budget.Get(), 0u);
  EXPECT_EQ(rig.CountReadable(1500), 1500u);
  for (uint64_t period = 1; period < 20 && rig.pool.Snapshot().frames > 0; ++period) {
    rig.store.Tick(period * 1'000'000'000);
    static_cast<void>(rig.writeback.Shrink(0));
    static_cast<void>(rig.writeback.Shrink(0));
  }
  EXPECT_EQ(rig.pool.Snapshot().frames, 0u);
  EXPECT_EQ(rig.CountReadable(1500), 1500u);
}

}  // namespace
}  // namespace uzswap
