#include "control.h"

#include <gtest/gtest.h>
#include <utility>

namespace uzswap::cli {
namespace {

constexpr Bytes MiB(uint64_t count) { return Bytes(count << 20); }

Session NewSession() {
  Options options;
  options.limit = MiB(100);
  return std::move(Session::Create(options)).value();
}

TEST(HeldByTest, IsTheSumOfTheLiveProcesses) {
  Session session = NewSession();
  EXPECT_EQ(HeldBy(session).usage, Bytes(0));
  const ProcessRecord record = *session.Claim("a program");
  static_cast<void>(record.Publish(MiB(12), MiB(2), MiB(1)));
  EXPECT_EQ(HeldBy(session).usage, MiB(12));
  EXPECT_EQ(HeldBy(session).pools, MiB(2));
  session.Retire(record);
  EXPECT_EQ(HeldBy(session).pools, Bytes(0));
}

TEST(HeldByTest, WithABackingStoreWhatNoProcessCanGiveUpDoesNotCount) {
  Options options;
  options.limit = MiB(100);
  ASSERT_TRUE(SetBacking(options, "/var/tmp"));
  Session session = std::move(Session::Create(options)).value();
  const ProcessRecord writer = *session.Claim("a writer");
  static_cast<void>(writer.Publish(MiB(12), MiB(5), MiB(1)));
  EXPECT_EQ(HeldBy(session).usage, MiB(12));
  EXPECT_EQ(HeldBy(session).pools, MiB(4));
  static_cast<void>(writer.Publish(MiB(12), MiB(5), MiB(6)));
  EXPECT_EQ(HeldBy(session).pools, Bytes(0)) << "figures of two moments";
}

TEST(PoolsWithinTest, EachProcessMayKeepALittle) {
  EXPECT_EQ(PoolsWithin(MiB(8), 0), MiB(8));
  EXPECT_EQ(PoolsWithin(MiB(8), 4), MiB(10));
  EXPECT_EQ(PoolsWithin(Bytes(0), 4), Bytes(UINT64_MAX)) << "no bound";
}

TEST(ControlTest, WhatNamesNoRunIsRefused) {
  constexpr uint32_t kNobody = 0x7ffffff0;  // no process has such a number
  EXPECT_NE(SetCommand({kNobody, {"limit=64M"}}), 0);
  EXPECT_NE(ShrinkCommand({kNobody, ""}), 0);
  EXPECT_NE(ShrinkCommand({kNobody, "little"}), 0);
  EXPECT_NE(ShrinkCommand({kNobody, "0"}), 0);
}

}  // namespace
}  // namespace uzswap::cli
