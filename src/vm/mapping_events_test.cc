// Mapping events and a page table, without a pager: what is discarded, what moves, what is
// displaced. pager_late_event_test and pager_event_test have the same orders with pages in every
// state.
#include "vm/mapping_events.h"

#include <gtest/gtest.h>

namespace uzswap {
namespace {

using os::UserFaultEvent;
using Kind = UserFaultEvent::Kind;

constexpr uint64_t kBase = uint64_t{1} << 40;
constexpr uint64_t At(uint64_t page) { return kBase + (page << kPageShift); }

// Every call answers what the test says.
class AnsweringPort final : public os::UserFaultPort {
 public:
  size_t Read(std::span<UserFaultEvent>) override { return 0; }
  void WaitReadable(int) override {}
  os::PortResult Move(uint64_t, uint64_t, uint64_t) override { return answer; }
  os::PortResult MoveFromExecutable(uint64_t, uint64_t, uint64_t) override { return answer; }
  os::PortResult Copy(uint64_t, const void*, uint64_t) override { return answer; }
  os::PortResult Zero(uint64_t) override { return answer; }
  os::PortResult Poison(uint64_t) override { return answer; }
  void Wake(uint64_t, uint64_t) override {}
  Result<void> Register(uint64_t, uint64_t) override { return {}; }

  os::PortResult answer{os::PortOutcome::kRetry, 0};
};

class MappingEventsTest : public testing::Test, public PageDiscarder {
 protected:
  void SetUp() override {
    ASSERT_TRUE(table_.Init().ok());
    port_.Attach(&answering_);
    events_.Init({.port = &port_, .table = &table_, .discarder = this, .statistics = &statistics_});
  }
  void TearDown() override {
    events_.ForgetRange({0, UINT64_MAX});
    EXPECT_EQ(table_.count(), 0u);
    table_.Audit();
  }
  void Discard(PageIndex index) override {
    if (table_.entry(index).state() == PageState::kUntracked) return;
    table_.Transition(index, PageState::kUntracked);
    ++discarded_;
  }

  // Resident pages, marked with policy bits that go along with them.
  void Add(uint64_t page, uint64_t pages, uint8_t mark) {
    ASSERT_TRUE(table_.Add({At(page), At(page + pages)}).ok());
    table_.ForEachPage({At(page), At(page + pages)}, [this, mark](PageIndex index) {
      table_.Transition(index, PageState::kResident);
      table_.SetPolicyBits(index, mark);
    });
  }
  // 0: not registered.
  uint8_t MarkOf(uint64_t page) { return table_.EntryOf(At(page)).policy_bits(); }
  void Unmap(uint64_t page, uint64_t pages) {
    events_.Apply({.kind = Kind::kUnmap, .start = At(page), .end = At(page + pages)});
  }
  void Remove(uint64_t page, uint64_t pages) {
    events_.Apply({.kind = Kind::kRemove, .start = At(page), .end = At(page + pages)});
  }
  void Remap(uint64_t page, uint64_t pages, uint64_t target) {
    events_.Apply(
        {.kind = Kind::kRemap, .start = At(page), .end = At(page + pages), .target = At(target)});
  }
  // The kernel answers a call: nothing is pending.
  void ProveQuiet() {
    answering_.answer = {os::PortOutcome::kExists, 0};
    static_cast<void>(port_.Zero(At(0)));
    answering_.answer = {os::PortOutcome::kRetry, 0};
  }

