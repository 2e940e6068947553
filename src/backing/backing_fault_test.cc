// A fault at each call that the store makes to its port: no published object returns wrong bytes,
// no failed object is published, nothing hangs.
#include <cerrno>
#include <gtest/gtest.h>

#include "backing/testing/store_fixture.h"
#include "os/testing/io_stories.h"

namespace uzswap {
namespace {

using os::IoFault;
using Story = os::IoStory;

constexpr uint64_t kKeys = 1200;  // about five segments

class BackingFaultTest : public testing::TestWithParam<Story> {};

// Writes, drops, cleans and reads, while call `call` fails. Returns how many calls there were.
uint64_t RunWithFault(const Story& story, uint64_t call, bool encrypt) {
  BackingOptions options;
  options.encrypt = encrypt;
  StoreFixture fixture(options, 16 << 20, 4);
  fixture.port.Plan(story.fault, call, story.error, story.sticky);
  for (uint64_t key = 0; key < kKeys; ++key) {
    if (fixture.Put(key) == AppendOutcome::kAppended) continue;
    // Refused: the object stays where it was, with its owner.
    EXPECT_FALSE(fixture.owner.entries.at(key).place.valid());
  }
  fixture.store.WaitForWrites();
  for (uint64_t key = 0; key < kKeys; ++key) {
    if (key % 4 != 0) fixture.Drop(key);
  }
  for (int step = 0; step < 8; ++step) {
    static_cast<void>(fixture.store.Clean(900));
    fixture.store.Reap(false);
  }
  fixture.store.WaitForWrites();
  fixture.store.Trim(0);
  uint64_t unreadable = 0;
  for (const auto& [key, entry] : fixture.owner.entries) {
    if (!entry.place.valid()) continue;
    if (fixture.Get(key) != ReadOutcome::kOk) ++unreadable;  // Get checks the bytes
  }
  const bool damages = story.fault == IoFault::kTorn || story.fault == IoFault::kFlippedBit;
  if (!story.sticky && !damages) {
    EXPECT_LE(unreadable, 1u) << story.name << " at " << call;
  }
  fixture.store.Audit();
  // Once the device works again, every object that was kept can be read.
  fixture.port.Heal();
  if (!damages) fixture.CheckAll();
  const BackingCounters& counters = fixture.store.counters();
  EXPECT_EQ(counters.objects_failed.Get(), fixture.owner.failed);
  EXPECT_EQ(counters.objects_appended.Get() + counters.objects_recopied.Get(),
            counters.objects_written.Get() + counters.objects_unwanted.Get() +
                counters.objects_failed.Get());
  return fixture.port.calls();
}

TEST_P(BackingFaultTest, AtEveryCall) {
  const Story& story = GetParam();
  const uint64_t calls = RunWithFault({"none", IoFault::kNone, 0, false}, 0, false);
  ASSERT_GT(calls, 300u);
  for (uint64_t call = 1; call <= calls; call = os::NextFailingCall(call, 16, 97)) {
    RunWithFault(story, call, call % 2 == 0);
  }
}

INSTANTIATE_TEST_SUITE_P(All, BackingFaultTest, testing::ValuesIn(os::kIoStories),
                         [](const auto& each) { return std::string(each.param.name); });

TEST(BackingFaultTest, AFullMediumIsTriedAgainWhenSomethingWasReleased) {
  StoreFixture fixture;
  static_cast<void>(fixture.Put(1));
  fixture.store.WaitForWrites();
  fixture.port.Plan(IoFault::kError, fixture.port.calls() + 1, ENOSPC);
  static_cast<void>(fixture.Put(2));
  fixture.store.WaitForWrites();
  EXPECT_EQ(fixture.owner.failed, 1u);
  EXPECT_EQ(fixture.Put(3), AppendOutcome::kNoSpace);
  fixture.Drop(1);
  EXPECT_EQ(fixture.Put(3), AppendOutcome::kAppended);
  fixture.store.WaitForWrites();
  EXPECT_EQ(fixture.Get(3), ReadOutcome::kOk);
}

TEST(BackingFaultTest, ASpoiltSegmentIsNotUsedAgain) {
  StoreFixture fixture;
  fixture.port.Plan(IoFault::kError, 1, EIO);
  static_cast<void>(fixture.Put(1));
  fixture.store.WaitForWrites();
  EXPECT_EQ(SegmentTablePeer::StateOf(fixture.store.segments(), 0), SegmentTable::State::kBad);
  EXPECT_EQ(fixture.Put(1), AppendOutcome::kAppended);
  fixture.store.WaitForWrites();
  EXPECT_EQ(fixture.owner.entries.at(1).place.segment(), 1u);
  EXPECT_FALSE(fixture.store.closed());
}

TEST(BackingFaultTest, ADeviceThatIsGoneClosesTheStoreButKeepsAnswering) {
  StoreFixture fixture;
  static_cast<void>(fixture.Put(1));
  fixture.store.WaitForWrites();
  fixture.port.Plan(IoFault::kVanished, fixture.port.calls() + 1);
  static_cast<void>(fixture.Put(2));
  fixture.store.WaitForWrites();
  EXPECT_TRUE(fixture.store.closed());
  EXPECT_EQ(fixture.store.last_error(), ENODEV);
  EXPECT_EQ(fixture.Put(3), AppendOutcome::kClosed);
  EXPECT_EQ(fixture.Get(1), ReadOutcome::kIoError);
}

}  // namespace
}  // namespace uzswap
