// Random operations of several threads against a model, while the writer, the compactor and the
// recompressor work in the background, and dictionaries come and go. Nothing may be lost, and
// nothing mixed up.
//
// Neighbouring keys of a leaf belong to different threads, so that every lock is contended, but
// each thread knows what its own keys must hold. A few keys are shared by all threads: there
// a page must be whole, of that key, and of a version that was stored.
//
//   UZSWAP_TEST_OPS    operations over all threads (default 200,000; a quarter under TSan)
//   UZSWAP_TEST_SEED   the seed (printed)
#include <atomic>
#include <gtest/gtest.h>
#include <thread>
#include <vector>

#include "base/testing/from_environment.h"
#include "cache/testing/cache_fixture.h"
#include "codec/testing/sample_dictionary.h"
#include "writeback/testing/writeback_peer.h"
#include "writeback/writeback.h"

namespace uzswap {
namespace {

constexpr uint64_t kThreads = 2;
constexpr uint64_t kKeysPerThread = 3000;
constexpr uint64_t kShared = 16;
constexpr uint64_t kSharedBase = uint64_t{1} << 30;

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UZ_UNDER_TSAN 1
#endif
#endif
#ifdef UZ_UNDER_TSAN
constexpr uint64_t kDefaultOperations = 50'000;
#else
constexpr uint64_t kDefaultOperations = 200'000;
#endif

// Pages cheap to make and to check: one of 64 patterns, stamped with key and version.
class Stamps {
 public:
  Stamps() : patterns_(64) {
    for (uint64_t i = 0; i < patterns_.size(); ++i) MakePage(i + 2, patterns_[i]);
  }
  void Make(uint64_t key, uint64_t version, TestPage& page) const {
    if (version % 16 == 0) {  // same-filled, with the version as pattern
      const uint64_t word = version;
      for (size_t at = 0; at < kPageSize; at += 8) memcpy(page.bytes.data() + at, &word, 8);
      return;
    }
    page = patterns_[version % patterns_.size()];
    memcpy(page.bytes.data() + 1024, &key, 8);
    memcpy(page.bytes.data() + 3072, &version, 8);
  }
  // The version of a whole page of `key`; 0 if it is anything else.
  [[nodiscard]] uint64_t VersionOf(uint64_t key, const TestPage& page, TestPage& scratch) const {
    uint64_t version = 0;
    memcpy(&version, page.bytes.data() + 3072, 8);
    if (version == 0) return 0;
    Make(key, version, scratch);
    return memcmp(&scratch, &page, kPageSize) == 0 ? version : 0;
  }

 private:
  std::vector<TestPage> patterns_;
};

struct Shared {
  // Raised before a store of that version begins, and after it has ended.
  std::atomic<uint64_t> begun{0};
  std::atomic<uint64_t> ended{0};
};

class ModelRun {
 public:
  ModelRun(const FixtureOptions& options, const WritebackOptions& writing) : fixture_(options) {
    UZ_CHECK(writer_context_.Init(fixture_.cache).ok());
    UZ_CHECK(writeback_.Init(fixture_.cache, writer_context_, &fixture_.store, writing).ok());
  }
  ~ModelRun() {
    writeback_.WaitForWrites();
    fixture_.cache.InvalidateArea(fixture_.context, fixture_.area);
  }

