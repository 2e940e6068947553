// advise: how well given pages compress, for each codec and pool.
//
//     pages (a file, or a sample of a running process)
//        └─ each codec: compress once ──┬─ same-filled: no memory
//                                       ├─ incompressible: a whole frame, uncompressed
//                                       └─ an object ── stored in each pool, read back, compared
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
#include <string>
#include <vector>

#include "base/units.h"
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

struct CodecAdvice {
  std::string codec;
  uint64_t same_filled = 0;
  uint64_t incompressible = 0;
  uint64_t stored_bytes = 0;  // sum of the compressed sizes
  double in_ns = 0;           // mean cost of a page; decompression includes straddling copies
  double out_ns = 0;
  std::array<uint64_t, kAdviseBuckets> histogram{};  // of compressed sizes, 256 bytes each
  std::vector<PoolAdvice> pools;
};

struct Advice {
  std::string source;
  uint64_t pages_there = 0;
  uint64_t pages_sampled = 0;
  std::vector<CodecAdvice> codecs;
};

OrRefusal<PageSample> ReadPagesFile(const std::string& path);
// `command` is the subcommand that a message names.
OrRefusal<PageSample> ReadPagesOfProcess(uint32_t pid, const char* command = "advise");
OrRefusal<Advice> Measure(const PageSample& sample);

std::string ToJson(const Advice& advice);
std::string ToTable(const Advice& advice);

// The whole command. Returns the exit status.
int AdviseCommand(const AdviseRequest& request);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_ADVISE_H_
