#include "learn/dictionary_learner.h"

#include <gtest/gtest.h>
#include <thread>
#include <vector>

#include "base/testing/page_corpus.h"
#include "codec/testing/sample_dictionary.h"

namespace uzswap {
namespace {

using Content = std::vector<std::byte>;

// Answers what the test says, and looks at what it is asked.
class FakeTrainer final : public TrainerPort {
 public:
  TrainResult Train(std::span<const std::byte> samples, std::span<std::byte> to) override {
    ++asked;
    sample_bytes = samples.size();
    if (outcome == TrainOutcome::kTrained && answer.size() <= to.size()) {
      std::copy(answer.begin(), answer.end(), to.begin());
    }
    return {outcome, claimed != 0 ? claimed : answer.size()};
  }
  void ForgetInChild() override { ++forgotten; }

  TrainOutcome outcome = TrainOutcome::kTrained;
  Content answer;
  size_t claimed = 0;  // a size other than the answer's
  size_t sample_bytes = 0;
  int asked = 0;
  int forgotten = 0;
};

class DictionaryLearnerTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(set_.Init(Bytes(kDictionaryBytesDefault)).ok());
    ASSERT_TRUE(learner_
                    .Init({.dictionaries = &set_,
                           .samples = &samples_,
                           .trainer = &trainer_,
                           .codec = CodecByName(GetParam())},
                          1)
                    .ok());
  }
  void TearDown() override { set_.Audit(); }

  // Stores pages of this kind until a training is due. Returns how many; 0 if it never is.
  uint64_t StoreUntilDue(PageKind kind, uint64_t held = 100'000) {
    const uint64_t first = stored_;
    constexpr uint64_t kDifferent = 256;
    std::vector<Content> pages(kDifferent, Content(kPageSize));
    for (uint64_t i = 0; i < kDifferent; ++i) FillPageOf(kind, first + i, pages[i]);
    for (; stored_ < first + 2 * DictionaryLearner::kSteadyPagesMax; ++stored_) {
      if (learner_.Tick(stored_, held)) return stored_ - first;
      if (!samples_.collecting()) continue;
      samples_.OnCompressed(
          std::span<const std::byte, kPageSize>(pages[stored_ % kDifferent].data(), kPageSize));
    }
    return 0;
  }
  LearnOutcome LearnFrom(PageKind kind, Content answer, uint64_t held = 100'000) {
    trainer_.answer = std::move(answer);
    EXPECT_GT(StoreUntilDue(kind, held), 0u);
    return learner_.Learn();
  }
  static Content TextDictionary(uint64_t seed = 1) {
    return SampleDictionary(PageKind::kText, seed, kDictionaryBytesDefault);
  }
  [[nodiscard]] uint32_t CurrentVersion() const {
    return set_.OwnersView(set_.current()).version();
  }

  DictionarySet set_;
  SampleReservoir samples_;
  FakeTrainer trainer_;
  DictionaryLearner learner_;
  uint64_t stored_ = 0;
};

TEST_P(DictionaryLearnerTest, ADictionaryThatPaysIsInstalled) {
  EXPECT_EQ(LearnFrom(PageKind::kText, TextDictionary()), LearnOutcome::kInstalled);
  EXPECT_EQ(trainer_.sample_bytes, SampleReservoir::kTrainingPages * kPageSize);
  EXPECT_EQ(CurrentVersion(), DictionaryVersionOf(TextDictionary()));
  EXPECT_FALSE(samples_.collecting());
}

TEST_P(DictionaryLearnerTest, FewPagesDoNotPayForIt) {
  EXPECT_EQ(LearnFrom(PageKind::kText, TextDictionary(), 10), LearnOutcome::kNoGain);
  EXPECT_EQ(set_.slots_in_use(), 0u);
  EXPECT_EQ(LearnFrom(PageKind::kText, TextDictionary()), LearnOutcome::kInstalled);
}

