// Touches pages at random, or one after the other, in memory that is larger than it may be.
//
//   region_bench PAGES MODE PERCENT THREADS TOUCHES
//
//   PAGES     a file of pages (tools/make_dumps.py): the content
//   MODE      region, region-scan: a Region with PERCENT of the file's size as budget
//             plain, plain-scan:   mmap; run it under `uzswap run`, or in a cgroup, for the same
//   TOUCHES   of each thread; 30 % of the random ones write
//
// One line: nanoseconds for each touch of a thread, faults for each touch, and whether every page
// read had its content.
#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/rng.h"
#include "uzswap/region.h"

namespace {

using uzswap::Region;

constexpr size_t kPage = 4096;
// Where a touch writes, and where the number of the page is that a touch checks.
constexpr size_t kWritten = 128;
constexpr size_t kChecked = 256;

struct Memory {
  std::optional<Region> region;
  std::byte* data = nullptr;
  uint64_t pages = 0;
};

Memory MakeMemory(const std::vector<char>& content, bool is_region, uint64_t percent) {
  Memory memory;
  memory.pages = content.size() / kPage;
  if (is_region) {
    auto created =
        Region::Create({.size = content.size(), .memory_bytes = content.size() / 100 * percent});
    if (!created.ok()) {
      std::fprintf(stderr, "%s: %s\n", created.error().what,
                   std::strerror(created.error().errno_value));
      std::exit(1);
    }
    memory.region.emplace(std::move(created).value());
    memory.data = memory.region->data();
  } else {
    memory.data = static_cast<std::byte*>(
        mmap(nullptr, content.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  }
  for (uint64_t page = 0; page < memory.pages; ++page) {
    std::memcpy(memory.data + page * kPage, content.data() + page * kPage, kPage);
    std::memcpy(memory.data + page * kPage + kChecked, &page, sizeof(page));
  }
  return memory;
}

uint64_t Touch(const Memory& memory, uint64_t page, bool write, uint64_t value) {
  std::byte* start = memory.data + page * kPage;
  uint64_t found = 0;
  std::memcpy(&found, start + kChecked, sizeof(found));
  if (write) std::memcpy(start + kWritten, &value, sizeof(value));
  return found == page ? 0 : 1;
}

uint64_t Work(const Memory& memory, bool scans, uint64_t touches, uint64_t seed) {
  uzswap::Rng rng(seed);
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < touches; ++i) {
    const uint64_t page = scans ? i % memory.pages : rng.Below(memory.pages);
    wrong += Touch(memory, page, !scans && rng.Below(10) < 3, i);
  }
  return wrong;
}

}  // namespace

int main(int count, char** words) {
  if (count != 6) {
    std::fprintf(stderr,
                 "usage: region_bench PAGES region|region-scan|plain|plain-scan PERCENT"
                 " THREADS TOUCHES\n");
    return 2;
  }
  std::ifstream file(words[1], std::ios::binary);
  std::vector<char> content{std::istreambuf_iterator<char>(file), {}};
  content.resize(content.size() / kPage * kPage);
  if (content.empty()) {
    std::fprintf(stderr, "%s: no pages\n", words[1]);
    return 2;
  }
  const std::string mode = words[2];
  const bool scans = mode.ends_with("-scan");
  const uint64_t threads = std::strtoull(words[4], nullptr, 10);
  const uint64_t touches = std::strtoull(words[5], nullptr, 10);
  const Memory memory =
      MakeMemory(content, mode.starts_with("region"), std::strtoull(words[3], nullptr, 10));
  content = {};

  std::atomic<uint64_t> wrong{Work(memory, scans, memory.pages, 1)};
  const uint64_t faults = memory.region ? memory.region->statistics().faults : 0;
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::thread> workers;
  for (uint64_t i = 0; i < threads; ++i) {
    workers.emplace_back([&, i] { wrong.fetch_add(Work(memory, scans, touches, 100 + i)); });
  }
  for (std::thread& worker : workers) worker.join();
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
  const double total = static_cast<double>(threads * touches);
  std::printf("%s %s%% %s threads: %.0f ns/touch, %.0f touches/s, %.3f faults/touch, %llu wrong\n",
              words[2], words[3], words[4], took.count() / static_cast<double>(touches),
              total / took.count() * 1e9,
              memory.region
                  ? static_cast<double>(memory.region->statistics().faults - faults) / total
                  : 0.0,
              static_cast<unsigned long long>(wrong.load()));
  return wrong.load() == 0 ? 0 : 1;
}
