#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <span>

#include "advise.h"
#include "codec/codec.h"
#include "pool/zbud_pool.h"
#include "pool/zsmalloc_pool.h"

namespace uzswap::cli {
namespace {

// Processor time of this thread, so that a busy machine does not make a codec look slow. Reading
// the clock is a system call, so pages are timed in batches.
uint64_t ProcessorNanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

constexpr size_t kBatch = 32;

std::span<const std::byte> PageOf(const PageSample& sample, uint64_t i) {
  return {sample.bytes.data() + i * kPageSize, kPageSize};
}

// A pool with its own arena, and the handles of its objects.
struct Store {
  const char* name;
  FrameArena arena;
  std::unique_ptr<Pool> pool;
  std::vector<Handle> handles;

  ~Store() {
    for (Handle handle : handles) pool->Free(handle);
    pool.reset();
  }
};

template <typename P, typename Options>
std::unique_ptr<Store> MakeStore(const char* name, uint64_t pages, Options options) {
  auto store = std::make_unique<Store>();
  store->name = name;
  auto pool = std::make_unique<P>();
  // As dense as it comes in the worst case, plus what threads keep ready.
  const PageCount frames(pages + 1024);
  if (!store->arena.Init({.capacity = frames, .access = FrameAccess::kAlways}).ok()) return nullptr;
  if constexpr (std::is_same_v<Options, ZsmallocOptions>) {
    options.pool = {.arena = &store->arena, .max_objects = pages + 1024};
  } else {
    options = {.arena = &store->arena, .max_objects = pages + 1024};
  }
  if (!pool->Init(options).ok()) return nullptr;
  store->pool = std::move(pool);
  return store;
}

ObjectView ViewOf(const PinnedObject& pin) {
  ObjectView view;
  view.first = pin.segment(0);
  if (pin.segment_count() > 1) view.second = pin.segment(1);
  return view;
}

using Stores = std::vector<std::unique_ptr<Store>>;

void Keep(const CompressOutcome& outcome, std::span<const std::byte> object, uint64_t page,
          Stores& stores, CodecAdvice& advice, std::vector<uint64_t>& which) {
  switch (outcome.kind) {
    case CompressKind::kIncompressible:
      ++advice.incompressible;
      ++advice.histogram[kAdviseBuckets - 1];
      return;
    case CompressKind::kCompressed:
      break;
  }
  advice.stored_bytes += outcome.size;
  ++advice.histogram[(outcome.size - 1) * kAdviseBuckets / kPageSize];
  which.push_back(page);
  for (const auto& store : stores) {
    store->handles.push_back(store->pool->Store(object.first(outcome.size), page).handle);
    UZ_CHECK(store->handles.back().valid());
  }
}

// Compresses every page once and stores the object in every pool; `which` maps each object to its
// page.
void TakeIn(const PageSample& sample, CodecContext& context, Stores& stores, CodecAdvice& advice,
            std::vector<uint64_t>& which) {
  std::vector<std::byte> objects(kBatch * kAdviseObjectMax);
  const auto object = [&](uint64_t i) {
    return std::span(objects).subspan(i % kBatch * kAdviseObjectMax, kAdviseObjectMax);
  };
  CompressOutcome outcomes[kBatch];
  uint64_t total = 0;
  for (uint64_t first = 0; first < sample.count(); first += kBatch) {
    const uint64_t end = std::min(first + kBatch, sample.count());
    const uint64_t start = ProcessorNanoseconds();
    for (uint64_t i = first; i < end; ++i) {
      outcomes[i % kBatch] = context.Compress(PageOf(sample, i), object(i));
    }
    total += ProcessorNanoseconds() - start;
    for (uint64_t i = first; i < end; ++i) {
      uint64_t pattern = 0;
      if (IsSameFilled(PageOf(sample, i), &pattern)) {
        ++advice.same_filled;
        continue;
      }
      Keep(outcomes[i % kBatch], object(i), i, stores, advice, which);
    }
  }
  advice.in_ns = static_cast<double>(total) / static_cast<double>(sample.count());
}

// Loads every object from the densest pool and compares it with its page: an estimate must not
// rely on a codec that changes bytes.
void BringBack(const PageSample& sample, CodecContext& context, const Store& store,
               CodecAdvice& advice, const std::vector<uint64_t>& which) {
  std::vector<std::byte> pages(kBatch * kPageSize);
  const auto page = [&](size_t i) {
    return std::span(pages).subspan(i % kBatch * kPageSize, kPageSize);
  };
  uint64_t total = 0;
  for (size_t first = 0; first < which.size(); first += kBatch) {
    const size_t end = std::min(first + kBatch, which.size());
    const uint64_t start = ProcessorNanoseconds();
    for (size_t i = first; i < end; ++i) {
      const PinnedObject pin = store.pool->Pin(store.handles[i]);
      UZ_CHECK(context.Decompress(ViewOf(pin), page(i)) == DecompressOutcome::kOk);
    }
    total += ProcessorNanoseconds() - start;
    for (size_t i = first; i < end; ++i) {
      UZ_CHECK(std::memcmp(page(i).data(), PageOf(sample, which[i]).data(), kPageSize) == 0);
    }
  }
  const auto count = static_cast<double>(which.empty() ? 1 : which.size());
  advice.out_ns = static_cast<double>(total) / count;
}

Refusal NoMemory(Error error) {
  return {kCannotDo, std::string("no memory: ") + error.what + ": " + strerror(error.errno_value),
          ""};
}

}  // namespace

OrRefusal<Advice> Measure(const PageSample& sample) {
  Advice advice{sample.source, sample.pages_there, sample.count(), {}};
  for (const char* name : {"lz4", "zstd"}) {
    CodecContext context;
    const Result<void> ready = context.Init(*CodecByName(name));
    if (!ready.ok()) return NoMemory(ready.error());
    Stores stores;
    stores.push_back(MakeStore<ZsmallocPool>("zsmalloc", sample.count(), ZsmallocOptions{}));
    stores.push_back(MakeStore<ZbudPool>("zbud", sample.count(), PoolOptions{}));
    for (const auto& store : stores) {
      if (store == nullptr) return NoMemory({ENOMEM, "address space for a pool"});
    }
    CodecAdvice one;
    one.codec = name;
    std::vector<uint64_t> which;
    TakeIn(sample, context, stores, one, which);
    BringBack(sample, context, *stores[0], one, which);
    for (const auto& store : stores) {
      PoolAdvice pool;
      pool.pool = store->name;
      pool.frames = store->pool->Snapshot().frames + one.incompressible;
      pool.ratio = static_cast<double>(sample.count()) /
                   static_cast<double>(pool.frames > 0 ? pool.frames : 1);
      one.pools.push_back(pool);
    }
    advice.codecs.push_back(std::move(one));
  }
  return advice;
}

}  // namespace uzswap::cli
