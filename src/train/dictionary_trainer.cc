#include "train/dictionary_trainer.h"

#include <algorithm>
#include <cerrno>
#include <unordered_set>
#include <vector>

#define ZDICT_STATIC_LINKING_ONLY
#include <zdict.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "train/digested_dictionary.h"

namespace uzswap {
namespace {

constexpr size_t kFewPages = 512;

// Measured on heaps of CPython, node, redis and Java (dictionary_trainer.h).
ZDICT_fastCover_params_t Parameters(size_t pages) {
  ZDICT_fastCover_params_t parameters{};
  parameters.k = 512;
  parameters.d = 8;
  // The logarithm of a table's size. In a small one the words of many pages meet each other.
  parameters.f = pages > kFewPages ? 20 : 16;
  parameters.accel = 1;
  parameters.zParams.compressionLevel = 1;
  return parameters;
}

size_t CountOf(std::span<const std::byte> pages) {
  UZ_CHECK_EQ(pages.size() % kPageSize, 0u);
  return pages.size() / kPageSize;
}

std::span<const std::byte> PageAt(std::span<const std::byte> pages, size_t i) {
  return pages.subspan(i * kPageSize, kPageSize);
}

// The pages to learn from, one after the other.
std::vector<std::byte> UsefulPages(std::span<const std::byte> pages, CodecContext& context) {
  const size_t count = CountOf(pages);
  const size_t looked_at = std::min(count, kTrainingPagesMax);
  std::vector<std::byte> useful;
  useful.reserve(looked_at * kPageSize);
  std::unordered_set<uint64_t> seen;
  std::byte object[kTrainingObjectMax];
  for (size_t i = 0; i < looked_at; ++i) {
    const std::span<const std::byte> page = PageAt(pages, i * count / looked_at);
    uint64_t pattern = 0;
    if (IsSameFilled(page, &pattern)) continue;
    if (!seen.insert(XXH3_64bits(page.data(), page.size())).second) continue;
    if (context.Compress(page, object).kind == CompressKind::kIncompressible) continue;
    useful.insert(useful.end(), page.begin(), page.end());
  }
  return useful;
}

}  // namespace

Result<size_t> TrainDictionary(std::span<const std::byte> pages, std::span<std::byte> out) {
  if (out.size() < kDictionaryBytesMin || out.size() > kDictionaryBytesMax) {
    return Error{EINVAL, "the size of a dictionary"};
  }
  CodecContext context;
  const Result<void> ready = context.Init(*CodecById(CodecId::kZstd));
  if (!ready.ok()) return ready.error();
  const std::vector<std::byte> useful = UsefulPages(pages, context);
  const size_t count = useful.size() / kPageSize;
  if (count < kTrainingPagesMin) {
    return Error{ENODATA, "too few pages that differ and can be compressed"};
  }
  const std::vector<size_t> sizes(count, kPageSize);
  const size_t size =
      ZDICT_trainFromBuffer_fastCover(out.data(), out.size(), useful.data(), sizes.data(),
                                      static_cast<unsigned>(count), Parameters(count));
  if (ZDICT_isError(size) != 0) return Error{EIO, "training a dictionary"};
  return size;
}

Result<uint64_t> CompressedBytes(const Codec& codec, std::span<const std::byte> pages,
                                 std::span<const std::byte> content) {
  CodecContext context;
  const Result<void> ready = context.Init(codec);
  if (!ready.ok()) return ready.error();
  const Result<DigestedDictionary> dictionary = DigestedDictionary::Make(content);
  if (!dictionary.ok()) return dictionary.error();
  uint64_t sum = 0;
  std::byte object[kTrainingObjectMax];
  for (size_t i = 0; i < CountOf(pages); ++i) {
    uint64_t pattern = 0;
    if (IsSameFilled(PageAt(pages, i), &pattern)) continue;
    const CompressOutcome outcome =
        context.Compress(PageAt(pages, i), object, dictionary.value().get());
    sum += outcome.kind == CompressKind::kCompressed ? outcome.size : kPageSize;
  }
  return sum;
}

Result<std::optional<size_t>> ChooseKnown(std::span<const std::byte> pages,
                                          std::span<const std::span<const std::byte>> known,
                                          std::span<const std::byte> fresh) {
  const Codec& codec = *CodecById(CodecId::kZstd);
  if (fresh.empty()) return Error{EINVAL, "content that is not a dictionary"};
  const Result<uint64_t> with_fresh = CompressedBytes(codec, pages, fresh);
  if (!with_fresh.ok()) return with_fresh.error();
  std::optional<size_t> chosen;
  uint64_t least = with_fresh.value() * kReusePercentMax / 100;
  for (size_t i = 0; i < known.size(); ++i) {
    if (known[i].empty()) continue;
    const Result<uint64_t> with_known = CompressedBytes(codec, pages, known[i]);
    if (!with_known.ok()) {
      if (with_known.error().errno_value == EINVAL) continue;
      return with_known.error();
    }
    if (with_known.value() > least || (chosen && with_known.value() == least)) continue;
    chosen = i;
    least = with_known.value();
  }
  return chosen;
}

SplitPages Split(std::span<const std::byte> pages, size_t one_in, size_t group) {
  UZ_CHECK(one_in >= 2 && group >= 1);
  SplitPages split;
  for (size_t i = 0; i < CountOf(pages); ++i) {
    std::vector<std::byte>& to = i / group % one_in == one_in - 1 ? split.chosen : split.others;
    const std::span<const std::byte> page = PageAt(pages, i);
    to.insert(to.end(), page.begin(), page.end());
  }
  return split;
}

Result<TrainedDictionary> TrainOrReuse(std::span<const std::byte> pages,
                                       std::span<const std::span<const std::byte>> known,
                                       size_t bytes) {
  constexpr size_t kMeasureOneIn = 4;
  TrainedDictionary trained;
  if (!known.empty()) {
    const SplitPages split = Split(pages, kMeasureOneIn);
    trained.content.resize(bytes);
    const Result<size_t> fresh = TrainDictionary(split.others, trained.content);
    if (fresh.ok()) {
      trained.content.resize(fresh.value());
      const auto chosen = ChooseKnown(split.chosen, known, trained.content);
      if (chosen.ok() && chosen.value()) {
        const std::span<const std::byte> content = known[*chosen.value()];
        return TrainedDictionary{{content.begin(), content.end()}, *chosen.value()};
      }
    }
  }
  // The pages for measuring have something to teach too.
  trained.content.resize(bytes);
  const Result<size_t> fresh = TrainDictionary(pages, trained.content);
  if (!fresh.ok()) return fresh.error();
  trained.content.resize(fresh.value());
  return trained;
}

}  // namespace uzswap