TEST_P(DictionaryLearnerTest, ADictionaryForOtherPagesIsNotInstalled) {
  EXPECT_EQ(LearnFrom(PageKind::kMostlyZero, TextDictionary()), LearnOutcome::kNoGain);
  EXPECT_EQ(set_.current(), kNoDictionary);
}

TEST_P(DictionaryLearnerTest, OneThatIsHardlyBetterDoesNotReplaceIt) {
  ASSERT_EQ(LearnFrom(PageKind::kText, TextDictionary(1)), LearnOutcome::kInstalled);
  const uint32_t version = CurrentVersion();
  EXPECT_EQ(LearnFrom(PageKind::kText, TextDictionary(2)), LearnOutcome::kNoGain);
  EXPECT_EQ(LearnFrom(PageKind::kText, TextDictionary(1)), LearnOutcome::kNoGain) << "the same";
  EXPECT_EQ(CurrentVersion(), version);
  EXPECT_EQ(set_.slots_in_use(), 1u);
}

TEST_P(DictionaryLearnerTest, DriftReplacesItAndGivesItUp) {
  const Content pointers = SampleDictionary(PageKind::kPointers, 1, kDictionaryBytesDefault);
  ASSERT_EQ(LearnFrom(PageKind::kText, TextDictionary()), LearnOutcome::kInstalled);
  // Held by an object that was made before the drift.
  const AcquiredDictionary held = set_.Acquire();
  EXPECT_EQ(LearnFrom(PageKind::kPointers, pointers), LearnOutcome::kInstalled);
  EXPECT_EQ(CurrentVersion(), DictionaryVersionOf(pointers));
  EXPECT_EQ(set_.slots_in_use(), 2u);
  EXPECT_EQ(set_.VersionOf(held.slot), DictionaryVersionOf(TextDictionary()));
  set_.Release(held.slot);
  // Nothing that the trainer can make is of use for these pages.
  EXPECT_EQ(LearnFrom(PageKind::kMostlyZero, TextDictionary(3)), LearnOutcome::kRetired);
  EXPECT_EQ(set_.current(), kNoDictionary);
  EXPECT_EQ(set_.Collect() + set_.slots_in_use(), set_.slots_in_use());
}

TEST_P(DictionaryLearnerTest, DistancesGrowToAMaximum) {
  // Each training brings a better one: the contents change all the time.
  const PageKind kinds[] = {PageKind::kText, PageKind::kPointers};
  const uint64_t expected[] = {1024, 4096, 16384, 65536, 65536};
  for (size_t i = 0; i < std::size(expected); ++i) {
    const PageKind kind = kinds[i % 2];
    trainer_.answer = SampleDictionary(kind, i, kDictionaryBytesDefault);
    // The first page after the last training counts too.
    EXPECT_NEAR(static_cast<double>(StoreUntilDue(kind)), static_cast<double>(expected[i]), 1);
    EXPECT_EQ(learner_.Learn(), LearnOutcome::kInstalled) << i;
  }
}

TEST_P(DictionaryLearnerTest, WithoutGainDistancesGrowFurther) {
  const uint64_t expected[] = {1024, 4096, 16384, 65536, 262144, 1048576, 1048576};
  trainer_.answer = TextDictionary();
  for (const uint64_t distance : expected) {
    EXPECT_NEAR(static_cast<double>(StoreUntilDue(PageKind::kText)), static_cast<double>(distance),
                1);
    EXPECT_NE(learner_.Learn(), LearnOutcome::kFailed);
  }
}

TEST_P(DictionaryLearnerTest, WhatTheTrainerGivesIsNotTrusted) {
  EXPECT_EQ(LearnFrom(PageKind::kText, Content(4096)), LearnOutcome::kFailed);
  trainer_.claimed = kDictionaryBytesDefault + 1;
  EXPECT_EQ(LearnFrom(PageKind::kText, TextDictionary()), LearnOutcome::kFailed);
  trainer_.claimed = 0;
  EXPECT_EQ(LearnFrom(PageKind::kText, TextDictionary()), LearnOutcome::kInstalled);
  EXPECT_EQ(learner_.trainings(), 3u);
}

