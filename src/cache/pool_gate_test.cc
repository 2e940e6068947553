#include "cache/pool_gate.h"

#include <gtest/gtest.h>

namespace uzswap {
namespace {

constexpr uint64_t kMiB = 1 << 20;

// Others hold all but `left`.
class Others final : public ReservationPort {
 public:
  bool Reserve(uint64_t bytes) override {
    if (bytes > left) return false;
    left -= bytes;
    return true;
  }
  void Return(uint64_t bytes) override { left += bytes; }

  uint64_t left = 0;
};

TEST(PoolGate, ClosesAtTheLimitAndOpensAtNineTenths) {
  struct Case {
    uint64_t level;
    bool closes, closed;
    uint32_t calls;
  };
  // One after the other.
  const Case cases[] = {{0, false, false, 0},   {900, false, false, 0}, {901, false, false, 1},
                        {999, false, false, 2}, {1000, true, true, 3},  {5000, false, true, 4},
                        {901, false, true, 5},  {900, false, false, 5}, {1001, true, true, 6}};
  PoolGate gate;
  gate.SetLimit(1000);
  for (const Case& c : cases) {
    EXPECT_EQ(gate.Observe(c.level), c.closes) << c.level;
    EXPECT_EQ(gate.closed(), c.closed) << c.level;
    EXPECT_EQ(gate.calls(), c.calls) << c.level;
  }
}

TEST(PoolGate, ClosesBeforeThePoolIsLargerThanItsReservation) {
  Others others;
  others.left = 3 * kMiB;
  PoolGate gate;
  gate.SetLimit(8 * kMiB);
  gate.reservation().Init(others, {.least = kMiB / 4, .step = kMiB / 8});
  uint64_t level = 0;
  while (!gate.closed()) {
    ASSERT_LE(level, gate.reservation().allowed());
    static_cast<void>(gate.Observe(level));
    level += kPageSize;
  }
  EXPECT_LE(level, 3 * kMiB);
  EXPECT_GT(level, 3 * kMiB - kMiB / 4) << "closed much too early";
  EXPECT_EQ(gate.limit(), 3 * kMiB) << "the writer has to shrink below what is ours";
}

// Frames that relatives map too are in neither the limit nor the reservation.
TEST(PoolGate, DoesNotCountSharedFrames) {
  PoolGate gate;
  gate.SetLimit(1000);
  gate.SetUncounted(5000);
  EXPECT_EQ(gate.limit(), 6000u);
  EXPECT_EQ(gate.reopen_level(), 5900u);
  EXPECT_FALSE(gate.Observe(5999));
  EXPECT_FALSE(gate.closed());
  EXPECT_TRUE(gate.Observe(6000));
  EXPECT_FALSE(gate.Observe(5901));
  EXPECT_TRUE(gate.closed());
  EXPECT_FALSE(gate.Observe(5900));
  EXPECT_FALSE(gate.closed());
  // The relatives have gone.
  gate.SetUncounted(0);
  EXPECT_TRUE(gate.Observe(5900));
  gate.SetLimit(UINT64_MAX);
  gate.SetUncounted(1000);
  EXPECT_EQ(gate.limit(), UINT64_MAX) << "no limit stays none";

  Others others;
  others.left = kMiB;
  PoolGate shared;
  shared.SetLimit(8 * kMiB);
  shared.SetUncounted(16 * kMiB);
  shared.reservation().Init(others, {.least = kMiB / 4, .step = kMiB / 8});
  EXPECT_FALSE(shared.Observe(16 * kMiB + kMiB / 2));
  EXPECT_FALSE(shared.closed());
  EXPECT_EQ(shared.StoresUntilCheck(16 * kMiB), PoolGate::kCheckEvery);
  EXPECT_TRUE(shared.Observe(16 * kMiB + 2 * kMiB)) << "the others hold the rest";
}

// A process that gets no more than the least must still be able to open its gate again.
TEST(PoolGate, OpensAgainHoweverLittleIsReserved) {
  for (const uint64_t left : {uint64_t{0}, kMiB / 8, kMiB, 64 * kMiB}) {
    Others others;
    others.left = left;
    PoolGate gate;
    gate.SetLimit(128 * kMiB);
    gate.reservation().Init(others, {.least = kMiB / 4, .step = kMiB / 8});
    uint64_t level = 0;
    while (!gate.Observe(level)) level += kPageSize;
    EXPECT_FALSE(gate.Observe(gate.reopen_level()));
    EXPECT_FALSE(gate.closed()) << left;
  }
}

TEST(PoolGate, TheOwnerRaisesWhatARefusalLowered) {
  Others others;
  PoolGate gate;
  gate.SetLimit(8 * kMiB);
  gate.reservation().Init(others, {.least = kMiB / 4, .step = kMiB / 8});
  EXPECT_TRUE(gate.Observe(kMiB));
  EXPECT_EQ(gate.limit(), kMiB / 4);
  others.left = 4 * kMiB;
  gate.SetLimit(4 * kMiB);
  EXPECT_FALSE(gate.Observe(kMiB));
  EXPECT_FALSE(gate.closed());
}

TEST(PoolGate, TheNextLookComesBeforeTheReservationIsUsedUp) {
  struct Case {
    uint64_t level;
    uint32_t stores;
  };
  // 1 MiB is reserved; two threads store.
  const Case cases[] = {{0, 64},
                        {kMiB / 2, 64},
                        {kMiB - 64 * kPageSize, 32},
                        {kMiB - 4 * kPageSize, 2},
                        {kMiB - kPageSize, 1},
                        {kMiB, 1},
                        {2 * kMiB, 1}};
  Others others;
  others.left = kMiB;
  PoolGate gate;
  EXPECT_EQ(gate.StoresUntilCheck(kMiB), PoolGate::kCheckEvery) << "nothing is shared";
  gate.reservation().Init(others, {.least = kPageSize, .step = kMiB});
  ASSERT_TRUE(gate.reservation().Cover(kMiB));
  for (const Case& c : cases) EXPECT_EQ(gate.StoresUntilCheck(c.level), c.stores) << c.level;
}

}  // namespace
}  // namespace uzswap