  Statistics statistics_{};
  AnsweringPort answering_;
  EventTrackingPort port_;
  PageTable table_;
  MappingEvents events_;
  uint64_t discarded_ = 0;
};

TEST_F(MappingEventsTest, UnmapRemovesAndRemoveKeepsTheAddresses) {
  Add(0, 8, 1);
  Remove(2, 2);
  EXPECT_EQ(discarded_, 2u);
  EXPECT_NE(table_.Find(At(2)), nullptr) << "still registered";
  Unmap(2, 2);
  EXPECT_EQ(discarded_, 2u) << "they were empty";
  EXPECT_EQ(MarkOf(2), 0);
  EXPECT_EQ(MarkOf(1), 1);
  EXPECT_EQ(MarkOf(4), 1);
  EXPECT_EQ(statistics_.unmap_events.Get(), 1u);
  EXPECT_EQ(statistics_.remove_events.Get(), 1u);
}

TEST_F(MappingEventsTest, ARemapIsFollowedByAnUnmapThatConcernsNobody) {
  Add(0, 4, 1);
  Remap(0, 4, 100);
  EXPECT_EQ(MarkOf(0), 0);
  EXPECT_EQ(MarkOf(103), 1);
  Add(0, 4, 2);  // the addresses are used again before the event is read
  Unmap(0, 4);
  EXPECT_EQ(MarkOf(0), 2);
  Unmap(0, 4);
  EXPECT_EQ(MarkOf(0), 0);
  EXPECT_EQ(MarkOf(100), 1);
}

TEST_F(MappingEventsTest, ARemapOntoPagesDisplacesThem) {
  Add(0, 4, 1);
  Add(50, 4, 2);
  Remap(0, 4, 50);  // 50..53 have left, but nobody said where to
  EXPECT_EQ(MarkOf(50), 1);
  EXPECT_EQ(discarded_, 0u);
  Remap(50, 4, 200);  // this is the late event of the former owner
  EXPECT_EQ(MarkOf(200), 2);
  EXPECT_EQ(MarkOf(50), 1);
}

TEST_F(MappingEventsTest, DisplacedPagesGoWithTheirLateUnmap) {
  Add(0, 4, 1);
  Add(50, 4, 2);
  Remap(0, 4, 50);
  Unmap(50, 4);
  EXPECT_EQ(discarded_, 4u);
  EXPECT_EQ(MarkOf(50), 1) << "the new owner stays";
}

TEST_F(MappingEventsTest, AnUnmapOfMoreThanIsKnownSparesWhatLandedSince) {
  Add(0, 4, 1);
  Add(50, 4, 2);
  Remap(0, 4, 54);  // onto a mapping behind 50..53 that was not registered
  Unmap(50, 8);     // the late event of both
  EXPECT_EQ(discarded_, 4u);
  EXPECT_EQ(MarkOf(50), 0);
  EXPECT_EQ(MarkOf(54), 1);
  Unmap(0, 4);  // mremap returns
  Unmap(54, 4);
  EXPECT_EQ(MarkOf(54), 0);
}

TEST_F(MappingEventsTest, WhatLandedGoesIfTheUnmapConcernsNothingElse) {
  Add(0, 4, 1);
  Remap(0, 4, 50);  // MREMAP_DONTUNMAP: no second event
  Unmap(50, 4);
  EXPECT_EQ(MarkOf(50), 0);
  EXPECT_EQ(discarded_, 4u);
}

TEST_F(MappingEventsTest, AProofOfQuietEndsWhatWasPending) {
  Add(0, 4, 1);
  Add(50, 4, 2);
  Remap(0, 4, 50);
  ProveQuiet();
  Remove(300, 1);  // any event settles first
  EXPECT_EQ(discarded_, 4u) << "displaced pages that no event mentioned are gone";
  Add(0, 4, 3);
  Unmap(0, 4);  // not the late event of the remap any more
  EXPECT_EQ(MarkOf(0), 0);
  EXPECT_EQ(MarkOf(50), 1);
}

TEST_F(MappingEventsTest, WithoutAProofNothingIsSettled) {
  Add(0, 4, 1);
  Remap(0, 4, 50);
  static_cast<void>(port_.Zero(At(0)));  // EAGAIN
  Add(0, 4, 2);
  Unmap(0, 4);
  EXPECT_EQ(MarkOf(0), 2);
}

TEST_F(MappingEventsTest, TwoFormerOwnersAreTooMany) {
  Add(0, 4, 1);
  Add(10, 4, 2);
  Add(50, 4, 3);
  Remap(0, 4, 50);
  EXPECT_DEATH(Remap(10, 4, 50), "events out of order");
}

TEST_F(MappingEventsTest, AChildForgetsWhatTheParentWasToRead) {
  Add(0, 4, 1);
  Remap(0, 4, 50);
  events_.ForgetPending();
  Add(0, 4, 2);
  Unmap(0, 4);
  EXPECT_EQ(MarkOf(0), 0);
}

}  // namespace
}  // namespace uzswap
