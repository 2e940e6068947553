// Training processes: what they answer, and what becomes of those that are killed, stuck or given
// rubbish.
#include "training_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "base/testing/page_corpus.h"
#include "os/memory_file.h"
#include "testing/deadline.h"

namespace uzswap::cli {
namespace {

using testing::Deadline;

constexpr uint64_t kNow = 1000;

TrainingFile& FileOf(const os::MemoryFile& memory) {
  return *reinterpret_cast<TrainingFile*>(memory.data());
}

// A file with a request for pages of a kind.
os::MemoryFile Requested(PageKind kind, uint64_t sequence, uint32_t pages = kTrainingSamplesMax) {
  Result<os::MemoryFile> made = os::MemoryFile::Reserve(kTrainingFileBytes, "test");
  UZ_CHECK(made.ok() && made.value().Open("uzswap-training").ok());
  TrainingFile& file = FileOf(made.value());
  for (uint32_t i = 0; i < pages; ++i) {
    FillPageOf(kind, sequence * 1000 + i,
               std::span(file.samples).subspan(i * kPageSize, kPageSize));
  }
  UZ_CHECK(RequestTraining(file, sequence, pages));
  return std::move(made).value();
}

// What a work says to its test: the errno of the answer.
TrainingEnd Say(TrainingFile& file, int number) {
  const std::optional<TrainingRequest> request = TakeTraining(file);
  return request && FailTraining(file, *request, number) ? TrainingEnd::kAnswered
                                                         : TrainingEnd::kNoRequest;
}

TrainingEnd Stuck(TrainingFile& file, KnownDictionaries& /*known*/) {
  static_cast<void>(TakeTraining(file));
  while (true) pause();
}

TrainingEnd Crash(TrainingFile& file, KnownDictionaries& /*known*/) {
  static_cast<void>(TakeTraining(file));
  signal(SIGBUS, SIG_DFL);
  raise(SIGBUS);
  return TrainingEnd::kAnswered;
}

// 1: all is as the header says.
TrainingEnd CheckSurroundings(TrainingFile& file, KnownDictionaries& /*known*/) {
  int death_signal = 0;
  prctl(PR_GET_PDEATHSIG, &death_signal);
  rlimit core = {1, 1};
  getrlimit(RLIMIT_CORE, &core);
  char name[16] = {};
  prctl(PR_GET_NAME, name);
  if (sched_getscheduler(0) != SCHED_OTHER) return Say(file, 2);
  if (getpriority(PRIO_PROCESS, 0) != 10) return Say(file, 3);
  if (death_signal != SIGKILL) return Say(file, 4);
  if (core.rlim_cur != 0) return Say(file, 5);
  if (strcmp(name, "uzswap-train") != 0) return Say(file, 6);
  for (int descriptor = 3; descriptor < 100; ++descriptor) {
    if (fcntl(descriptor, F_GETFD) >= 0) return Say(file, 7);
  }
  return Say(file, 1);
}

class TrainingProcessTest : public ::testing::Test {
 protected:
  // Waits for the end of the process, and lets it be reaped.
  static void AwaitEnd(TrainingProcess& training) {
    ASSERT_GE(training.descriptor(), 0);
    ASSERT_TRUE(Deadline().AwaitReadable(training.descriptor()));
    training.Attend(kNow);
    EXPECT_EQ(training.descriptor(), -1);
    EXPECT_EQ(training.due_ms(), UINT64_MAX);
    EXPECT_EQ(training.process(), -1);
  }
  static int StartErrno(TrainingProcess& training, int file) {
    const Result<void> started = training.Start(file, kNow);
    return started.ok() ? 0 : started.error().errno_value;
  }
  static std::vector<std::byte> AnswerTo(TrainingProcess& training, const os::MemoryFile& memory,
                                         uint64_t sequence, uint32_t* reused) {
    EXPECT_EQ(StartErrno(training, memory.descriptor()), 0);
    AwaitEnd(training);
    const TrainingAnswer answer = CheckedAnswer(FileOf(memory), sequence);
    EXPECT_EQ(answer.outcome, TrainingOutcome::kDone) << strerror(answer.error);
    *reused = answer.reused;
    return {answer.content.begin(), answer.content.end()};
  }
  [[nodiscard]] uint64_t Failed() const { return counters_.failed_trainings.Get(); }

