// How much memory a pool uses for the pages of a real heap: at rest, after churn, and compacted.
//
//   pool_density [--overwrites N] [--threads N] [--zram DEVICE] DUMP.pages...
//
// Each page of the dump is compressed with lz4 and stored. Then random pages are overwritten with
// the content of other random pages. Then the pool is compacted. `overhead` is the size of the
// pool's frames relative to the sum of the objects' sizes, minus 100 %. `with tables` includes the
// pool's metadata. Same-filled pages are not stored. As in zram, a page that compresses to more
// than the huge watermark is stored uncompressed.
//
// With --threads the pages are divided among that many threads, and each thread stores its own
// pages. One thread acts as all of them in turn, so the results can be repeated.
//
// With --zram the same pages and overwrites go to the kernel's zram with lz4, and its mm_stat is
// printed below. This needs root and an idle zram device, whose content is lost.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/testing/thread_shard_scope.h"
#include "codec/codec.h"
#include "pool/testing/pool_testing.h"

namespace uzswap {
namespace {

struct Object {
  std::vector<std::byte> bytes;  // empty: same-filled
};

struct Dump {
  std::vector<std::byte> pages;
  std::vector<Object> objects;
  [[nodiscard]] size_t count() const { return pages.size() / kPageSize; }
};

Dump Load(const char* path) {
  Dump dump;
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) {
    std::fprintf(stderr, "pool_density: cannot read %s\n", path);
    std::exit(1);
  }
  dump.pages.resize(static_cast<size_t>(file.tellg()) / kPageSize * kPageSize);
  file.seekg(0);
  file.read(reinterpret_cast<char*>(dump.pages.data()),
            static_cast<std::streamsize>(dump.pages.size()));
  return dump;
}

void Compress(Dump& dump, size_t huge_above) {
  CodecContext context;
  if (!context.Init(*CodecByName("lz4")).ok()) std::exit(1);
  alignas(8) std::byte page[kPageSize];
  std::vector<std::byte> out(kPageSize);
  dump.objects.clear();
  for (size_t i = 0; i < dump.count(); ++i) {
    std::memcpy(page, dump.pages.data() + i * kPageSize, kPageSize);
    uint64_t pattern = 0;
    if (IsSameFilled(page, &pattern)) {
      dump.objects.emplace_back();
      continue;
    }
    const CompressOutcome outcome = context.Compress(page, std::span(out).first(huge_above));
    Object object;
    if (outcome.kind == CompressKind::kCompressed) {
      object.bytes.assign(out.begin(), out.begin() + outcome.size);
    } else if (outcome.kind == CompressKind::kIncompressible) {
      object.bytes.assign(page, page + kPageSize);
    }
    dump.objects.push_back(std::move(object));
  }
}

// The overwrites, the same for every pool and for zram.
struct Overwrite {
  size_t page;
  size_t content;
};
std::vector<Overwrite> Overwrites(size_t count, size_t pages) {
  Rng rng(42);
  std::vector<Overwrite> all(count);
  for (Overwrite& one : all) one = {rng.Below(pages), rng.Below(pages)};
  return all;
}

double Percent(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole) - 100.0;
}

void PrintRow(const char* stage, uint64_t stored, uint64_t pool_bytes, uint64_t metadata,
              const char* more) {
  std::printf("    %-12s stored %7.1f MiB  pool %7.1f MiB  overhead %5.2f %%", stage,
              static_cast<double>(stored) / (1 << 20), static_cast<double>(pool_bytes) / (1 << 20),
              Percent(pool_bytes, stored));
  if (metadata != 0) {
    std::printf("  with tables %5.2f %%", Percent(pool_bytes + metadata, stored));
  }
  std::printf("%s\n", more);
  std::fflush(stdout);
}

void Row(Pool& pool, const char* stage, const char* more = "") {
  const PoolStatistics now = pool.Snapshot();
  PrintRow(stage, now.object_bytes, now.frame_bytes(), now.metadata_bytes, more);
}

