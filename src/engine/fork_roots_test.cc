#include "engine/fork_roots.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <gtest/gtest.h>
#include <vector>

#include "base/units.h"
#include "os/mapping.h"

namespace uzswap {
namespace {

constexpr uint64_t kArenaAlignment = 64 << 20;

uint64_t AddressOf(const void* what) { return reinterpret_cast<uint64_t>(what); }

// Every address visited, in order; `registered` says which of them are.
std::vector<uint64_t> Visit(const ForkRoots& roots, const std::vector<uint64_t>& threads,
                            const std::function<bool(uint64_t)>& registered) {
  struct State {
    std::vector<uint64_t> seen;
    const std::function<bool(uint64_t)>& registered;
  } state{{}, registered};
  roots.ForEach(
      threads.data(), threads.size(),
      [](void* raw, uint64_t address) {
        auto* state_of = static_cast<State*>(raw);
        state_of->seen.push_back(address);
        return state_of->registered(address);
      },
      &state);
  return state.seen;
}

size_t CountOf(const std::vector<uint64_t>& seen, uint64_t address) {
  return static_cast<size_t>(std::count(seen.begin(), seen.end(), address));
}

bool None(uint64_t) { return false; }

TEST(ForkRoots, WordsThatMayBeAddressesAreVisited) {
  constexpr uint64_t kHighest = (uint64_t{1} << 47) - 1;
  const uint64_t words[] = {0x123456789000, kPageSize,    kPageSize - 1, 0,
                            kHighest,       kHighest + 1, ~uint64_t{0}};
  ForkRoots roots;
  ASSERT_TRUE(roots.AddRange({AddressOf(words), AddressOf(words) + sizeof(words)}));
  const std::vector<uint64_t> seen = Visit(roots, {}, None);
  EXPECT_EQ(CountOf(seen, 0x123456789000), 1u);
  EXPECT_EQ(CountOf(seen, kPageSize), 1u);
  EXPECT_EQ(CountOf(seen, kHighest), 1u);
  EXPECT_EQ(CountOf(seen, kPageSize - 1), 0u);
  EXPECT_EQ(CountOf(seen, 0), 0u);
  EXPECT_EQ(CountOf(seen, kHighest + 1), 0u);
  EXPECT_EQ(CountOf(seen, ~uint64_t{0}), 0u);
}

TEST(ForkRoots, OnlyWholeAlignedWordsOfARange) {
  alignas(8) const uint64_t words[] = {0x111111111000, 0x222222222000, 0x333333333000};
  ForkRoots roots;
  ASSERT_TRUE(roots.AddRange({AddressOf(words) + 1, AddressOf(words) + sizeof(words) - 1}));
  const std::vector<uint64_t> seen = Visit(roots, {}, None);
  EXPECT_EQ(CountOf(seen, words[0]), 0u);
  EXPECT_EQ(CountOf(seen, words[1]), 1u);
  EXPECT_EQ(CountOf(seen, words[2]), 0u);
}

TEST(ForkRoots, RangesAreBounded) {
  const uint64_t word = 0x444444444000;
  ForkRoots roots;
  for (size_t i = 0; i < ForkRoots::kRangesMax; ++i) {
    EXPECT_TRUE(roots.AddRange({AddressOf(&word), AddressOf(&word + 1)}));
  }
  EXPECT_FALSE(roots.AddRange({AddressOf(&word), AddressOf(&word + 1)}));
  EXPECT_EQ(CountOf(Visit(roots, {}, None), word), ForkRoots::kRangesMax);
}

class ForkRootsArena : public testing::Test {
 protected:
  void SetUp() override {
    auto made = os::Mapping::Create(Bytes(2 * kPageSize), "an arena", kArenaAlignment);
    ASSERT_TRUE(made.ok());
    memory_ = std::move(made).value();
    head_ = AddressOf(memory_.data());
    reinterpret_cast<uint64_t*>(memory_.data())[3] = kInHead;
    reinterpret_cast<uint64_t*>(memory_.data())[kPageSize / 8] = kBehind;
  }

