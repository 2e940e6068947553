// The storage stack as a library would use it: pages by slot, without a pager.
//
//   UZSWAP_TEST_SEED   the seed of the random test (printed)
#include "swap/storage_stack.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <gtest/gtest.h>
#include <map>
#include <ostream>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "backing/testing/store_fixture.h"
#include "base/rng.h"
#include "base/testing/from_environment.h"
#include "frame/testing/frame_arena_peer.h"
#include "os/testing/fake_io_port.h"
#include "os/testing/io_stories.h"
#include "os/testing/temp_directory.h"
#include "swap/testing/storage_rig.h"

namespace uzswap {
namespace {

enum class BackedBy : uint8_t { kNothing, kFile, kFake };

struct Wiring {
  PoolKind pool;
  CodecMode codec;
  BackedBy backed_by;
};

void PrintTo(const Wiring& wiring, std::ostream* out) {
  *out << Name(wiring.pool) << " " << Name(wiring.codec);
}

std::string NameOf(const testing::TestParamInfo<Wiring>& info) {
  constexpr const char* kBackedBy[] = {"Alone", "File", "Fake"};
  return std::string(Name(info.param.pool)) + Name(info.param.codec) +
         kBackedBy[static_cast<int>(info.param.backed_by)];
}

std::vector<Wiring> AllWirings() {
  std::vector<Wiring> all;
  for (const PoolKind pool : {PoolKind::kZsmalloc, PoolKind::kZbud}) {
    for (const CodecMode codec : {CodecMode::kAuto, CodecMode::kLz4, CodecMode::kZstd}) {
      for (const BackedBy backing : {BackedBy::kNothing, BackedBy::kFile, BackedBy::kFake}) {
        all.push_back({pool, codec, backing});
      }
    }
  }
  return all;
}

class StorageStackTest : public testing::TestWithParam<Wiring> {
 protected:
  void SetUp() override { ASSERT_TRUE(port_.Init(64 << 20, 4).ok()); }
  StorageOptions OptionsOfParam() {
    StorageOptions options;
    options.memory_limit = kMemory;
    options.pool = GetParam().pool;
    options.codec = GetParam().codec;
    if (GetParam().backed_by == BackedBy::kFile) options.backing.path = directory_.path().c_str();
    if (GetParam().backed_by == BackedBy::kFake) options.backing.port = &port_;
    return options;
  }
  static bool HasBacking() { return GetParam().backed_by != BackedBy::kNothing; }

