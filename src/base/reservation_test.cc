#include "base/reservation.h"

#include <gtest/gtest.h>
#include <vector>

#include "base/rng.h"

namespace uzswap {
namespace {

constexpr uint64_t kLeast = 100;
constexpr uint64_t kStep = 40;

// What the processes have reserved, in one number.
struct Tree {
  uint64_t bound = 0;
  uint64_t reserved = 0;
  uint64_t refused = 0;
};

class OneOfTree final : public ReservationPort {
 public:
  explicit OneOfTree(Tree& tree) : tree_(tree) {}
  bool Reserve(uint64_t bytes) override {
    if (tree_.reserved + bytes > tree_.bound) {
      ++tree_.refused;
      return false;
    }
    tree_.reserved += bytes;
    return true;
  }
  void Return(uint64_t bytes) override {
    ASSERT_GE(tree_.reserved, bytes);
    tree_.reserved -= bytes;
  }

 private:
  Tree& tree_;
};

TEST(Reservation, WithoutAPortEverythingIsAllowed) {
  Reservation reservation;
  EXPECT_FALSE(reservation.on());
  EXPECT_TRUE(reservation.Cover(UINT64_MAX));
  EXPECT_EQ(reservation.allowed(), UINT64_MAX);
  reservation.ReturnBeyond(0);
  EXPECT_EQ(reservation.reserved(), 0u);
}

TEST(Reservation, ReservesInStepsWhatIsMoreThanTheLeast) {
  struct Case {
    uint64_t used;
    bool covered;
    uint64_t reserved;
  };
  // One after the other, in a tree of 200.
  const Case cases[] = {
      {0, true, 0},     {100, true, 0},   {101, true, 120},  {120, true, 120},
      {121, true, 160}, {200, true, 200}, {201, false, 200}, {UINT64_MAX / 2, false, 200},
      {150, true, 200}, {100, true, 200},
  };
  Tree tree{.bound = 200};
  OneOfTree port(tree);
  Reservation reservation;
  reservation.Init(port, {kLeast, kStep});
  for (const Case& c : cases) {
    EXPECT_EQ(reservation.Cover(c.used), c.covered) << c.used;
    EXPECT_EQ(reservation.reserved(), c.reserved) << c.used;
    EXPECT_EQ(tree.reserved, c.reserved) << c.used;
    EXPECT_EQ(reservation.allowed(), std::max(c.reserved, kLeast)) << c.used;
  }
  EXPECT_EQ(tree.refused, 4u) << "a step, and what is missing, twice";
}

TEST(Reservation, TakesLessThanAStepIfThereIsLess) {
  Tree tree{.bound = 210};
  OneOfTree port(tree);
  Reservation reservation;
  reservation.Init(port, {kLeast, kStep});
  ASSERT_TRUE(reservation.Cover(200));
  EXPECT_TRUE(reservation.Cover(205));
  EXPECT_EQ(tree.reserved, 205u);
  EXPECT_FALSE(reservation.Cover(211));
  EXPECT_TRUE(reservation.Cover(210));
  EXPECT_EQ(tree.reserved, 210u);
}

TEST(Reservation, GivesBackWhatIsFarAboveTheUse) {
  struct Case {
    uint64_t used, reserved;
  };
  // Each from a reservation of 400. Less than a step too much is kept, for the next growth.
  const Case cases[] = {{400, 400}, {361, 400}, {320, 400}, {319, 359},
                        {200, 240}, {101, 141}, {100, 0},   {0, 0}};
  for (const Case& c : cases) {
    Tree tree{.bound = 400};
    OneOfTree port(tree);
    Reservation reservation;
    reservation.Init(port, {kLeast, kStep});
    ASSERT_TRUE(reservation.Cover(400));
    reservation.ReturnBeyond(c.used);
    EXPECT_EQ(reservation.reserved(), c.reserved) << c.used;
    EXPECT_EQ(tree.reserved, c.reserved) << c.used;
  }
}

TEST(Reservation, AChildStartsWithNothingAndIsNotBound) {
  Tree tree{.bound = 400};
  OneOfTree port(tree);
  Reservation reservation;
  reservation.Init(port, {kLeast, kStep});
  ASSERT_TRUE(reservation.Cover(300));
  reservation.ResetInChild();
  EXPECT_EQ(reservation.reserved(), 0u);
  EXPECT_TRUE(reservation.Cover(1'000'000));
  EXPECT_EQ(tree.reserved, 320u) << "the parent's";
}

// Processes that grow and shrink at random never use more than the bound and their least.
TEST(Reservation, ManyProcessesStayWithinTheBound) {
  constexpr uint64_t kSeed = 7;
  SCOPED_TRACE(kSeed);
  Rng rng(kSeed);
  Tree tree{.bound = 2000};
  std::vector<OneOfTree> ports(6, OneOfTree(tree));
  std::vector<Reservation> processes(ports.size());
  std::vector<uint64_t> used(ports.size());
  for (size_t i = 0; i < ports.size(); ++i) processes[i].Init(ports[i], {kLeast, kStep});
  uint64_t grown = 0;
  for (int step = 0; step < 200'000; ++step) {
    const size_t i = rng.Below(ports.size());
    switch (rng.Below(4)) {
      case 0:
        used[i] -= std::min(used[i], rng.Below(100));
        break;
      case 1:
        processes[i].ReturnBeyond(used[i]);
        break;
      default:
        const uint64_t more = rng.Below(60);
        if (!processes[i].Cover(used[i] + more)) break;
        used[i] += more;
        ++grown;
    }
    uint64_t sum = 0;
    for (const uint64_t one : used) sum += one;
    ASSERT_LE(sum, tree.bound + kLeast * used.size()) << "step " << step;
    ASSERT_LE(used[i], processes[i].allowed()) << "step " << step;
  }
  EXPECT_GT(grown, 10'000u);
  EXPECT_GT(tree.refused, 100u) << "the bound is never reached";
  for (size_t i = 0; i < ports.size(); ++i) processes[i].ReturnBeyond(0);
  EXPECT_LE(tree.reserved, kStep * ports.size());
}

}  // namespace
}  // namespace uzswap
