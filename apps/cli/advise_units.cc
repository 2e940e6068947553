#include <cstring>

#include "advise.h"
#include "codec/codec.h"
#include "codec/codec_id.h"
#include "os/thread.h"

namespace uzswap::cli {
namespace {

constexpr size_t kUnitBytes = kUnitPages * kPageSize;
static_assert(kUnitBytes <= kCodecUnitMax);
constexpr size_t kObjectMax = kUnitPages * kAdviseObjectMax;
constexpr size_t kBatch = 8;

// Compresses the units of one batch, decompresses them again, and compares.
void MeasureBatch(std::span<const std::byte> pages, CodecContext& context,
                  const Dictionary* dictionary, UnitAdvice& advice) {
  static std::byte objects[kBatch][kObjectMax];
  alignas(8) static std::byte back[kBatch][kUnitBytes];
  const size_t count = pages.size() / kUnitBytes;
  const auto unit = [&](size_t i) { return pages.subspan(i * kUnitBytes, kUnitBytes); };
  CompressOutcome outcomes[kBatch];
  const uint64_t start = os::ThreadNanoseconds();
  for (size_t i = 0; i < count; ++i) {
    outcomes[i] = context.Compress(unit(i), objects[i], dictionary);
  }
  const uint64_t between = os::ThreadNanoseconds();
  for (size_t i = 0; i < count; ++i) {
    if (outcomes[i].kind == CompressKind::kIncompressible) continue;
    const ObjectView object{std::span(objects[i]).first(outcomes[i].size), {}};
    UZ_CHECK(context.Decompress(object, back[i], dictionary) == DecompressOutcome::kOk);
  }
  advice.out_ns += static_cast<double>(os::ThreadNanoseconds() - between);
  advice.in_ns += static_cast<double>(between - start);
  for (size_t i = 0; i < count; ++i) {
    uint64_t pattern = 0;
    if (IsSameFilled(unit(i), &pattern)) continue;
    if (outcomes[i].kind == CompressKind::kIncompressible) {
      advice.stored_bytes += kUnitBytes;
      continue;
    }
    advice.stored_bytes += outcomes[i].size;
    UZ_CHECK(std::memcmp(back[i], unit(i).data(), kUnitBytes) == 0);
  }
}

}  // namespace

OrRefusal<std::vector<UnitAdvice>> MeasureUnits(std::span<const std::byte> pages,
                                                const Dictionary* dictionary) {
  const size_t units = pages.size() / kUnitBytes;
  std::vector<UnitAdvice> all;
  for (const CodecId id : {CodecId::kLz4, CodecId::kZstd}) {
    for (const Dictionary* used : {static_cast<const Dictionary*>(nullptr), dictionary}) {
      if (units == 0 || (used == nullptr && !all.empty() && all.back().codec == Name(id))) continue;
      CodecContext context;
      const Result<void> ready = context.Init(*CodecById(id));
      if (!ready.ok()) return NoMemory(ready.error());
      UnitAdvice advice;
      advice.codec = Name(id);
      advice.dictionary = used != nullptr;
      for (size_t i = 0; i < units; i += kBatch) {
        const size_t count = units - i < kBatch ? units - i : kBatch;
        MeasureBatch(pages.subspan(i * kUnitBytes, count * kUnitBytes), context, used, advice);
      }
      advice.in_ns /= static_cast<double>(units * kUnitPages);
      advice.out_ns /= static_cast<double>(units);
      advice.ratio = static_cast<double>(units * kUnitBytes) /
                     static_cast<double>(advice.stored_bytes > 0 ? advice.stored_bytes : 1);
      all.push_back(advice);
    }
  }
  return all;
}

}  // namespace uzswap::cli
