#include "session/training_file.h"

#include <cerrno>
#include <cstring>
#include <gtest/gtest.h>
#include <memory>
#include <thread>
#include <vector>

#include "base/rng.h"
#include "base/testing/wait_until.h"

namespace uzswap {
namespace {

using State = TrainingState;
using Outcome = TrainingOutcome;

constexpr uint64_t kSequence = 41;
constexpr State kAllStates[] = {State::kIdle, State::kRequested, State::kTraining, State::kDone,
                                State::kFailed};
static_assert(std::size(kAllStates) == kTrainingStates);

std::unique_ptr<TrainingFile> NewFile() { return std::make_unique<TrainingFile>(); }

std::vector<std::byte> Content(size_t bytes, uint8_t fill = 7) {
  return std::vector<std::byte>(bytes, std::byte{fill});
}

// Brings a new file to a state, as the two sides do.
std::unique_ptr<TrainingFile> FileIn(State state, uint64_t sequence = kSequence) {
  auto file = NewFile();
  if (state == State::kIdle) return file;
  EXPECT_TRUE(RequestTraining(*file, sequence, 3));
  if (state == State::kRequested) return file;
  const std::optional<TrainingRequest> request = TakeTraining(*file);
  EXPECT_TRUE(request);
  if (state == State::kDone) {
    EXPECT_TRUE(AnswerTraining(*file, *request, Content(1000), 5));
  }
  if (state == State::kFailed) {
    EXPECT_TRUE(FailTraining(*file, *request, ENODATA));
  }
  return file;
}

TEST(TrainingFileTest, ADictionaryIsExchanged) {
  auto file = NewFile();
  EXPECT_EQ(CheckedAnswer(*file, kSequence).outcome, Outcome::kBroken) << "nothing was requested";
  file->samples[3 * kPageSize - 1] = std::byte{9};
  ASSERT_TRUE(RequestTraining(*file, kSequence, 3));
  EXPECT_FALSE(RequestTraining(*file, kSequence + 1, 3)) << "one at a time";
  EXPECT_EQ(CheckedAnswer(*file, kSequence).outcome, Outcome::kPending);

  const std::optional<TrainingRequest> request = TakeTraining(*file);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->sequence, kSequence);
  ASSERT_EQ(request->samples.size(), 3 * kPageSize);
  EXPECT_EQ(request->samples.back(), std::byte{9});
  EXPECT_FALSE(TakeTraining(*file)) << "it is taken once";
  EXPECT_EQ(CheckedAnswer(*file, kSequence).outcome, Outcome::kPending);

