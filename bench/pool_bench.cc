// The cost of one operation on a pool, by number of threads and number of objects.
//
//   free_allocate  frees one object and allocates another of a new size
//   met            the same, with threads whose numbers select one shard; they then leave it
//   pinned_read    pins one object, reads its first and last bytes, and unpins it
//   bare_read      reads the same bytes, where that pool put them, through a plain array of
//                  pointers and sizes: the cost of the memory without a pool
//   counted_read   as bare_read, with a counter beside each pointer that is incremented before the
//                  read and decremented after it: the cost of a pin without a pool
//
// Each thread works on its own objects of 64 to 448 bytes, which it has stored, and has its own
// shard. `shuffled`: 0 uses the objects in the order in which they were stored, 1 in random order.
// In random order, cache misses on tables and data dominate beyond a million objects. Objects of
// one size class are the worst case for the locks. zbud uses 4 million objects in place of 10
// million, because 4 million already take 8 GB.
//
// Counters for each operation: waits for a lock (waits), locks skipped (passed), objects added to
// another thread's shard (elsewhere). Total: threads that changed their shard (moves). The number
// of operations is fixed, because each attempt would store all objects again. Use
// --benchmark_repetitions=3.
#include <atomic>
#include <benchmark/benchmark.h>
#include <memory>
#include <vector>

#include "base/rng.h"
#include "base/testing/thread_shard_scope.h"
#include "pool/testing/pool_testing.h"

namespace uzswap {
namespace {

std::unique_ptr<FrameArena> g_arena;
std::unique_ptr<HandlePool> g_pool;

template <PoolVariant kVariant>
void SetUp(const benchmark::State& state) {
  const auto objects = static_cast<uint64_t>(state.range(0));
  const bool zbud = kVariant == PoolVariant::kZbud;
  g_arena = std::make_unique<FrameArena>();
  const uint64_t frames = (zbud ? objects / 2 + objects / 8 : objects / 8) + 8192;
  if (!g_arena->Init({.capacity = PageCount(frames), .access = FrameAccess::kAlways}).ok()) abort();
  g_pool = MakePool(kVariant, {.arena = g_arena.get(), .max_objects = objects + 4096});
}

void TearDown(const benchmark::State&) {
  g_pool.reset();
  g_arena.reset();
}

// The objects of one thread. The destructor frees them.
class Share {
 public:
  Share(const benchmark::State& state, uint32_t shard)
      : identity_(shard),
        scope_(identity_),
        rng_(static_cast<uint64_t>(state.thread_index()) + 1),
        one_size_(state.range(2) != 0),
        shuffled_(state.range(1) != 0) {
    const auto count = static_cast<uint64_t>(state.range(0) / state.threads());
    std::byte bytes[512];
    std::fill(std::begin(bytes), std::end(bytes), std::byte{1});
    handles_.reserve(count);
    for (uint64_t i = 0; i < count; ++i) {
      handles_.push_back(g_pool->Store({bytes, NextSize()}, i).handle);
    }
  }
  ~Share() {
    for (Handle handle : handles_) g_pool->Free(handle);
  }
  size_t NextSize() { return one_size_ ? 256 : 64 + rng_.Below(385); }
  size_t NextIndex() {
    if (shuffled_) return rng_.Below(handles_.size());
    if (++cursor_ >= handles_.size()) cursor_ = 0;
    return cursor_;
  }
  Handle& Next() { return handles_[NextIndex()]; }
  const std::vector<Handle>& handles() const { return handles_; }

