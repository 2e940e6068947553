#include "run_lock.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <optional>

namespace uzswap::cli {
namespace {

OwnDescriptor NewMemory() { return OwnDescriptor(memfd_create("run-lock-test", MFD_CLOEXEC)); }

OwnDescriptor LookedAt(const OwnDescriptor& memory) {
  const std::string path = "/proc/self/fd/" + std::to_string(memory.number());
  return OwnDescriptor(open(path.c_str(), O_PATH | O_CLOEXEC));
}

TEST(RunLockTest, OneAtATimeUntilItEnds) {
  const OwnDescriptor memory = NewMemory();
  const OwnDescriptor looked_at = LookedAt(memory);
  std::optional<RunLock> first(looked_at);
  EXPECT_TRUE(first->held());
  EXPECT_FALSE(RunLock(looked_at).held());
  EXPECT_FALSE(RunLock(memory).held()) << "by another descriptor of the file";
  EXPECT_TRUE(RunLock(NewMemory()).held()) << "another run";
  first.reset();
  EXPECT_TRUE(RunLock(looked_at).held());
}

TEST(RunLockTest, WithoutAFileNothingIsHeld) { EXPECT_FALSE(RunLock(OwnDescriptor()).held()); }

TEST(OwnDescriptorTest, IsClosedOnce) {
  int number = -1;
  {
    OwnDescriptor first = NewMemory();
    number = first.number();
    const OwnDescriptor second = std::move(first);
    EXPECT_EQ(second.number(), number);
    EXPECT_EQ(first.number(), -1);
    EXPECT_GE(fcntl(number, F_GETFD), 0);
  }
  EXPECT_EQ(fcntl(number, F_GETFD), -1);
}

}  // namespace
}  // namespace uzswap::cli
