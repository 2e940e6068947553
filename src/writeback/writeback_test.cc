#include "writeback/writeback.h"

#include <cerrno>
#include <gtest/gtest.h>
#include <string>
#include <thread>

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
  // A frame comes free for each frame's worth of bytes that left or moved, or nearly so.
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
  rig.writeback.Drain();
  EXPECT_GT(rig.Counted().evict_referenced.Get(), 10u);
  EXPECT_TRUE(rig.writeback.Shrink(0)) << "the second look does not spare them";
  EXPECT_EQ(rig.CountReadable(200), 200u);
}

TEST(WritebackTest, TheWriterThreadKeepsThePoolOpen) {
  FixtureOptions options;
  options.pool_limit = 400 * kPageSize;
  options.frames = 520;
  Rig rig(options);
  std::thread writer([&] { rig.writeback.Run([] { return uint64_t{0}; }); });
  uint64_t refused = 0;
  for (uint64_t i = 0; i < 5000; ++i) {
    while (rig.cache.Store(rig.other, rig.At(i), PageOf(Rig::VersionOf(i)).view()) !=
           StoreOutcome::kStored) {
      ++refused;  // the caller keeps the page and tries again
    }
  }
  rig.writeback.Stop();
  writer.join();
  rig.cache.Audit();
  EXPECT_LE(rig.pool.Snapshot().frames, 520u);
  EXPECT_EQ(rig.CountReadable(5000), 5000u);
}

// The writer stands still between Pause and Resume: nothing is in flight, nothing moves.
TEST(WritebackTest, APausedWriterHoldsStill) {
  FixtureOptions options;
  options.pool_limit = 400 * kPageSize;
  options.frames = 520;
  Rig rig(options);
  std::thread writer([&] { rig.writeback.Run([] { return uint64_t{0}; }); });
  uint64_t stored = 0;
  for (int round = 0; round < 20; ++round) {
    while (stored < static_cast<uint64_t>(round + 1) * 150) {
      const StoreOutcome outcome =
          rig.cache.Store(rig.other, rig.At(stored), PageOf(Rig::VersionOf(stored)).view());
      if (outcome == StoreOutcome::kStored) ++stored;
    }
    rig.writeback.Pause();
    const uint64_t written = rig.store.counters().bytes_written.Get();
    EXPECT_EQ(rig.store.in_flight(), 0u);
    EXPECT_EQ(rig.writeback.pending_units(), 0u);
    rig.cache.gate().Call();  // does not wake it
    EXPECT_EQ(rig.store.counters().bytes_written.Get(), written);
    rig.store.BeginChild();
    rig.store.EndChild();
    rig.writeback.Resume();
  }
  rig.writeback.Pause();
  rig.writeback.Stop();  // also out of a pause
  writer.join();
  EXPECT_EQ(rig.CountReadable(stored), stored);
  rig.cache.Audit();
}

// Stores go on while the pool is above the level that calls the writer: that they make up for
// what it frees is not the failure of a store that takes nothing.
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
  std::thread writer([&] { rig.writeback.Run([] { return uint64_t{0}; }); });
  while (rig.store.in_flight() == 0) std::this_thread::yield();
  fill_to(395);
  EXPECT_TRUE(rig.writeback.shrinking());
  rig.port.Release();
  bool gave_up = false;
  while (level() > gate.reopen_level()) gave_up = gave_up || rig.writeback.stuck();
  EXPECT_FALSE(gave_up);
  rig.writeback.Stop();
  writer.join();
  EXPECT_EQ(rig.CountReadable(stored), stored);
}

TEST(WritebackTest, AskedToItShrinksAPoolThatIsOpen) {
  Rig rig;
  rig.Fill(1000);
  std::thread writer([&] { rig.writeback.Run([] { return uint64_t{0}; }); });
  const uint64_t half = rig.pool.Snapshot().frame_bytes() / 2;
  rig.writeback.Ask(half);
  while (rig.pool.Snapshot().frame_bytes() > half) std::this_thread::yield();
  rig.writeback.Stop();
  writer.join();
  EXPECT_FALSE(rig.cache.gate().closed());
  EXPECT_EQ(rig.CountReadable(1000), 1000u);
}

