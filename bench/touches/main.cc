// touches: touches memory that holds pages of real heaps, and times each touch.
//
//   touches PATTERN --pages FILE[,FILE...] --size BYTES [--unit BYTES] [--threads N]
//           [--touches N] [--warm-up N] [--writes PERCENT] [--seed N] [--corrupt UNIT]
//
//   PATTERN    random, sequential, loop, zipf or phase (patterns.h)
//   --pages    files of pages (tools/make_dumps.py), which are mixed
//   --unit     what one touch reads: a page, or a record of so many bytes
//   --touches  of each thread, timed; --warm-up: touches before them, not timed
//   --writes   the share of touches that also write
//   --corrupt  changes a byte of this unit: it must be found
//
// Each touch reads a whole unit and checks it; at the end all units are checked. One line of JSON.
// Status 1: a unit was not what it has to be. Status 2: the arguments are wrong.
#include <getopt.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/histogram.h"
#include "base/rng.h"
#include "touches/memory.h"
#include "touches/patterns.h"

namespace uzswap::touches {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string pattern;
  std::vector<std::string> files;
  uint64_t bytes = 0;
  uint64_t unit = kPage;
  uint64_t threads = 1;
  uint64_t touches = 100000;
  uint64_t warm_up = 0;
  uint64_t writes = 0;
  uint64_t seed = 1;
  std::optional<uint64_t> corrupt;
};

[[noreturn]] void Usage(const char* problem) {
  std::fprintf(stderr,
               "touches: %s\n"
               "usage: touches PATTERN --pages FILE[,FILE...] --size BYTES [--unit BYTES]\n"
               "               [--threads N] [--touches N] [--warm-up N] [--writes PERCENT]\n"
               "               [--seed N] [--corrupt UNIT]\n"
               "patterns:",
               problem);
  for (const std::string& name : PatternNames()) std::fprintf(stderr, " %s", name.c_str());
  std::fprintf(stderr, "\n");
  std::exit(2);
}

