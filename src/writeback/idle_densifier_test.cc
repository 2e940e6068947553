#include "writeback/idle_densifier.h"

#include <gtest/gtest.h>

#include "writeback/testing/writeback_rig.h"

namespace uzswap {
namespace {

using Rig = WritebackRig;

class IdleDensifierTest : public testing::Test {
 protected:
  IdleDensifierTest() {
    UZ_CHECK(rig_.context.PrepareDense().ok());
    densifier_.Init(rig_.cache, rig_.context, DenseCodec());
  }
  static FixtureOptions Zstd() {
    FixtureOptions options;
    options.codec = "zstd";
    options.zsmalloc = true;
    return options;
  }
  // A machine that has other work ends each call after a slice.
  uint64_t DensifyAll() {
    uint64_t objects = 0;
    while (densifier_.IsWorthwhile()) {
      const PoolGate& gate = rig_.cache.gate();
      objects += densifier_.Densify(gate, gate.calls()).objects;
    }
    return objects;
  }

  Rig rig_{Zstd()};
  IdleDensifier densifier_;
};

TEST_F(IdleDensifierTest, OnePassMakesTheWholePoolDenser) {
  constexpr uint64_t kPages = 600;
  rig_.Fill(kPages);
  const uint64_t before = rig_.pool.Snapshot().object_bytes;
  const uint64_t frames = rig_.pool.Snapshot().frames;
  EXPECT_GT(DensifyAll(), kPages / 4);
  EXPECT_LT(rig_.pool.Snapshot().object_bytes, before);
  EXPECT_LT(rig_.pool.Snapshot().frames, frames);
  EXPECT_EQ(rig_.CountReadable(kPages), kPages);
  rig_.cache.Audit();
}

TEST_F(IdleDensifierTest, TheNextPassWaitsForNewObjects) {
  constexpr uint64_t kPages = 400;
  rig_.Fill(kPages);
  static_cast<void>(DensifyAll());
  EXPECT_FALSE(densifier_.IsWorthwhile());
  for (uint64_t i = 0; i < kPages / 16; ++i) {
    ASSERT_EQ(rig_.Put(kPages + i, Rig::VersionOf(i)), StoreOutcome::kStored);
  }
  EXPECT_FALSE(densifier_.IsWorthwhile());
  for (uint64_t i = 0; i < kPages / 8; ++i) {
    ASSERT_EQ(rig_.Put(2 * kPages + i, Rig::VersionOf(i)), StoreOutcome::kStored);
  }
  EXPECT_TRUE(densifier_.IsWorthwhile());
  // What is dense is not compressed again.
  const uint64_t objects = DensifyAll();
  EXPECT_GT(objects, 0u);
  EXPECT_LE(objects, kPages / 8 + kPages / 16);
}

TEST_F(IdleDensifierTest, ACallEndsIt) {
  rig_.Fill(400);
  PoolGate& gate = rig_.cache.gate();
  const uint32_t seen = gate.calls();
  gate.Call();
  EXPECT_EQ(densifier_.Densify(gate, seen).objects, 0u);
  EXPECT_GT(DensifyAll(), 0u) << "the pass is not over";
}

TEST_F(IdleDensifierTest, AForkEndsThePass) {
  rig_.Fill(400);
  static_cast<void>(DensifyAll());
  ASSERT_EQ(rig_.Put(400, Rig::VersionOf(400)), StoreOutcome::kStored);
  PoolGate& gate = rig_.cache.gate();
  const uint32_t seen = gate.calls();
  gate.Call();
  static_cast<void>(densifier_.Densify(gate, seen));
  EXPECT_TRUE(densifier_.IsWorthwhile()) << "a pass was interrupted";
  densifier_.ResetAfterFork();
  EXPECT_FALSE(densifier_.IsWorthwhile());
}

TEST_F(IdleDensifierTest, AnEmptyPoolIsNoWork) {
  EXPECT_FALSE(densifier_.IsWorthwhile());
  const PoolGate& gate = rig_.cache.gate();
  EXPECT_EQ(densifier_.Densify(gate, gate.calls()).objects, 0u);
}

TEST(IdleDensifierAlone, WithoutACodecThereIsNothingToDo) {
  EXPECT_FALSE(IdleDensifier().IsWorthwhile());
}

// The writer's thread does it when it is idle.
TEST(IdleWriter, MakesObjectsDenser) {
  FixtureOptions options;
  options.codec = "zstd";
  options.zsmalloc = true;
  WritebackOptions writing;
  writing.idle_ns = 1'000'000;
  writing.densify_with = &DenseCodec();
  Rig rig(options, writing, /*with_store=*/false);
  rig.Fill(300);
  WriterThread writer(rig.writeback);
  EXPECT_TRUE(WaitUntil([&] { return rig.writeback.counters().objects_densified.Get() > 50; }));
  writer.Join();
  EXPECT_EQ(rig.CountReadable(300), 300u);
  rig.cache.Audit();
}

}  // namespace
}  // namespace uzswap
