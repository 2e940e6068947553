// What a dictionary gives on real heaps: ratio, and time of compressing and decompressing a page.
//
//   dictionary_bench [--pages N] [--samples N] DUMP.pages...
//
// For each dump (tools/make_dumps.py), N random pages are measured (default 12,000), and
// dictionaries are trained from others: as the engine does, from 128 pages (--samples), and as
// uzswap train does, from 4,096. Rows: lz4, zstd and zstd for pages that stay (dense), without a
// dictionary and with each. `ratio` is pages over compressed bytes, `frames` is pages over the
// frames of zsmalloc: the overhead of the pool is included, and the memory of the dictionary too.
// Same-filled pages are not measured. An incompressible page counts as a whole frame. Times are
// processor time, the best of three rounds. `training` is the processor time of one training.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/rng.h"
#include "codec/codec.h"
#include "codec/zstd_codec.h"
#include "os/thread.h"
#include "pool/zsmalloc_pool.h"
#include "train/dictionary_trainer.h"
#include "train/digested_dictionary.h"

namespace uzswap {
namespace {

using Bytes8 = std::vector<std::byte>;

constexpr int kRounds = 3;
constexpr size_t kManySamples = 4096;

double ProcessorMicroseconds() { return static_cast<double>(os::ThreadNanoseconds()) / 1e3; }

[[noreturn]] void Fail(const char* what, const std::string& name) {
  std::fprintf(stderr, "dictionary_bench: %s %s\n", what, name.c_str());
  std::exit(1);
}

Bytes8 Load(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) Fail("cannot read", path);
  Bytes8 pages(static_cast<size_t>(file.tellg()) / kPageSize * kPageSize);
  file.seekg(0);
  file.read(reinterpret_cast<char*>(pages.data()), static_cast<std::streamsize>(pages.size()));
  return pages;
}

struct Samples {
  Bytes8 measured;
  Bytes8 training;  // none of the measured
};

// Random pages that are not same-filled. Equal seeds give equal pages.
Samples Take(const Bytes8& dump, size_t measured, size_t training) {
  Rng rng(7);
  std::vector<size_t> order(dump.size() / kPageSize);
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.Below(i)]);
  Samples samples;
  for (const size_t page : order) {
    const auto bytes = std::span(dump).subspan(page * kPageSize, kPageSize);
    uint64_t pattern = 0;
    if (IsSameFilled(bytes, &pattern)) continue;
    Bytes8& to =
        samples.training.size() < training * kPageSize ? samples.training : samples.measured;
    to.insert(to.end(), bytes.begin(), bytes.end());
    if (samples.measured.size() == measured * kPageSize) break;
  }
  return samples;
}

struct Trained {
  Bytes8 content;
  double milliseconds = 0;
};

Trained Train(const Bytes8& samples, size_t pages) {
  Trained trained;
  trained.content.resize(kDictionaryBytesDefault);
  const auto part = std::span(samples).first(std::min(samples.size(), pages * kPageSize));
  const double start = ProcessorMicroseconds();
  const Result<size_t> size = TrainDictionary(part, trained.content);
  trained.milliseconds = (ProcessorMicroseconds() - start) / 1e3;
  if (!size.ok()) Fail("no dictionary:", size.error().what);
  trained.content.resize(size.value());
  return trained;
}

struct Measured {
  uint64_t bytes = 0;
  uint64_t frames = 0;
  double in_us = 1e9;
  double out_us = 1e9;
};

// The frames that zsmalloc needs for these objects.
uint64_t FramesFor(const std::vector<Bytes8>& objects) {
  FrameArena arena;
  const PageCount room(objects.size() + 1024);
  UZ_CHECK(arena.Init({.capacity = room, .access = FrameAccess::kAlways}).ok());
  ZsmallocPool pool;
  ZsmallocOptions options;
  options.pool = {.arena = &arena, .max_objects = objects.size() + 1024};
  UZ_CHECK(pool.Init(options).ok());
  std::vector<Handle> handles;
  uint64_t incompressible = 0;
  for (size_t i = 0; i < objects.size(); ++i) {
    if (objects[i].empty()) {
      ++incompressible;
    } else {
      handles.push_back(pool.Store(objects[i], i).handle);
    }
  }
  const uint64_t frames = pool.Snapshot().frames + incompressible;
  for (const Handle handle : handles) pool.Free(handle);
  return frames;
}