void CompactAll(Pool& pool) {
  const PoolStatistics before = pool.Snapshot();
  const auto start = std::chrono::steady_clock::now();
  while (!pool.CompactStep(1000).done) {
  }
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
  const PoolStatistics after = pool.Snapshot();
  const uint64_t moved = after.objects_moved - before.objects_moved;
  char more[120];
  std::snprintf(more, sizeof(more), "  moved %llu, freed %llu frames, %.0f ns/object",
                static_cast<unsigned long long>(moved),
                static_cast<unsigned long long>(before.frames - after.frames),
                moved == 0 ? 0 : took.count() / static_cast<double>(moved));
  Row(pool, "compacted", more);
}

// The fewest frames with two objects in each: the largest object is paired with the largest that
// fits beside it.
uint64_t PairedFrames(HandlePool& pool, const std::vector<Handle>& handles) {
  std::vector<size_t> sizes;
  for (Handle handle : handles) {
    if (handle.valid()) sizes.push_back(pool.FootprintOf(pool.SizeOf(handle)));
  }
  std::sort(sizes.begin(), sizes.end());
  // Pairing the largest object with any that fits gives the same number of pairs. The smallest is
  // the simplest choice.
  uint64_t frames = 0;
  for (size_t low = 0, high = sizes.size(); low < high; ++frames) {
    --high;
    if (low < high && sizes[low] + sizes[high] <= kPageSize) ++low;
  }
  return frames;
}

// Frees 70 % of the objects and compacts. Prints which part of the frames that ideal packing would
// return was returned. Ideal packing is byte by byte for zsmalloc, and two objects in a frame for
// zbud.
void FreeMostAndCompact(HandlePool& pool, std::vector<Handle>& handles, bool zbud) {
  Rng rng(7);
  for (Handle& handle : handles) {
    if (!handle.valid() || rng.Below(10) >= 7) continue;
    pool.Free(handle);
    handle = Handle();
  }
  Row(pool, "70 % freed");
  const PoolStatistics before = pool.Snapshot();
  CompactAll(pool);
  const PoolStatistics after = pool.Snapshot();
  const uint64_t ideal =
      zbud ? PairedFrames(pool, handles) : (before.object_bytes + kPageSize - 1) / kPageSize;
  std::printf("    of %llu frames that an ideal packing would return: %.1f %%\n",
              static_cast<unsigned long long>(before.frames - ideal),
              100.0 * static_cast<double>(before.frames - after.frames) /
                  static_cast<double>(before.frames - ideal));
}

void Measure(PoolVariant variant, const Dump& dump, const std::vector<Overwrite>& overwrites,
             uint32_t thread_count) {
  std::printf("  %s\n", NameOf(variant).c_str());
  FrameArena arena;
  if (!arena.Init({.capacity = PageCount(dump.count() + 4096)}).ok()) std::exit(1);
  const std::unique_ptr<HandlePool> pool = MakePool(variant, {.arena = &arena});
  std::vector<Handle> handles(dump.count());
  std::vector<ThreadShardIdentity> threads;
  for (uint32_t i = 0; i < thread_count; ++i) threads.emplace_back(i);
  const auto store = [&](size_t page, size_t content) {
    const ThreadShardScope scope(threads[page % thread_count]);
    const std::vector<std::byte>& bytes = dump.objects[content].bytes;
    Handle fresh;
    if (!bytes.empty()) fresh = pool->Store(bytes, page).handle;
    if (handles[page].valid()) pool->Free(handles[page]);
    handles[page] = fresh;
  };
  for (size_t i = 0; i < dump.count(); ++i) store(i, i);
  Row(*pool, "at rest");
  if (variant == PoolVariant::kZbud) {
    std::printf("    two objects in a frame need at least %.1f MiB\n",
                static_cast<double>(PairedFrames(*pool, handles) * kPageSize) / (1 << 20));
  }
  for (const Overwrite& one : overwrites) store(one.page, one.content);
  Row(*pool, "overwritten");
  CompactAll(*pool);
  FreeMostAndCompact(*pool, handles, variant == PoolVariant::kZbud);
  for (Handle handle : handles) {
    if (handle.valid()) pool->Free(handle);
  }
}

