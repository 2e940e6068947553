// The cost of compressing and decompressing one unit, and its ratio: codec x kind of page x unit
// size.
#include <benchmark/benchmark.h>
#include <vector>

#include "base/testing/page_corpus.h"
#include "codec/codec.h"

namespace uzswap {
namespace {

constexpr int kPages = 256;  // 1 MiB: larger than the L1 cache, smaller than the L2 cache

struct Corpus {
  Corpus(PageKind kind, size_t unit) : unit_size(unit), bytes(kPages * kPageSize) {
    for (size_t at = 0; at < bytes.size(); at += unit) {
      FillPageOf(kind, at, std::span(bytes).subspan(at, unit));
    }
  }
  [[nodiscard]] size_t count() const { return bytes.size() / unit_size; }
  [[nodiscard]] std::span<std::byte> unit(size_t i) {
    return std::span(bytes).subspan(i * unit_size, unit_size);
  }
  size_t unit_size;
  std::vector<std::byte> bytes;
};

CodecContext MakeContext(int64_t codec) {
  CodecContext context;
  UZ_CHECK(context.Init(*CodecById(static_cast<CodecId>(codec))).ok());
  return context;
}

void Compress(benchmark::State& state) {
  CodecContext context = MakeContext(state.range(0));
  const size_t unit = static_cast<size_t>(state.range(2)) * kPageSize;
  Corpus corpus(static_cast<PageKind>(state.range(1)), unit);
  std::vector<std::byte> out(unit);
  uint64_t in_bytes = 0;
  uint64_t out_bytes = 0;
  size_t i = 0;
  for (auto _ : state) {
    const CompressOutcome outcome = context.Compress(corpus.unit(i++ % corpus.count()), out);
    in_bytes += unit;
    out_bytes += outcome.kind == CompressKind::kIncompressible ? unit : outcome.size;
  }
  state.SetLabel(std::string(context.codec().name()) + " " +
                 PageKindName(static_cast<PageKind>(state.range(1))));
  state.counters["ratio"] =
      out_bytes == 0 ? 0 : static_cast<double>(in_bytes) / static_cast<double>(out_bytes);
}

void Decompress(benchmark::State& state) {
  CodecContext context = MakeContext(state.range(0));
  const size_t unit = static_cast<size_t>(state.range(2)) * kPageSize;
  Corpus corpus(static_cast<PageKind>(state.range(1)), unit);
  std::vector<std::vector<std::byte>> objects;
  for (size_t i = 0; i < corpus.count(); ++i) {
    std::vector<std::byte> out(unit);
    const CompressOutcome outcome = context.Compress(corpus.unit(i), out);
    if (outcome.kind != CompressKind::kCompressed) return state.SkipWithError("not compressible");
    out.resize(outcome.size);
    objects.push_back(std::move(out));
  }
  std::vector<std::byte> back(unit);
  size_t i = 0;
  for (auto _ : state) {
    UZ_CHECK(context.Decompress({objects[i++ % objects.size()], {}}, back) ==
             DecompressOutcome::kOk);
  }
  state.SetLabel(std::string(context.codec().name()) + " " +
                 PageKindName(static_cast<PageKind>(state.range(1))));
}

// The cost of the same-filled check on pages that are not same-filled.
void SameFilledCheck(benchmark::State& state) {
  Corpus corpus(static_cast<PageKind>(state.range(0)), kPageSize);
  uint64_t pattern = 0;
  size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(IsSameFilled(corpus.unit(i++ % kPages), &pattern));
  }
  state.SetLabel(PageKindName(static_cast<PageKind>(state.range(0))));
}

const std::vector<int64_t> kCodecs = {1, 2};
const std::vector<int64_t> kUnits = {1, 4};

BENCHMARK(Compress)->ArgsProduct({kCodecs, {2, 3, 4, 5, 6}, kUnits});
BENCHMARK(Decompress)->ArgsProduct({kCodecs, {2, 3, 5, 6}, kUnits});
BENCHMARK(SameFilledCheck)->DenseRange(0, kPageKinds - 1);

}  // namespace
}  // namespace uzswap

BENCHMARK_MAIN();
