// train: makes a dictionary from the pages of a file or a process, and shows what it gives.
//
//     pages (advise.h: a file, or a sample of a running process)
//        ├─ three of four ──> training ──> dictionary ──> file
//        └─ one of four   ──> lz4 and zstd, with and without it: the table
//
// A dictionary is never measured on pages that it was trained from.
//
// One thread; exceptions only from allocation.
#ifndef UZSWAP_APPS_CLI_TRAIN_COMMAND_H_
#define UZSWAP_APPS_CLI_TRAIN_COMMAND_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "advise.h"
#include "codec/dictionary.h"
#include "refusal.h"

namespace uzswap::cli {

struct TrainRequest {
  std::string pages;  // a file of raw 4 KiB pages; empty: use the process
  uint32_t pid = 0;
  std::string output;
  size_t bytes = kDictionaryBytesDefault;
};

// The smallest that is worth a file.
inline constexpr size_t kTrainBytesMin = 1024;
// Which pages are measured: every fourth.
inline constexpr size_t kMeasuredOneIn = 4;

struct TrainedCodec {
  std::string codec;
  uint64_t alone_bytes = 0;  // of the measured pages, compressed
  uint64_t with_bytes = 0;
};

struct Training {
  std::string source;
  uint64_t pages_there = 0;
  uint64_t training_pages = 0;
  uint64_t measured_pages = 0;
  std::vector<std::byte> content;
  std::array<TrainedCodec, 2> codecs;
};

OrRefusal<Training> Train(const PageSample& sample, size_t bytes);

// `path` is where the dictionary was written.
std::string ToTable(const Training& training, const std::string& path);

// The whole command. Returns the exit status.
int TrainCommand(const TrainRequest& request);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_TRAIN_COMMAND_H_
