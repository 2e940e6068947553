// The behaviour that all pools share, with plain frames and with frames that are inaccessible
// unless pinned.
#include <cstring>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "base/rng.h"
#include "frame/testing/frame_arena_peer.h"
#include "pool/testing/pool_testing.h"

namespace uzswap {
namespace {

using Parameters = std::tuple<PoolVariant, FrameAccess>;

std::string ParametersName(const testing::TestParamInfo<Parameters>& parameters) {
  return NameOf(std::get<0>(parameters.param)) +
         (std::get<1>(parameters.param) == FrameAccess::kAlways ? "Always" : "WhilePinned");
}

class PoolTest : public testing::TestWithParam<Parameters> {
 protected:
  static constexpr uint64_t kFrames = 2048;
  void SetUp() override {
    ASSERT_TRUE(
        arena_.Init({.capacity = PageCount(kFrames), .access = std::get<1>(GetParam())}).ok());
    pool_ = MakePool(std::get<0>(GetParam()), {.arena = &arena_});
    ASSERT_NE(pool_, nullptr);
  }
  static std::vector<std::byte> Bytes(size_t size, uint32_t seed) {
    std::vector<std::byte> bytes(size);
    Rng rng(seed);
    for (std::byte& b : bytes) b = std::byte(rng.Next());
    return bytes;
  }
  Handle Store(size_t size, uint32_t seed) {
    const AllocateResult result = pool_->Store(Bytes(size, seed), seed);
    EXPECT_EQ(result.outcome, AllocateOutcome::kAllocated);
    return result.handle;
  }
  void ExpectBytes(Handle handle, size_t size, uint32_t seed) {
    const PinnedObject pin = pool_->Pin(handle);
    ASSERT_EQ(pin.size(), size);
    std::vector<std::byte> out(size);
    pin.CopyTo(out);
    ASSERT_EQ(out, Bytes(size, seed)) << size;
  }
  void CompactAll() {
    for (int i = 0; i < 100000 && !pool_->CompactStep(64).done; ++i) {
    }
  }