  BrokerCounters counters_;
};

TEST_F(TrainingProcessTest, ProcessesOfOneKindGetOneDictionary) {
  TrainingProcess training(counters_);
  uint32_t reused = 1;
  const auto first = AnswerTo(training, Requested(PageKind::kText, 1), 1, &reused);
  EXPECT_EQ(reused, 0u);
  const auto other = AnswerTo(training, Requested(PageKind::kPointers, 2), 2, &reused);
  EXPECT_EQ(reused, 0u);
  const auto again = AnswerTo(training, Requested(PageKind::kText, 3), 3, &reused);
  EXPECT_EQ(reused, DictionaryVersionOf(first));
  EXPECT_EQ(again, first);
  EXPECT_NE(other, first);
  EXPECT_EQ(Failed(), 0u);
  EXPECT_EQ(counters_.reused_dictionaries.Get(), 1u);
}

TEST_F(TrainingProcessTest, SamplesThatTeachNothingAreAnAnswer) {
  TrainingProcess training(counters_);
  const os::MemoryFile memory = Requested(PageKind::kRandom, 1);
  ASSERT_EQ(StartErrno(training, memory.descriptor()), 0);
  AwaitEnd(training);
  const TrainingAnswer answer = CheckedAnswer(FileOf(memory), 1);
  EXPECT_EQ(answer.outcome, TrainingOutcome::kFailed);
  EXPECT_EQ(answer.error, ENODATA);
  EXPECT_EQ(Failed(), 0u);
}

TEST_F(TrainingProcessTest, ItYieldsToEverybodyAndHasNothing) {
  TrainingProcess training(counters_, CheckSurroundings);
  const os::MemoryFile memory = Requested(PageKind::kText, 1, 1);
  ASSERT_EQ(StartErrno(training, memory.descriptor()), 0);
  AwaitEnd(training);
  EXPECT_EQ(CheckedAnswer(FileOf(memory), 1).error, 1);
}

TEST_F(TrainingProcessTest, OneAtATime) {
  TrainingProcess training(counters_, Stuck, 500);
  const os::MemoryFile memory = Requested(PageKind::kText, 1, 1);
  ASSERT_EQ(StartErrno(training, memory.descriptor()), 0);
  EXPECT_EQ(training.due_ms(), kNow + 500);
  EXPECT_NE(counters_.training_process.Get(), 0u);
  EXPECT_EQ(StartErrno(training, memory.descriptor()), EBUSY);
  training.Attend(kNow + 499);
  EXPECT_EQ(counters_.stuck_trainings.Get(), 0u);
  training.Attend(kNow + 500);
  EXPECT_EQ(counters_.stuck_trainings.Get(), 1u);
  AwaitEnd(training);
  EXPECT_EQ(Failed(), 1u);
  EXPECT_EQ(counters_.training_process.Get(), 0u);
  EXPECT_NE(CheckedAnswer(FileOf(memory), 1).outcome, TrainingOutcome::kDone);
  EXPECT_EQ(StartErrno(training, memory.descriptor()), 0) << "there is room again";
}

TEST_F(TrainingProcessTest, AProcessThatIsKilledIsCounted) {
  TrainingProcess training(counters_, Stuck);
  const os::MemoryFile memory = Requested(PageKind::kText, 1, 1);
  ASSERT_EQ(StartErrno(training, memory.descriptor()), 0);
  kill(training.process(), SIGKILL);
  AwaitEnd(training);
  EXPECT_EQ(Failed(), 1u);
}

TEST_F(TrainingProcessTest, ACrashEndsOnlyTheProcess) {
  TrainingProcess training(counters_, Crash);
  const os::MemoryFile memory = Requested(PageKind::kText, 1, 1);
  ASSERT_EQ(StartErrno(training, memory.descriptor()), 0);
  AwaitEnd(training);
  EXPECT_EQ(Failed(), 1u);
}

// A process that was killed while it kept a dictionary: the next one works.
TEST_F(TrainingProcessTest, TheNextProcessWorksAfterACrash) {
  const auto crash_once = [](TrainingFile& file, KnownDictionaries& known) {
    if (TrainingSequenceOf(file.header) != 1) return AnswerRequest(file, known);
    known.Add(std::vector<std::byte>(1000, std::byte{1}));
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
    return TrainingEnd::kAnswered;
  };
  TrainingProcess training(counters_, crash_once);
  const os::MemoryFile memory = Requested(PageKind::kText, 1, 1);
  ASSERT_EQ(StartErrno(training, memory.descriptor()), 0);
  AwaitEnd(training);
  EXPECT_EQ(Failed(), 1u);
  uint32_t reused = 1;
  EXPECT_FALSE(AnswerTo(training, Requested(PageKind::kText, 2), 2, &reused).empty());
  EXPECT_EQ(reused, 0u) << "what is known is not a dictionary";
}

TEST_F(TrainingProcessTest, WhatIsNoTrainingFileIsRefused) {
  const auto memfd = [](unsigned flags, size_t bytes, int seals) {
    const int file = memfd_create("test", flags);
    UZ_CHECK(file >= 0 && ftruncate(file, static_cast<off_t>(bytes)) == 0);
    if (seals != 0) UZ_CHECK(fcntl(file, F_ADD_SEALS, seals) == 0);
    return file;
  };
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  const size_t good = kTrainingFileBytes.raw();
  struct Row {
    const char* what;
    int file;
  };
  const Row kTable[] = {
      {"a device", open("/dev/zero", O_RDWR)},
      {"a file", open("/proc/self/exe", O_RDONLY)},
      {"a folder", open("/", O_RDONLY)},
      {"a socket of nothing", static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0))},
      {"not sealed", memfd(0, good, 0)},
      {"may shrink", memfd(MFD_ALLOW_SEALING, good, F_SEAL_GROW | F_SEAL_SEAL)},
      {"too small", memfd(MFD_ALLOW_SEALING, good - kPageSize, kSeals)},
      {"empty", memfd(MFD_ALLOW_SEALING, 0, kSeals)},
      {"too large", memfd(MFD_ALLOW_SEALING, good + kPageSize, kSeals)},
      {"closed", 999},
  };
  TrainingProcess training(counters_);
  for (const Row& row : kTable) {
    ASSERT_GE(row.file, 0) << row.what;
    EXPECT_EQ(StartErrno(training, row.file), EPROTO) << row.what;
    EXPECT_EQ(training.process(), -1) << row.what;
    close(row.file);
  }
}

