#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <span>

#include "advise.h"
#include "codec/codec.h"
#include "os/thread.h"
#include "pool/zbud_pool.h"
#include "pool/zsmalloc_pool.h"
#include "train/dictionary_trainer.h"
#include "train/digested_dictionary.h"

namespace uzswap::cli {
namespace {

// The time of the processor, so that a busy machine does not make a codec look slow. Reading it is
// a system call, so pages are timed in batches.
constexpr size_t kBatch = 32;

using Pages = std::span<const std::byte>;

uint64_t CountOf(Pages pages) { return pages.size() / kPageSize; }

std::span<const std::byte> PageOf(Pages pages, uint64_t i) {
  return pages.subspan(i * kPageSize, kPageSize);
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

// How pages become objects. The dictionary may be nullptr.
struct Coding {
  CodecContext& context;
  const Dictionary* dictionary;
};

// Compresses every page once and stores the object in every pool; `which` maps each object to its
// page.
void TakeIn(Pages pages, const Coding& coding, Stores& stores, CodecAdvice& advice,
            std::vector<uint64_t>& which) {
  std::vector<std::byte> objects(kBatch * kAdviseObjectMax);
  const auto object = [&](uint64_t i) {
    return std::span(objects).subspan(i % kBatch * kAdviseObjectMax, kAdviseObjectMax);
  };
  CompressOutcome outcomes[kBatch];
  uint64_t total = 0;
  for (uint64_t first = 0; first < CountOf(pages); first += kBatch) {
    const uint64_t end = std::min(first + kBatch, CountOf(pages));
    const uint64_t start = os::ThreadNanoseconds();
    for (uint64_t i = first; i < end; ++i) {
      outcomes[i % kBatch] =
          coding.context.Compress(PageOf(pages, i), object(i), coding.dictionary);
    }
    total += os::ThreadNanoseconds() - start;
    for (uint64_t i = first; i < end; ++i) {
      uint64_t pattern = 0;
      if (IsSameFilled(PageOf(pages, i), &pattern)) {
        ++advice.same_filled;
        continue;
      }
      Keep(outcomes[i % kBatch], object(i), i, stores, advice, which);
    }
  }
  advice.in_ns = static_cast<double>(total) / static_cast<double>(CountOf(pages));
}

// Loads every object from the densest pool and compares it with its page: an estimate must not
// rely on a codec that changes bytes.
void BringBack(Pages pages, const Coding& coding, const Store& store, CodecAdvice& advice,
               const std::vector<uint64_t>& which) {
  std::vector<std::byte> back(kBatch * kPageSize);
  const auto page = [&](size_t i) {
    return std::span(back).subspan(i % kBatch * kPageSize, kPageSize);
  };
  uint64_t total = 0;
  for (size_t first = 0; first < which.size(); first += kBatch) {
    const size_t end = std::min(first + kBatch, which.size());
    const uint64_t start = os::ThreadNanoseconds();
    for (size_t i = first; i < end; ++i) {
      const PinnedObject pin = store.pool->Pin(store.handles[i]);
      UZ_CHECK(coding.context.Decompress(ViewOf(pin), page(i), coding.dictionary) ==
               DecompressOutcome::kOk);
    }
    total += os::ThreadNanoseconds() - start;
    for (size_t i = first; i < end; ++i) {
      UZ_CHECK(std::memcmp(page(i).data(), PageOf(pages, which[i]).data(), kPageSize) == 0);
    }
  }
  const auto count = static_cast<double>(which.empty() ? 1 : which.size());
  advice.out_ns = static_cast<double>(total) / count;
}

const Codec& CodecOfRow(std::string_view name) {
  return name == kDenseRow ? DenseCodec() : *CodecByName(name);
}

OrRefusal<CodecAdvice> MeasureCodec(Pages pages, const char* name, const Dictionary* dictionary) {
  CodecContext context;
  const Result<void> ready = context.Init(CodecOfRow(name));
  if (!ready.ok()) return NoMemory(ready.error());
  Stores stores;
  stores.push_back(MakeStore<ZsmallocPool>("zsmalloc", CountOf(pages), ZsmallocOptions{}));
  stores.push_back(MakeStore<ZbudPool>("zbud", CountOf(pages), PoolOptions{}));
  for (const auto& store : stores) {
    if (store == nullptr) return NoMemory({ENOMEM, "address space for a pool"});
  }
  const Coding coding{context, dictionary};
  CodecAdvice advice;
  advice.codec = name;
  advice.dictionary = dictionary != nullptr;
  std::vector<uint64_t> which;
  TakeIn(pages, coding, stores, advice, which);
  BringBack(pages, coding, *stores[0], advice, which);
  for (const auto& store : stores) {
    PoolAdvice pool;
    pool.pool = store->name;
    pool.frames = store->pool->Snapshot().frames + advice.incompressible;
    pool.ratio = static_cast<double>(CountOf(pages)) /
                 static_cast<double>(pool.frames > 0 ? pool.frames : 1);
    advice.pools.push_back(pool);
  }
  return advice;
}

// What is measured, and the dictionary.
struct Prepared {
  std::vector<std::byte> pages;
  DigestedDictionary dictionary;
};

// Not having a dictionary is no failure.
Prepared Prepare(const PageSample& sample, DictionaryAdvice& advice) {
  constexpr size_t kTrainOneIn = 4;
  SplitPages split = Split(sample.bytes, kTrainOneIn, kUnitPages);
  std::vector<std::byte> content(kDictionaryBytesDefault);
  const Result<size_t> trained = TrainDictionary(split.chosen, content);
  if (!trained.ok()) return {sample.bytes, {}};
  content.resize(trained.value());
  Result<DigestedDictionary> digested = DigestedDictionary::Make(content);
  if (!digested.ok()) return {sample.bytes, {}};
  advice = {std::min<uint64_t>(CountOf(split.chosen), kTrainingPagesMax), content.size(),
            Dictionary::MemoryFor(content.size())};
  return {std::move(split.others), std::move(digested).value()};
}

}  // namespace

Refusal NoMemory(Error error) {
  return {kCannotDo, std::string("no memory: ") + error.what + ": " + strerror(error.errno_value),
          ""};
}

OrRefusal<Advice> Measure(const PageSample& sample) {
  Advice advice;
  advice.source = sample.source;
  advice.pages_there = sample.pages_there;
  advice.pages_sampled = sample.count();
  const Prepared prepared = Prepare(sample, advice.dictionary);
  advice.pages_measured = CountOf(prepared.pages);
  const Dictionary* const dictionary = prepared.dictionary.get();
  for (const char* name : {"lz4", "zstd", kDenseRow}) {
    for (const bool with : {false, true}) {
      if (with && dictionary == nullptr) continue;
      OrRefusal<CodecAdvice> one = MeasureCodec(prepared.pages, name, with ? dictionary : nullptr);
      if (const Refusal* refusal = RefusalOf(one)) return *refusal;
      advice.codecs.push_back(std::get<CodecAdvice>(std::move(one)));
    }
  }
  OrRefusal<std::vector<UnitAdvice>> units = MeasureUnits(prepared.pages, dictionary);
  if (const Refusal* refusal = RefusalOf(units)) return *refusal;
  advice.units = std::get<std::vector<UnitAdvice>>(std::move(units));
  return advice;
}

}  // namespace uzswap::cli
