#include "writeback/writeback.h"

#include <cerrno>
#include <gtest/gtest.h>
#include <string>
#include <thread>

#include "cache/cache_fixture.h"

namespace uzswap {
namespace {

using os::IoFault;

class Rig : public CacheFixture {
 public:
  explicit Rig(const FixtureOptions& options = {}, WritebackOptions wishes = {},
               bool with_store = true)
      : CacheFixture(options) {
    UZ_CHECK(writeback.Init(cache, context, with_store ? &store : nullptr, wishes).ok());
  }
  ~Rig() {
    port.Heal();
    port.Release();
    writeback.Drain();
  }
  // Compressible pages of many kinds, none same-filled.
  static uint64_t VersionOf(uint64_t offset) {
    constexpr uint64_t kKinds[] = {2, 3, 5, 6};
    return offset * kPageKinds + kKinds[offset % 4];
  }
  void Fill(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      UZ_CHECK(Put(i, VersionOf(i)) == StoreOutcome::kStored);
    }
  }
  uint64_t CountReadable(uint64_t count) {
    uint64_t readable = 0;
    for (uint64_t i = 0; i < count; ++i) readable += Is(i, VersionOf(i)) ? 1 : 0;
    return readable;
  }

  Writeback writeback;
};

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

struct Story {
  const char* name;
  IoFault fault;
  int error;
  bool sticky;
};

constexpr Story kStories[] = {
    {"eio", IoFault::kError, EIO, false},
    {"eio_for_ever", IoFault::kError, EIO, true},
    {"enospc", IoFault::kError, ENOSPC, false},
    {"enospc_for_ever", IoFault::kError, ENOSPC, true},
    {"short_write", IoFault::kShortWrite, EIO, false},
    {"torn", IoFault::kTorn, 0, false},
    {"flipped_bit", IoFault::kFlippedBit, 0, false},
    {"truncated", IoFault::kTruncated, 0, true},
    {"vanished", IoFault::kVanished, ENODEV, true},
};

class WritebackFaultTest : public testing::TestWithParam<Story> {};

constexpr uint64_t kPages = 600;

// A life with a fault at one call. Every page is right, or its failure has a name; the writer
// never hangs; a page that could be kept was kept.
uint64_t Live(const Story& story, uint64_t call) {
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
      case LoadOutcome::kMiss:
        ++lost;
        break;
      case LoadOutcome::kIoError:
      case LoadOutcome::kCorrupt:
        EXPECT_TRUE(rig.cache.Holds(rig.At(i)));
        break;
    }
  }
  EXPECT_EQ(wrong, 0u) << story.name << " at " << call;
  EXPECT_EQ(lost, 0u) << story.name << " at " << call;
  rig.writeback.CompactStore(950);
  rig.cache.Audit();
  rig.port.Heal();
  const bool damages = story.fault == IoFault::kTorn || story.fault == IoFault::kFlippedBit;
  for (uint64_t i = 1; i < kPages && !damages; i += 3) {
    EXPECT_TRUE(rig.Is(i, Rig::VersionOf(i))) << story.name << " at " << call << " page " << i;
  }
  return rig.port.calls();
}

TEST_P(WritebackFaultTest, AtEveryCall) {
  const uint64_t calls = Live({"none", IoFault::kNone, 0, false}, 0);
  ASSERT_GT(calls, 200u);
  for (uint64_t call = 1; call <= calls; call += call < 12 ? 1 : 61) Live(GetParam(), call);
}

INSTANTIATE_TEST_SUITE_P(All, WritebackFaultTest, testing::ValuesIn(kStories),
                         [](const auto& each) { return std::string(each.param.name); });

TEST(WritebackFaultTest, NoFrameForAnythingStillLosesNothing) {
  FixtureOptions options;
  options.frames = 64;
  WritebackOptions wishes;
  wishes.recompress_with = CodecByName("zstd");
  Rig rig(options, wishes);
  for (uint64_t nth = 1; nth < 60; ++nth) {
    rig.arena.FailNthForTest(nth);
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
  rig.arena.FailNthForTest(0);
  rig.writeback.Drain();
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
