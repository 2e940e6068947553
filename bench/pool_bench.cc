// What one operation on a pool costs, by threads and by number of objects.
//
//   free_allocate  one object freed and another of a new size allocated in its stead
//   pinned_read    one object pinned, its first and last bytes read, unpinned
//   bare_read      the same reads through a plain array of pointers and sizes: what the memory
//                  costs without a pool
//
// Each thread works on its own objects (of 64 to 448 bytes; for zbud, which would need 20 GB for
// the most of them, 64 to 448 as well, but never written), `shuffled`: 0 in the order in which
// they were stored, 1 in random order, where the caches' misses on tables and data dominate
// beyond a million objects. Objects of one size class are the worst case for the locks.
#include <benchmark/benchmark.h>
#include <memory>
#include <vector>

#include "base/rng.h"
#include "pool/pool_testing.h"

namespace uzswap {
namespace {

std::unique_ptr<FrameArena> g_arena;
std::unique_ptr<Pool> g_pool;

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

// One thread's objects, freed at the end.
class Share {
 public:
  Share(const benchmark::State& state, bool zbud)
      : rng_(static_cast<uint64_t>(state.thread_index()) + 1),
        one_size_(state.range(2) != 0),
        shuffled_(state.range(1) != 0) {
    const auto count = static_cast<uint64_t>(state.range(0) / state.threads());
    std::byte bytes[512] = {};
    handles_.reserve(count);
    for (uint64_t i = 0; i < count; ++i) {
      const size_t size = NextSize();
      handles_.push_back(zbud ? g_pool->Allocate(size, i).handle
                              : g_pool->Store({bytes, size}, i).handle);
    }
  }
  ~Share() {
    for (Handle handle : handles_) g_pool->Free(handle);
  }
  // So that the first touch of memory is not measured.
  void ReadAll() {
    uint64_t sum = 0;
    for (Handle handle : handles_) {
      sum += static_cast<uint64_t>(g_pool->Pin(handle).segment(0).front());
    }
    benchmark::DoNotOptimize(sum);
  }
  size_t NextSize() { return one_size_ ? 256 : 64 + rng_.Below(385); }
  Handle& Next() {
    if (shuffled_) return handles_[rng_.Below(handles_.size())];
    if (++cursor_ >= handles_.size()) cursor_ = 0;
    return handles_[cursor_];
  }

 private:
  Rng rng_;
  bool one_size_;
  bool shuffled_;
  size_t cursor_ = 0;
  std::vector<Handle> handles_;
};

template <PoolVariant kVariant>
void FreeAllocate(benchmark::State& state) {
  Share share(state, kVariant == PoolVariant::kZbud);
  uint64_t key = 0;
  for (auto _ : state) {
    Handle& handle = share.Next();
    g_pool->Free(handle);
    handle = g_pool->Allocate(share.NextSize(), ++key).handle;
  }
  state.SetItemsProcessed(state.iterations());
}

void BareRead(benchmark::State& state) {
  struct Bare {
    const std::byte* data;
    uint64_t size;
    uint64_t key;
  };
  const auto count = static_cast<uint64_t>(state.range(0) / state.threads());
  std::vector<std::byte> memory(count * 257 + 512, std::byte{1});
  std::vector<Bare> objects;
  Rng rng(static_cast<uint64_t>(state.thread_index()) + 1);
  uint64_t at = 0;
  for (uint64_t i = 0; i < count && at + 512 < memory.size(); ++i) {
    const uint64_t size = 64 + rng.Below(385);
    objects.push_back({memory.data() + at, size, i});
    at += size;
  }
  uint64_t sum = 0;
  size_t cursor = 0;
  for (auto _ : state) {
    if (state.range(1) != 0) cursor = rng.Below(objects.size());
    if (++cursor >= objects.size()) cursor = 0;
    const Bare& object = objects[cursor];
    sum +=
        static_cast<uint64_t>(object.data[0]) + static_cast<uint64_t>(object.data[object.size - 1]);
  }
  benchmark::DoNotOptimize(sum);
  state.SetItemsProcessed(state.iterations());
}

template <PoolVariant kVariant>
void PinnedRead(benchmark::State& state) {
  Share share(state, kVariant == PoolVariant::kZbud);
  uint64_t sum = 0;
  share.ReadAll();
  for (auto _ : state) {
    const PinnedObject pin = g_pool->Pin(share.Next());
    const std::span<const std::byte> last = pin.segment(pin.segment_count() - 1);
    sum += static_cast<uint64_t>(pin.segment(0).front()) + static_cast<uint64_t>(last.back());
  }
  benchmark::DoNotOptimize(sum);
  state.SetItemsProcessed(state.iterations());
}

void Configure(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"objects", "shuffled", "one_size"})->UseRealTime();
  for (const int64_t objects : {10000, 100000, 1000000, 10000000}) {
    for (const int64_t shuffled : {0, 1}) bench->Args({objects, shuffled, 0});
  }
  bench->Args({100000, 0, 1});
  bench->Threads(1)->Threads(2);
}

#define UZ_POOL_BENCH(function, variant) \
  BENCHMARK(function<variant>)->Setup(SetUp<variant>)->Teardown(TearDown)->Apply(Configure)
BENCHMARK(BareRead)->Apply(Configure);
UZ_POOL_BENCH(FreeAllocate, PoolVariant::kZbud);
UZ_POOL_BENCH(FreeAllocate, PoolVariant::kZsmalloc16);
UZ_POOL_BENCH(PinnedRead, PoolVariant::kZbud);
UZ_POOL_BENCH(PinnedRead, PoolVariant::kZsmalloc16);

}  // namespace
}  // namespace uzswap

BENCHMARK_MAIN();