  os::TempDirectory directory_;
  os::FakeIoPort port_;
};

TEST_P(StorageStackTest, StoresLoadsAndFreesBySlot) {
  Rig rig(OptionsOfParam());
  EXPECT_EQ(rig.stack.backing() != nullptr, HasBacking());
  EXPECT_EQ(rig.stack.writes(), HasBacking());
  EXPECT_FALSE(rig.stack.backing_error().has_value());
  EXPECT_FALSE(rig.stack.is_child());

  std::map<uint64_t, SwapSlot> stored;
  for (uint64_t i = 0; i < 20 * kPageKinds; ++i) {
    const Page page = PageOf(i);
    const StoredPage outcome = rig.Store(page);
    switch (static_cast<PageKind>(i % kPageKinds)) {
      case PageKind::kZero:
        EXPECT_EQ(outcome.as, StoredAs::kSameFilled);
        continue;
      case PageKind::kRandom:
        EXPECT_EQ(outcome.as, HasBacking() ? StoredAs::kSlot : StoredAs::kIncompressible);
        break;
      default:
        EXPECT_EQ(outcome.as, StoredAs::kSlot);
        break;
    }
    if (outcome.as == StoredAs::kSlot) stored[i] = outcome.slot;
  }
  EXPECT_EQ(rig.stack.store().slots_in_use(), stored.size());
  EXPECT_GT(rig.stack.store().PoolBytes(), Bytes(0));
  for (const auto& [number, slot] : stored) EXPECT_TRUE(rig.Holds(slot, PageOf(number))) << number;
  rig.stack.cache().Audit();
  for (const auto& [number, slot] : stored) rig.Free(slot);
  EXPECT_EQ(rig.stack.store().slots_in_use(), 0u);
  EXPECT_EQ(rig.stack.pool().Snapshot().objects, 0u);
}

TEST_P(StorageStackTest, WritebackEmptiesThePoolAndPagesComeBack) {
  Rig rig(OptionsOfParam());
  const std::vector<SwapSlot> slots = rig.Fill(500);
  EXPECT_EQ(rig.EmptyPool(), HasBacking());
  if (!HasBacking()) {
    EXPECT_EQ(rig.CountReadable(slots), slots.size());
    return;
  }
  EXPECT_EQ(rig.PagesOnDisk(), slots.size());
  EXPECT_EQ(rig.stack.pool().Snapshot().objects, 0u);

  Page page;
  EXPECT_EQ(rig.Load(slots[0], page, LoadFrom::kMemory), LoadedPage::kOnDisk);
  const std::span<const SwapSlot> wanted(slots.data(), CompressedCache::kPrefetchMax);
  rig.stack.store().Prefetch(rig.context, wanted);
  for (uint64_t i = 0; i < wanted.size(); ++i) {
    EXPECT_EQ(rig.Load(slots[i], page, LoadFrom::kMemory), LoadedPage::kLoaded) << i;
    EXPECT_EQ(page, CompressiblePageOf(i)) << i;
  }
  EXPECT_EQ(rig.CountReadable(slots), slots.size());
  rig.stack.cache().DropReadAhead(rig.context);
  rig.stack.cache().Audit();
}

TEST_P(StorageStackTest, TrimGivesIdleFramesBack) {
  Rig rig(OptionsOfParam());
  const std::vector<SwapSlot> slots = rig.Fill(2000);
  const Bytes full = rig.stack.store().PoolBytes();
  // Every frame becomes sparse: without compaction hardly any would be freed.
  for (uint64_t i = 0; i < slots.size(); ++i) {
    if (i % 8 != 0) rig.Free(slots[i]);
  }
  const uint64_t object_bytes = rig.stack.pool().Snapshot().object_bytes;
  const uint64_t dense = object_bytes / 8 * 9 + StoragePool::kIdleFrames * kPageSize;
  const bool sparse = ToBytes(rig.stack.arena().frames_in_use()).raw() > dense;
  uint64_t moved = 0;
  uint64_t released = 0;
  int fruitless = 0;
  for (int step = 0; step < 10'000 && fruitless < 2; ++step) {
    const TrimResult result = rig.stack.Trim();
    moved += result.objects_moved;
    released += result.frames_released.raw();
    EXPECT_LE(result.frames_released.raw(), StoragePool::kReleaseFrames + 512) << "and a block";
    EXPECT_FALSE(result.more && result.frames_released == PageCount(0));
    const bool idle = result.objects_moved == 0 && result.frames_released == PageCount(0);
    fruitless = idle ? fruitless + 1 : 0;
  }
  EXPECT_EQ(fruitless, 2) << "Trim must come to an end";
  EXPECT_EQ(moved > 0, sparse);
  EXPECT_LE(ToBytes(rig.stack.arena().frames_in_use()).raw(), dense + (64 << 10));
  EXPECT_EQ(PagesWithin(full).raw() - released, PagesWithin(rig.stack.store().PoolBytes()).raw());
  EXPECT_LE(rig.stack.store().PoolBytes().raw(), full.raw() / 2);
  for (uint64_t i = 0; i < slots.size(); i += 8) {
    EXPECT_TRUE(rig.Holds(slots[i], CompressiblePageOf(i))) << i;
  }
}

// Stores, loads, prefetches, frees, shrinks and trims in any order, against a map.
TEST_P(StorageStackTest, AgreesWithAModel) {
  const uint64_t seed = SeedFromEnvironment(20261127);
  StorageOptions options = OptionsOfParam();
  options.pool_limit = Bytes(256 << 10);
  Rig rig(options);
  Rng rng(seed);
  std::map<SwapSlot, uint64_t> model;  // slot -> number of its page
  const auto any = [&] {
    return std::next(model.begin(), static_cast<long>(rng.Below(model.size())));
  };
  uint64_t refused = 0;
  uint64_t on_disk = 0;
  for (uint64_t step = 0; step < 6000; ++step) {
    const uint64_t choice = model.empty() ? 0 : rng.Below(100);
    if (choice < 45) {
      const StoredPage outcome = rig.Store(PageOf(step));
      if (outcome.as == StoredAs::kSlot) {
        ASSERT_TRUE(model.emplace(outcome.slot, step).second) << "slot given out twice, " << step;
      }
      refused += outcome.as == StoredAs::kNoSpace ? 1 : 0;
    } else if (choice < 70) {
      const auto entry = any();
      Page page;
      const LoadedPage loaded = rig.Load(entry->first, page, LoadFrom::kMemory);
      ASSERT_NE(loaded, LoadedPage::kLost) << step;
      on_disk += loaded == LoadedPage::kOnDisk ? 1 : 0;
      if (loaded == LoadedPage::kLoaded) {
        ASSERT_EQ(page, PageOf(entry->second)) << step;
      }
      ASSERT_TRUE(rig.Holds(entry->first, PageOf(entry->second))) << step;
    } else if (choice < 90) {
      const auto entry = any();
      rig.Free(entry->first);
      model.erase(entry);
    } else if (choice < 95 && HasBacking()) {
      const SwapSlot wanted[] = {any()->first, any()->first};
      rig.stack.store().Prefetch(rig.context, wanted);
    } else if (choice < 98) {
      static_cast<void>(rig.stack.writeback().Shrink(rng.Below(1 << 20)));
    } else {
      static_cast<void>(rig.stack.Trim());
    }
    ASSERT_EQ(rig.stack.store().slots_in_use(), model.size());
  }
  if (!HasBacking()) {
    EXPECT_GT(refused, 0u) << "the pool limit was never reached";
  }
  if (HasBacking()) {
    EXPECT_GT(on_disk, 0u);
  }
  rig.stack.cache().DropReadAhead(rig.context);
  rig.stack.writeback().WaitForWrites();
  rig.stack.cache().Audit();
  for (const auto& [slot, number] : model) EXPECT_TRUE(rig.Holds(slot, PageOf(number)));
}

INSTANTIATE_TEST_SUITE_P(Of, StorageStackTest, testing::ValuesIn(AllWirings()), NameOf);

TEST(StorageStackLimits, ThePoolLimitRefusesStoresWhereNothingCanBeWritten) {
  StorageOptions options;
  options.memory_limit = kMemory;
  options.pool_limit = Bytes(256 << 10);
  Rig rig(options);
  std::vector<SwapSlot> slots;
  StoredPage outcome = rig.Store(CompressiblePageOf(0));
  for (uint64_t i = 1; outcome.as == StoredAs::kSlot && i < 10'000; ++i) {
    slots.push_back(outcome.slot);
    outcome = rig.Store(CompressiblePageOf(i));
  }
  EXPECT_EQ(outcome.as, StoredAs::kNoSpace);
  EXPECT_GE(slots.size(), 64u) << "pages are compressed: more of them than frames";
  EXPECT_LE(rig.stack.pool().Snapshot().frame_bytes(), 512u << 10);
  EXPECT_EQ(rig.CountReadable(slots), slots.size());
}

TEST(StorageStackLimits, TheMemoryLimitBoundsTheArena) {
  StorageOptions options;
  options.memory_limit = StorageOptions::kMemoryLimitMin;
  options.keep_incompressible = KeepIncompressible::kAlways;
  Rig rig(options);
  std::vector<SwapSlot> slots;
  StoredPage outcome = rig.Store(RandomPage(0));
  for (uint64_t i = 1; outcome.as == StoredAs::kSlot && i < 100; ++i) {
    slots.push_back(outcome.slot);
    outcome = rig.Store(RandomPage(i));
  }
  EXPECT_EQ(outcome.as, StoredAs::kNoSpace);
  EXPECT_GE(slots.size(), 8u);
  EXPECT_LE(slots.size(), 16u) << "an incompressible page takes a whole frame of the 16";
  for (uint64_t i = 0; i < slots.size(); ++i) EXPECT_TRUE(rig.Holds(slots[i], RandomPage(i)));
}

TEST(StorageStackLimits, AFileAtItsSizeLimitKeepsPagesInThePool) {
  os::TempDirectory directory;
  StorageOptions options;
  options.memory_limit = kMemory;
  options.backing.path = directory.path().c_str();
  options.backing.size_limit = StorageOptions::kBackingSizeMin;
  Rig rig(options);
  const std::vector<SwapSlot> slots = rig.Fill(2000);
  EXPECT_FALSE(rig.stack.writeback().Shrink(0));
  EXPECT_GT(rig.PagesOnDisk(), 0u);
  EXPECT_LT(rig.PagesOnDisk(), slots.size());
  EXPECT_LE(rig.stack.backing()->file_bytes(), options.backing.size_limit.raw());
  EXPECT_EQ(rig.CountReadable(slots), slots.size());
}

TEST(StorageStackLimits, AWriteLimitIsChargedToTheSharedAccount) {
  os::FakeIoPort port;
  ASSERT_TRUE(port.Init(64 << 20, 4).ok());
  WearAccount wear{};
  StorageOptions options;
  options.memory_limit = kMemory;
  options.backing.port = &port;
  options.backing.write_limit = Bytes(256 << 10);
  options.backing.write_period_s = 86400;
  options.backing.wear = &wear;
  {
    Rig rig(options);
    const std::vector<SwapSlot> slots = rig.Fill(2000);
    EXPECT_FALSE(rig.stack.writeback().Shrink(0));
    EXPECT_GT(rig.stack.backing()->counters().over_budget.Get(), 0u);
    EXPECT_EQ(rig.CountReadable(slots), slots.size());
  }
  EXPECT_LE(wear.available.load(), 0);
  const uint64_t written = port.bytes_written();
  EXPECT_GT(written, 0u);
  Rig second(options);
  const std::vector<SwapSlot> slots = second.Fill(500);
  EXPECT_FALSE(second.stack.writeback().Shrink(0));
  EXPECT_EQ(port.bytes_written(), written) << "the account is used up";
  EXPECT_EQ(second.CountReadable(slots), slots.size());
}

TEST(StorageStackOptions, IncompressiblePagesAreKeptAsAskedFor) {
  for (const BackedBy backed_by : {BackedBy::kNothing, BackedBy::kFake}) {
    for (const KeepIncompressible keep :
         {KeepIncompressible::kIfWritable, KeepIncompressible::kAlways,
          KeepIncompressible::kNever}) {
      os::FakeIoPort port;
      ASSERT_TRUE(port.Init(16 << 20, 4).ok());
      StorageOptions options;
      options.memory_limit = kMemory;
      options.keep_incompressible = keep;
      if (backed_by == BackedBy::kFake) options.backing.port = &port;
      Rig rig(options);
      const bool kept = keep == KeepIncompressible::kAlways ||
                        (keep == KeepIncompressible::kIfWritable && backed_by == BackedBy::kFake);
      const StoredPage outcome = rig.Store(RandomPage(1));
      EXPECT_EQ(outcome.as, kept ? StoredAs::kSlot : StoredAs::kIncompressible);
      if (kept) {
        EXPECT_TRUE(rig.Holds(outcome.slot, RandomPage(1)));
      }
    }
  }
}

TEST(StorageStackOptions, InitRefusesWrongOptionsByName) {
  StorageStack stack;
  StorageOptions options;
  const Result<void> done = stack.Init(options);
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().errno_value, EINVAL);
  EXPECT_STREQ(done.error().what, "the memory limit must be at least 64 KiB");
}

TEST(StorageStackOptions, ABackingStoreThatCannotBeOpenedIsNoError) {
  os::TempDirectory directory;
  const std::string missing = directory.path() + "/missing/file";
  StorageOptions options;
  options.memory_limit = kMemory;
  options.backing.path = missing.c_str();
  Rig rig(options);
  EXPECT_EQ(rig.stack.backing(), nullptr);
  EXPECT_FALSE(rig.stack.writes());
  ASSERT_TRUE(rig.stack.backing_error().has_value());
  EXPECT_EQ(rig.stack.backing_error()->errno_value, ENOENT);
  const std::vector<SwapSlot> slots = rig.Fill(100);
  EXPECT_EQ(rig.CountReadable(slots), slots.size());
  EXPECT_EQ(rig.Store(RandomPage(1)).as, StoredAs::kIncompressible);
  EXPECT_FALSE(rig.stack.OpenForChild().file[0].is_open());
  rig.stack.ReleaseChildren();
  EXPECT_EQ(rig.stack.store().slots_in_use(), slots.size());
}

TEST(StorageStackOptions, ADeviceThatIsTooSmallIsNamed) {
  os::FakeIoPort port;
  ASSERT_TRUE(port.Init(128 << 10, 4).ok());
  StorageOptions options;
  options.memory_limit = kMemory;
  options.backing.port = &port;
  Rig rig(options);
  EXPECT_EQ(rig.stack.backing(), nullptr);
  ASSERT_TRUE(rig.stack.backing_error().has_value());
  EXPECT_STREQ(rig.stack.backing_error()->what, "the backing store is smaller than two segments");
  EXPECT_EQ(rig.CountReadable(rig.Fill(10)), 10u);
}

// The device fails at each of the first calls, and at some later ones, in every way there is.
// No page may be wrong, and none may be lost but for what the device destroyed.
TEST(StorageStackFaults, NoWrongPageWhateverTheDeviceDoes) {
  for (const os::IoStory& story : os::kIoStories) {
    uint64_t struck = 0;
    for (uint64_t call = 1; call <= 40; call = os::NextFailingCall(call, 8, 7)) {
      SCOPED_TRACE(std::string(story.name) + " at call " + std::to_string(call));
      os::FakeIoPort port;
      ASSERT_TRUE(port.Init(16 << 20, 4).ok());
      StorageOptions options;
      options.memory_limit = kMemory;
      options.backing.port = &port;
      Rig rig(options);
      const std::vector<SwapSlot> slots = rig.Fill(200);
      port.Plan(story.fault, call, story.error, story.sticky);
      static_cast<void>(rig.stack.writeback().Shrink(0));
      uint64_t lost = 0;
      for (uint64_t i = 0; i < slots.size(); ++i) {
        Page page;
        const LoadedPage loaded = rig.Load(slots[i], page);
        ASSERT_NE(loaded, LoadedPage::kOnDisk);
        if (loaded == LoadedPage::kLost) ++lost;
        if (loaded == LoadedPage::kLoaded) {
          ASSERT_EQ(page, CompressiblePageOf(i)) << i;
        }
      }
      struck += port.calls() >= call ? 1 : 0;
      port.Heal();
      // What failed to be read is still there. What a device destroyed stays lost.
      const bool destroys =
          story.fault == os::IoFault::kTorn || story.fault == os::IoFault::kFlippedBit;
      const uint64_t readable = rig.CountReadable(slots);
      if (destroys) {
        EXPECT_GE(readable, slots.size() - lost);
      } else {
        EXPECT_EQ(readable, slots.size());
      }
    }
    EXPECT_GT(struck, 0u) << story.name;
  }
}

TEST(StorageStackFaults, ALoadThatFailsSaysWhy) {
  os::FakeIoPort port;
  ASSERT_TRUE(port.Init(16 << 20, 4).ok());
  StorageOptions options;
  options.memory_limit = kMemory;
  options.backing.port = &port;
  Rig rig(options);
  const std::vector<SwapSlot> slots = rig.Fill(50);
  ASSERT_TRUE(rig.EmptyPool());
  Page page;
  port.Plan(os::IoFault::kError, port.calls() + 1, EIO, true);
  EXPECT_EQ(rig.Load(slots[7], page), LoadedPage::kLost);
  EXPECT_EQ(rig.context.last_error(), EIO);
  port.Heal();
  EXPECT_TRUE(rig.Holds(slots[7], CompressiblePageOf(7))) << "a later load tries again";
  std::fill(port.bytes().begin(), port.bytes().end(), std::byte{0x5a});
  EXPECT_EQ(rig.Load(slots[8], page), LoadedPage::kLost);
  EXPECT_EQ(rig.context.last_error(), 0) << "the bytes are damaged";
}

TEST(StorageStackFaults, AFrameThatCannotBeHadRefusesOneStore) {
  uint64_t refused_in_all = 0;
  for (uint64_t nth = 1; nth <= 20; ++nth) {
    StorageOptions options;
    options.memory_limit = kMemory;
    Rig rig(options);
    FrameArenaPeer::FailNth(rig.stack.arena(), nth);
    std::map<uint64_t, SwapSlot> stored;
    uint64_t refused = 0;
    for (uint64_t i = 0; i < 100; ++i) {
      const StoredPage outcome = rig.Store(CompressiblePageOf(i));
      if (outcome.as == StoredAs::kSlot) stored[i] = outcome.slot;
      refused += outcome.as == StoredAs::kNoSpace ? 1 : 0;
    }
    refused_in_all += refused;
    EXPECT_EQ(stored.size() + refused, 100u) << nth;
    EXPECT_EQ(rig.stack.store().slots_in_use(), stored.size()) << nth;
    for (const auto& [number, slot] : stored) {
      EXPECT_TRUE(rig.Holds(slot, CompressiblePageOf(number))) << nth << " " << number;
    }
  }
  // A pool of several size classes can place some objects without the frame that it did not get.
  EXPECT_GT(refused_in_all, 0u);
}

TEST(StorageStackThreads, ManyThreadsStoreWhileTheWriterShrinksThePool) {
  constexpr uint64_t kThreads = 3;
  constexpr uint64_t kRounds = 1500;
  os::FakeIoPort port;
  ASSERT_TRUE(port.Init(64 << 20, 4).ok());
  StorageOptions options;
  options.memory_limit = kMemory;
  options.pool_limit = Bytes(512 << 10);
  options.backing.port = &port;
  Rig rig(options);
  std::atomic<uint64_t> wrong{0};
  std::atomic<uint64_t> refused{0};
  {
    Writer writer(rig.stack);
    std::vector<std::thread> threads;
    for (uint64_t me = 0; me < kThreads; ++me) {
      threads.emplace_back([&, me] {
        CacheContext context;
        UZ_CHECK(context.Init(rig.stack.cache()).ok());
        PageStore& store = rig.stack.store();
        std::map<uint64_t, SwapSlot> mine;
        for (uint64_t round = 0; round < kRounds; ++round) {
          const uint64_t number = me * kRounds + round;
          const StoredPage outcome = store.Store(context, CompressiblePageOf(number).bytes);
          if (outcome.as == StoredAs::kSlot) mine[number] = outcome.slot;
          if (outcome.as != StoredAs::kSlot) ++refused;
          if (mine.size() < 300) continue;
          const auto oldest = mine.begin();
          Page page;
          const LoadedPage loaded =
              store.Load(context, oldest->second, page.bytes, LoadFrom::kAnywhere);
          wrong += loaded != LoadedPage::kLoaded || page != CompressiblePageOf(oldest->first);
          store.Free(context, oldest->second);
          mine.erase(oldest);
        }
        for (const auto& [number, slot] : mine) {
          Page page;
          const LoadedPage loaded = store.Load(context, slot, page.bytes, LoadFrom::kAnywhere);
          wrong += loaded != LoadedPage::kLoaded || page != CompressiblePageOf(number);
          store.Free(context, slot);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_EQ(rig.stack.store().slots_in_use(), 0u);
  EXPECT_LT(refused.load(), kThreads * kRounds);
  rig.stack.writeback().WaitForWrites();
  rig.stack.cache().Audit();
}

}  // namespace
}  // namespace uzswap
