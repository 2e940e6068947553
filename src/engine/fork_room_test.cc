#include "engine/fork_room.h"

#include <gtest/gtest.h>

#include "engine/testing/fake_reclaim_port.h"

namespace uzswap {
namespace {

constexpr uint64_t kStartNs = uint64_t{1} << 40;
constexpr uint64_t kLasting = ForkRoom::kLastingNs;

// 1,000 resident pages, of which 100 are kept, and no headroom.
ForkRoom::Snapshot Full(uint64_t after_ns, uint64_t lasting_children) {
  return {.now_ns = kStartNs + after_ns,
          .resident_pages = 1'000,
          .headroom_pages = 0,
          .keep_pages = 100,
          .lasting_children = lasting_children};
}

TEST(ForkRoom, TheFirstForkEvictsAllButWhatIsKept) {
  struct Case {
    const char* what;
    int64_t resident;
    int64_t headroom;
    int64_t keep;
    int64_t evicted;
  };
  constexpr int64_t kMax = ForkRoom::kPagesMax;
  const Case cases[] = {
      {"no headroom", 1'000, 0, 100, 900},
      {"the limit is exceeded", 1'000, -500, 100, 900},
      {"headroom for nearly all", 1'000, 999, 100, 900},
      {"headroom for all", 1'000, 1'000, 100, 0},
      {"headroom for more", 1'000, 1'001, 100, 0},
      {"nothing is kept", 1'000, 0, 0, 1'000},
      {"one more than is kept", 1'000, 0, 999, 1},
      {"all are kept", 1'000, 0, 1'000, 0},
      {"more than there are would be kept", 1'000, 0, 5'000, 0},
      {"nothing is resident", 0, 0, 100, 0},
      {"nothing is resident, and the limit is exceeded", 0, -1, 100, 0},
      {"as many as a fork evicts", kMax + 100, 0, 100, kMax},
      {"one less", kMax + 99, 0, 100, kMax - 1},
      {"one more", kMax + 101, 0, 100, kMax},
      {"many more", kMax * 100, 0, 100, kMax},
  };
  for (const Case& c : cases) {
    // The time and the count of children do not matter for the first fork.
    for (const uint64_t now_ns : {uint64_t{0}, kStartNs}) {
      for (const uint64_t children : {0, 3}) {
        ForkRoom room;
        EXPECT_EQ(room.Ask({.now_ns = now_ns,
                            .resident_pages = c.resident,
                            .headroom_pages = c.headroom,
                            .keep_pages = c.keep,
                            .lasting_children = children}),
                  c.evicted)
            << c.what;
      }
    }
  }
}

TEST(ForkRoom, LaterForksNeedALastingChildAndTime) {
  struct Case {
    const char* what;
    uint64_t after_ns;
    uint64_t children;
    int64_t evicted;
  };
  const Case cases[] = {
      {"at once, no child has lasted", 0, 4, 0},
      {"long after, no child has lasted", 100 * kLasting, 4, 0},
      {"at once, a child has lasted", 0, 5, 0},
      {"too soon", kLasting - 1, 5, 0},
      {"in time", kLasting, 5, 900},
      {"long after", 100 * kLasting, 5, 900},
      {"several have lasted, too soon", kLasting - 1, 50, 0},
      {"several have lasted", kLasting, 50, 900},
  };
  for (const Case& c : cases) {
    ForkRoom room;
    ASSERT_EQ(room.Ask(Full(0, 4)), 900);
    EXPECT_EQ(room.Ask(Full(c.after_ns, c.children)), c.evicted) << c.what;
  }
}

// The second fork, of a server that forks its workers.
TEST(ForkRoom, EachLastingChildCountsOnce) {
  ForkRoom room;
  EXPECT_EQ(room.Ask(Full(0, 0)), 900);
  EXPECT_EQ(room.Ask(Full(2 * kLasting, 1)), 900);
  EXPECT_EQ(room.Ask(Full(4 * kLasting, 1)), 0) << "no other child has lasted since";
  EXPECT_EQ(room.Ask(Full(6 * kLasting, 2)), 900);
  EXPECT_EQ(room.Ask(Full(7 * kLasting - 1, 3)), 0) << "the time counts from the last eviction";
  EXPECT_EQ(room.Ask(Full(7 * kLasting, 3)), 900);
}

TEST(ForkRoom, AForkThatIsRefusedCountsForNothing) {
  ForkRoom room;
  ASSERT_EQ(room.Ask(Full(0, 0)), 900);
  // Too soon: neither the time nor the child is used up.
  EXPECT_EQ(room.Ask(Full(kLasting - 1, 1)), 0);
  EXPECT_EQ(room.Ask(Full(kLasting, 1)), 900);
}

TEST(ForkRoom, AForkWithEnoughHeadroomIsNotTheFirst) {
  ForkRoom room;
  ForkRoom::Snapshot roomy = Full(0, 0);
  roomy.headroom_pages = roomy.resident_pages;
  EXPECT_EQ(room.Ask(roomy), 0);
  EXPECT_EQ(room.Ask(Full(1, 0)), 900);
  // Nor does it use up what a later one needs.
  roomy = Full(2 * kLasting, 1);
  roomy.headroom_pages = roomy.resident_pages;
  EXPECT_EQ(room.Ask(roomy), 0);
  EXPECT_EQ(room.Ask(Full(2 * kLasting, 1)), 900);
}

// What a forked child does.
TEST(ForkRoom, ANewOneBeginsWithTheFirstFork) {
  ForkRoom room;
  ASSERT_EQ(room.Ask(Full(0, 0)), 900);
  ASSERT_EQ(room.Ask(Full(1, 0)), 0);
  room = ForkRoom();
  EXPECT_EQ(room.Ask(Full(1, 0)), 900);
}

// The fake, with pages to isolate and a pool that the writer makes room in.
class StoreBeforeForkTest : public testing::Test {
 protected:
  class Port final : public FakeReclaimPort {
   public:
    using FakeReclaimPort::FakeReclaimPort;
    size_t Isolate(size_t want) override {
      const size_t isolated = std::min({want, pages.resident, frames - pages.staged});
      pages.resident -= isolated;
      pages.staged += isolated;
      return isolated;
    }
    size_t StoreOldest(size_t max) override {
      const size_t stored = compressible ? std::min({max, pages.staged, room}) : 0;
      if (!compressible) {
        pages.resident += pages.staged;
        pages.staged = 0;
      }
      pages.staged -= stored;
      room -= stored;
      return stored;
    }
    void AwaitWriter() override {
      FakeReclaimPort::AwaitWriter();
      ++awaits;
      if (now_ns >= writes_from_ns) room += written_at_once;
    }

    size_t frames = 200;
    size_t room = SIZE_MAX;
    size_t written_at_once = 0;
    uint64_t writes_from_ns = 0;
    int awaits = 0;
    bool compressible = true;
  };

  uint64_t Stored() { return port_.counts.fork_pages_stored.Get(); }

  Headroom headroom_;
  Port port_{headroom_};
};

TEST_F(StoreBeforeForkTest, StoresWhatWasAskedAndWhatIsStaged) {
  port_.pages.resident = 1'000;
  port_.pages.staged = 100;
  StoreBeforeFork(port_, 640);
  EXPECT_EQ(Stored(), 640u);
  EXPECT_EQ(port_.pages.resident, 360u);
  EXPECT_EQ(port_.pages.staged, 0u);
  EXPECT_EQ(port_.awaits, 0);
}

TEST_F(StoreBeforeForkTest, AwaitsTheWriterWhileItMakesRoom) {
  port_.pages.resident = 1'000;
  port_.room = 100;
  port_.writer_state.can_write = true;
  port_.written_at_once = 10;
  StoreBeforeFork(port_, 640);
  EXPECT_EQ(Stored(), 640u);
  EXPECT_EQ(port_.pages.staged, 0u);
  EXPECT_GE(port_.awaits, (640 - 100) / 10);
  EXPECT_EQ(port_.trims, port_.awaits) << "what was written is freed";
}

TEST_F(StoreBeforeForkTest, EndsWhereNothingCanBeStored) {
  struct Case {
    const char* what;
    bool can_write;
    bool compressible;
    uint64_t writes_after_ns;
    uint64_t takes_ns;  // at least
    bool stores_all;
  };
  const Case cases[] = {
      {"no writer", false, true, 0, 0, false},
      {"a writer that is slow", true, true, kWriterPatienceNs / 2, kWriterPatienceNs / 2, true},
      {"a writer that writes nothing", true, true, UINT64_MAX, kWriterPatienceNs, false},
      {"incompressible pages", true, false, 0, 0, false},
  };
  for (const Case& c : cases) {
    Port port(headroom_);
    port.pages.resident = 1'000;
    port.room = 100;
    port.compressible = c.compressible;
    port.writer_state.can_write = c.can_write;
    port.written_at_once = 1'000;
    const uint64_t start = port.now_ns;
    const bool ever = c.writes_after_ns != UINT64_MAX;
    port.writes_from_ns = ever ? start + c.writes_after_ns : UINT64_MAX;
    StoreBeforeFork(port, 640);
    EXPECT_GE(port.now_ns - start, c.takes_ns) << c.what;
    EXPECT_LE(port.now_ns - start, c.takes_ns + 2'000'000) << c.what;
    EXPECT_EQ(port.pages.resident == 360 && port.pages.staged == 0, c.stores_all) << c.what;
  }
}

// A writer that trickles keeps no fork waiting for ever.
TEST_F(StoreBeforeForkTest, AwaitsAWriterSoManyTimesOnly) {
  port_.pages.resident = 100'000;
  port_.room = 0;
  port_.writer_state.can_write = true;
  port_.written_at_once = 1;
  StoreBeforeFork(port_, 65'536);
  EXPECT_EQ(port_.awaits, kAwaitsMax);
}

}  // namespace
}  // namespace uzswap