 private:
  ThreadShardIdentity identity_;
  ThreadShardScope scope_;
  Rng rng_;
  bool one_size_;
  bool shuffled_;
  size_t cursor_ = 0;
  std::vector<Handle> handles_;
};

// Reports the contention between threads for each operation.
void Report(benchmark::State& state, const PoolStatistics& before) {
  if (state.thread_index() != 0) return;
  const PoolStatistics after = g_pool->Snapshot();
  const auto each = [&](uint64_t PoolStatistics::*what) {
    return benchmark::Counter(static_cast<double>(after.*what - before.*what) /
                              static_cast<double>(state.iterations()));
  };
  state.counters["waits"] = each(&PoolStatistics::lock_waits);
  state.counters["passed"] = each(&PoolStatistics::locks_passed);
  state.counters["elsewhere"] = each(&PoolStatistics::placed_elsewhere);
  state.counters["moves"] = static_cast<double>(after.shard_moves);
}

void FreeAllocateIn(benchmark::State& state, uint32_t shard) {
  Share share(state, shard);
  uint64_t key = 0;
  const PoolStatistics before = g_pool->Snapshot();
  for (auto _ : state) {
    Handle& handle = share.Next();
    g_pool->Free(handle);
    handle = g_pool->Allocate(share.NextSize(), ++key).handle;
  }
  state.SetItemsProcessed(state.iterations());
  Report(state, before);
}

template <PoolVariant kVariant>
void FreeAllocate(benchmark::State& state) {
  FreeAllocateIn(state, static_cast<uint32_t>(state.thread_index()));
}
template <PoolVariant kVariant>
void FreeAllocateMet(benchmark::State& state) {
  constexpr uint32_t kSameShard = 1u << 20;  // not a number that threads get by default
  FreeAllocateIn(state, static_cast<uint32_t>(state.thread_index()) * kSameShard);
}

template <PoolVariant kVariant>
void PinnedRead(benchmark::State& state) {
  Share share(state, static_cast<uint32_t>(state.thread_index()));
  uint64_t sum = 0;
  for (auto _ : state) {
    const PinnedObject pin = g_pool->Pin(share.Next());
    const std::span<const std::byte> last = pin.segment(pin.segment_count() - 1);
    sum += static_cast<uint64_t>(pin.segment(0).front()) + static_cast<uint64_t>(last.back());
  }
  benchmark::DoNotOptimize(sum);
  state.SetItemsProcessed(state.iterations());
}

// The same size as a record of the handle table.
struct Entry {
  const std::byte* first;
  const std::byte* last;
  std::atomic<uint64_t> count;
};

template <PoolVariant kVariant, bool kCounted>
void ReadWithoutPool(benchmark::State& state) {
  Share share(state, static_cast<uint32_t>(state.thread_index()));
  std::vector<Entry> entries(share.handles().size());
  for (size_t i = 0; i < entries.size(); ++i) {
    const PinnedObject pin = g_pool->Pin(share.handles()[i]);
    entries[i].first = &pin.segment(0).front();
    entries[i].last = &pin.segment(pin.segment_count() - 1).back();
  }
  uint64_t sum = 0;
  for (auto _ : state) {
    Entry& entry = entries[share.NextIndex()];
    if (kCounted) entry.count.fetch_add(1, std::memory_order_acquire);
    sum += static_cast<uint64_t>(*entry.first) + static_cast<uint64_t>(*entry.last);
    if (kCounted) entry.count.fetch_sub(1, std::memory_order_release);
  }
  benchmark::DoNotOptimize(sum);
  state.SetItemsProcessed(state.iterations());
}
template <PoolVariant kVariant>
void BareRead(benchmark::State& state) {
  ReadWithoutPool<kVariant, false>(state);
}
template <PoolVariant kVariant>
void CountedRead(benchmark::State& state) {
  ReadWithoutPool<kVariant, true>(state);
}

template <PoolVariant kVariant>
void Configure(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"objects", "shuffled", "one_size"})->UseRealTime()->Iterations(6000000);
  const int64_t most = kVariant == PoolVariant::kZbud ? 4000000 : 10000000;
  for (const int64_t objects : {int64_t{10000}, int64_t{100000}, int64_t{1000000}, most}) {
    for (const int64_t shuffled : {0, 1}) bench->Args({objects, shuffled, 0});
  }
  bench->Args({100000, 0, 1});
  bench->Threads(1)->Threads(2);
}

#define UZ_POOL_BENCH(function, variant) \
  BENCHMARK(function<variant>)->Setup(SetUp<variant>)->Teardown(TearDown)->Apply(Configure<variant>)
#define UZ_BOTH_POOLS(function)                \
  UZ_POOL_BENCH(function, PoolVariant::kZbud); \
  UZ_POOL_BENCH(function, PoolVariant::kZsmalloc16)
UZ_BOTH_POOLS(FreeAllocate);
UZ_BOTH_POOLS(FreeAllocateMet);
UZ_BOTH_POOLS(BareRead);
UZ_BOTH_POOLS(CountedRead);
UZ_BOTH_POOLS(PinnedRead);

}  // namespace
}  // namespace uzswap

BENCHMARK_MAIN();