Measured Measure(const Codec& codec, const Bytes8& pages, const Dictionary* dictionary) {
  CodecContext context;
  UZ_CHECK(context.Init(codec).ok());
  const size_t count = pages.size() / kPageSize;
  const auto page = [&pages](size_t i) {
    return std::span(pages).subspan(i * kPageSize, kPageSize);
  };
  std::vector<Bytes8> objects(count);
  Measured measured;
  alignas(8) std::byte back[kPageSize];
  for (int round = 0; round < kRounds; ++round) {
    Bytes8 out(kTrainingObjectMax);
    std::vector<CompressOutcome> outcomes(count);
    const double start = ProcessorMicroseconds();
    for (size_t i = 0; i < count; ++i) outcomes[i] = context.Compress(page(i), out, dictionary);
    const double compressed = ProcessorMicroseconds();
    measured.in_us = std::min(measured.in_us, (compressed - start) / static_cast<double>(count));
    for (size_t i = 0; round == 0 && i < count; ++i) {
      const CompressOutcome outcome = context.Compress(page(i), out, dictionary);
      const bool fits = outcome.kind == CompressKind::kCompressed;
      measured.bytes += fits ? outcome.size : kPageSize;
      if (fits) objects[i].assign(out.begin(), out.begin() + outcome.size);
    }
    const double before = ProcessorMicroseconds();
    for (const Bytes8& object : objects) {
      if (object.empty()) continue;
      UZ_CHECK(context.Decompress({object, {}}, back, dictionary) == DecompressOutcome::kOk);
    }
    const double spent = ProcessorMicroseconds() - before;
    measured.out_us = std::min(measured.out_us, spent / static_cast<double>(count));
  }
  for (size_t i = 0; i < count; ++i) {
    if (objects[i].empty()) continue;
    UZ_CHECK(context.Decompress({objects[i], {}}, back, dictionary) == DecompressOutcome::kOk);
    UZ_CHECK(std::memcmp(back, page(i).data(), kPageSize) == 0);
  }
  measured.frames = FramesFor(objects);
  if (dictionary != nullptr) {
    size_t memory = Dictionary::MemoryFor(dictionary->content().size());
    if (&codec == &DenseCodec()) memory += ZstdCodec::DenseDictionaryBytes();
    measured.frames += memory / kPageSize + 1;
  }
  return measured;
}

void Run(const std::string& path, size_t pages, size_t few) {
  const Samples samples = Take(Load(path), pages, kManySamples);
  const double count = static_cast<double>(samples.measured.size() / kPageSize);
  std::printf("%s: %.0f pages measured\n", path.c_str(), count);
  std::printf("  %-6s %-14s %7s %7s %7s %7s %9s\n", "codec", "trained from", "ratio", "frames",
              "us in", "us out", "training");
  const Trained trained[] = {
      {}, Train(samples.training, few), Train(samples.training, kManySamples)};
  const size_t from[] = {0, few, kManySamples};
  double lz4_frames = 0;
  const struct {
    const char* name;
    const Codec& codec;
  } codecs[] = {
      {"lz4", *CodecByName("lz4")}, {"zstd", *CodecByName("zstd")}, {"dense", DenseCodec()}};
  for (const auto& [name, codec] : codecs) {
    for (size_t i = 0; i < std::size(trained); ++i) {
      const auto digested = DigestedDictionary::Make(trained[i].content);
      UZ_CHECK(digested.ok());
      const Measured got = Measure(codec, samples.measured, digested.value().get());
      if (lz4_frames == 0) lz4_frames = static_cast<double>(got.frames);
      const std::string source = i == 0 ? "-" : std::to_string(from[i]) + " pages";
      const double per_frame = count / static_cast<double>(got.frames);
      std::printf("  %-6s %-14s %7.2f %7.2f %7.1f %7.1f %6.1f ms  %.2f x lz4\n", name,
                  source.c_str(), count * kPageSize / static_cast<double>(got.bytes), per_frame,
                  got.in_us, got.out_us, trained[i].milliseconds,
                  lz4_frames / static_cast<double>(got.frames));
    }
  }
  std::fflush(stdout);
}

}  // namespace
}  // namespace uzswap

int main(int argc, char** argv) {
  size_t pages = 12'000;
  size_t few = 128;
  std::vector<std::string> dumps;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if ((word == "--pages" || word == "--samples") && i + 1 < argc) {
      (word == "--pages" ? pages : few) = std::strtoull(argv[++i], nullptr, 10);
    } else {
      dumps.push_back(word);
    }
  }
  if (dumps.empty() || pages == 0 || few == 0) {
    std::fprintf(stderr, "usage: dictionary_bench [--pages N] [--samples N] DUMP.pages...\n");
    return 1;
  }
  for (const std::string& dump : dumps) uzswap::Run(dump, pages, few);
  return 0;
}