// When nobody has called for a second, what the file holds comes close to what lives in it.
TEST(WritebackTest, AnIdleWriterCleansTheFile) {
  Rig rig;
  rig.Fill(4000);
  ASSERT_TRUE(rig.writeback.Shrink(0));
  for (uint64_t i = 0; i < 4000; i += 2) rig.cache.Invalidate(rig.context, rig.At(i));
  // Pages that were read ahead, in many segments, stay where they are for as long as they are.
  for (uint64_t i = 1; i < 4000; i += 500) ASSERT_TRUE(rig.cache.Prefetch(rig.other, rig.At(i)));
  const SegmentTable& segments = rig.store.segments();
  ASSERT_GT(segments.held_bytes(), segments.live_bytes() * 13 / 10);
  std::thread writer([&] { rig.writeback.Run([] { return uint64_t{0}; }); });
  const auto clean = [&] {
    return segments.held_bytes() <= segments.live_bytes() / 100 * 105 + (64 << 10);
  };
  while (!clean()) std::this_thread::yield();
  rig.writeback.Stop();
  writer.join();
  for (uint64_t i = 1; i < 4000; i += 2) ASSERT_TRUE(rig.Is(i, Rig::VersionOf(i)));
  rig.cache.Audit();
}

// The device is stopped while the writer cleans, so that it cannot end before it is called.
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
  std::thread writer([&] { rig.writeback.Run([] { return uint64_t{0}; }); });
  while (rig.store.in_flight() < rig.port.depth()) std::this_thread::yield();
  const uint64_t cleaned = rig.store.counters().cleaned_segments.Get();
  const uint64_t taken = rig.writeback.counters().units_taken.Get();
  rig.cache.gate().SetLimit(100 * kPageSize);
  for (uint64_t i = 0; rig.pool.Snapshot().frame_bytes() < 95 * kPageSize; i += 2) {
    ASSERT_EQ(rig.cache.Store(rig.other, rig.At(i), PageOf(Rig::VersionOf(i)).view()),
              StoreOutcome::kStored);
  }
  static_cast<void>(rig.cache.gate().Observe(rig.pool.Snapshot().frame_bytes()));
  // On a busy machine the pool may have shrunk before anybody looks.
  while (!rig.writeback.shrinking() && rig.writeback.counters().units_taken.Get() == taken) {
    // One at a time, when the writer waits for it.
    if (rig.store.in_flight() > 0) rig.port.Release(1);
    std::this_thread::yield();
  }
  EXPECT_LE(rig.store.counters().cleaned_segments.Get(), cleaned + 2);
  EXPECT_GT(rig.store.segments().held_bytes(), rig.store.segments().live_bytes() * 12 / 10)
      << "there was more to clean";
  rig.port.Release();
  rig.writeback.Stop();
  writer.join();
  for (uint64_t i = 1; i < kPages; i += 2) ASSERT_TRUE(rig.Is(i, Rig::VersionOf(i)));
  rig.cache.Audit();
}

TEST(WritebackTest, WithoutAStoreTheBoundHoldsAndDenserObjectsMakeRoom) {
  WritebackOptions wishes;
  wishes.recompress_with = CodecByName("zstd");
  Rig rig({}, wishes, false);
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
  WritebackOptions wishes;
  wishes.recompress_with = CodecByName("zstd");
  Rig rig({}, wishes);
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
    while (rig.store.in_flight() < 16) std::this_thread::yield();
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
  for (uint64_t i = 0; i < 30'000; ++i) {
    const uint64_t offset = rng.Below(4000);
    if (rig.Put(offset, Rig::VersionOf(offset)) != StoreOutcome::kStored) {
      rig.writeback.Shrink(rig.cache.gate().reopen_level());
    }
  }
  rig.writeback.Drain();
  const BackingCounters& counters = rig.store.counters();
  const double amplification = static_cast<double>(counters.bytes_written.Get()) /
                               static_cast<double>(counters.payload_bytes.Get());
  EXPECT_LE(amplification, 1.15);
  EXPECT_GE(counters.bytes_written.Get() / counters.write_requests.Get(), 64u << 10);
  rig.writeback.CompactStore(950);
  rig.cache.Audit();
  uint64_t live = rig.store.segments().live_bytes();
  EXPECT_LE(static_cast<double>(rig.store.segments().held_bytes()),
            1.08 * static_cast<double>(live));
  rig.CountReadable(0);
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