  static constexpr uint64_t kInHead = 0x555555555000;
  static constexpr uint64_t kBehind = 0x666666666000;
  os::Mapping memory_;
  uint64_t head_ = 0;
};

TEST_F(ForkRootsArena, TheFirstPageOfARegisteredArenaIsReadOnce) {
  const uint64_t words[] = {head_, head_ + 100, head_};
  ForkRoots roots;
  ASSERT_TRUE(roots.AddRange({AddressOf(words), AddressOf(words) + sizeof(words)}));
  const auto registered = [this](uint64_t address) {
    return head_ <= address && address < head_ + 2 * kPageSize;
  };
  const std::vector<uint64_t> seen = Visit(roots, {}, registered);
  EXPECT_EQ(CountOf(seen, head_), 2u);
  EXPECT_EQ(CountOf(seen, kInHead), 1u);
  EXPECT_EQ(CountOf(seen, kBehind), 0u);
}

TEST_F(ForkRootsArena, AnUnregisteredArenaIsNotRead) {
  const uint64_t words[] = {head_};
  ForkRoots roots;
  ASSERT_TRUE(roots.AddRange({AddressOf(words), AddressOf(words) + sizeof(words)}));
  memory_.Protect(0, kPageSize, false);  // a read of it would crash
  const std::vector<uint64_t> seen = Visit(roots, {}, None);
  EXPECT_EQ(CountOf(seen, head_), 1u);
  EXPECT_EQ(CountOf(seen, kInHead), 0u);
}

TEST_F(ForkRootsArena, AnAddressFurtherInsideIsNoArena) {
  const uint64_t words[] = {head_ + kPageSize};
  ForkRoots roots;
  ASSERT_TRUE(roots.AddRange({AddressOf(words), AddressOf(words) + sizeof(words)}));
  const std::vector<uint64_t> seen = Visit(roots, {}, [](uint64_t) { return true; });
  EXPECT_EQ(CountOf(seen, head_ + kPageSize), 1u);
  EXPECT_EQ(CountOf(seen, kInHead), 0u);
}

TEST(ForkRoots, WordsOfThreadDescriptors) {
  auto made = os::Mapping::Create(Bytes(4 * kPageSize), "a descriptor");
  ASSERT_TRUE(made.ok());
  auto* words = reinterpret_cast<uint64_t*>(made.value().data());
  const uint64_t start = AddressOf(words);
  constexpr uint64_t kTag = 0x100000000000;
  for (uint64_t i = 0; i < 4 * kPageSize / 8; ++i) words[i] = kTag + i * kPageSize;
  const auto tag = [](uint64_t offset) { return kTag + offset / 8 * kPageSize; };
  const ForkRoots roots;
  // 0x400 bytes before the hint and 0x620 behind, but not below the page of the hint.
  const uint64_t middle = kPageSize + 0x800;
  std::vector<uint64_t> seen = Visit(roots, {start + middle}, None);
  EXPECT_EQ(CountOf(seen, tag(middle - 0x400)), 1u);
  EXPECT_EQ(CountOf(seen, tag(middle - 0x408)), 0u);
  EXPECT_EQ(CountOf(seen, tag(middle + 0x618)), 1u);
  EXPECT_EQ(CountOf(seen, tag(middle + 0x620)), 0u);

  const uint64_t early = kPageSize + 0x10;
  seen = Visit(roots, {start + early}, None);
  EXPECT_EQ(CountOf(seen, tag(kPageSize)), 1u);
  EXPECT_EQ(CountOf(seen, tag(kPageSize - 8)), 0u);
}

TEST(ForkRoots, StreamsAndTheirLocks) {
  FILE* file = tmpfile();
  ASSERT_NE(file, nullptr);
  const ForkRoots roots;
  const std::vector<uint64_t> seen = Visit(roots, {}, None);
  for (const FILE* stream : {static_cast<const FILE*>(file), static_cast<const FILE*>(stdout)}) {
    EXPECT_GE(CountOf(seen, AddressOf(stream)), 1u);
    EXPECT_GE(CountOf(seen, AddressOf(stream) + sizeof(FILE) - 1), 1u);
    EXPECT_GE(CountOf(seen, AddressOf(stream->_lock)), 1u);
  }
  fclose(file);
}

TEST(ForkRoots, FindsTheDataOfTheCLibrary) {
  ForkRoots roots;
  ASSERT_TRUE(roots.Find().ok());
  // The C library's data and the data of this program are left alone from now on.
  EXPECT_TRUE(os::IsOwnRange({AddressOf(stdout), AddressOf(stdout) + sizeof(FILE)}));
  static uint64_t here = 1;
  EXPECT_TRUE(os::IsOwnRange({AddressOf(&here), AddressOf(&here) + sizeof(here)}));
}

}  // namespace
}  // namespace uzswap