// What only the process can see.
TEST_F(TrainingProcessTest, RubbishEndsTheProcess) {
  struct Row {
    const char* what;
    void (*damage)(TrainingFile&);
  };
  const Row kTable[] = {
      {"no request", [](TrainingFile& file) { EndTraining(file); }},
      {"magic", [](TrainingFile& file) { file.header.magic = 0; }},
      {"samples", [](TrainingFile& file) { file.header.sample_pages = UINT32_MAX; }},
      {"noise",
       [](TrainingFile& file) {
         Rng rng(1);
         FillRandom(rng, {reinterpret_cast<std::byte*>(&file.header), sizeof(file.header)});
       }},
  };
  TrainingProcess training(counters_);
  uint64_t failed = 0;
  for (const Row& row : kTable) {
    const os::MemoryFile memory = Requested(PageKind::kText, 1);
    row.damage(FileOf(memory));
    ASSERT_EQ(StartErrno(training, memory.descriptor()), 0) << row.what;
    AwaitEnd(training);
    EXPECT_EQ(Failed(), ++failed) << row.what;
  }
}

TEST_F(TrainingProcessTest, AFileThatCannotBeWrittenEndsTheProcess) {
  const os::MemoryFile memory = Requested(PageKind::kText, 1);
  const std::string path = "/proc/self/fd/" + std::to_string(memory.descriptor());
  const int reader = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(reader, 0);
  TrainingProcess training(counters_);
  ASSERT_EQ(StartErrno(training, reader), 0);
  AwaitEnd(training);
  EXPECT_EQ(Failed(), 1u);
  close(reader);
}

// The engine frees the samples while the process reads them, as when it has waited too long.
TEST_F(TrainingProcessTest, AFileThatIsClosedMeanwhileIsHarmless) {
  const auto closed = [](TrainingFile& file, KnownDictionaries& known) {
    const TrainingEnd end = AnswerRequest(file, known);
    return end == TrainingEnd::kNoRequest ? TrainingEnd::kAnswered : TrainingEnd::kNoRequest;
  };
  TrainingProcess training(counters_, closed);
  os::MemoryFile memory = Requested(PageKind::kText, 1);
  const int kept = dup(memory.descriptor());
  memory.Close();
  ASSERT_EQ(StartErrno(training, kept), 0);
  AwaitEnd(training);
  EXPECT_EQ(Failed(), 0u);
  close(kept);
}

TEST_F(TrainingProcessTest, ItEndsWithTheBroker) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  const pid_t broker = fork();
  if (broker == 0) {
    TrainingProcess training(counters_, Stuck);
    const os::MemoryFile memory = Requested(PageKind::kText, 1, 1);
    const bool started = training.Start(memory.descriptor(), kNow).ok();
    const pid_t process = started ? training.process() : -1;
    _exit(write(ends[1], &process, sizeof(process)) == sizeof(process) ? 0 : 1);
  }
  pid_t process = -1;
  ASSERT_EQ(read(ends[0], &process, sizeof(process)), static_cast<ssize_t>(sizeof(process)));
  ASSERT_GT(process, 0);
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, process, 0));
  // It may have ended already, but this process is the one that reaps it.
  ASSERT_GE(pidfd, 0);
  int status = 0;
  EXPECT_EQ(waitpid(broker, &status, 0), broker);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(Deadline().AwaitReadable(pidfd));
  EXPECT_EQ(waitpid(process, &status, 0), process);
  prctl(PR_SET_CHILD_SUBREAPER, 0);
  for (const int descriptor : {pidfd, ends[0], ends[1]}) close(descriptor);
}

TEST_F(TrainingProcessTest, WithoutProcessesOrDescriptorsItIsAnError) {
  const os::MemoryFile memory = Requested(PageKind::kText, 1, 1);
  const pid_t child = fork();
  if (child == 0) {
    TrainingProcess training(counters_, Stuck);
    const rlimit none = {3, 3};
    close_range(memory.descriptor() + 1, ~0U, 0);
    setrlimit(RLIMIT_NOFILE, &none);
    const bool refused = StartErrno(training, memory.descriptor()) == EMFILE;
    _exit(refused && training.process() == -1 && waitpid(-1, nullptr, 0) < 0 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace uzswap::cli