TEST_P(DictionaryLearnerTest, AfterThreeFailuresNothingIsAsked) {
  trainer_.outcome = TrainOutcome::kFailed;
  for (uint32_t i = 0; i < DictionaryLearner::kFailuresMax; ++i) {
    EXPECT_EQ(LearnFrom(PageKind::kText, {}), LearnOutcome::kFailed);
  }
  EXPECT_EQ(StoreUntilDue(PageKind::kText), 0u);
  EXPECT_FALSE(samples_.collecting());
  learner_.ResetInChild();
  EXPECT_EQ(StoreUntilDue(PageKind::kText), 0u) << "a child asks the same broker";
}

TEST_P(DictionaryLearnerTest, ABusyTrainerIsAskedAgainSoon) {
  trainer_.outcome = TrainOutcome::kBusy;
  for (int distance = 1024; distance <= 16384; distance *= 2) {
    EXPECT_NEAR(static_cast<double>(StoreUntilDue(PageKind::kText)), distance, 1);
    EXPECT_EQ(learner_.Learn(), LearnOutcome::kPostponed);
  }
  trainer_.outcome = TrainOutcome::kTrained;
  EXPECT_EQ(LearnFrom(PageKind::kText, TextDictionary()), LearnOutcome::kInstalled);
}

TEST_P(DictionaryLearnerTest, WithoutATrainerNothingIsAskedAgain) {
  trainer_.outcome = TrainOutcome::kUnavailable;
  EXPECT_EQ(LearnFrom(PageKind::kText, {}), LearnOutcome::kUnavailable);
  EXPECT_EQ(StoreUntilDue(PageKind::kText), 0u);
  EXPECT_EQ(trainer_.asked, 1);
}

TEST_P(DictionaryLearnerTest, WithoutASlotTheCurrentOneStays) {
  std::vector<DictionarySlot> held;
  for (uint64_t i = 0; i < DictionarySet::kSlots; ++i) {
    ASSERT_EQ(set_.Install(SampleDictionary(PageKind::kText, 100 + i, 1024)),
              InstallOutcome::kInstalled);
    held.push_back(set_.Acquire().slot);
  }
  const uint32_t version = CurrentVersion();
  EXPECT_EQ(LearnFrom(PageKind::kText, TextDictionary()), LearnOutcome::kNoSlot);
  EXPECT_EQ(CurrentVersion(), version);
  for (const DictionarySlot slot : held) set_.Release(slot);
  EXPECT_EQ(LearnFrom(PageKind::kText, TextDictionary()), LearnOutcome::kInstalled);
}

// As the daemon does while a program forks. The child's ResetInChild frees the lock.
void HoldStill(DictionaryLearner& learner) UZ_NO_THREAD_SAFETY_ANALYSIS { learner.Pause(); }

// A fork at each point of the schedule: the child has what was learned, and learns on.
TEST_P(DictionaryLearnerTest, AChildBeginsAnewWithWhatWasLearned) {
  ASSERT_EQ(LearnFrom(PageKind::kText, TextDictionary()), LearnOutcome::kInstalled);
  const uint32_t version = CurrentVersion();
  for (int point = 0; point < 3; ++point) {
    if (point == 1) {
      while (!samples_.collecting()) EXPECT_FALSE(learner_.Tick(stored_++, 1000));
    }
    if (point == 2) {
      EXPECT_GT(StoreUntilDue(PageKind::kText), 0u);
    }
    // Its thread stays behind.
    std::thread([this] { HoldStill(learner_); }).join();
    learner_.ResetInChild();
    EXPECT_FALSE(samples_.collecting());
    EXPECT_EQ(CurrentVersion(), version);
    EXPECT_EQ(LearnFrom(PageKind::kText, TextDictionary()), LearnOutcome::kNoGain) << point;
  }
  EXPECT_EQ(trainer_.forgotten, 3);
}

INSTANTIATE_TEST_SUITE_P(All, DictionaryLearnerTest, testing::Values("lz4", "zstd"),
                         [](const auto& each) { return std::string(each.param); });

}  // namespace
}  // namespace uzswap
