// Makes a dictionary (codec/dictionary.h) from sample pages, and measures what dictionaries give.
//
//   pages ──> useful ones: not same-filled, not incompressible, each content once
//               │
//               ├── fewer than kTrainingPagesMin ──> error ENODATA
//               └── zstd's trainer (fastCover) ──> content of at most out.size() bytes
//
//   ChooseKnown    compress the same pages with each dictionary, compare the sums
//
// A dictionary compresses the pages that it was trained from 3 to 5 % better than others of the
// same program. So it is measured on other pages: Split.
//
// The parameters of the trainer are constants. On heaps of CPython, node, redis and Java they are
// within 1 % of the best of 18 sets, and training from 128 pages takes 6 to 11 ms of processor
// time.
//
// Equal pages give equal content. The samples are copied. Beside the copy, training needs less than
// 2 MiB for up to 512 pages, and 8 MiB for more.
//
// It allocates on the heap, so the preload library must not contain it: it is for the command line
// and the training process. Any thread may call it.
#ifndef UZSWAP_TRAIN_DICTIONARY_TRAINER_H_
#define UZSWAP_TRAIN_DICTIONARY_TRAINER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "codec/codec.h"
#include "codec/dictionary.h"

namespace uzswap {

// Fewer useful pages do not show what the others are like.
inline constexpr size_t kTrainingPagesMin = 16;
// More than this are not looked at: the samples are then spread over all pages. 16 MiB.
inline constexpr size_t kTrainingPagesMax = 4096;
// A page whose object is larger is incompressible.
inline constexpr size_t kTrainingObjectMax = kPageSize / 8 * 7;

// Trains a dictionary from `pages`, whole pages aligned to 8 bytes, and returns its size.
// The errors: EINVAL, `out` is smaller or larger than a dictionary can be; ENODATA, too few useful
// pages; ENOMEM; EIO, the trainer failed.
Result<size_t> TrainDictionary(std::span<const std::byte> pages, std::span<std::byte> out);

// What `codec` needs for the pages, in bytes: nothing for a same-filled page, a whole page for an
// incompressible one. `content` is that of a dictionary, or empty for none. Fails with EINVAL if it
// is not a dictionary, and with ENOMEM.
Result<uint64_t> CompressedBytes(const Codec& codec, std::span<const std::byte> pages,
                                 std::span<const std::byte> content);

// A known dictionary is as good as a fresh one if zstd needs at most this for the same pages, in
// percent.
inline constexpr uint64_t kReusePercentMax = 103;

// The known dictionary that compresses the pages best, if it is as good as the fresh one. Nothing:
// use the fresh one. The pages must not be those that the fresh one was trained from. A known one
// that is not a dictionary is passed over. Fails with EINVAL if the fresh one is not a dictionary,
// and with ENOMEM.
Result<std::optional<size_t>> ChooseKnown(std::span<const std::byte> pages,
                                          std::span<const std::span<const std::byte>> known,
                                          std::span<const std::byte> fresh);

// Pages to train from, and others to measure with. The `chosen` ones are every `one_in`-th group of
// so many pages. Requires: one_in >= 2, group >= 1.
struct SplitPages {
  std::vector<std::byte> others;
  std::vector<std::byte> chosen;
};
SplitPages Split(std::span<const std::byte> pages, size_t one_in, size_t group = 1);

struct TrainedDictionary {
  std::vector<std::byte> content;
  std::optional<size_t> known;  // which one it is; nothing: a new one
};
// A known dictionary if it is as good for these pages as a new one, else a new one of at most
// `bytes`. The errors are those of TrainDictionary.
Result<TrainedDictionary> TrainOrReuse(std::span<const std::byte> pages,
                                       std::span<const std::span<const std::byte>> known,
                                       size_t bytes);

}  // namespace uzswap

#endif  // UZSWAP_TRAIN_DICTIONARY_TRAINER_H_