  // Thread `me`: `operations` random operations on its own keys, sometimes on a shared one.
  void Operate(uint64_t me, uint64_t operations, uint64_t seed) {
    CacheContext context;
    UZ_CHECK(context.Init(fixture_.cache).ok());
    Rng rng(seed * 31 + me);
    std::vector<uint64_t> holds(kKeysPerThread, 0);  // version, 0 for none
    uint64_t version = 16 * kThreads;
    TestPage page;
    TestPage scratch;
    for (uint64_t i = 0; i < operations; ++i) {
      if (rng.OneIn(20)) {
        OperateOnShared(context, rng, page, scratch);
        continue;
      }
      const uint64_t number = rng.Below(kKeysPerThread);
      const uint64_t offset = number * kThreads + me;
      const SwapEntry entry = fixture_.At(offset);
      const uint64_t dice = rng.Below(100);
      if (dice < 42) {
        ++version;
        stamps_.Make(offset, version, page);
        const StoreOutcome outcome = fixture_.cache.Store(context, entry, page.view());
        holds[number] = outcome == StoreOutcome::kStored ? version : 0;
      } else if (dice < 85) {
        const LoadMode mode = rng.OneIn(2) ? LoadMode::kKeep : LoadMode::kExclusive;
        const LoadOutcome outcome = fixture_.cache.Load(context, entry, page.span(), mode);
        ASSERT_EQ(outcome == LoadOutcome::kLoaded, holds[number] != 0) << offset;
        if (holds[number] == 0) continue;
        ASSERT_EQ(stamps_.VersionOf(offset, page, scratch), holds[number]) << offset;
        if (mode == LoadMode::kExclusive) holds[number] = 0;
      } else if (dice < 95) {
        ASSERT_EQ(fixture_.cache.Invalidate(context, entry), holds[number] != 0) << offset;
        holds[number] = 0;
      } else {
        fixture_.cache.PrefetchMany(context, {&entry, 1});
      }
    }
    for (uint64_t number = 0; number < kKeysPerThread; ++number) {
      const uint64_t offset = number * kThreads + me;
      const LoadOutcome outcome =
          fixture_.cache.Load(context, fixture_.At(offset), page.span(), LoadMode::kKeep);
      ASSERT_EQ(outcome == LoadOutcome::kLoaded, holds[number] != 0) << offset;
      if (holds[number] != 0) {
        ASSERT_EQ(stamps_.VersionOf(offset, page, scratch), holds[number]);
      }
    }
  }

  void OperateOnShared(CacheContext& context, Rng& rng, TestPage& page, TestPage& scratch) {
    const uint64_t index = rng.Below(kShared);
    const uint64_t offset = kSharedBase + index;
    const SwapEntry entry = fixture_.At(offset);
    Shared& shared = shared_[index];
    if (rng.OneIn(3)) {
      const uint64_t version = shared.begun.fetch_add(1) + 1;
      stamps_.Make(offset, version, page);
      static_cast<void>(fixture_.cache.Store(context, entry, page.view()));
      return;
    }
    if (rng.OneIn(10)) {
      fixture_.cache.Invalidate(context, entry);
      return;
    }
    const LoadMode mode = rng.OneIn(2) ? LoadMode::kKeep : LoadMode::kExclusive;
    if (fixture_.cache.Load(context, entry, page.span(), mode) != LoadOutcome::kLoaded) return;
    const uint64_t version = stamps_.VersionOf(offset, page, scratch);
    ASSERT_GT(version, 0u) << "not a page of this key";
    ASSERT_LE(version, shared.begun.load());
  }

  // The writer's side, until `stop`: shrinks to a random level, cleans, compacts, writes.
  void RunWriter(std::atomic<bool>& stop, uint64_t seed) {
    Rng rng(seed);
    while (!stop.load(std::memory_order_acquire)) {
      switch (rng.Below(8)) {
        case 0:
          static_cast<void>(writeback_.Shrink(rng.Below(2000) * kPageSize));
          break;
        case 1:
          WritebackPeer::CleanStore(writeback_);
          break;
        case 2:
          static_cast<void>(fixture_.pool.CompactStep(64));
          break;
        case 3:
          fixture_.store.Flush();
          fixture_.store.Reap(false);
          break;
        default:
          for (int i = 0; i < 50; ++i) static_cast<void>(writeback_.Step());
          break;
      }
    }
    writeback_.WaitForWrites();
  }

  void Migrate(std::atomic<bool>& stop, uint64_t seed) {
    Rng rng(seed);
    while (!stop.load(std::memory_order_acquire)) {
      const uint64_t first = rng.Below(fixture_.arena.capacity().raw() - 64) / 64 * 64;
      static_cast<void>(
          fixture_.arena.ReclaimRange(FrameId(static_cast<uint32_t>(first)), PageCount(64)));
      static_cast<void>(fixture_.pool.CompactStep(16));
      std::this_thread::yield();
    }
  }