  FrameArena arena_;
  std::unique_ptr<HandlePool> pool_;
};

TEST_P(PoolTest, EverySizeIsStoredReadAndFreed) {
  std::vector<Handle> handles;
  for (uint32_t size = 1; size <= kPageSize; ++size) {
    // Two rounds of 2,048 frames are enough for the worst packing, one object in a frame.
    handles.push_back(Store(size, size));
    ASSERT_GE(pool_->FootprintOf(size), size);
    if (size % 1024 != 0) continue;
    pool_->Audit();
    for (uint32_t i = 0; i < handles.size(); ++i) {
      const uint32_t stored = size - 1023 + i;
      ASSERT_EQ(pool_->SizeOf(handles[i]), stored);
      ASSERT_EQ(pool_->OwnerOf(handles[i]), stored);
      ExpectBytes(handles[i], stored, stored);
      pool_->Free(handles[i]);
    }
    handles.clear();
    ASSERT_EQ(pool_->Snapshot().frames, 0u);
    ASSERT_EQ(arena_.frames_in_use().raw(), 0u);
  }
  EXPECT_EQ(pool_->Allocate(kPageSize + 1, 0).outcome, AllocateOutcome::kTooLarge);
}

TEST_P(PoolTest, HandlesFitInFortyEightBitsAndAreNeverZero) {
  const Handle handle = Store(100, 1);
  EXPECT_NE(handle.raw(), 0u);
  EXPECT_LT(handle.raw(), uint64_t{1} << 48);
  pool_->Free(handle);
}

TEST_P(PoolTest, AnObjectIsSeenInAtMostTwoSegmentsWithoutACopy) {
  std::vector<Handle> handles;
  for (uint32_t i = 0; i < 200; ++i) handles.push_back(Store(1400, i));
  size_t straddling = 0;
  for (Handle handle : handles) {
    const PinnedObject pin = pool_->Pin(handle);
    ASSERT_LE(pin.segment_count(), 2u);
    if (pin.segment_count() == 2) ++straddling;
    // There is no copy: a second pin sees the same memory.
    EXPECT_EQ(pool_->Pin(handle).segment(0).data(), pin.segment(0).data());
  }
  EXPECT_EQ(straddling > 0, std::get<0>(GetParam()) != PoolVariant::kZbud);
  for (Handle handle : handles) pool_->Free(handle);
}

TEST_P(PoolTest, WritesReplaceAPrefix) {
  const Handle handle = Store(3000, 1);
  pool_->Write(handle, Bytes(3000, 2));
  ExpectBytes(handle, 3000, 2);
  pool_->Write(handle, std::span<const std::byte>());
  ExpectBytes(handle, 3000, 2);
  pool_->Free(handle);
}

TEST_P(PoolTest, NoSpaceIsAnOutcomeAndPasses) {
  arena_.SetLimit(PageCount(10));
  std::vector<Handle> handles;
  AllocateResult result = pool_->Store(Bytes(4096, 1), 1);
  for (; result.ok(); result = pool_->Store(Bytes(4096, 1), 1)) handles.push_back(result.handle);
  EXPECT_EQ(result.outcome, AllocateOutcome::kNoSpace);
  EXPECT_EQ(handles.size(), 10u);
  EXPECT_EQ(pool_->Snapshot().no_space, 1u);
  pool_->Free(handles.back());
  handles.back() = Store(4096, 2);
  pool_->Audit();
  for (Handle handle : handles) pool_->Free(handle);
}

TEST_P(PoolTest, EveryFailedReservationLeavesThePoolSound) {
  for (uint64_t nth = 1; nth <= 6; ++nth) {
    for (size_t size : {100u, 1400u, 3000u, 3700u, 4096u}) {
      FrameArenaPeer::FailNth(arena_, nth);
      std::vector<Handle> handles;
      size_t refused = 0;
      for (uint32_t i = 0; i < 40; ++i) {
        const AllocateResult result = pool_->Store(Bytes(size, i), i);
        if (result.ok()) handles.push_back(result.handle);
        if (!result.ok()) ++refused;
      }
      FrameArenaPeer::FailNth(arena_, 0);
      EXPECT_LE(refused, 1u);
      pool_->Audit();
      for (Handle handle : handles) pool_->Free(handle);
      ASSERT_EQ(arena_.frames_in_use().raw(), 0u);
      arena_.Audit();
    }
  }
}

TEST_P(PoolTest, OwnersAreFoundFromTheFrameAlone) {
  std::vector<Handle> handles;
  for (uint32_t i = 0; i < 300; ++i) handles.push_back(Store(500 + i * 7, i));
  std::vector<int> seen(300);
  for (uint32_t frame = 0; frame < kFrames; ++frame) {
    pool_->ForEachObjectInFrame(FrameId(frame), [&](const ObjectInfo& object) {
      ASSERT_LT(object.owner_key, 300u);
      EXPECT_EQ(object.handle, handles[object.owner_key]);
      EXPECT_EQ(object.size, 500 + object.owner_key * 7);
      ++seen[object.owner_key];
    });
  }
  for (int count : seen) EXPECT_TRUE(count == 1 || count == 2) << count;
  for (Handle handle : handles) pool_->Free(handle);
}

TEST_P(PoolTest, FreeingTheObjectsOfAUnitFreesItsFrames) {
  std::vector<Handle> handles;
  for (uint32_t i = 0; i < 300; ++i) handles.push_back(Store(500 + i * 7, i));
  ObjectInfo list[kObjectsInUnitMax];
  while (pool_->Snapshot().objects > 0) {
    const uint64_t before = arena_.frames_in_use().raw();
    const ReclaimUnit unit = pool_->BeginReclaim(list);
    ASSERT_TRUE(unit.valid());
    for (uint32_t i = 0; i < unit.objects; ++i) {
      EXPECT_EQ(pool_->TryFree(list[i].handle), FreeOutcome::kFreed);
      EXPECT_EQ(pool_->TryFree(list[i].handle), FreeOutcome::kStale);
    }
    EXPECT_EQ(pool_->EndReclaim(unit), unit.frames);
    EXPECT_EQ(arena_.frames_in_use().raw(), before - unit.frames);
  }
  pool_->Audit();
}

TEST_P(PoolTest, CompactionKeepsEveryByteAndFreesMostOfWhatAnIdealPackingWould) {
  const bool zbud = std::get<0>(GetParam()) == PoolVariant::kZbud;
  std::vector<std::pair<Handle, uint32_t>> objects;
  Rng rng(7);
  for (uint32_t i = 0; i < 3500; ++i) {
    const uint32_t size = 1 + static_cast<uint32_t>(rng.Below(1900));
    objects.emplace_back(Store(size, i * 4096 + size), i * 4096 + size);
  }
  std::vector<std::pair<Handle, uint32_t>> kept;
  uint64_t bytes = 0;
  for (const auto& [handle, seed] : objects) {
    if (rng.Below(10) < 7) {
      pool_->Free(handle);
    } else {
      kept.emplace_back(handle, seed);
      bytes += seed % 4096;
    }
  }
  const uint64_t before = pool_->Snapshot().frames;
  CompactAll();
  const uint64_t after = pool_->Snapshot().frames;
  pool_->Audit();
  for (const auto& [handle, seed] : kept) ExpectBytes(handle, seed % 4096, seed);
  if (zbud) {
    EXPECT_EQ(after, (kept.size() + 1) / 2) << "any two of these fit into one frame";
  } else {
    // There are few objects in each class here, so each used class may have one partly filled
    // frame.
    EXPECT_LE(after, bytes / kPageSize + 200) << "from " << before;
  }
  for (const auto& [handle, seed] : kept) pool_->Free(handle);
  EXPECT_EQ(arena_.frames_in_use().raw(), 0u);
}

TEST_P(PoolTest, RangesAreEmptiedUnderObjects) {
  std::vector<Handle> handles;
  for (uint32_t i = 0; i < 1000; ++i) handles.push_back(Store(1 + i * 4 % 4096, i));
  for (uint32_t first = 0; first < kFrames; first += 512) {
    ReclaimRangeResult result = arena_.ReclaimRange(FrameId(first), PageCount(512));
    ASSERT_TRUE(result.complete());
    result.range.Discard();
  }
  pool_->Audit();
  for (uint32_t i = 0; i < 1000; ++i) ExpectBytes(handles[i], 1 + i * 4 % 4096, i);
  {
    const PinnedObject pin = pool_->Pin(handles[500]);
    ReclaimRangeResult all = arena_.ReclaimRange(FrameId(0), PageCount(kFrames));
    EXPECT_FALSE(all.complete());
  }
  for (Handle handle : handles) pool_->Free(handle);
}

using PoolDeathTest = PoolTest;

TEST_P(PoolDeathTest, MisuseIsNamed) {
  const Handle handle = Store(1000, 1);
  const Handle freed = Store(1000, 2);
  pool_->Free(freed);
  EXPECT_DEATH(pool_->Free(freed), "double free of a pool object");
  const Handle reused = Store(1000, 3);
  EXPECT_DEATH(pool_->Free(freed), "stale handle: free of an object that does not exist");
  EXPECT_DEATH(static_cast<void>(pool_->Pin(freed)), "stale handle: pin");
  EXPECT_DEATH(static_cast<void>(pool_->SizeOf(freed)), "stale handle: size");
  EXPECT_DEATH(static_cast<void>(pool_->OwnerOf(freed)), "stale handle: owner");
  EXPECT_DEATH(pool_->Free(Handle()), "stale handle");
  EXPECT_DEATH(pool_->Free(Handle(UINT32_MAX, 3)), "stale handle");
  EXPECT_DEATH(pool_->Write(handle, Bytes(1001, 1)), "write beyond the object .1001 against 1000");
  EXPECT_DEATH(static_cast<void>(pool_->Allocate(0, 0)), "size > ");
  {
    const PinnedObject pin = pool_->Pin(handle);
    EXPECT_DEATH(pool_->Free(handle), "free of a pinned object");
  }
  EXPECT_DEATH(pool_.reset(), "pool destroyed with live objects .2 against 0");
  pool_->Free(handle);
  pool_->Free(reused);
}

const auto kParameters =
    testing::Combine(testing::ValuesIn(kAllPoolVariants),
                     testing::Values(FrameAccess::kAlways, FrameAccess::kWhilePinned));
INSTANTIATE_TEST_SUITE_P(Pools, PoolTest, kParameters, ParametersName);
INSTANTIATE_TEST_SUITE_P(Pools, PoolDeathTest, kParameters, ParametersName);

}  // namespace
}  // namespace uzswap
