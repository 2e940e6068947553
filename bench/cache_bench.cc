// The cost of a store and a load: by number of entries, by threads on disjoint pages.
//
//   Entries.../<entries>     store over an existing page, or load and keep; at random, or in the
//                            order in which the pages were stored
//   Threads...:N             the same, each thread on its own part of the pages
#include <benchmark/benchmark.h>
#include <memory>
#include <vector>

#include "cache/testing/cache_fixture.h"

namespace uzswap {
namespace {

constexpr uint64_t kPatterns = 1024;

// Pages of small objects: one of many patterns, so that making them costs nothing here.
const std::vector<TestPage>& Patterns() {
  static const std::vector<TestPage>* patterns = [] {
    auto* made = new std::vector<TestPage>(kPatterns);
    for (uint64_t i = 0; i < kPatterns; ++i) {
      FillPageOf(PageKind::kPointers, i, (*made)[i].bytes);
    }
    return made;
  }();
  return *patterns;
}

std::unique_ptr<CacheFixture> g_fixture;

void Prepare(uint64_t entries) {
  FixtureOptions options;
  options.zsmalloc = true;
  options.frames = entries / 2 + 8192;
  g_fixture = std::make_unique<CacheFixture>(options);
  for (uint64_t i = 0; i < entries; ++i) {
    UZ_CHECK(g_fixture->cache.Store(g_fixture->context, g_fixture->At(i),
                                    Patterns()[i % kPatterns].view()) == StoreOutcome::kStored);
  }
}

// Pages that compress to some forty bytes, so that ten million fit. The codec's share is small, so
// costs that grow with the number of entries are visible.
TestPage SmallPage(uint64_t seed) {
  TestPage page;
  FillPageOf(PageKind::kMostlyZero, seed, page.bytes);
  return page;
}

// Which entry is next: at random, or one after the other.
enum class Order : uint8_t { kRandom, kStored };

template <Order kOrder>
uint64_t NextOf(Rng& rng, uint64_t& last, uint64_t entries) {
  if constexpr (kOrder == Order::kRandom) return rng.Below(entries);
  last = last + 1 == entries ? 0 : last + 1;
  return last;
}

template <Order kOrder>
void EntriesStore(benchmark::State& state) {
  const auto entries = static_cast<uint64_t>(state.range(0));
  Rng rng(1);
  uint64_t last = 0;
  const TestPage page = SmallPage(3);
  for (auto _ : state) {
    benchmark::DoNotOptimize(g_fixture->cache.Store(
        g_fixture->context, g_fixture->At(NextOf<kOrder>(rng, last, entries)), page.view()));
  }
}

template <Order kOrder>
void EntriesLoad(benchmark::State& state) {
  const auto entries = static_cast<uint64_t>(state.range(0));
  Rng rng(2);
  uint64_t last = 0;
  TestPage page;
  for (auto _ : state) {
    const LoadOutcome outcome =
        g_fixture->cache.Load(g_fixture->context, g_fixture->At(NextOf<kOrder>(rng, last, entries)),
                              page.span(), LoadMode::kKeep);
    UZ_CHECK(outcome == LoadOutcome::kLoaded);
  }
}

void SetUpEntries(const benchmark::State& state) {
  FixtureOptions options;
  options.zsmalloc = true;
  options.frames = 600'000;
  g_fixture = std::make_unique<CacheFixture>(options);
  const TestPage page = SmallPage(3);
  for (int64_t i = 0; i < state.range(0); ++i) {
    UZ_CHECK(g_fixture->cache.Store(g_fixture->context, g_fixture->At(static_cast<uint64_t>(i)),
                                    page.view()) == StoreOutcome::kStored);
  }
}

constexpr uint64_t kThreadEntries = 40'000;
void SetUpThreads(const benchmark::State&) { Prepare(kThreadEntries); }
void TearDown(const benchmark::State&) { g_fixture.reset(); }

void ThreadsStore(benchmark::State& state) {
  CacheContext context;
  UZ_CHECK(context.Init(g_fixture->cache).ok());
  const auto me = static_cast<uint64_t>(state.thread_index());
  const auto threads = static_cast<uint64_t>(state.threads());
  Rng rng(me);
  const uint64_t own = kThreadEntries / threads;
  for (auto _ : state) {
    const uint64_t i = me * own + rng.Below(own);
    benchmark::DoNotOptimize(
        g_fixture->cache.Store(context, g_fixture->At(i), Patterns()[rng.Below(kPatterns)].view()));
  }
  state.SetItemsProcessed(state.iterations());
}

void ThreadsLoad(benchmark::State& state) {
  CacheContext context;
  UZ_CHECK(context.Init(g_fixture->cache).ok());
  const auto me = static_cast<uint64_t>(state.thread_index());
  const auto threads = static_cast<uint64_t>(state.threads());
  Rng rng(me);
  TestPage page;
  const uint64_t own = kThreadEntries / threads;
  for (auto _ : state) {
    const uint64_t i = me * own + rng.Below(own);
    UZ_CHECK(g_fixture->cache.Load(context, g_fixture->At(i), page.span(), LoadMode::kKeep) ==
             LoadOutcome::kLoaded);
  }
  state.SetItemsProcessed(state.iterations());
}

void OfAllSizes(benchmark::internal::Benchmark* bench) {
  bench->RangeMultiplier(10)->Range(10'000, 10'000'000)->Setup(SetUpEntries)->Teardown(TearDown);
}
BENCHMARK(EntriesStore<Order::kRandom>)->Apply(OfAllSizes);
BENCHMARK(EntriesStore<Order::kStored>)->Apply(OfAllSizes);
BENCHMARK(EntriesLoad<Order::kRandom>)->Apply(OfAllSizes);
BENCHMARK(EntriesLoad<Order::kStored>)->Apply(OfAllSizes);
BENCHMARK(ThreadsStore)->ThreadRange(1, 2)->UseRealTime()->Setup(SetUpThreads)->Teardown(TearDown);
BENCHMARK(ThreadsLoad)->ThreadRange(1, 2)->UseRealTime()->Setup(SetUpThreads)->Teardown(TearDown);

}  // namespace
}  // namespace uzswap

BENCHMARK_MAIN();
