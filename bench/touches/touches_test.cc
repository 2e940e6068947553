#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <gtest/gtest.h>
#include <numeric>
#include <string>
#include <vector>

#include "touches/memory.h"
#include "touches/patterns.h"

namespace uzswap::touches {
namespace {

// A file of pages, each full of one letter; removed at the end.
class Pages {
 public:
  Pages(const std::string& name, size_t pages, char letter)
      : path_(testing::TempDir() + "touches_test_" + std::to_string(getpid()) + name) {
    std::ofstream(path_) << std::string(pages * kPage, letter);
  }
  ~Pages() { std::remove(path_.c_str()); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::vector<uint64_t> Count(Pattern& pattern, uint64_t units, uint64_t touches) {
  std::vector<uint64_t> counts(units);
  for (uint64_t i = 0; i < touches; ++i) ++counts.at(pattern.Next());
  return counts;
}

TEST(Scatter, IsABijection) {
  for (const uint64_t count : {1u, 2u, 3u, 5u, 64u, 1000u, 4097u}) {
    const Scatter scatter(count, 7);
    std::vector<int> hits(count);
    for (uint64_t i = 0; i < count; ++i) ++hits.at(scatter(i));
    EXPECT_EQ(hits, std::vector<int>(count, 1)) << count;
  }
}

TEST(Patterns, ThreadsShareAllUnitsAndNoneTwice) {
  for (const std::string name : {"sequential", "loop"}) {
    std::vector<uint64_t> counts(1003);
    for (uint64_t thread = 0; thread < 4; ++thread) {
      // One pass of each thread: its part has a quarter of the units, rounded.
      const uint64_t own = name == "sequential" ? 1003 * (thread + 1) / 4 - 1003 * thread / 4
                                                : (1003 - thread + 3) / 4;
      const auto pattern = MakePattern(name, 1003, thread, 4, own, 1);
      const std::vector<uint64_t> found = Count(*pattern, 1003, own);
      for (uint64_t i = 0; i < 1003; ++i) counts[i] += found[i];
    }
    EXPECT_EQ(counts, std::vector<uint64_t>(1003, 1)) << name;
  }
}

TEST(Patterns, LoopIsTheSameInEachPass) {
  const auto pattern = MakePattern("loop", 500, 0, 1, 1000, 3);
  std::vector<uint64_t> first, second;
  for (int i = 0; i < 500; ++i) first.push_back(pattern->Next());
  for (int i = 0; i < 500; ++i) second.push_back(pattern->Next());
  EXPECT_EQ(first, second);
  EXPECT_FALSE(std::is_sorted(first.begin(), first.end()));
}

TEST(Patterns, ZipfHasAHotSetThatMoves) {
  constexpr uint64_t kUnits = 10000;
  constexpr uint64_t kTouches = 320000;
  const auto pattern = MakePattern("zipf", kUnits, 0, 1, kTouches, 1);
  const auto hottest = [&] {
    const std::vector<uint64_t> counts = Count(*pattern, kUnits, kTouches / 32);
    const auto top = std::max_element(counts.begin(), counts.end());
    EXPECT_GT(*top, kTouches / 32 / 20);  // uniform would be one
    return top - counts.begin();
  };
  const auto before = hottest();
  EXPECT_NE(hottest(), before);
}

TEST(Patterns, PhaseStaysInAWindowThatJumps) {
  constexpr uint64_t kUnits = 1000;
  const auto pattern = MakePattern("phase", kUnits, 0, 1, 80000, 1);
  const auto inside = [&](uint64_t first) {
    const std::vector<uint64_t> counts = Count(*pattern, kUnits, 10000);
    const auto from = counts.begin() + static_cast<ptrdiff_t>(first);
    return std::accumulate(from, from + 400, uint64_t{0});
  };
  EXPECT_GT(inside(0), 9500u);
  EXPECT_GT(inside(400), 9500u);
}

TEST(Patterns, AnUnknownNameIsNoPattern) {
  EXPECT_EQ(MakePattern("sideways", 10, 0, 1, 1, 1), nullptr);
  for (const std::string& name : PatternNames()) {
    EXPECT_NE(MakePattern(name, 10, 0, 1, 1, 1), nullptr) << name;
  }
}

TEST(Memory, KnowsWhatItHolds) {
  const Pages pages("a", 4, 'a');
  Memory memory(4 * kPage, 256);
  ASSERT_EQ(memory.Fill({pages.path()}), "");
  ASSERT_EQ(memory.units(), 64u);
  for (int turn = 0; turn < 3; ++turn) memory.Write(17);
  for (uint64_t unit = 0; unit < memory.units(); ++unit) EXPECT_TRUE(memory.Check(unit)) << unit;
  memory.Corrupt(17);
  EXPECT_FALSE(memory.Check(17));
  EXPECT_TRUE(memory.Check(16));
}

TEST(Memory, IsFilledFromAllFilesInTurn) {
  const Pages first("b", 100, 'b');
  const Pages second("c", 20, 'c');
  Memory memory(120 * kPage, kPage);
  EXPECT_EQ(memory.Fill({first.path(), second.path()}), "");
}

TEST(Memory, SaysWhatItLacks) {
  const Pages pages("d", 2, 'd');
  Memory memory(3 * kPage, kPage);
  EXPECT_NE(memory.Fill({pages.path()}).find("8192 bytes, 12288 are wanted"), std::string::npos);
  const std::string missing = pages.path() + ".missing";
  EXPECT_NE(memory.Fill({missing}).find(missing), std::string::npos);
}

}  // namespace
}  // namespace uzswap::touches
