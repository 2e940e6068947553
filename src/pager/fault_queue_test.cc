#include "pager/fault_queue.h"

#include <deque>
#include <gtest/gtest.h>
#include <vector>

#include "pager/deferred_events.h"

namespace uzswap {
namespace {

using os::UserFaultEvent;
using Kind = UserFaultEvent::Kind;

// Hands out what the test put in, and answers nothing else.
class ScriptedPort final : public os::UserFaultPort {
 public:
  size_t Read(std::span<UserFaultEvent> events) override {
    size_t count = 0;
    while (count < events.size() && !messages.empty()) {
      events[count++] = messages.front();
      messages.pop_front();
    }
    return count;
  }
  void WaitReadable(int) override {}
  os::PortResult Move(uint64_t, uint64_t, uint64_t) override { return {}; }
  os::PortResult MoveFromExecutable(uint64_t, uint64_t, uint64_t) override { return {}; }
  os::PortResult Copy(uint64_t, const void*, uint64_t) override { return {}; }
  os::PortResult Zero(uint64_t) override { return {}; }
  os::PortResult Poison(uint64_t) override { return {}; }
  void Wake(uint64_t, uint64_t) override {}
  Result<void> Register(uint64_t, uint64_t) override { return {}; }

  void Fault(uint32_t thread) { messages.push_back({.kind = Kind::kPageFault, .thread = thread}); }
  void Unmap(uint64_t start) { messages.push_back({.kind = Kind::kUnmap, .start = start}); }

  std::deque<UserFaultEvent> messages;
};

class FaultQueueTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(queue_.Init().ok()); }
  std::vector<uint32_t> Threads() {
    std::vector<uint32_t> threads;
    for (FaultQueue::Pass pass(queue_); ParkedFault* parked = pass.Next();) {
      threads.push_back(parked->fault.thread);
      pass.Keep();
    }
    return threads;
  }

  ScriptedPort port_;
  FaultQueue queue_;
  FaultQueue::Messages messages_;
};

TEST_F(FaultQueueTest, ParksFaultsAndHandsOutEventsInOrder) {
  port_.Fault(1);
  port_.Unmap(10);
  port_.Fault(2);
  port_.Unmap(20);
  ASSERT_TRUE(queue_.Read(port_, 77, &messages_));
  EXPECT_EQ(messages_.read, 4u);
  ASSERT_EQ(messages_.count, 2u);
  EXPECT_EQ(messages_.events[0].start, 10u);
  EXPECT_EQ(messages_.events[1].start, 20u);
  EXPECT_EQ(Threads(), (std::vector<uint32_t>{1, 2}));
  EXPECT_TRUE(queue_.Holds(2));
  EXPECT_FALSE(queue_.Holds(3));
  EXPECT_FALSE(queue_.Read(port_, 78, &messages_)) << "nothing waits";
}

TEST_F(FaultQueueTest, APassKeepsTheOrderOfWhatItKeeps) {
  for (uint32_t thread = 1; thread <= 6; ++thread) port_.Fault(thread);
  ASSERT_TRUE(queue_.Read(port_, 0, &messages_));
  for (FaultQueue::Pass pass(queue_); ParkedFault* parked = pass.Next();) {
    if (parked->fault.thread % 2 == 0) pass.Keep();
  }
  EXPECT_EQ(Threads(), (std::vector<uint32_t>{2, 4, 6}));
  for (FaultQueue::Pass pass(queue_); pass.Next() != nullptr;) {
  }
  EXPECT_EQ(queue_.count(), 0u);
}

TEST_F(FaultQueueTest, WhatAPassChangesInAFaultIsKept) {
  port_.Fault(1);
  ASSERT_TRUE(queue_.Read(port_, 0, &messages_));
  queue_.NoteReclaim(false);
  for (FaultQueue::Pass pass(queue_); ParkedFault* parked = pass.Next();) {
    EXPECT_EQ(parked->reclaim_rounds, 1);
    parked->reclaim_rounds = 0;
    pass.Keep();
  }
  for (FaultQueue::Pass pass(queue_); ParkedFault* parked = pass.Next();) {
    EXPECT_EQ(parked->reclaim_rounds, 0);
  }
}

TEST_F(FaultQueueTest, AFullQueueReadsNothingMore) {
  uint32_t thread = 0;
  while (queue_.count() + FaultQueue::kReadBatch <= FaultQueue::kParkedMax) {
    for (size_t i = 0; i < FaultQueue::kReadBatch; ++i) port_.Fault(++thread);
    ASSERT_TRUE(queue_.Read(port_, 0, &messages_));
  }
  port_.Fault(++thread);
  EXPECT_FALSE(queue_.Read(port_, 0, &messages_));
  EXPECT_EQ(port_.messages.size(), 1u) << "it stays with the kernel";
  queue_.Clear();
  EXPECT_TRUE(queue_.Read(port_, 0, &messages_));
  EXPECT_EQ(Threads(), (std::vector<uint32_t>{thread}));
}

TEST(DeferredEvents, KeepTheirOrderAndSayWhenTheyAreFull) {
  DeferredEvents deferred;
  EXPECT_TRUE(deferred.HasRoom(DeferredEvents::kMax));
  EXPECT_FALSE(deferred.HasRoom(DeferredEvents::kMax + 1));
  for (size_t i = 0; i < DeferredEvents::kMax; ++i) {
    deferred.Add({.kind = Kind::kUnmap, .start = i});
  }
  EXPECT_FALSE(deferred.HasRoom(1));
  for (size_t i = 0; i < deferred.count(); ++i) EXPECT_EQ(deferred.at(i).start, i);
  EXPECT_DEATH(deferred.Add({}), "check failed");
  deferred.Clear();
  EXPECT_EQ(deferred.count(), 0u);
}

}  // namespace
}  // namespace uzswap
