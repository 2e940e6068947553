// advise: how well given pages compress, for each codec and pool, with and without a dictionary.
//
//     pages (a file, or a sample of a running process)
//        ├─ one group of four: a dictionary is trained from them
//        └─ the others: are measured
//             ├─ each codec: compress once ──┬─ same-filled: no memory
//             │  without and with            ├─ incompressible: a whole frame, uncompressed
//             │  the dictionary              └─ an object ── stored in each pool, read back,
//             compared └─ the same in units of four neighbouring pages, without a pool
//
// A group has four neighbouring pages. If the pages are too few, or have nothing to learn from, all
// are measured, without a dictionary. Every row is about the same pages.
//
// The effective ratio is the size of all pages over the size of the pool's frames, where each
// incompressible page takes one frame. Times are mean processor time per page, on the machine as
// it is. Nothing is written. A running process is not stopped, and none of its pages is touched:
// only present pages are read, at most kProcessSample of them, evenly spread.
//
// One thread; exceptions only from allocation.
#ifndef UZSWAP_APPS_CLI_ADVISE_H_
#define UZSWAP_APPS_CLI_ADVISE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "codec/dictionary.h"
#include "refusal.h"

namespace uzswap::cli {

struct AdviseRequest {
  std::string pages;  // a file of raw 4 KiB pages; empty: use the process
  uint32_t pid = 0;
  bool json = false;
};

// 64 MiB of a process, 256 MiB of a file.
inline constexpr uint64_t kProcessSample = 16384;
inline constexpr uint64_t kFileSample = 65536;
// A page whose compressed size is above this is incompressible.
inline constexpr size_t kAdviseObjectMax = kPageSize / 8 * 7;
inline constexpr size_t kAdviseBuckets = 16;
inline constexpr size_t kUnitPages = 4;

struct PageSample {
  std::string source;        // "heap.pages", "process 1234 (redis-server)"
  uint64_t pages_there = 0;  // the number of pages that the sample was taken from
  std::vector<std::byte> bytes;
  [[nodiscard]] uint64_t count() const { return bytes.size() / kPageSize; }
};

struct PoolAdvice {
  std::string pool;
  uint64_t frames = 0;  // incompressible pages included
  double ratio = 0;     // effective
};

// zstd as --codec auto uses it for pages that have stayed compressed for long.
inline constexpr const char* kDenseRow = "dense";

struct CodecAdvice {
  std::string codec;  // lz4, zstd, kDenseRow
  bool dictionary = false;
  uint64_t same_filled = 0;
  uint64_t incompressible = 0;
  uint64_t stored_bytes = 0;  // sum of the compressed sizes
  double in_ns = 0;           // mean cost of a page; decompression includes straddling copies
  double out_ns = 0;
  std::array<uint64_t, kAdviseBuckets> histogram{};  // of compressed sizes, 256 bytes each
  std::vector<PoolAdvice> pools;
};

// Four neighbouring pages compressed as one.
struct UnitAdvice {
  std::string codec;
  bool dictionary = false;
  uint64_t stored_bytes = 0;
  double ratio = 0;   // of the compressed bytes, without a pool
  double in_ns = 0;   // for one page
  double out_ns = 0;  // for the whole unit: what a fault on one of its pages has to do
};

struct DictionaryAdvice {
  uint64_t training_pages = 0;
  uint64_t bytes = 0;         // of its content; 0: there is none
  uint64_t memory_bytes = 0;  // with the tables of both codecs
};

struct Advice {
  std::string source;
  uint64_t pages_there = 0;
  uint64_t pages_sampled = 0;
  uint64_t pages_measured = 0;
  DictionaryAdvice dictionary;
  std::vector<CodecAdvice> codecs;
  std::vector<UnitAdvice> units;
};

// Which codec to use.
struct Choice {
  std::string codec;        // empty: none is worth it
  bool dictionary = false;  // it saves a twentieth of the pool or more, its own memory included
  double ratio = 0;         // effective, in zsmalloc
};
// zstd if it keeps a quarter more pages in the same memory than lz4, which is faster; nothing if
// the ratio is below kRatioWorthIt.
inline constexpr double kRatioWorthIt = 1.2;
inline constexpr double kZstdWorthIt = 1.25;
Choice ChooseFrom(const Advice& advice);

OrRefusal<PageSample> ReadPagesFile(const std::string& path);
// `command` is the subcommand that a message names.
OrRefusal<PageSample> ReadPagesOfProcess(uint32_t pid, const char* command = "advise");
OrRefusal<Advice> Measure(const PageSample& sample);
// For Measure: the units of `pages`, without a dictionary if there is none.
OrRefusal<std::vector<UnitAdvice>> MeasureUnits(std::span<const std::byte> pages,
                                                const Dictionary* dictionary);
Refusal NoMemory(Error error);

std::string ToJson(const Advice& advice);
std::string ToTable(const Advice& advice);

// The whole command. Returns the exit status.
int AdviseCommand(const AdviseRequest& request);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_ADVISE_H_
