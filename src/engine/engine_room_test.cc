#include "engine/engine_room.h"

#include <gtest/gtest.h>

namespace uzswap {
namespace {

TEST(EngineRoomTest, EnginesTakeAPartOfTheTasks) {
  constexpr uint64_t kChild = EngineRoom::kShareOfChildren;
  constexpr uint64_t kProgram = EngineRoom::kShareOfPrograms;
  struct Case {
    uint64_t tasks;
    uint64_t share;
    uint64_t engines;
    bool fits;
  };
  constexpr Case kCases[] = {
      {os::kNoTaskLimit, kChild, 1, true},
      {os::kNoTaskLimit, kChild, 1'000'000, true},
      {0, kChild, 1, false},
      {15, kChild, 1, false},
      {16, kChild, 1, true},
      {20, kChild, 2, false},
      {512, kChild, 32, true},
      {512, kChild, 33, false},
      {3, kProgram, 1, false},
      {4, kProgram, 1, true},
      {20, kProgram, 5, true},
      {20, kProgram, 6, false},
  };
  for (const Case& c : kCases) {
    EXPECT_EQ(EngineRoom::FitsInto(c.tasks, c.share, c.engines), c.fits)
        << c.engines << " engines, one in " << c.share << " of " << c.tasks << " tasks";
  }
}

}  // namespace
}  // namespace uzswap