std::vector<std::string> SplitAtCommas(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

uint64_t Number(const char* text) {
  char* end = nullptr;
  const uint64_t value = std::strtoull(text, &end, 10);
  if (*text == '\0' || *end != '\0') Usage("a number is expected");
  return value;
}

void Apply(int option, const char* value, Options& options) {
  switch (option) {
    case 'p':
      options.files = SplitAtCommas(value);
      return;
    case 'b':
      options.bytes = Number(value);
      return;
    case 'u':
      options.unit = Number(value);
      return;
    case 't':
      options.threads = Number(value);
      return;
    case 'n':
      options.touches = Number(value);
      return;
    case 'w':
      options.warm_up = Number(value);
      return;
    case 'd':
      options.writes = Number(value);
      return;
    case 's':
      options.seed = Number(value);
      return;
    case 'c':
      options.corrupt = Number(value);
      return;
    default:
      Usage("an option is wrong");
  }
}

Options Parse(int count, char** words) {
  static const option kLong[] = {
      {"pages", required_argument, nullptr, 'p'},   {"size", required_argument, nullptr, 'b'},
      {"unit", required_argument, nullptr, 'u'},    {"threads", required_argument, nullptr, 't'},
      {"touches", required_argument, nullptr, 'n'}, {"warm-up", required_argument, nullptr, 'w'},
      {"writes", required_argument, nullptr, 'd'},  {"seed", required_argument, nullptr, 's'},
      {"corrupt", required_argument, nullptr, 'c'}, {},
  };
  Options options;
  for (int found = 0; (found = getopt_long(count, words, "", kLong, nullptr)) != -1;) {
    Apply(found, optarg, options);
  }
  if (optind + 1 != count) Usage("one pattern is expected");
  options.pattern = words[optind];
  if (MakePattern(options.pattern, 1, 0, 1, 1, 1) == nullptr) Usage("there is no such pattern");
  if (options.files.empty()) Usage("--pages is missing");
  if (options.unit < 16 || kPage % options.unit != 0) Usage("--unit has to divide a page");
  if (options.threads == 0 || options.threads > 1024) Usage("--threads: 1 to 1024");
  if (options.bytes / kPage < options.threads) Usage("--size: a page for each thread at least");
  if (options.touches == 0) Usage("--touches: 1 at least");
  if (options.corrupt && *options.corrupt >= options.bytes / kPage * (kPage / options.unit)) {
    Usage("--corrupt: there is no such unit");
  }
  return options;
}

// What all threads found.
struct Found {
  std::unique_ptr<LatencyHistogram> times = std::make_unique<LatencyHistogram>();
  std::atomic<uint64_t> wrong = 0;
  std::atomic<uint64_t> first_wrong = UINT64_MAX;

  void Report(uint64_t unit) {
    wrong.fetch_add(1);
    uint64_t none = UINT64_MAX;
    first_wrong.compare_exchange_strong(none, unit);
  }
};

class Worker {
 public:
  Worker(const Options& options, uint64_t thread, Memory& memory, Found& found)
      : options_(options),
        memory_(memory),
        found_(found),
        pattern_(MakePattern(options.pattern, memory.units(), thread, options.threads,
                             options.touches, options.seed)),
        rng_(options.seed + 7919 * (thread + 1)) {}

  void WarmUp() {
    for (uint64_t i = 0; i < options_.warm_up; ++i) Touch();
  }
  void Work() {
    Clock::time_point before = Clock::now();
    for (uint64_t i = 0; i < options_.touches; ++i) {
      Touch();
      const Clock::time_point after = Clock::now();
      times_->Record(static_cast<uint64_t>((after - before).count()));
      before = after;
    }
  }
  [[nodiscard]] const LatencyHistogram& times() const { return *times_; }

 private:
  void Touch() {
    const uint64_t unit = pattern_->Next();
    if (!memory_.Check(unit)) found_.Report(unit);
    if (rng_.Below(100) < options_.writes) memory_.Write(unit);
  }

  const Options& options_;
  Memory& memory_;
  Found& found_;
  std::unique_ptr<Pattern> pattern_;
  Rng rng_;
  std::unique_ptr<LatencyHistogram> times_ = std::make_unique<LatencyHistogram>();
};

// Seconds from the start of the first thread to the end of the last.
double Run(const Options& options, Memory& memory, Found& found) {
  std::vector<std::unique_ptr<Worker>> workers;
  for (uint64_t i = 0; i < options.threads; ++i) {
    workers.push_back(std::make_unique<Worker>(options, i, memory, found));
  }
  Clock::time_point begin;
  std::barrier warm(static_cast<ptrdiff_t>(options.threads),
                    [&begin]() noexcept { begin = Clock::now(); });
  std::vector<std::thread> threads;
  threads.reserve(options.threads);
  for (const auto& worker : workers) {
    threads.emplace_back([&warm, &worker] {
      worker->WarmUp();
      warm.arrive_and_wait();
      worker->Work();
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::chrono::duration<double> took = Clock::now() - begin;
  for (const auto& worker : workers) found.times->Merge(worker->times());
  return took.count();
}

void Print(const Options& options, double seconds, const Found& found) {
  const LatencyHistogram& times = *found.times;
  const uint64_t operations = options.touches * options.threads;
  std::printf("{\"pattern\": \"%s\", \"threads\": %" PRIu64 ", \"operations\": %" PRIu64
              ", \"seconds\": %.6f, \"operation_ns\": %.1f, \"p50_ns\": %" PRIu64
              ", \"p99_ns\": %" PRIu64 ", \"p999_ns\": %" PRIu64 ", \"max_ns\": %" PRIu64
              ", \"wrong\": %" PRIu64 "}\n",
              options.pattern.c_str(), options.threads, operations, seconds,
              seconds * 1e9 / static_cast<double>(options.touches), times.Quantile(500),
              times.Quantile(990), times.Quantile(999), times.Max(), found.wrong.load());
}

int Main(int count, char** words) {
  const Options options = Parse(count, words);
  Memory memory(options.bytes, options.unit);
  if (const std::string problem = memory.Fill(options.files); !problem.empty()) {
    std::fprintf(stderr, "touches: %s\n", problem.c_str());
    return 2;
  }
  if (options.corrupt) memory.Corrupt(*options.corrupt);
  Found found;
  const double seconds = Run(options, memory, found);
  for (uint64_t unit = 0; unit < memory.units(); ++unit) {
    if (!memory.Check(unit)) found.Report(unit);
  }
  Print(options, seconds, found);
  if (found.wrong == 0) return 0;
  std::fprintf(stderr, "touches: unit %" PRIu64 " of %" PRIu64 " bytes is not what it has to be\n",
               found.first_wrong.load(), options.unit);
  return 1;
}

}  // namespace
}  // namespace uzswap::touches

int main(int count, char** words) { return uzswap::touches::Main(count, words); }