  // Installs one of several dictionaries, or none. There are more than slots.
  void Learn(std::atomic<bool>& stop, uint64_t seed) {
    Rng rng(seed);
    std::vector<std::vector<std::byte>> contents;
    for (uint64_t i = 0; i < 20; ++i) {
      contents.push_back(SampleDictionary(PageKind::kText, i, 1024));
    }
    while (!stop.load(std::memory_order_acquire)) {
      if (rng.OneIn(10)) fixture_.dictionaries.Retire();
      const InstallOutcome outcome =
          fixture_.dictionaries.Install(contents[rng.Below(contents.size())]);
      UZ_CHECK(outcome != InstallOutcome::kNotADictionary && outcome != InstallOutcome::kNoMemory);
      if (outcome == InstallOutcome::kInstalled) ++installed_;
      if (outcome == InstallOutcome::kNoSlot) ++no_slot_;
      for (int i = 0; i < 50; ++i) std::this_thread::yield();
    }
  }

  void Run(uint64_t operations, uint64_t seed) {
    std::atomic<bool> stop{false};
    std::thread learner([&] { Learn(stop, seed + 3); });
    std::thread writer([&] { RunWriter(stop, seed + 1); });
    std::thread migrator([&] { Migrate(stop, seed + 2); });
    std::vector<std::thread> workers;
    for (uint64_t me = 0; me < kThreads; ++me) {
      workers.emplace_back([&, me] { Operate(me, operations / kThreads, seed); });
    }
    for (std::thread& worker : workers) worker.join();
    stop.store(true, std::memory_order_release);
    writer.join();
    migrator.join();
    learner.join();
    fixture_.pool.Audit();
    fixture_.cache.Audit();
    Report();
  }

  void Report() {
    CacheCounters sum;
    fixture_.cache.Count(sum);
    printf(
        "stores %lu loads %lu zswpwb %lu joined %lu retries %lu writes_lost %lu "
        "relocated %lu lost %lu recompressed %lu lost %lu left_to_loader %lu ahead %lu\n",
        sum.stores.Get(), sum.loads.Get(), sum.zswpwb.Get(), sum.loads_joined.Get(),
        sum.load_retries.Get(), sum.writes_lost.Get(), sum.relocated.Get(),
        sum.relocations_lost.Get(), sum.recompressed.Get(), sum.recompress_lost.Get(),
        sum.frees_left_to_loader.Get(), sum.readahead_filled.Get());
    printf("dictionaries: %lu installed, %lu times no slot, %lu objects use one\n", installed_,
           no_slot_, fixture_.dictionaries.References());
    EXPECT_GT(installed_, 0u);
    EXPECT_GT(sum.zswpwb.Get(), 0u);
    EXPECT_EQ(sum.load_corrupt.Get(), 0u);
    EXPECT_EQ(sum.load_io_errors.Get(), 0u);
  }

 private:
  Stamps stamps_;
  CacheFixture fixture_;
  CacheContext writer_context_;
  Writeback writeback_;
  Shared shared_[kShared];
  uint64_t installed_ = 0;  // by the learner's thread
  uint64_t no_slot_ = 0;
};

TEST(CacheModelTest, NothingIsLostOrMixedUp) {
  const uint64_t operations = FromEnvironment("UZSWAP_TEST_OPS", kDefaultOperations);
  const uint64_t seed = FromEnvironment("UZSWAP_TEST_SEED", 1);
  for (const bool recompress : {false, true}) {
    SCOPED_TRACE(testing::Message()
                 << "seed " << seed << " zsmalloc, encryption, recompression " << recompress);
    printf("seed %lu, %lu operations\n", seed, operations / 2);
    FixtureOptions options;
    options.frames = 3000;
    options.pool_limit = 2800 * kPageSize;
    options.encrypt = recompress;
    options.zsmalloc = recompress;
    WritebackOptions writing;
    if (recompress) writing.recompress_with = &DenseCodec();
    ModelRun run(options, writing);
    run.Run(operations / 2, seed);
  }
}

}  // namespace
}  // namespace uzswap
