#include "cache/compressed_cache.h"

#include <gtest/gtest.h>

#include "base/testing/heap_watch.h"
#include "cache/testing/cache_fixture.h"

namespace uzswap {
namespace {

// Each record of one read succeeds or fails by itself, wherever it is.
TEST(CompressedCacheTest, ManyAreReadAheadTogether) {
  FixtureOptions options;
  options.readahead_frames = 8;
  CacheFixture fixture(options);
  fixture.Attach();
  for (uint64_t i = 0; i < 12; ++i) fixture.PutOnDisk(i, 2 + i * kPageKinds);
  ASSERT_EQ(fixture.Put(20, 2), StoreOutcome::kStored);
  std::vector<SwapEntry> entries;
  for (const uint64_t offset : {3, 1, 20, 99, 1, 7, 11, 0}) entries.push_back(fixture.At(offset));
  const uint64_t calls = fixture.port.calls();
  fixture.port.Plan(os::IoFault::kError, calls + 2, EIO);
  fixture.cache.PrefetchMany(fixture.context, entries);
  EXPECT_EQ(fixture.port.calls(), calls + 5) << "no page twice, and only pages on disk";
  const uint64_t after = fixture.port.calls();
  for (const uint64_t offset : {3, 7, 11, 0})
    EXPECT_TRUE(fixture.Is(offset, 2 + offset * kPageKinds));
  EXPECT_EQ(fixture.port.calls(), after);
  EXPECT_TRUE(fixture.Is(1, 2 + kPageKinds)) << "the one that failed is read again";
  EXPECT_EQ(fixture.port.calls(), after + 1);
  EXPECT_EQ(fixture.Counted().readahead_filled.Get(), 4u);
  fixture.cache.Audit();
}

TEST(CompressedCacheTest, EveryKindOfPageComesBack) {
  for (const FrameAccess access : {FrameAccess::kAlways, FrameAccess::kWhilePinned}) {
    FixtureOptions options;
    options.access = access;
    CacheFixture fixture(options);
    for (uint64_t i = 0; i < 200; ++i) ASSERT_EQ(fixture.Put(i * 37, i), StoreOutcome::kStored);
    fixture.cache.Audit();
    EXPECT_EQ(fixture.StoredPages(), 200u);
    for (uint64_t i = 0; i < 200; ++i) ASSERT_TRUE(fixture.Is(i * 37, i)) << i;
    for (uint64_t i = 0; i < 200; ++i) {
      ASSERT_EQ(fixture.Get(i * 37, LoadMode::kExclusive), LoadOutcome::kLoaded);
      ASSERT_EQ(fixture.got, PageOf(i));
      ASSERT_EQ(fixture.Get(i * 37), LoadOutcome::kMiss);
    }
    EXPECT_EQ(fixture.StoredPages(), 0u);
    EXPECT_EQ(fixture.pool.Snapshot().objects, 0u);
  }
}

TEST(CompressedCacheTest, EntriesAtTheEdgesOfTheIndex) {
  CacheFixture fixture;
  const uint64_t edges[] = {0,
                            63,
                            64,
                            (1 << 16) - 1,
                            1 << 16,
                            (uint64_t{1} << 26) - 1,
                            uint64_t{1} << 26,
                            EntryKey::kOffsetMax};
  for (const uint64_t offset : edges) {
    ASSERT_EQ(fixture.Put(offset, offset % 97), StoreOutcome::kStored);
  }
  for (const uint64_t offset : edges) EXPECT_TRUE(fixture.Is(offset, offset % 97));
  EXPECT_EQ(fixture.Get(5), LoadOutcome::kMiss);
  fixture.cache.Audit();
}

TEST(CompressedCacheTest, ALaterStoreSupersedesAnEarlier) {
  CacheFixture fixture;
  for (uint64_t version = 0; version < 50; ++version) {
    ASSERT_EQ(fixture.Put(1, version), StoreOutcome::kStored);
    ASSERT_TRUE(fixture.Is(1, version));
  }
  EXPECT_EQ(fixture.StoredPages(), 1u);
  EXPECT_LE(fixture.pool.Snapshot().objects, 1u);
  EXPECT_EQ(fixture.Counted().superseded.Get(), 49u);
}

TEST(CompressedCacheTest, PatternsThatFitNoWordAreKeptAsEightBytes) {
  CacheFixture fixture;
  TestPage page;
  const uint64_t pattern = 0x0123456789abcdef;
  for (size_t at = 0; at < kPageSize; at += 8) memcpy(page.bytes.data() + at, &pattern, 8);
  ASSERT_EQ(fixture.cache.Store(fixture.context, fixture.At(1), page.view()),
            StoreOutcome::kStored);
  EXPECT_EQ(fixture.pool.Snapshot().object_bytes, 8u);
  ASSERT_EQ(fixture.Get(1), LoadOutcome::kLoaded);
  EXPECT_EQ(fixture.got, page);
}

TEST(CompressedCacheTest, InvalidateForgetsAndSaysWhetherThereWasAnything) {
  CacheFixture fixture;
  static_cast<void>(fixture.Put(1, 2));
  EXPECT_TRUE(fixture.cache.Invalidate(fixture.context, fixture.At(1)));
  EXPECT_FALSE(fixture.cache.Invalidate(fixture.context, fixture.At(1)));
  EXPECT_FALSE(fixture.cache.Invalidate(fixture.context, fixture.At(1 << 20)));
  EXPECT_EQ(fixture.Get(1), LoadOutcome::kMiss);
  EXPECT_EQ(fixture.pool.Snapshot().objects, 0u);
}

TEST(CompressedCacheTest, AreasAreIndependent) {
  CacheFixture fixture;
  const AreaId second = fixture.cache.CreateArea(AreaKind::kPersistent);
  for (uint64_t i = 0; i < 300; ++i) {
    static_cast<void>(fixture.Put(i, i));
    static_cast<void>(fixture.cache.Store(fixture.context, {second, i}, PageOf(i + 1000).view()));
  }
  EXPECT_EQ(fixture.cache.InvalidateArea(fixture.context, fixture.area), 300u);
  EXPECT_EQ(fixture.Get(7), LoadOutcome::kMiss);
  EXPECT_EQ(fixture.cache.Load(fixture.context, {second, 7}, fixture.got.span(), LoadMode::kKeep),
            LoadOutcome::kLoaded);
  EXPECT_EQ(fixture.got, PageOf(1007));
  fixture.cache.Audit();
  fixture.cache.DestroyArea(fixture.context, second);
  EXPECT_EQ(fixture.StoredPages(), 0u);
  EXPECT_EQ(fixture.cache.Store(fixture.context, {second, 1}, PageOf(1).view()),
            StoreOutcome::kNoIndex);
  EXPECT_EQ(fixture.cache.Load(fixture.context, {second, 7}, fixture.got.span(), LoadMode::kKeep),
            LoadOutcome::kMiss);
  const AreaId third = fixture.cache.CreateArea(AreaKind::kEphemeral);
  EXPECT_EQ(third, second) << "numbers are used again";
  EXPECT_EQ(fixture.cache.Load(fixture.context, {third, 7}, fixture.got.span(), LoadMode::kKeep),
            LoadOutcome::kMiss);
  fixture.cache.DestroyArea(fixture.context, third);
}

TEST(CompressedCacheTest, AFailedStoreErasesTheOlderCopy) {
  FixtureOptions options;
  options.frames = 8;
  CacheFixture fixture(options);
  ASSERT_EQ(fixture.Put(1, 2), StoreOutcome::kStored);
  uint64_t offset = 100;
  while (fixture.Put(offset, 4) == StoreOutcome::kStored) ++offset;  // random pages: raw
  EXPECT_EQ(fixture.Put(1, 4), StoreOutcome::kNoSpace);
  EXPECT_EQ(fixture.Get(1), LoadOutcome::kMiss) << "a stale page is worse than none";
  EXPECT_GT(fixture.Counted().refused_no_frame.Get(), 0u);
  // A same-filled page needs no room and is taken even now.
  EXPECT_EQ(fixture.Put(1, 0), StoreOutcome::kStored);
  fixture.cache.Audit();
}

TEST(CompressedCacheTest, AFullIndexRefusesAndRecovers) {
  FixtureOptions options;
  options.index.areas_max = 4;
  options.index.nodes_max = 8;
  options.index.leaves_max = 4;
  CacheFixture fixture(options);
  EXPECT_EQ(fixture.Put(0, 2), StoreOutcome::kStored);
  EXPECT_EQ(fixture.Put(64, 3), StoreOutcome::kStored);
  EXPECT_EQ(fixture.Put(128, 5), StoreOutcome::kStored);
  EXPECT_EQ(fixture.Put(192, 6), StoreOutcome::kNoIndex) << "no leaf";
  EXPECT_EQ(fixture.Put(1, 6), StoreOutcome::kStored) << "an old leaf has room";
  EXPECT_EQ(fixture.Counted().refused_index_full.Get(), 1u);
  EXPECT_EQ(fixture.pool.Snapshot().objects, 4u) << "the refused page left nothing behind";
  EXPECT_NE(fixture.cache.CreateArea(AreaKind::kPersistent), kNoArea);
  EXPECT_NE(fixture.cache.CreateArea(AreaKind::kPersistent), kNoArea);
  EXPECT_EQ(fixture.cache.CreateArea(AreaKind::kPersistent), kNoArea);
  fixture.cache.DestroyArea(fixture.context, fixture.area);
  fixture.area = fixture.cache.CreateArea(AreaKind::kPersistent);
  EXPECT_EQ(fixture.Put(192, 6), StoreOutcome::kStored) << "leaves are used again";
  fixture.cache.Audit();
}

TEST(CompressedCacheTest, IncompressiblePagesCanBeRefused) {
  FixtureOptions options;
  options.keep_incompressible = false;
  CacheFixture fixture(options);
  EXPECT_EQ(fixture.Put(1, 4), StoreOutcome::kIncompressible);
  EXPECT_EQ(fixture.Put(1, 2), StoreOutcome::kStored);
  EXPECT_EQ(fixture.Put(1, 4), StoreOutcome::kIncompressible);
  EXPECT_EQ(fixture.Get(1), LoadOutcome::kMiss);
  EXPECT_EQ(fixture.Counted().refused_incompressible.Get(), 2u);
}

TEST(CompressedCacheTest, TheGateClosesAtTheBoundAndOpensAtNinetyPercent) {
  FixtureOptions options;
  options.pool_limit = 200 * kPageSize;
  CacheFixture fixture(options);
  uint64_t offset = 0;
  while (fixture.Put(offset, 4) == StoreOutcome::kStored) ++offset;
  EXPECT_GE(offset, 200u);
  EXPECT_LE(offset, 200u + 64) << "the level is looked at every 64 stores";
  EXPECT_EQ(fixture.Counted().gate_closings.Get(), 1u);
  uint64_t first = 0;
  while (fixture.pool.Snapshot().frames > 181) {
    fixture.cache.Invalidate(fixture.context, fixture.At(first++));
    EXPECT_EQ(fixture.Put(100'000, 4), StoreOutcome::kNoSpace);
  }
  fixture.cache.Invalidate(fixture.context, fixture.At(first++));
  int refused = 0;
  while (refused <= 4 && fixture.Put(100'000, 4) != StoreOutcome::kStored) ++refused;
  EXPECT_LE(refused, 4) << "the level is looked at from time to time";
}

TEST(CompressedCacheTest, PagesComeBackFromDisk) {
  for (const bool encrypt : {false, true}) {
    FixtureOptions options;
    options.encrypt = encrypt;
    CacheFixture fixture(options);
    fixture.Attach();
    for (uint64_t version = 2; version < 9; ++version) {
      if (version % kPageKinds < 2) continue;  // same-filled pages are in no frame
      fixture.PutOnDisk(version, version);
    }
    EXPECT_EQ(fixture.pool.Snapshot().objects, 0u);
    fixture.cache.Audit();
    EXPECT_TRUE(fixture.Is(3, 3));
    EXPECT_TRUE(fixture.Is(3, 3)) << "the copy stays";
    EXPECT_EQ(fixture.Get(3, LoadMode::kExclusive), LoadOutcome::kLoaded);
    EXPECT_EQ(fixture.Get(3), LoadOutcome::kMiss);
    EXPECT_TRUE(fixture.Is(4, 4)) << "an incompressible one";
    EXPECT_EQ(fixture.Counted().zswpwb.Get(), 5u);
  }
}

// Two incompressible pages: their records have the same size, and each is the first of its segment.
constexpr uint64_t kOldVersion = 4;
constexpr uint64_t kNewVersion = kOldVersion + kPageKinds;

// The device completes the newer write first: the copy that the cleaner made must not replace it.
TEST(CompressedCacheTest, ACopyOfTheCleanerIsOutdatedOnceItsPlaceIsWrittenAnew) {
  CacheFixture fixture;
  fixture.Attach();
  fixture.PutOnDisk(0, kOldVersion);
  const EntryWord before = CachePeer::WordOf(fixture.cache, fixture.At(0));
  fixture.port.Hold();
  fixture.port.CompleteNewestFirst();
  ASSERT_EQ(fixture.store.Clean(950), CleanOutcome::kCleaned);
  fixture.store.Flush();
  ASSERT_EQ(fixture.Get(0, LoadMode::kExclusive), LoadOutcome::kLoaded);
  ASSERT_EQ(fixture.Put(0, kNewVersion), StoreOutcome::kStored);
  ASSERT_EQ(fixture.BeginWriting(0), EvictOutcome::kBegun);
  fixture.port.Release(1);
  ASSERT_EQ(fixture.store.Reap(true), 1u);
  ASSERT_EQ(CachePeer::WordOf(fixture.cache, fixture.At(0)), before) << "the same place";
  fixture.port.Release();
  ASSERT_EQ(fixture.store.Reap(true), 1u);
  EXPECT_TRUE(fixture.Is(0, kNewVersion));
  EXPECT_EQ(fixture.store.counters().copies_outdated.Get(), 1u);
  EXPECT_EQ(fixture.Counted().relocated.Get(), 0u);
  fixture.store.Audit();
  fixture.cache.Audit();
}

// A load that copied another one's page holds nothing: it must not take what was stored since.
TEST(CompressedCacheTest, AJoinedLoadDoesNotTakeWhatWasWrittenAnew) {
  CacheFixture fixture;
  fixture.Attach();
  fixture.PutOnDisk(0, kOldVersion);
  const EntryWord before = CachePeer::WordOf(fixture.cache, fixture.At(0));
  TestPage first_page;
  TestPage second_page;
  LoadOperation first(fixture.cache, fixture.context, fixture.At(0), first_page.span(),
                      LoadMode::kKeep);
  LoadOperation second(fixture.cache, fixture.other, fixture.At(0), second_page.span(),
                       LoadMode::kExclusive);
  ASSERT_EQ(first.Begin(), LoadOperation::Next::kFetch);
  ASSERT_EQ(second.Begin(), LoadOperation::Next::kFetch);
  first.Fetch();
  ASSERT_EQ(first.Publish(), LoadOperation::Next::kDone);
  second.Fetch();
  first.Leave();
  ASSERT_TRUE(fixture.cache.Invalidate(fixture.context, fixture.At(0)));
  fixture.PutOnDisk(0, kNewVersion);
  ASSERT_EQ(CachePeer::WordOf(fixture.cache, fixture.At(0)), before) << "the same place";
  EXPECT_EQ(second.Publish(), LoadOperation::Next::kAgain);
  second.Leave();
  EXPECT_TRUE(fixture.Is(0, kNewVersion));
  fixture.cache.Audit();
}

TEST(CompressedCacheTest, PagesReadAheadAnswerWithoutTheDevice) {
  CacheFixture fixture;
  fixture.Attach();
  for (uint64_t offset = 0; offset < 12; ++offset) fixture.PutOnDisk(offset, 2 + 7 * offset);
  for (uint64_t offset = 0; offset < 12; ++offset) {
    EXPECT_TRUE(fixture.ReadAhead(offset));
  }
  EXPECT_FALSE(fixture.ReadAhead(11)) << "it is there";
  // Eight frames: the first four were dropped.
  EXPECT_EQ(fixture.Counted().readahead_dropped.Get(), 4u);
  const uint64_t calls = fixture.port.calls();
  EXPECT_TRUE(fixture.Is(11, 2 + 77));
  EXPECT_EQ(fixture.Get(10, LoadMode::kExclusive), LoadOutcome::kLoaded);
  EXPECT_EQ(fixture.got, PageOf(2 + 70));
  EXPECT_EQ(fixture.port.calls(), calls);
  EXPECT_EQ(fixture.Get(10), LoadOutcome::kMiss);
  EXPECT_TRUE(fixture.Is(0, 2));
  EXPECT_EQ(fixture.port.calls(), calls + 1);
  // Replaced, invalidated: what was read ahead is not believed.
  ASSERT_EQ(fixture.Put(9, 3), StoreOutcome::kStored);
  EXPECT_TRUE(fixture.Is(9, 3));
  EXPECT_TRUE(fixture.cache.Invalidate(fixture.context, fixture.At(8)));
  EXPECT_EQ(fixture.Get(8), LoadOutcome::kMiss);
  fixture.cache.Audit();
}

TEST(CompressedCacheTest, WhatCannotBeReadStaysAndIsNamed) {
  CacheFixture fixture;
  fixture.Attach();
  fixture.PutOnDisk(1, 2);
  fixture.port.Plan(os::IoFault::kError, fixture.port.calls() + 1, EIO);
  EXPECT_EQ(fixture.Get(1, LoadMode::kExclusive), LoadOutcome::kIoError);
  EXPECT_EQ(fixture.context.last_error(), EIO);
  EXPECT_TRUE(fixture.Is(1, 2)) << "the next try succeeds";
  fixture.port.bytes()[600] ^= std::byte{1};
  EXPECT_EQ(fixture.Get(1), LoadOutcome::kCorrupt);
  EXPECT_EQ(fixture.Get(1, LoadMode::kExclusive), LoadOutcome::kCorrupt);
  EXPECT_TRUE(CachePeer::Holds(fixture.cache, fixture.At(1)));
}

TEST(CompressedCacheTest, RecompressionIsAcceptedOnlyIfItFreesRoom) {
  CacheFixture fixture;
  const Codec& zstd = *CodecByName("zstd");
  ASSERT_EQ(fixture.Put(1, 2), StoreOutcome::kStored);  // text: zstd makes it smaller
  const uint64_t before = fixture.pool.Snapshot().object_bytes;
  ObjectInfo candidate = fixture.Candidate(1);
  EXPECT_EQ(fixture.cache.Recompress(fixture.context, candidate, zstd),
            RecompressOutcome::kMadeDenser);
  EXPECT_LT(fixture.pool.Snapshot().object_bytes, before);
  EXPECT_TRUE(fixture.Is(1, 2));
  EXPECT_EQ(fixture.cache.Recompress(fixture.context, candidate, zstd), RecompressOutcome::kGone)
      << "the candidate is stale";
  candidate = fixture.Candidate(1);
  EXPECT_EQ(fixture.cache.Recompress(fixture.context, candidate, zstd), RecompressOutcome::kKept);
  ASSERT_EQ(fixture.Put(2, 4), StoreOutcome::kStored);  // random: nothing helps
  candidate = fixture.Candidate(2);
  EXPECT_EQ(fixture.cache.Recompress(fixture.context, candidate, zstd), RecompressOutcome::kKept);
  EXPECT_TRUE(fixture.Is(2, 4));
  fixture.cache.Audit();
}

TEST(CompressedCacheTest, CountersOfAllContextsAddUp) {
  CacheFixture fixture;
  fixture.Attach();
  for (uint64_t i = 0; i < 100; ++i) static_cast<void>(fixture.Put(i, i));
  fixture.PutOnDisk(200, 2);
  static_cast<void>(fixture.Get(3, LoadMode::kExclusive));
  fixture.cache.Invalidate(fixture.other, fixture.At(5));
  {
    CacheContext short_lived;
    ASSERT_TRUE(short_lived.Init(fixture.cache).ok());
    EXPECT_TRUE(fixture.cache.Invalidate(short_lived, fixture.At(6)));
  }
  const CacheCounters& sum = fixture.Counted();
  EXPECT_EQ(fixture.StoredPages(), 98u);
  EXPECT_EQ(sum.stores.Get(), 101u);
  EXPECT_EQ(sum.stores.Get(), sum.loads.Get() + sum.invalidations.Get() + fixture.StoredPages());
  EXPECT_EQ(sum.invalidations.Get(), 2u) << "the counts of a context that is gone stay";
  EXPECT_EQ(sum.disk_in.Get() - sum.disk_out.Get(), 1u);
  EXPECT_EQ(sum.zswpwb.Get(), 1u);
  EXPECT_EQ(sum.same_filled_in.Get() - sum.same_filled_out.Get(), 15u);
}

TEST(CompressedCacheTest, EphemeralPagesGiveWay) {
  CacheFixture fixture;
  fixture.Attach();
  const AreaId soft = fixture.cache.CreateArea(AreaKind::kEphemeral);
  ASSERT_EQ(fixture.cache.Store(fixture.context, {soft, 1}, PageOf(2).view()),
            StoreOutcome::kStored);
  ObjectInfo objects[kObjectsInUnitMax];
  const ReclaimUnit unit = fixture.pool.BeginReclaim(objects);
  ASSERT_EQ(unit.objects, 1u);
  EXPECT_EQ(fixture.cache.BeginWrite(fixture.context, objects[0]).outcome, EvictOutcome::kDropped);
  EXPECT_EQ(fixture.pool.EndReclaim(unit), 1u);
  EXPECT_EQ(fixture.cache.Load(fixture.context, {soft, 1}, fixture.got.span(), LoadMode::kKeep),
            LoadOutcome::kMiss);
  EXPECT_EQ(fixture.port.writes(), 0u);
  fixture.cache.DestroyArea(fixture.context, soft);
}

TEST(CompressedCacheTest, AllocatesNothing) {
  CacheFixture fixture;
  fixture.Attach();
  static TestPage pages[kPageKinds];
  for (uint64_t kind = 0; kind < kPageKinds; ++kind) MakePage(kind, pages[kind]);
  ASSERT_EQ(fixture.Put(1000, 2), StoreOutcome::kStored);
  const uint64_t before = HeapCalls();
  ASSERT_GT(before, 0u);
  for (uint64_t i = 0; i < 500; ++i) {
    static_cast<void>(
        fixture.cache.Store(fixture.context, fixture.At(i), pages[i % kPageKinds].view()));
  }
  for (uint64_t i = 0; i < 100; ++i) {
    ObjectInfo objects[kObjectsInUnitMax];
    const ReclaimUnit unit = fixture.pool.BeginReclaim(objects);
    for (uint32_t j = 0; j < unit.objects; ++j) {
      const EvictResult begun = fixture.cache.BeginWrite(fixture.context, objects[j]);
      if (begun.outcome != EvictOutcome::kBegun) continue;
      static_cast<void>(fixture.store.Append(objects[j].owner_key, begun.token, begun.encoding,
                                             {begun.object, {}}));
    }
    fixture.store.WaitForWrites();
    fixture.pool.EndReclaim(unit);
    static_cast<void>(fixture.ReadAhead(i));
    static_cast<void>(fixture.Get(i, i % 2 == 0 ? LoadMode::kKeep : LoadMode::kExclusive));
  }
  fixture.cache.InvalidateArea(fixture.context, fixture.area);
  EXPECT_EQ(HeapCalls(), before);
}

}  // namespace
}  // namespace uzswap