// --- The kernel's zram ---

bool WriteSys(const std::string& path, const std::string& value) {
  std::ofstream file(path);
  file << value << std::flush;
  return file.good();
}

void ZramRow(const std::string& sys, const char* stage) {
  std::ifstream file(sys + "/mm_stat");
  uint64_t original = 0;
  uint64_t compressed = 0;
  uint64_t used = 0;
  file >> original >> compressed >> used;
  PrintRow(stage, compressed, used, 0, "");
}

void MeasureZram(const std::string& device, const Dump& dump,
                 const std::vector<Overwrite>& overwrites) {
  const std::string sys = "/sys/block/" + device.substr(device.rfind('/') + 1);
  const auto size = std::to_string(dump.pages.size());
  if (!WriteSys(sys + "/reset", "1") || !WriteSys(sys + "/comp_algorithm", "lz4") ||
      !WriteSys(sys + "/disksize", size)) {
    std::printf("  zram: cannot set up %s. fix: run as root, with an idle zram device\n",
                device.c_str());
    return;
  }
  const int file = open(device.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
  void* raw = nullptr;
  if (file < 0 || posix_memalign(&raw, kPageSize, kPageSize) != 0) return;
  const auto write = [&](size_t page, size_t content) {
    std::memcpy(raw, dump.pages.data() + content * kPageSize, kPageSize);
    const auto offset = static_cast<off_t>(page * kPageSize);
    if (pwrite(file, raw, kPageSize, offset) != static_cast<ssize_t>(kPageSize)) std::exit(1);
  };
  std::printf("  zram with lz4, as the kernel is configured\n");
  for (size_t i = 0; i < dump.count(); ++i) write(i, i);
  ZramRow(sys, "at rest");
  for (const Overwrite& one : overwrites) write(one.page, one.content);
  ZramRow(sys, "overwritten");
  WriteSys(sys + "/compact", "1");
  ZramRow(sys, "compacted");
  close(file);
  std::free(raw);
  WriteSys(sys + "/reset", "1");
}

int Main(int argc, char** argv) {
  size_t overwrites = 200000;
  uint32_t threads = 1;
  std::string zram;
  std::vector<const char*> paths;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--overwrites" && i + 1 < argc) {
      overwrites = std::strtoull(argv[++i], nullptr, 10);
    } else if (argument == "--threads" && i + 1 < argc) {
      threads = std::max(1u, static_cast<uint32_t>(std::strtoul(argv[++i], nullptr, 10)));
    } else if (argument == "--zram" && i + 1 < argc) {
      zram = argv[++i];
    } else {
      paths.push_back(argv[i]);
    }
  }
  for (const char* path : paths) {
    Dump dump = Load(path);
    std::printf("%s: %zu pages, %zu overwrites, %u threads\n", path, dump.count(), overwrites,
                threads);
    const std::vector<Overwrite> sequence = Overwrites(overwrites, dump.count());
    for (PoolVariant variant : kAllPoolVariants) {
      const uint32_t chain = variant == PoolVariant::kZsmalloc4   ? 4
                             : variant == PoolVariant::kZsmalloc8 ? 8
                                                                  : 16;
      Compress(dump, SizeClassTable(chain).huge_above());
      Measure(variant, dump, sequence, threads);
    }
    if (!zram.empty()) MeasureZram(zram, dump, sequence);
  }
  return paths.empty() ? 1 : 0;
}

}  // namespace
}  // namespace uzswap

int main(int argc, char** argv) { return uzswap::Main(argc, argv); }
