#include "writeback/writeback.h"

#include <cerrno>
#include <functional>
#include <gtest/gtest.h>
#include <string>
#include <thread>
#include <vector>

#include "writeback/testing/writeback_peer.h"
#include "writeback/testing/writeback_rig.h"

namespace uzswap {
namespace {

using Rig = WritebackRig;

class WritebackPoolTest : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(All, WritebackPoolTest, testing::Bool(), [](const auto& each) {
  return std::string(each.param ? "zsmalloc" : "zbud");
});

TEST_P(WritebackPoolTest, ShrinkingFreesFramesAndKeepsEveryPage) {
  FixtureOptions options;
  options.zsmalloc = GetParam();
  Rig rig(options);
  rig.Fill(2000);
  const uint64_t frames = rig.pool.Snapshot().frames;
  EXPECT_TRUE(rig.writeback.Shrink(frames / 2 * kPageSize));
  EXPECT_LE(rig.pool.Snapshot().frames, frames / 2);
  rig.cache.Audit();
  EXPECT_EQ(rig.CountReadable(2000), 2000u);
  const BackingCounters& written = rig.store.counters();
  EXPECT_GE(written.bytes_written.Get() / written.write_requests.Get(), 64u << 10);
  const WritebackCounters& counters = rig.writeback.counters();
  EXPECT_GE(counters.frames_freed.Get(), frames / 2);
  // A frame is freed for each frame's worth of bytes that left or moved, or nearly so.
  const uint64_t worth = (counters.evicted_bytes.Get() + counters.moved_bytes.Get()) / kPageSize;
  EXPECT_GE(counters.frames_freed.Get() * 10, worth * 9);
}

TEST(WritebackTest, EverythingCanGo) {
  Rig rig;
  rig.Fill(500);
  EXPECT_TRUE(rig.writeback.Shrink(0));
  EXPECT_EQ(rig.pool.Snapshot().frames, 0u);
  EXPECT_EQ(rig.CountReadable(500), 500u);
  rig.cache.Audit();
}

TEST(WritebackTest, WhatWasLoadedIsSparedOnce) {
  FixtureOptions options;
  Rig rig(options);
  rig.Fill(200);
  for (uint64_t i = 0; i < 200; i += 4) ASSERT_EQ(rig.Get(i), LoadOutcome::kLoaded);
  while (rig.writeback.counters().units_taken.Get() < 100) {
    ASSERT_EQ(rig.writeback.Step(), StepOutcome::kWorked);
  }
  rig.writeback.WaitForWrites();
  EXPECT_GT(rig.Counted().evict_referenced.Get(), 10u);
  EXPECT_TRUE(rig.writeback.Shrink(0)) << "the second look does not spare them";
  EXPECT_EQ(rig.CountReadable(200), 200u);
}

// Frames in a range of addresses are mapped by a relative too.
class FakeSharing final : public FrameSharing {
 public:
  bool IsShared(const std::byte* frame) override {
    ++asked;
    if (while_asked) while_asked();
    return frame >= begin && frame < end;
  }

