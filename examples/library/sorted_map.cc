// A sorted map of strings that takes ten times the memory it may have: std::pmr::map in a Region
// with a file behind it. Every value that it finds is checked.
#include <uzswap/memory_resource.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory_resource>
#include <random>
#include <string>
#include <utility>

namespace {

constexpr uint64_t kMemoryBytes = 8 << 20;
constexpr int kKeys = 320'000;

std::string Key(int number) { return "customer-" + std::to_string(1'000'000 + number); }

std::string Value(int number) {
  std::mt19937 random(static_cast<unsigned>(number));
  std::string text = "{\"id\":" + std::to_string(number);
  for (int order = 0; order < 4; ++order) {
    text += ",\"order\":" + std::to_string(random() % 1'000'000) + ",\"paid\":true";
  }
  return text + "}";
}

}  // namespace

int main(int count, char** words) {
  auto created = uzswap::Region::Create({.size = uint64_t{1} << 30,
                                         .memory_bytes = kMemoryBytes,
                                         .backing = count > 1 ? words[1] : "/var/tmp"});
  if (!created.ok()) {
    std::fprintf(stderr, "%s: %s\n", created.error().what,
                 std::strerror(created.error().errno_value));
    return 1;
  }
  uzswap::MemoryResource memory(std::move(created).value());
  std::pmr::map<std::pmr::string, std::pmr::string> map(&memory);
  for (int number = 0; number < kKeys; ++number) map.emplace(Key(number), Value(number));

  std::mt19937 random(1);
  for (int i = 0; i < 5'000; ++i) {
    const int number = static_cast<int>(random() % kKeys);
    const auto found = map.find(std::pmr::string(Key(number), &memory));
    if (found == map.end() || found->second != Value(number).c_str()) return 2;
  }
  int number = 0;
  for (const auto& [key, value] : map) {
    if (key != Key(number).c_str() || value != Value(number).c_str()) return 3;
    ++number;
  }
  if (number != kKeys) return 4;

  const auto counts = memory.region().statistics();
  const uint64_t held = counts.resident_bytes + counts.compressed_bytes;
  std::printf("%d keys, %llu MiB of objects in %llu MiB of memory and %llu MiB of the file\n", kKeys,
              static_cast<unsigned long long>(memory.statistics().object_bytes >> 20),
              static_cast<unsigned long long>(held >> 20),
              static_cast<unsigned long long>(counts.disk_bytes >> 20));
  return held <= kMemoryBytes + (2 << 20) ? 0 : 5;
}
