#include "os/locked_memory.h"

#include <gtest/gtest.h>

namespace uzswap::os {
namespace {

TEST(LockedMemory, IsTheFieldOfTheStatus) {
  EXPECT_EQ(LockedBytesIn("Name:\tx\nVmPin:\t 7 kB\nVmLck:\t    1234 kB\nVmHWM:\t 5 kB\n"),
            Bytes(1234 << 10));
  EXPECT_EQ(LockedBytesIn("Name:\tx\nVmLck:\t0 kB\n"), Bytes(0));
  EXPECT_EQ(LockedBytesIn("Name:\tVmLck: 7\n"), Bytes(0)) << "not at the start of a line";
  EXPECT_EQ(LockedBytesIn(""), Bytes(0));
  EXPECT_EQ(LockedBytesIn("\nVmLck:"), Bytes(0));
}

TEST(LockedMemory, OfThisProcess) { EXPECT_EQ(LockedBytes(), Bytes(0)); }

}  // namespace
}  // namespace uzswap::os
