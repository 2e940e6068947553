#include "os/probe.h"

#include <unistd.h>

#include <cerrno>
#include <gtest/gtest.h>

namespace uzswap::os {
namespace {

TEST(ProbeTest, ReachableIsEitherWaySufficientNeedsEveryFeature) {
  UffdProbe probe{EPERM, EACCES, 0};
  EXPECT_FALSE(probe.reachable());
  probe.device_errno = 0;
  EXPECT_TRUE(probe.reachable());
  EXPECT_FALSE(probe.sufficient());
  probe.features = kUffdFeaturesNeeded & ~abi::kUffdFeatureMove;
  EXPECT_FALSE(probe.sufficient());
  probe.features |= abi::kUffdFeatureMove;
  EXPECT_TRUE(probe.sufficient());
}

TEST(ProbeTest, WhatTheProbeSaysOpeningDoes) {
  const UffdProbe probe = ProbeUserfaultfd();
  const Result<int> opened = OpenUserfaultfd(0);
  EXPECT_EQ(opened.ok(), probe.reachable());
  if (opened.ok()) {
    close(opened.value());
    EXPECT_NE(probe.features, 0u);
  } else {
    EXPECT_EQ(opened.error().errno_value, probe.call_errno);
  }
}

TEST(ProbeTest, TheMachineHasMemoryAndAKernel) {
  EXPECT_GT(MachineMemory().raw(), uint64_t{16} << 20);
  EXPECT_FALSE(ReadKernelRelease().view().empty());
  ProbePagemapScan();
  LookAroundUserfaultfd();
}

}  // namespace
}  // namespace uzswap::os
