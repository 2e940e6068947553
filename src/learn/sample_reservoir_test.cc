#include "learn/sample_reservoir.h"

#include <atomic>
#include <cstring>
#include <gtest/gtest.h>
#include <map>
#include <thread>
#include <vector>

#include "base/testing/wait_until.h"

namespace uzswap {
namespace {

using Page = std::array<std::byte, kPageSize>;

Page PageOf(uint64_t number) {
  Page page;
  for (size_t at = 0; at < kPageSize; at += 8) memcpy(page.data() + at, &number, 8);
  return page;
}

// The number of a page; fails if it is torn.
uint64_t NumberOf(std::span<const std::byte> page) {
  uint64_t number = 0;
  memcpy(&number, page.data(), 8);
  EXPECT_EQ(memcmp(page.data(), PageOf(number).data(), kPageSize), 0);
  return number;
}

void Offer(SampleReservoir& reservoir, uint64_t from, uint64_t to) {
  for (uint64_t number = from; number < to; ++number) reservoir.OnCompressed(PageOf(number));
}

TEST(SampleReservoirTest, CollectsOnlyBetweenBeginAndEnd) {
  SampleReservoir reservoir;
  ASSERT_TRUE(reservoir.Init(1).ok());
  Offer(reservoir, 1, 1000);
  EXPECT_FALSE(reservoir.full());
  reservoir.Begin();
  Offer(reservoir, 1000, 1000 + SampleReservoir::kPages - 1);
  EXPECT_FALSE(reservoir.full());
  Offer(reservoir, 5000, 5001);
  EXPECT_TRUE(reservoir.full());
  reservoir.End();
  Offer(reservoir, 9000, 9999);
  std::map<uint64_t, int> seen;
  for (const auto part : {reservoir.training(), reservoir.measuring()}) {
    for (size_t at = 0; at < part.size(); at += kPageSize) {
      ++seen[NumberOf(part.subspan(at, kPageSize))];
    }
  }
  EXPECT_EQ(seen.size(), SampleReservoir::kPages) << "each page once";
  EXPECT_EQ(seen.begin()->first, 1000u);
  EXPECT_EQ(seen.rbegin()->first, 5000u);
  reservoir.Clear();
  EXPECT_FALSE(reservoir.full());
  reservoir.Begin();
  EXPECT_TRUE(reservoir.collecting());
  reservoir.ResetInChild();
  EXPECT_FALSE(reservoir.collecting());
}

// Early, middle and late pages are among the samples, in both parts, as often as they should be.
TEST(SampleReservoirTest, EveryPageHasTheSameChance) {
  const uint64_t seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE(seed);
  SampleReservoir reservoir;
  ASSERT_TRUE(reservoir.Init(seed).ok());
  constexpr uint64_t kOffered = 1600;
  constexpr int kRounds = 60;
  constexpr uint64_t kParts = 4;
  uint64_t trained[kParts] = {};
  uint64_t measured[kParts] = {};
  for (int round = 0; round < kRounds; ++round) {
    reservoir.Begin();
    Offer(reservoir, 0, kOffered);
    reservoir.End();
    for (size_t at = 0; at < reservoir.training().size(); at += kPageSize) {
      ++trained[NumberOf(reservoir.training().subspan(at, kPageSize)) * kParts / kOffered];
    }
    for (size_t at = 0; at < reservoir.measuring().size(); at += kPageSize) {
      ++measured[NumberOf(reservoir.measuring().subspan(at, kPageSize)) * kParts / kOffered];
    }
    reservoir.Clear();
  }
  // 1920 and 480 on average; six standard deviations.
  for (uint64_t part = 0; part < kParts; ++part) {
    EXPECT_NEAR(static_cast<double>(trained[part]), 1920, 240) << part;
    EXPECT_NEAR(static_cast<double>(measured[part]), 480, 120) << part;
  }
}

TEST(SampleReservoirTest, PagesOfSeveralThreadsAreWhole) {
  SampleReservoir reservoir;
  ASSERT_TRUE(reservoir.Init(1).ok());
  std::atomic<bool> stop{false};
  const auto offer = [&](uint64_t number) {
    while (!stop.load(std::memory_order_relaxed)) reservoir.OnCompressed(PageOf(number++));
  };
  std::thread one(offer, 0);
  std::thread two(offer, uint64_t{1} << 40);
  for (int round = 0; round < 50; ++round) {
    reservoir.Begin();
    const bool full = WaitUntil([&] { return reservoir.full(); });
    EXPECT_TRUE(full) << "round " << round << ": the threads do not fill the reservoir";
    reservoir.End();
    if (!full) break;
    for (size_t at = 0; at < reservoir.training().size(); at += kPageSize) {
      static_cast<void>(NumberOf(reservoir.training().subspan(at, kPageSize)));
    }
    reservoir.Clear();
  }
  stop.store(true, std::memory_order_relaxed);
  one.join();
  two.join();
}

}  // namespace
}  // namespace uzswap