  const std::byte* begin = nullptr;
  const std::byte* end = nullptr;
  uint64_t asked = 0;
  std::function<void()> while_asked;
};

// What another thread may do at that moment: free all objects of the unit.
TEST(WritebackTest, ObjectsMayBeFreedWhileItAsksWhetherTheyAreShared) {
  for (const bool shared : {false, true}) {
    Rig rig;
    FakeSharing sharing;
    rig.writeback.SetSharing(&sharing);
    rig.Fill(100);
    if (shared) sharing.end = reinterpret_cast<const std::byte*>(UINTPTR_MAX);
    sharing.while_asked = [&] {
      for (uint64_t i = 0; i < 100; ++i) {
        static_cast<void>(rig.cache.Invalidate(rig.other, rig.At(i)));
      }
    };
    ASSERT_EQ(rig.writeback.Step(), StepOutcome::kWorked);
    EXPECT_EQ(sharing.asked, 1u);
    rig.writeback.WaitForWrites();
    EXPECT_EQ(rig.pool.Snapshot().objects, 0u);
    rig.cache.Audit();
  }
}

TEST(WritebackTest, UnitsThatARelativeMapsTooStay) {
  Rig rig;
  FakeSharing sharing;
  rig.writeback.SetSharing(&sharing);
  rig.Fill(500);
  const uint64_t shared_frames = rig.pool.Snapshot().frames;
  sharing.end = reinterpret_cast<const std::byte*>(UINTPTR_MAX);
  EXPECT_FALSE(rig.writeback.Shrink(0)) << "it ends, and writes nothing";
  EXPECT_EQ(rig.pool.Snapshot().frames, shared_frames);
  EXPECT_EQ(rig.store.counters().objects_appended.Get(), 0u);
  EXPECT_EQ(rig.writeback.counters().objects_moved.Get(), 0u);
  EXPECT_GT(rig.writeback.counters().units_shared.Get(), 0u);
  EXPECT_GE(sharing.asked, rig.writeback.counters().units_shared.Get());
  EXPECT_EQ(rig.CountReadable(500), 500u);
  // The relative has gone. The pages were loaded, so the first turn spares some.
  sharing.end = nullptr;
  static_cast<void>(rig.writeback.Shrink(0));
  EXPECT_TRUE(rig.writeback.Shrink(0));
  EXPECT_EQ(rig.CountReadable(500), 500u);
}

TEST(WritebackTest, TheWriterThreadKeepsThePoolOpen) {
  FixtureOptions options;
  options.pool_limit = 400 * kPageSize;
  options.frames = 520;
  Rig rig(options);
  WriterThread writer(rig.writeback);
  // A caller whose page is refused keeps it and tries again.
  for (uint64_t i = 0; i < 5000; ++i) ASSERT_TRUE(rig.StoreWhenAccepted(i)) << i;
  writer.Join();
  rig.cache.Audit();
  EXPECT_LE(rig.pool.Snapshot().frames, 520u);
  EXPECT_EQ(rig.CountReadable(5000), 5000u);
}

// Between Pause and Resume the writer holds still: nothing is in flight, nothing is written.
TEST(WritebackTest, APausedWriterHoldsStill) {
  FixtureOptions options;
  options.pool_limit = 400 * kPageSize;
  options.frames = 520;
  Rig rig(options);
  WriterThread writer(rig.writeback);
  uint64_t stored = 0;
  for (int round = 0; round < 20; ++round) {
    for (; stored < static_cast<uint64_t>(round + 1) * 150; ++stored) {
      ASSERT_TRUE(rig.StoreWhenAccepted(stored)) << stored;
    }
    rig.writeback.Pause();
    const uint64_t written = rig.store.counters().bytes_written.Get();
    EXPECT_EQ(rig.store.in_flight(), 0u);
    EXPECT_EQ(WritebackPeer::PendingUnits(rig.writeback), 0u);
    rig.cache.gate().Call();  // does not wake it
    EXPECT_EQ(rig.store.counters().bytes_written.Get(), written);
    rig.store.BeginChild();
    rig.store.EndChild();
    rig.writeback.Resume();
  }
  rig.writeback.Pause();
  writer.Join();  // also out of a pause
  EXPECT_EQ(rig.CountReadable(stored), stored);
  rig.cache.Audit();
}

// Stores continue while the writer shrinks the pool. If they fill the frames that it frees, that
// does not count as a store that takes nothing.
TEST(WritebackTest, APoolThatGrowsMeanwhileDoesNotMakeItGiveUp) {
  FixtureOptions options;
  options.pool_limit = 400 * kPageSize;
  Rig rig(options);
  const PoolGate& gate = rig.cache.gate();
  const auto level = [&] { return rig.pool.Snapshot().frame_bytes(); };
  uint64_t stored = 0;
  const auto fill_to = [&](uint64_t frames) {
    for (; level() < frames * kPageSize; ++stored) {
      const TestPage page = PageOf(Rig::VersionOf(stored));
      ASSERT_EQ(rig.cache.Store(rig.other, rig.At(stored), page.view()), StoreOutcome::kStored);
    }
  };
  fill_to(370);
  rig.port.Hold();
  WriterThread writer(rig.writeback);
  ASSERT_TRUE(WaitUntil([&] { return rig.store.in_flight() > 0; })) << "nothing is written";
  fill_to(395);
  EXPECT_TRUE(rig.writeback.shrinking());
  rig.port.Release();
  bool gave_up = false;
  EXPECT_TRUE(WaitUntil([&] {
    gave_up = gave_up || rig.writeback.stuck();
    return level() <= gate.reopen_level();
  })) << "the pool stays above the level";
  EXPECT_FALSE(gave_up);
  writer.Join();
  EXPECT_EQ(rig.CountReadable(stored), stored);
}

TEST(WritebackTest, AskedToItShrinksAPoolThatIsOpen) {
  Rig rig;
  rig.Fill(1000);
  WriterThread writer(rig.writeback);
  const uint64_t half = rig.pool.Snapshot().frame_bytes() / 2;
  rig.writeback.Ask(half);
  EXPECT_TRUE(WaitUntil([&] { return rig.pool.Snapshot().frame_bytes() <= half; }))
      << "the pool does not shrink";
  writer.Join();
  EXPECT_FALSE(rig.cache.gate().closed());
  EXPECT_EQ(rig.CountReadable(1000), 1000u);
}

// An idle writer whose idle time is short, so that no test waits for a second.
WritebackOptions SoonIdle() {
  WritebackOptions options;
  options.idle_ns = 1'000'000;
  return options;
}

// After the idle time, the file holds little more than what is live in it.
class IdleCleaningTest : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(All, IdleCleaningTest, testing::Bool(), [](const auto& instance) {
  return instance.param ? "WritesInReap" : "WritesByItself";
});

TEST_P(IdleCleaningTest, AnIdleWriterCleansTheFile) {
  Rig rig({}, SoonIdle());
  if (GetParam()) rig.port.WriteInReap();
  rig.Fill(4000);
  ASSERT_TRUE(rig.writeback.Shrink(0));
  for (uint64_t i = 0; i < 4000; i += 2) rig.cache.Invalidate(rig.context, rig.At(i));
  // A record whose page was read ahead cannot be moved: here in many segments.
  for (uint64_t i = 1; i < 4000; i += 500) ASSERT_TRUE(rig.ReadAhead(i));
  const SegmentTable& segments = rig.store.segments();
  ASSERT_GT(segments.held_bytes(), segments.live_bytes() * 13 / 10);
  WriterThread writer(rig.writeback);
  const auto clean = [&] {
    return segments.held_bytes() <= segments.live_bytes() / 100 * 105 + (64 << 10);
  };
  EXPECT_TRUE(WaitUntil(clean)) << segments.held_bytes() << " held for " << segments.live_bytes()
                                << " live";
  writer.Join();
  EXPECT_GT(rig.writeback.counters().idle_bytes.Get(), 0u);
  EXPECT_LE(rig.writeback.counters().idle_bytes.Get(), rig.store.counters().recopied_bytes.Get());
  for (uint64_t i = 1; i < 4000; i += 2) ASSERT_TRUE(rig.Is(i, Rig::VersionOf(i)));
  rig.cache.Audit();
}

// The device is stopped while the writer cleans, so that cleaning cannot end before the call. The
// thread cleans once and does nothing else: one in Run would clean again after its idle time.
TEST(WritebackTest, AWriterThatIsCalledLeavesItsCleaning) {
  FixtureOptions options;
  options.pool_limit = 2048 * kPageSize;
  Rig rig(options);
  constexpr uint64_t kPages = 12'000;
  for (uint64_t i = 0; i < kPages; ++i) {
    if (i % 1000 == 0) {
      ASSERT_TRUE(rig.writeback.Shrink(0));
    }
    ASSERT_EQ(rig.Put(i, Rig::VersionOf(i)), StoreOutcome::kStored);
  }
  ASSERT_TRUE(rig.writeback.Shrink(0));
  for (uint64_t i = 0; i < kPages; i += 2) rig.cache.Invalidate(rig.context, rig.At(i));
  rig.port.Hold();
  std::thread cleaning([&rig] { WritebackPeer::CleanStore(rig.writeback); });
  EXPECT_TRUE(WaitUntil([&] { return rig.store.in_flight() == rig.port.depth(); }))
      << "the writer does not clean";
  rig.cache.gate().Call();
  const uint64_t cleaned = rig.store.counters().cleaned_segments.Get();
  rig.port.Release();
  cleaning.join();
  // The segment in which the writer is when it is called is cleaned to its end.
  EXPECT_LE(rig.store.counters().cleaned_segments.Get(), cleaned + 1);
  EXPECT_GT(rig.store.segments().held_bytes(), rig.store.segments().live_bytes() * 12 / 10)
      << "there was more to clean";
  for (uint64_t i = 1; i < kPages; i += 2) ASSERT_TRUE(rig.Is(i, Rig::VersionOf(i)));
  rig.cache.Audit();
}

// A third of a full store is not live, in every segment a part. The pages that are stored next find
// room, because the writer cleans.
TEST(WritebackTest, AFullSparseStoreIsCleanedUntilThereIsRoom) {
  FixtureOptions options;
  options.device = 4 << 20;
  Rig rig(options);
  uint64_t stored = 0;
  const auto store_while_it_shrinks = [&] {
    do {
      for (int i = 0; i < 200; ++i, ++stored) {
        ASSERT_EQ(rig.Put(stored, Rig::VersionOf(stored)), StoreOutcome::kStored);
      }
    } while (rig.writeback.Shrink(0));
  };
  store_while_it_shrinks();
  ASSERT_FALSE(rig.store.HasRoom());
  const uint64_t first = stored;
  const uint64_t made = rig.writeback.counters().room_made.Get();  // of short segments
  for (uint64_t i = 0; i < first; i += 3) rig.cache.Invalidate(rig.context, rig.At(i));
  ASSERT_FALSE(rig.store.HasRoom());
  store_while_it_shrinks();
  EXPECT_GT(rig.writeback.counters().room_made.Get(), made);
  EXPECT_GT(stored - first, first / 5) << "most of the third is used again";
  for (uint64_t i = 0; i < stored; ++i) {
    ASSERT_EQ(rig.Is(i, Rig::VersionOf(i)), i >= first || i % 3 != 0) << i;
  }
  rig.cache.Audit();
}

TEST(WritebackTest, WithoutAStoreTheBoundHoldsAndDenserObjectsMakeRoom) {
  WritebackOptions writing;
  writing.recompress_with = CodecByName("zstd");
  Rig rig({}, writing, false);
  rig.Fill(1000);
  const uint64_t bytes = rig.pool.Snapshot().object_bytes;
  EXPECT_FALSE(rig.writeback.Shrink(0));
  EXPECT_LT(rig.pool.Snapshot().object_bytes, bytes * 8 / 10);
  EXPECT_GT(rig.writeback.counters().objects_recompressed.Get(), 500u);
  EXPECT_EQ(rig.CountReadable(1000), 1000u);
  EXPECT_EQ(rig.port.writes(), 0u);
  rig.cache.Audit();
}

TEST(WritebackTest, RecompressedObjectsGoToDiskToo) {
  WritebackOptions writing;
  writing.recompress_with = CodecByName("zstd");
  Rig rig({}, writing);
  rig.Fill(600);
  EXPECT_TRUE(rig.writeback.Shrink(0));
  EXPECT_EQ(rig.CountReadable(600), 600u);
  EXPECT_GT(rig.writeback.counters().objects_recompressed.Get(), 300u);
}

TEST(WritebackTest, QueueDepthIsReached) {
  FixtureOptions options;
  options.depth = 16;
  options.frames = 8192;
  options.device = 128 << 20;
  Rig rig(options);
  rig.Fill(8000);
  rig.port.Hold();
  std::thread device([&] {
    // Completes nothing before sixteen requests wait.
    EXPECT_TRUE(WaitUntil([&] { return rig.store.in_flight() == 16; })) << "the queue stays short";
    rig.port.Release();
  });
  EXPECT_TRUE(rig.writeback.Shrink(0));
  device.join();
  EXPECT_EQ(rig.store.counters().deepest_queue.Get(), 16u);
  EXPECT_EQ(rig.CountReadable(8000), 8000u);
}

TEST(WritebackTest, SteadyChurnWritesLittleMoreThanWhatItStores) {
  FixtureOptions options;
  options.frames = 2048;
  options.pool_limit = 600 * kPageSize;
  Rig rig(options);
  Rng rng(11);
  std::vector<bool> stored(4000);
  for (uint64_t i = 0; i < 30'000; ++i) {
    const uint64_t offset = rng.Below(stored.size());
    stored[offset] = rig.Put(offset, Rig::VersionOf(offset)) == StoreOutcome::kStored;
    if (!stored[offset]) rig.writeback.Shrink(rig.cache.gate().reopen_level());
  }
  rig.writeback.WaitForWrites();
  const BackingCounters& counters = rig.store.counters();
  const double amplification = static_cast<double>(counters.bytes_written.Get()) /
                               static_cast<double>(counters.payload_bytes.Get());
  EXPECT_LE(amplification, 1.15);
  EXPECT_GE(counters.bytes_written.Get() / counters.write_requests.Get(), 64u << 10);
  WritebackPeer::CleanStore(rig.writeback);
  rig.cache.Audit();
  const uint64_t live = rig.store.segments().live_bytes();
  EXPECT_LE(static_cast<double>(rig.store.segments().held_bytes()),
            1.08 * static_cast<double>(live));
  for (uint64_t offset = 0; offset < stored.size(); ++offset) {
    ASSERT_EQ(rig.Is(offset, Rig::VersionOf(offset)), stored[offset]) << offset;
  }
  RecordProperty("amplification", std::to_string(amplification));
}

TEST(WritebackTest, AWriterThatNeverRunsCostsRoomAndNothingElse) {
  FixtureOptions options;
  options.pool_limit = 100 * kPageSize;
  Rig rig(options);
  uint64_t stored = 0;
  while (rig.Put(stored, Rig::VersionOf(stored)) == StoreOutcome::kStored) ++stored;
  for (uint64_t i = 0; i < 50; ++i) {
    EXPECT_EQ(rig.Put(stored, Rig::VersionOf(stored)), StoreOutcome::kNoSpace);
  }
  EXPECT_EQ(rig.CountReadable(stored), stored);
}

}  // namespace
}  // namespace uzswap
