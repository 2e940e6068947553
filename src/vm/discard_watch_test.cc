#include "vm/discard_watch.h"

#include <gtest/gtest.h>
#include <set>
#include <vector>

#include "base/rng.h"
#include "base/testing/from_environment.h"

namespace uzswap {
namespace {

std::vector<AddressRange> Settled(const DiscardWatch& watch) {
  std::vector<AddressRange> found;
  watch.ForEachSettled([&](AddressRange range) { found.push_back(range); });
  return found;
}

TEST(DiscardWatch, NothingIsSettledBeforeItIsClosed) {
  DiscardWatch watch;
  EXPECT_FALSE(watch.Close());
  watch.Note({10, 20});
  EXPECT_TRUE(Settled(watch).empty());
  EXPECT_TRUE(watch.Close());
  EXPECT_EQ(Settled(watch), (std::vector<AddressRange>{{10, 20}}));
  watch.Note({100, 110});
  EXPECT_FALSE(watch.Close()) << "the first is not settled yet";
  watch.ClearClosed();
  EXPECT_TRUE(Settled(watch).empty());
  EXPECT_TRUE(watch.Close());
  EXPECT_EQ(Settled(watch), (std::vector<AddressRange>{{100, 110}}));
}

TEST(DiscardWatch, WhatIsDiscardedAgainIsNotSettled) {
  struct Case {
    AddressRange again;
    std::vector<AddressRange> settled;
  };
  const Case cases[] = {
      {{0, 10}, {{10, 20}}},
      {{20, 30}, {{10, 20}}},
      {{10, 20}, {}},
      {{0, 30}, {}},
      {{5, 12}, {{12, 20}}},
      {{18, 25}, {{10, 18}}},
      {{12, 15}, {{10, 12}, {15, 20}}},
      {{10, 11}, {{11, 20}}},
      {{19, 20}, {{10, 19}}},
  };
  for (const Case& c : cases) {
    DiscardWatch watch;
    watch.Note({10, 20});
    ASSERT_TRUE(watch.Close());
    watch.Note(c.again);
    EXPECT_EQ(Settled(watch), c.settled) << c.again.start << " " << c.again.end;
  }
}

TEST(DiscardWatch, AdjacentRangesAreOne) {
  DiscardWatch watch;
  for (uint64_t i = 0; i < 1000; ++i) watch.Note({i, i + 1});
  ASSERT_TRUE(watch.Close());
  EXPECT_EQ(Settled(watch), (std::vector<AddressRange>{{0, 1000}}));
}

// Against a set: everything noted is covered, and nothing that is open is settled.
TEST(DiscardWatch, RandomNotes) {
  Rng rng(SeedFromEnvironment(11));
  for (int round = 0; round < 200; ++round) {
    DiscardWatch watch;
    std::set<uint64_t> closed;
    std::set<uint64_t> open;
    const uint64_t notes = 1 + rng.Below(round % 2 == 0 ? 10 : 400);
    for (std::set<uint64_t>* kind : {&closed, &open}) {
      for (uint64_t i = 0; i < notes; ++i) {
        const uint64_t start = rng.Below(4000);
        const uint64_t end = start + 1 + rng.Below(5);
        watch.Note({start, end});
        for (uint64_t at = start; at < end; ++at) kind->insert(at);
      }
      if (kind == &closed) {
        ASSERT_TRUE(watch.Close());
      }
    }
    std::set<uint64_t> settled;
    watch.ForEachSettled([&](AddressRange range) {
      for (uint64_t at = range.start; at < range.end; ++at) settled.insert(at);
    });
    for (const uint64_t at : open) ASSERT_FALSE(settled.contains(at)) << at;
    if (notes > 10) continue;  // with joined ranges more is open
    for (const uint64_t at : closed) ASSERT_EQ(settled.contains(at), !open.contains(at)) << at;
  }
}

}  // namespace
}  // namespace uzswap