  ASSERT_TRUE(AnswerTraining(*file, *request, Content(sizeof(file->dictionary)), 0xabcdef));
  const TrainingAnswer answer = CheckedAnswer(*file, kSequence);
  EXPECT_EQ(answer.outcome, Outcome::kDone);
  EXPECT_EQ(answer.reused, 0xabcdefu);
  ASSERT_EQ(answer.content.size(), kDictionaryBytesDefault);
  EXPECT_EQ(answer.content.back(), std::byte{7});
  EndTraining(*file);
  EXPECT_EQ(TrainingStateOf(file->header), State::kIdle);
  EXPECT_TRUE(RequestTraining(*file, kSequence + 1, 1));
}

TEST(TrainingFileTest, AFailureHasAnErrno) {
  auto file = FileIn(State::kFailed);
  EXPECT_EQ(CheckedAnswer(*file, kSequence).outcome, Outcome::kFailed);
  EXPECT_EQ(CheckedAnswer(*file, kSequence).error, ENODATA);
  for (const int error : {0, -1, 1 << 20}) {
    file = FileIn(State::kRequested);
    const auto request = TakeTraining(*file);
    ASSERT_TRUE(FailTraining(*file, *request, error));
    EXPECT_EQ(CheckedAnswer(*file, kSequence).outcome, Outcome::kFailed) << error;
  }
}

TEST(TrainingFileTest, OnlyTheTransitionsOfThePictureExist) {
  const auto allowed = [](State from, State to) {
    return (from == State::kIdle && to == State::kRequested) ||
           (from == State::kRequested && to == State::kTraining) ||
           (from == State::kTraining && (to == State::kDone || to == State::kFailed));
  };
  for (const State from : kAllStates) {
    for (const State to : kAllStates) {
      if (!allowed(from, to)) {
        auto file = NewFile();
        EXPECT_DEATH((void)ChangeTrainingState(file->header, kSequence, from, to), "IsAllowed");
        continue;
      }
      for (const State is : kAllStates) {
        auto file = FileIn(is);
        EXPECT_EQ(ChangeTrainingState(file->header, kSequence, from, to), is == from);
        EXPECT_EQ(TrainingStateOf(file->header), is == from ? to : is);
        file = FileIn(is, kSequence + 1);
        const bool other = ChangeTrainingState(file->header, kSequence, from, to);
        EXPECT_EQ(other, is == from && from == State::kIdle) << "of another request";
      }
    }
  }
}

TEST(TrainingFileTest, EveryStateCanBeEnded) {
  for (const State state : kAllStates) {
    auto file = FileIn(state);
    EndTraining(*file);
    EXPECT_EQ(TrainingStateOf(file->header), State::kIdle);
    EXPECT_EQ(CheckedAnswer(*file, kSequence).outcome, Outcome::kBroken);
    EXPECT_TRUE(RequestTraining(*file, kSequence + 1, 1));
  }
}

// A process that the engine has given up answers while the next request is there.
TEST(TrainingFileTest, ALateAnswerChangesNothing) {
  for (const bool taken : {false, true}) {
    for (const bool fails : {false, true}) {
      auto file = FileIn(State::kRequested);
      const auto late = TakeTraining(*file);
      EndTraining(*file);
      const auto answer = [&] {
        return fails ? FailTraining(*file, *late, EIO)
                     : AnswerTraining(*file, *late, Content(1000, 1), 0);
      };
      EXPECT_FALSE(answer());
      ASSERT_TRUE(RequestTraining(*file, kSequence + 1, 2));
      const auto next = taken ? TakeTraining(*file) : std::nullopt;
      EXPECT_FALSE(answer());
      EXPECT_EQ(CheckedAnswer(*file, kSequence + 1).outcome, Outcome::kPending);
      EXPECT_EQ(file->dictionary[0], std::byte{0});
      if (taken) {
        EXPECT_TRUE(AnswerTraining(*file, *next, Content(1000), 0));
      }
    }
  }
}

TEST(TrainingFileTest, TheProcessTakesOnlyGoodRequests) {
  struct Row {
    const char* what;
    void (*damage)(TrainingHeader&);
  };
  const Row kTable[] = {
      {"magic", [](TrainingHeader& h) { h.magic = kTrainingMagic + 1; }},
      {"version", [](TrainingHeader& h) { h.version = kTrainingVersion + 1; }},
      {"no samples", [](TrainingHeader& h) { h.sample_pages = 0; }},
      {"too many samples", [](TrainingHeader& h) { h.sample_pages = kTrainingSamplesMax + 1; }},
      {"overflow", [](TrainingHeader& h) { h.sample_pages = UINT32_MAX; }},
      {"idle", [](TrainingHeader& h) { h.word = 0; }},
      {"a state that is none", [](TrainingHeader& h) { h.word = h.word | 0xff; }},
  };
  for (const Row& row : kTable) {
    auto file = FileIn(State::kRequested);
    row.damage(file->header);
    EXPECT_FALSE(TakeTraining(*file)) << row.what;
  }
  auto most = NewFile();
  ASSERT_TRUE(RequestTraining(*most, kSequence, kTrainingSamplesMax));
  EXPECT_EQ(TakeTraining(*most)->samples.size(), sizeof(most->samples));
  EXPECT_DEATH((void)RequestTraining(*NewFile(), 1, 0), "sample_pages");
  EXPECT_DEATH((void)RequestTraining(*NewFile(), 1, kTrainingSamplesMax + 1), "sample_pages");
  EXPECT_DEATH((void)RequestTraining(*NewFile(), uint64_t{1} << 56, 1), "kSequenceMax");
}

TEST(TrainingFileTest, TheEngineTakesOnlyGoodAnswers) {
  struct Row {
    const char* what;
    State state;
    void (*damage)(TrainingHeader&);
    Outcome expected;
  };
  const Row kTable[] = {
      {"smallest", State::kDone,
       [](TrainingHeader& h) { h.dictionary_bytes = kDictionaryBytesMin; }, Outcome::kDone},
      {"largest", State::kDone,
       [](TrainingHeader& h) { h.dictionary_bytes = kDictionaryBytesDefault; }, Outcome::kDone},
      {"too small", State::kDone,
       [](TrainingHeader& h) { h.dictionary_bytes = kDictionaryBytesMin - 1; }, Outcome::kBroken},
      {"too large", State::kDone,
       [](TrainingHeader& h) { h.dictionary_bytes = kDictionaryBytesDefault + 1; },
       Outcome::kBroken},
      {"no version", State::kDone, [](TrainingHeader& h) { h.reused = 1 << 24; }, Outcome::kBroken},
      {"another request", State::kDone, [](TrainingHeader& h) { h.word = h.word + 256; },
       Outcome::kBroken},
      {"idle", State::kTraining, [](TrainingHeader& h) { h.word = 0; }, Outcome::kBroken},
      {"idle with the sequence", State::kTraining,
       [](TrainingHeader& h) { h.word = kSequence << 8; }, Outcome::kBroken},
      {"a state that is none", State::kDone, [](TrainingHeader& h) { h.word = h.word | 0xff; },
       Outcome::kBroken},
      {"no errno", State::kFailed, [](TrainingHeader& h) { h.error = 0; }, Outcome::kBroken},
      {"negative", State::kFailed, [](TrainingHeader& h) { h.error = -1; }, Outcome::kBroken},
      {"too large an errno", State::kFailed, [](TrainingHeader& h) { h.error = 4096; },
       Outcome::kBroken},
      {"magic is the engine's", State::kDone, [](TrainingHeader& h) { h.magic = 0; },
       Outcome::kDone},
  };
  for (const Row& row : kTable) {
    auto file = FileIn(row.state);
    row.damage(file->header);
    const TrainingAnswer answer = CheckedAnswer(*file, kSequence);
    EXPECT_EQ(answer.outcome, row.expected) << row.what;
    EXPECT_EQ(answer.content.empty(), row.expected != Outcome::kDone) << row.what;
  }
}

// Any bytes in the header: nothing that is taken breaks the bounds.
TEST(TrainingFileTest, ArbitraryHeadersBreakNoBound) {
  constexpr uint64_t kSeed = 20261128;
  printf("seed %lu\n", static_cast<unsigned long>(kSeed));
  Rng rng(kSeed);
  auto file = FileIn(State::kRequested);
  for (int round = 0; round < 100'000; ++round) {
    TrainingHeader& header = file->header;
    const auto any = [&rng] { return static_cast<uint32_t>(rng.Next() >> rng.Below(64)); };
    header.magic = rng.OneIn(4) ? rng.Next() : kTrainingMagic;
    header.version = rng.OneIn(4) ? any() : kTrainingVersion;
    header.word = kSequence << 8 | rng.Below(8);
    header.sample_pages = any();
    header.dictionary_bytes = any();
    header.reused = any();
    header.error = static_cast<int32_t>(any());
    const TrainingAnswer answer = CheckedAnswer(*file, kSequence);
    EXPECT_LE(answer.content.size(), sizeof(file->dictionary));
    const std::optional<TrainingRequest> request = TakeTraining(*file);
    if (!request) continue;
    ASSERT_LE(request->samples.size(), sizeof(file->samples));
    ASSERT_GT(request->samples.size(), 0u);
  }
}

// What one side wrote is there when the other one sees the state.
TEST(TrainingFileTest, TheWordOrdersTheBytes) {
  auto file = NewFile();
  constexpr uint64_t kRounds = 200;
  std::thread process([&file] {
    for (uint64_t round = 1; round <= kRounds; ++round) {
      std::optional<TrainingRequest> request;
      const bool requested = WaitUntil([&] {
        request = TakeTraining(*file);
        return request.has_value();
      });
      UZ_CHECK(requested);
      UZ_CHECK_EQ(request->sequence, round);
      for (const std::byte byte : request->samples) UZ_CHECK(byte == std::byte(round));
      UZ_CHECK(AnswerTraining(*file, *request, Content(300, static_cast<uint8_t>(round)), 0));
    }
  });
  for (uint64_t round = 1; round <= kRounds; ++round) {
    memset(file->samples, static_cast<int>(round), kPageSize);
    UZ_CHECK(RequestTraining(*file, round, 1));
    TrainingAnswer answer;
    const bool answered = WaitUntil([&] {
      answer = CheckedAnswer(*file, round);
      return answer.outcome != Outcome::kPending;
    });
    UZ_CHECK(answered);
    UZ_CHECK(answer.outcome == Outcome::kDone);
    for (const std::byte byte : answer.content) UZ_CHECK(byte == std::byte(round));
    EndTraining(*file);
  }
  process.join();
  EXPECT_EQ(TrainingSequenceOf(file->header), 0u);
}

}  // namespace
}  // namespace uzswap
