// Measures writeback: frames freed, bytes written, and its effect on stores and loads beside it.
//
//   writeback_bench [PAGES]     PAGES: raw 4 KiB pages (tools/make_dumps.py makes some); without,
//                               generated text and records
//
// 1. Eviction by frame beside eviction by object (least recently stored first), the same pages in
//    the same pool after the same churn: frames freed for each frame's worth written or moved.
// 2. Bytes written per page evicted, beside the 4,096 that zswap's writeback would write.
// 3. A steady churn: bytes written per compressed byte stored; size of the file after cleaning.
// 4. Latency of stores and loads of pages in the pool, with and without a device whose every
//    write takes 100 ms.
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <thread>
#include <vector>

#include "base/histogram.h"
#include "cache/testing/cache_fixture.h"
#include "writeback/testing/writeback_peer.h"
#include "writeback/writeback.h"

namespace uzswap {
namespace {

uint64_t NowNs() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

class Corpus {
 public:
  explicit Corpus(const char* path) {
    if (path != nullptr) {
      std::ifstream file(path, std::ios::binary);
      TestPage page;
      while (file.read(reinterpret_cast<char*>(page.bytes.data()), kPageSize)) {
        pages_.push_back(page);
      }
    }
    for (uint64_t i = 0; pages_.size() < 1000; ++i) {
      TestPage page;
      FillPageOf(i % 2 == 0 ? PageKind::kText : PageKind::kPointers, i, page.bytes);
      pages_.push_back(page);
    }
  }
  [[nodiscard]] ConstPageBytes page(uint64_t i) const { return pages_[i % pages_.size()].view(); }
  [[nodiscard]] uint64_t size() const { return std::min<uint64_t>(pages_.size(), 16'000); }

 private:
  std::vector<TestPage> pages_;
};

struct Bench : CacheFixture {
  Bench(const FixtureOptions& options, const WritebackOptions& writing) : CacheFixture(options) {
    UZ_CHECK(writer_context.Init(cache).ok());
    UZ_CHECK(writeback.Init(cache, writer_context, &store, writing).ok());
  }
  ~Bench() {
    writeback.WaitForWrites();
    cache.InvalidateArea(context, area);
  }
  CacheContext writer_context;
  Writeback writeback;
};

FixtureOptions Options(const Corpus& corpus, bool zsmalloc) {
  FixtureOptions options;
  options.frames = corpus.size() + 1024;
  options.device = 512 << 20;
  options.depth = 32;
  options.zsmalloc = zsmalloc;
  return options;
}

// Stores every page, then half of them again at random, so that neighbours differ in age.
// Returns the offsets, least recently stored first.
std::vector<uint64_t> Fill(Bench& bench, const Corpus& corpus) {
  std::vector<uint64_t> order;
  std::vector<bool> again(corpus.size());
  Rng rng(5);
  const auto put = [&](uint64_t i) {
    UZ_CHECK(bench.cache.Store(bench.context, bench.At(i), corpus.page(i)) ==
             StoreOutcome::kStored);
  };
  for (uint64_t i = 0; i < corpus.size(); ++i) put(i);
  std::vector<uint64_t> renewed;
  for (uint64_t i = 0; i < corpus.size(); ++i) {
    const uint64_t which = rng.Below(corpus.size());
    if (again[which] || renewed.size() >= corpus.size() / 2) continue;
    again[which] = true;
    renewed.push_back(which);
    put(which);
  }
  for (uint64_t i = 0; i < corpus.size(); ++i) {
    if (!again[i]) order.push_back(i);
  }
  order.insert(order.end(), renewed.begin(), renewed.end());
  return order;
}

void ByFrame(const Corpus& corpus, bool zsmalloc) {
  Bench bench(Options(corpus, zsmalloc), {});
  Fill(bench, corpus);
  const uint64_t frames = bench.pool.Snapshot().frames;
  bench.writeback.Shrink(frames * 3 / 4 * kPageSize);
  const WritebackCounters& counters = bench.writeback.counters();
  const uint64_t bytes = counters.evicted_bytes.Get() + counters.moved_bytes.Get();
  const uint64_t freed = frames - bench.pool.Snapshot().frames;
  printf(
      "  by frame    %8lu objects written %8lu moved %6lu frames freed  %.2f per frame's worth\n",
      counters.objects_evicted.Get(), counters.objects_moved.Get(), freed,
      static_cast<double>(freed) * kPageSize / static_cast<double>(bytes));
  const BackingCounters& written = bench.store.counters();
  printf("  bytes written per page evicted: %lu (zswap: 4096); mean request %lu KiB; depth %lu\n",
         written.bytes_written.Get() / std::max<uint64_t>(counters.objects_evicted.Get(), 1),
         written.bytes_written.Get() / std::max<uint64_t>(written.write_requests.Get(), 1) / 1024,
         written.deepest_queue.Get());
}

void ByObject(const Corpus& corpus, bool zsmalloc) {
  Bench bench(Options(corpus, zsmalloc), {});
  const std::vector<uint64_t> order = Fill(bench, corpus);
  const uint64_t frames = bench.pool.Snapshot().frames;
  // As the kernel does: the least recently stored object is written, in whichever frame it is.
  uint64_t bytes = 0;
  uint64_t objects = 0;
  std::vector<ObjectInfo> found(corpus.size());
  ObjectInfo list[kObjectsInUnitMax];
  for (uint32_t frame = 0; frame < bench.arena.capacity().raw(); ++frame) {
    const size_t count = bench.pool.ListObjectsInFrame(FrameId(frame), list);
    for (size_t i = 0; i < count; ++i)
      found[EntryKey::FromRaw(list[i].owner_key).offset()] = list[i];
  }
  const uint64_t goal = bench.pool.Snapshot().object_bytes / 4;
  for (const uint64_t offset : order) {
    if (bytes >= goal) break;
    const ObjectInfo& object = found[offset];
    if (!object.handle.valid()) continue;
    const EvictResult begun = bench.cache.BeginWrite(bench.writer_context, object);
    if (begun.outcome != EvictOutcome::kBegun) continue;
    while (bench.store.Append(object.owner_key, begun.token, begun.encoding, {begun.object, {}}) ==
           AppendOutcome::kNoBuffer) {
      bench.store.Reap(true);
    }
    bytes += object.size;
    ++objects;
  }
  bench.store.WaitForWrites();
  const uint64_t freed = frames - bench.pool.Snapshot().frames;
  printf("  by object   %8lu objects written %8d moved %6lu frames freed  %.2f per frame's worth\n",
         objects, 0, freed, static_cast<double>(freed) * kPageSize / static_cast<double>(bytes));
}

void Churn(const Corpus& corpus, bool zsmalloc) {
  FixtureOptions options = Options(corpus, zsmalloc);
  options.pool_limit = corpus.size() / 10 * kPageSize;
  Bench bench(options, {});
  Rng rng(7);
  for (uint64_t i = 0; i < corpus.size() * 12; ++i) {
    const uint64_t which = rng.Below(corpus.size());
    if (bench.cache.Store(bench.context, bench.At(which), corpus.page(which)) !=
        StoreOutcome::kStored) {
      bench.writeback.Shrink(bench.cache.gate().reopen_level());
    }
  }
  bench.writeback.WaitForWrites();
  const BackingCounters& counters = bench.store.counters();
  const SegmentTable& segments = bench.store.segments();
  printf("  churn       %.3f bytes written per compressed byte; held %lu MiB for %lu MiB alive",
         static_cast<double>(counters.bytes_written.Get()) /
             static_cast<double>(counters.payload_bytes.Get()),
         segments.held_bytes() >> 20, segments.live_bytes() >> 20);
  WritebackPeer::CleanStore(bench.writeback);
  CacheCounters sum;
  bench.cache.Count(sum);
  const uint64_t on_disk = sum.disk_in.Get() - sum.disk_out.Get();
  const uint64_t payload = segments.live_bytes() - on_disk * sizeof(RecordHeader);
  printf("; after cleaning %.3f x the compressed bytes\n",
         static_cast<double>(segments.held_bytes()) / static_cast<double>(payload));
}

struct Latencies {
  LatencyHistogram store;
  LatencyHistogram load;
  uint64_t operations = 0;
  int64_t waits = 0;  // voluntary context switches of the thread
};

int64_t Waits() {
  rusage usage = {};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nvcsw;
}

void Play(Bench& bench, const Corpus& corpus, Latencies& latencies, uint64_t seconds) {
  Rng rng(9);
  TestPage page;
  const int64_t waits = Waits();
  const uint64_t end = NowNs() + seconds * 1'000'000'000u;
  while (NowNs() < end) {
    // Pages of their own: never those the writer has evicted.
    const uint64_t which = corpus.size() + rng.Below(500);
    const uint64_t before = NowNs();
    static_cast<void>(bench.cache.Store(bench.context, bench.At(which), corpus.page(which)));
    const uint64_t between = NowNs();
    static_cast<void>(
        bench.cache.Load(bench.context, bench.At(which), page.span(), LoadMode::kExclusive));
    latencies.load.Record(NowNs() - between);
    latencies.store.Record(between - before);
    latencies.operations += 2;
  }
  latencies.waits = Waits() - waits;
}

void SlowDevice(const Corpus& corpus) {
  for (const bool writing : {false, true}) {
    FixtureOptions options = Options(corpus, true);
    options.depth = 4;
    Bench bench(options, {});
    Fill(bench, corpus);
    bench.port.SetLatency(writing ? 100'000'000 : 0);
    std::atomic<bool> stop{false};
    std::thread writer([&] {
      while (writing && !stop.load()) {
        if (bench.writeback.Step() == StepOutcome::kWorked) continue;
        bench.store.Flush();
        bench.store.Reap(true);
      }
      bench.port.SetLatency(0);
      bench.writeback.WaitForWrites();
    });
    Latencies latencies;
    Play(bench, corpus, latencies, 4);
    stop.store(true);
    writer.join();
    printf(
        "  %-22s store p50 %6lu p99 %6lu p99.9 %6lu ns   load p50 %6lu p99 %6lu p99.9 %6lu ns"
        "   %lu writes, %ld waits in %lu operations\n",
        writing ? "writes taking 100 ms" : "no writeback", latencies.store.Quantile(500),
        latencies.store.Quantile(990), latencies.store.Quantile(999), latencies.load.Quantile(500),
        latencies.load.Quantile(990), latencies.load.Quantile(999), bench.port.writes(),
        latencies.waits, latencies.operations);
  }
}

}  // namespace
}  // namespace uzswap

int main(int argc, char** argv) {
  const uzswap::Corpus corpus(argc > 1 ? argv[1] : nullptr);
  for (const bool zsmalloc : {false, true}) {
    printf("%s, %lu pages\n", zsmalloc ? "zsmalloc" : "zbud", corpus.size());
    uzswap::ByFrame(corpus, zsmalloc);
    uzswap::ByObject(corpus, zsmalloc);
    uzswap::Churn(corpus, zsmalloc);
  }
  printf("unrelated stores and loads beside a slow device\n");
  uzswap::SlowDevice(corpus);
  return 0;
}
