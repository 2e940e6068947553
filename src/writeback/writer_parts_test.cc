// The parts of Writeback by themselves: the ring of pending units, the protocol of pause and stop.
#include <gtest/gtest.h>
#include <thread>

#include "base/testing/wait_until.h"
#include "writeback/pending_units.h"
#include "writeback/writer_control.h"

namespace uzswap {
namespace {

ReclaimUnit Unit(uint32_t number) { return {.unit = number, .frames = number, .objects = 1}; }

TEST(PendingUnitsTest, UnitsEndInOrderWithTheirBatches) {
  PendingUnits pending;
  ASSERT_TRUE(pending.Init().ok());
  EXPECT_FALSE(pending.PopBefore(UINT64_MAX).has_value());
  pending.Push(Unit(1), 7);
  pending.Push(Unit(2), 7);
  pending.Push(Unit(3), 8);
  EXPECT_EQ(pending.count(), 3u);
  EXPECT_EQ(pending.frames(), 6u);
  EXPECT_FALSE(pending.PopBefore(7).has_value()) << "batch 7 has not ended";
  EXPECT_EQ(pending.PopBefore(8)->unit, 1u);
  EXPECT_EQ(pending.PopBefore(8)->unit, 2u);
  EXPECT_FALSE(pending.PopBefore(8).has_value());
  EXPECT_EQ(pending.PopBefore(9)->unit, 3u);
  EXPECT_EQ(pending.count(), 0u);
  EXPECT_EQ(pending.frames(), 0u);
}

TEST(PendingUnitsTest, TheRingWrapsAndFills) {
  PendingUnits pending;
  ASSERT_TRUE(pending.Init().ok());
  for (uint32_t i = 1; i <= 100; ++i) pending.Push(Unit(i), i);
  for (uint32_t i = 1; i <= 100; ++i) EXPECT_EQ(pending.PopBefore(UINT64_MAX)->unit, i);
  for (uint32_t i = 1; i <= PendingUnits::kMax; ++i) {
    EXPECT_FALSE(pending.full());
    pending.Push(Unit(i), i);
  }
  EXPECT_TRUE(pending.full());
  for (uint32_t i = 1; i <= PendingUnits::kMax; ++i) {
    ASSERT_EQ(pending.PopBefore(UINT64_MAX)->unit, i);
  }
  EXPECT_EQ(pending.frames(), 0u);
}

TEST(WriterControlTest, PauseReturnsWhenTheWriterHoldsStill) {
  PoolGate gate;
  WriterControl control;
  control.Init(gate);
  std::atomic<uint64_t> turns{0};
  std::thread writer([&] {
    while (control.request() != WriterControl::Request::kStop) {
      if (control.interrupted()) control.HoldStill();
      turns.fetch_add(1, std::memory_order_relaxed);
      std::this_thread::yield();
    }
  });
  for (int round = 0; round < 50; ++round) {
    const uint32_t calls = gate.calls();
    control.Pause();
    EXPECT_GT(gate.calls(), calls) << "a writer that waits for a call is woken";
    const uint64_t before = turns.load();
    std::this_thread::yield();
    EXPECT_EQ(turns.load(), before);
    control.Resume();
    EXPECT_TRUE(WaitUntil([&] { return turns.load() > before; })) << "the writer does not resume";
  }
  control.Pause();
  control.Stop();  // also out of a pause
  writer.join();
  EXPECT_TRUE(control.interrupted());
  control.ResetAfterFork();
  EXPECT_FALSE(control.interrupted());
}

}  // namespace
}  // namespace uzswap
