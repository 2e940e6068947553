// The broker of a run: it ends with the run, and lives as long as a managed process.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <gtest/gtest.h>
#include <optional>
#include <utility>
#include <vector>

#include "base/testing/page_corpus.h"
#include "base/testing/slowness.h"
#include "broker/broker_client.h"
#include "broker_process.h"
#include "os/memory_file.h"
#include "os/packet_socket.h"
#include "os/process_identity.h"
#include "session/session.h"
#include "session/training_file.h"
#include "testing/deadline.h"
#include "testing/uzswap.h"

namespace uzswap::cli {
namespace {

using testing::Binary;
using testing::Contains;
using testing::Deadline;
using testing::Ended;
using testing::ReadFile;
using testing::Running;
using testing::RunTest;
using testing::RunToEnd;
using testing::RunWords;
using testing::Uzswap;
using testing::Words;

// A process by a descriptor, so that its pid cannot come to mean another one.
class Process {
 public:
  explicit Process(pid_t pid)
      : pid_(pid), pidfd_(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))) {
    UZ_CHECK(pidfd_ >= 0);
  }
  Process(Process&& other) noexcept : pid_(other.pid_), pidfd_(std::exchange(other.pidfd_, -1)) {}
  Process(const Process&) = delete;
  ~Process() { os::CloseDescriptor(pidfd_); }

  [[nodiscard]] pid_t pid() const { return pid_; }
  void Kill() const { syscall(SYS_pidfd_send_signal, pidfd_, SIGKILL, nullptr, 0); }
  [[nodiscard]] bool EndsInTime() const { return Deadline().AwaitReadable(pidfd_); }
  [[nodiscard]] bool HasEnded() const {
    return Deadline(std::chrono::milliseconds(0)).AwaitReadable(pidfd_);
  }

 private:
  pid_t pid_;
  int pidfd_;
};

pid_t ParentOf(pid_t pid) {
  const std::string stat = ReadFile("/proc/" + std::to_string(pid) + "/stat");
  const size_t bracket = stat.rfind(") ");
  if (bracket == std::string::npos) return 0;
  return std::atoi(stat.c_str() + bracket + 4);
}

// Children of a process with this name (prctl).
std::vector<pid_t> ChildrenNamed(pid_t parent, const std::string& name) {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 0 || ParentOf(pid) != parent) continue;
    if (ReadFile(entry.path().string() + "/comm") == name + "\n") found.push_back(pid);
  }
  return found;
}

// The broker takes its name soon after its start, so it may not be there at once.
std::optional<Process> FindBroker(pid_t runner) {
  const Deadline deadline;
  while (deadline.left_ms() > 0) {
    const std::vector<pid_t> found = ChildrenNamed(runner, "uzswap-broker");
    if (found.size() == 1) return Process(found[0]);
    poll(nullptr, 0, 1);
  }
  ADD_FAILURE() << "no broker before the deadline";
  return std::nullopt;
}

Result<Session> OpenSessionOf(pid_t runner) {
  // The session is the only memfd of the runner.
  std::string path;
  const std::string folder = "/proc/" + std::to_string(runner) + "/fd";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::error_code closed;  // meanwhile: it was another file
    const std::string target = std::filesystem::read_symlink(entry.path(), closed);
    if (!closed && Contains(target, "memfd:uzswap-session")) path = entry.path();
  }
  return Session::Open(path.c_str());
}

// Asks the broker for a file: the runner starts it for its first client.
std::optional<Process> StartBroker(pid_t runner) {
  const Result<Session> session = OpenSessionOf(runner);
  if (!session.ok() || !session.value().broker()) return std::nullopt;
  Result<BrokerClient> client =
      BrokerClient::Connect(*session.value().broker(), Slower<uint32_t>(60'000));
  if (!client.ok()) return std::nullopt;
  const Result<int> opened = client.value().OpenProc(os::ProcLeaf::kStatus);
  if (!opened.ok()) return std::nullopt;
  close(opened.value());
  return FindBroker(runner);
}

// The runner has ended. What it did not reap is this process's child. Only `broker` counts: a
// broker of an earlier test may end at this moment.
::testing::AssertionResult ReapedByRunner(pid_t broker) {
  for (const pid_t pid : ChildrenNamed(getpid(), "uzswap-broker")) {
    if (pid != broker) continue;
    const std::string stat = ReadFile("/proc/" + std::to_string(pid) + "/stat");
    return ::testing::AssertionFailure() << "the runner left its broker: " << stat;
  }
  return ::testing::AssertionSuccess();
}

Words WaitingRun() {
  return RunWords({"--limit", "64M", "--", Binary("UZSWAP_CHILD"), "wait-input"});
}

// The test adopts what the runner leaves behind, so that it sees zombies and can reap.
// True once a program that reads from `input` maps the session. Between its exec and this moment
// nobody can see that it will (docs/design/races.md).
bool UsesSession(const std::string& input) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const auto link = std::filesystem::read_symlink(entry.path() / "fd/0", ignored);
    if (ignored || link != input) continue;
    const bool executed = ReadFile(entry.path() / "comm") == "cli_child\n";
    if (executed && Contains(ReadFile(entry.path() / "maps"), "uzswap-session")) return true;
  }
  return false;
}

bool AwaitUser(const std::string& input) {
  const Deadline deadline;
  while (!UsesSession(input)) {
    if (deadline.left_ms() == 0) return false;
    poll(nullptr, 0, 1);
  }
  return true;
}

class BrokerRunTest : public RunTest {
 protected:
  void SetUp() override {
    RunTest::SetUp();
    ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  }
  void TearDown() override {
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
  }
};

TEST_F(BrokerRunTest, ItEndsWithTheRunAndLeavesNoZombie) {
  Running running(WaitingRun());
  ASSERT_EQ(running.ReadLine(), "ready");
  const auto broker = StartBroker(running.pid());
  ASSERT_TRUE(broker);
  running.CloseInput();
  EXPECT_EQ(running.Await().status, 0);
  EXPECT_TRUE(broker->HasEnded()) << "it ended before the runner";
  EXPECT_TRUE(ReapedByRunner(broker->pid()));
}

// What a process has open, but for the session.
struct OpenFiles {
  int standard = 0;  // of standard input, output and error: those that are /dev/null
  int sockets = 0;
  int pipes = 0;
  std::string others;
};

OpenFiles OpenFilesIn(const std::string& folder) {
  OpenFiles files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::error_code closed;
    const std::string target = std::filesystem::read_symlink(entry.path(), closed);
    if (closed || Contains(target, "memfd:uzswap-session")) continue;
    if (target == "/dev/null" && std::atoi(entry.path().filename().c_str()) <= 2) {
      ++files.standard;
    } else if (target.rfind("socket:", 0) == 0) {
      ++files.sockets;
    } else if (target.rfind("pipe:", 0) == 0) {
      ++files.pipes;
    } else {
      files.others += target + " ";
    }
  }
  return files;
}

TEST_F(BrokerRunTest, ItHasNothingOfTheRunner) {
  Running running(WaitingRun());
  ASSERT_EQ(running.ReadLine(), "ready");
  const auto broker = StartBroker(running.pid());
  ASSERT_TRUE(broker);
  const std::string folder = "/proc/" + std::to_string(broker->pid());
  EXPECT_EQ(std::filesystem::read_symlink(folder + "/cwd"), "/");
  // Until it has seen that its first client is gone.
  const Deadline deadline;
  OpenFiles files = OpenFilesIn(folder + "/fd");
  while (files.sockets > 1 && deadline.left_ms() > 0) {
    poll(nullptr, 0, 1);
    files = OpenFilesIn(folder + "/fd");
  }
  EXPECT_EQ(files.standard, 3);
  EXPECT_EQ(files.sockets, 1);
  EXPECT_EQ(files.pipes, 1);
  EXPECT_EQ(files.others, "");
  EXPECT_EQ(getpgid(broker->pid()), broker->pid());
  EXPECT_EQ(getsid(broker->pid()), getsid(running.pid()))
      << "the scheduler's group is that of the run";
  kill(broker->pid(), SIGTERM);
  kill(broker->pid(), SIGHUP);
  running.CloseInput();
  EXPECT_EQ(running.Await().status, 0);
}

TEST_F(BrokerRunTest, ItTrainsDictionaries) {
  Running running(WaitingRun());
  ASSERT_EQ(running.ReadLine(), "ready");
  const auto broker = StartBroker(running.pid());
  ASSERT_TRUE(broker);
  {
    const Result<Session> session = OpenSessionOf(running.pid());
    ASSERT_TRUE(session.ok());
    Result<BrokerClient> client =
        BrokerClient::Connect(*session.value().broker(), Slower<uint32_t>(60'000));
    ASSERT_TRUE(client.ok());
    Result<os::MemoryFile> memory = os::MemoryFile::Reserve(kTrainingFileBytes, "test");
    ASSERT_TRUE(memory.ok());
    uint32_t version = 0;
    for (uint64_t sequence = 1; sequence <= 2; ++sequence) {
      ASSERT_TRUE(memory.value().Open("uzswap-training").ok());
      TrainingFile& file = *reinterpret_cast<TrainingFile*>(memory.value().data());
      for (size_t at = 0; at < sizeof(file.samples); at += kPageSize) {
        FillPageOf(PageKind::kText, sequence * 1000 + at,
                   std::span(file.samples).subspan(at, kPageSize));
      }
      ASSERT_TRUE(RequestTraining(file, sequence, kTrainingSamplesMax));
      const Deadline deadline;
      Result<void> asked = client.value().Train(memory.value().descriptor());
      // The process of the former request ends a moment after its answer.
      while (!asked.ok() && asked.error().errno_value == EBUSY && deadline.left_ms() > 0) {
        poll(nullptr, 0, 1);
        asked = client.value().Train(memory.value().descriptor());
      }
      ASSERT_TRUE(asked.ok());
      while (CheckedAnswer(file, sequence).outcome == TrainingOutcome::kPending) {
        ASSERT_GT(deadline.left_ms(), 0);
        poll(nullptr, 0, 1);
      }
      const TrainingAnswer answer = CheckedAnswer(file, sequence);
      ASSERT_EQ(answer.outcome, TrainingOutcome::kDone) << answer.error;
      EXPECT_EQ(answer.reused, version);
      version = DictionaryVersionOf(answer.content);
      memory.value().Close();
    }
    EXPECT_EQ(session.value().broker_counters().trainings.Get(), 2u);
    EXPECT_EQ(session.value().broker_counters().failed_trainings.Get(), 0u);
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    EXPECT_EQ(client.value().Train(null).error().errno_value, EPROTO);
    close(null);
  }
  EXPECT_FALSE(broker->HasEnded());
  running.CloseInput();
  EXPECT_EQ(running.Await().status, 0);
  EXPECT_TRUE(broker->HasEnded()) << "it ended before the runner";
}

TEST_F(BrokerRunTest, ItServesTheSession) {
  Running running(WaitingRun());
  ASSERT_EQ(running.ReadLine(), "ready");
  const Result<Session> session = OpenSessionOf(running.pid());
  ASSERT_TRUE(session.ok());
  const std::optional<BrokerAddress> address = session.value().broker();
  ASSERT_TRUE(address);
  Result<BrokerClient> client = BrokerClient::Connect(*address, Slower<uint32_t>(60'000));
  ASSERT_TRUE(client.ok());
  const Result<int> opened = client.value().OpenProc(os::ProcLeaf::kStatus);
  ASSERT_TRUE(opened.ok()) << opened.error().what;
  close(opened.value());
  EXPECT_EQ(session.value().broker_counters().opened.Get(), 1u);
  EXPECT_EQ(session.value().broker_counters().starts.Get(), 1u);
  EXPECT_EQ(session.value().broker_counters().start_failures.Get(), 0u);
  running.CloseInput();
  EXPECT_EQ(running.Await().status, 0);
}

TEST_F(BrokerRunTest, StandardOutputEndsWithTheRunner) {
  const Ended ended = RunToEnd({"sh", "-c", "\"$@\" 2>&1 | cat", "sh", Binary("UZSWAP_BINARY"),
                                "run", "--limit", "64M", "--", "echo", "done"});
  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(ended.output, "done\n");
}

TEST_F(BrokerRunTest, AProcessThatOutlivesTheRunKeepsIt) {
  const std::string fifo = folder_.path() + "/fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  // The background process waits for the fifo's end. It does not hold the runner's pipes.
  Running running(RunWords({"--limit", "64M", "--", "sh", "-c",
                            Binary("UZSWAP_CHILD") + " wait-input < " + fifo +
                                " > /dev/null 2>&1 & echo started; read line"}));
  ASSERT_EQ(running.ReadLine(), "started");
  const auto broker = StartBroker(running.pid());
  ASSERT_TRUE(broker);
  const int holder = open(fifo.c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_GE(holder, 0);
  ASSERT_TRUE(AwaitUser(fifo));
  running.CloseInput();
  EXPECT_NE(running.Await().status, 125);
  EXPECT_FALSE(broker->HasEnded());
  close(holder);
  EXPECT_TRUE(broker->EndsInTime());
}

TEST_F(BrokerRunTest, KillingTheBrokerChangesNothing) {
  Running running(WaitingRun());
  ASSERT_EQ(running.ReadLine(), "ready");
  const auto broker = StartBroker(running.pid());
  ASSERT_TRUE(broker);
  broker->Kill();
  ASSERT_TRUE(broker->EndsInTime());
  running.CloseInput();
  EXPECT_EQ(running.Await().status, 0);
  EXPECT_TRUE(ReapedByRunner(broker->pid()));
}

TEST_F(BrokerRunTest, ItOutlivesAKilledRunnerUntilTheLastProcessEnds) {
  const std::string fifo = folder_.path() + "/fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  // setsid: the kernel kills CMD with the runner, but not this process.
  Running running(RunWords({"--limit", "64M", "--", "sh", "-c",
                            "setsid " + Binary("UZSWAP_CHILD") + " wait-input < " + fifo +
                                " > /dev/null 2>&1 & echo started; read line"}));
  ASSERT_EQ(running.ReadLine(), "started");
  const auto broker = StartBroker(running.pid());
  ASSERT_TRUE(broker);
  const int holder = open(fifo.c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_GE(holder, 0);
  ASSERT_TRUE(AwaitUser(fifo));
  kill(running.pid(), SIGKILL);
  EXPECT_EQ(running.Await().signal, SIGKILL);
  EXPECT_FALSE(broker->HasEnded());
  close(holder);
  EXPECT_TRUE(broker->EndsInTime());
}

TEST_F(BrokerRunTest, ARunThatIsRefusedLeavesNone) {
  const std::string script = folder_.File("not-a-program", std::string("\x7f"
                                                                       "ELF rubbish"));
  EXPECT_NE(Uzswap({"--limit", "64M", "--", script}).status, 0);
  EXPECT_TRUE(ChildrenNamed(getpid(), "uzswap-broker").empty());
}

// The runner's side by hand: this process is the runner.
class BrokerProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<Session> made = Session::Create(Options{});
    ASSERT_TRUE(made.ok());
    session_.emplace(std::move(made).value());
    broker_.emplace(*session_);
    ASSERT_TRUE(session_->broker());
  }
  void TearDown() override { broker_.reset(); }
  [[nodiscard]] Result<BrokerClient> Connect() const {
    return BrokerClient::Connect(*session_->broker(), Slower<uint32_t>(60'000));
  }
  [[nodiscard]] uint64_t starts() const { return session_->broker_counters().starts.Get(); }

  std::optional<Session> session_;
  std::optional<BrokerProcess> broker_;
};

TEST_F(BrokerProcessTest, IsNotStartedIfNobodyAsks) {
  broker_->StartIfAsked();
  EXPECT_EQ(starts(), 0u);
  EXPECT_GE(broker_->listener(), 0);
  broker_->EndIfUnused();
  broker_.reset();
  EXPECT_EQ(starts(), 0u);
  const Result<BrokerClient> late = Connect();
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().errno_value, ECONNREFUSED);
}

TEST_F(BrokerProcessTest, IsStartedOnceForAClientThatWaits) {
  Result<BrokerClient> client = Connect();
  ASSERT_TRUE(client.ok());
  pollfd asked = {broker_->listener(), POLLIN, 0};
  EXPECT_EQ(poll(&asked, 1, 0), 1);
  broker_->StartIfAsked();
  EXPECT_EQ(broker_->listener(), -1);
  EXPECT_EQ(starts(), 1u);
  const Result<int> opened = client.value().OpenProc(os::ProcLeaf::kStatus);
  ASSERT_TRUE(opened.ok()) << opened.error().what;
  close(opened.value());
  broker_->Start();
  broker_->StartIfAsked();
  EXPECT_EQ(starts(), 1u);
  const std::optional<Process> started = FindBroker(getpid());
  ASSERT_TRUE(started);
  EXPECT_TRUE(broker_->Is(started->pid()));
  broker_.reset();
  EXPECT_EQ(waitpid(started->pid(), nullptr, WNOHANG), -1) << "it was killed and reaped";
}

TEST_F(BrokerProcessTest, IsLeftBehindForAProcessThatUsesTheSession) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  int ready[2];
  ASSERT_EQ(pipe2(ready, O_CLOEXEC), 0);
  const std::string path = session_->path().c_str();
  const pid_t user = fork();
  if (user == 0) {
    close(ends[1]);
    const Result<Session> session = Session::Open(path.c_str());
    char byte = session.ok() ? 'y' : 'n';
    const bool told = write(ready[1], &byte, 1) == 1;
    _exit(told && read(ends[0], &byte, 1) == 0 ? 0 : 1);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  ASSERT_EQ(byte, 'y');
  broker_->EndIfUnused();
  EXPECT_EQ(starts(), 0u);
  broker_.reset();
  EXPECT_EQ(starts(), 1u);
  Result<BrokerClient> client = Connect();
  ASSERT_TRUE(client.ok());
  const Result<int> opened = client.value().OpenProc(os::ProcLeaf::kStatus);
  ASSERT_TRUE(opened.ok()) << opened.error().what;
  close(opened.value());
  const std::optional<Process> left = FindBroker(getpid());
  ASSERT_TRUE(left);
  close(ends[1]);
  int status = -1;
  ASSERT_EQ(waitpid(user, &status, 0), user);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(left->EndsInTime()) << "nobody uses the session";
  EXPECT_EQ(waitpid(left->pid(), nullptr, 0), left->pid());
  for (const int end : {ends[0], ready[0], ready[1]}) close(end);
}

TEST(BrokerLifetimeTest, EndsWhenNobodyUsesTheSession) {
  using os::OtherUsers;
  struct Row {
    const char* what;
    uint32_t live;
    OtherUsers others;
    int ends_at;  // the look that ends it; 0: never
  };
  const Row kTable[] = {
      {"nobody", 0, OtherUsers::kNone, 1},
      {"nobody, as far as is known", 0, OtherUsers::kUnknown, 1},
      {"a child that has not claimed yet", 0, OtherUsers::kSome, 0},
      {"a process", 1, OtherUsers::kSome, 0},
      {"a process, as far as is known", 1, OtherUsers::kUnknown, 0},
      {"a process in exec, or one of another pid namespace that has ended", 1, OtherUsers::kNone,
       BrokerLifetime::kUnmappedLooks},
  };
  for (const Row& row : kTable) {
    BrokerLifetime lifetime;
    int ended = 0;
    for (int look = 1; look <= 100 && ended == 0; ++look) {
      if (lifetime.NoteState(row.live, row.others)) ended = look;
    }
    EXPECT_EQ(ended, row.ends_at) << row.what;
  }
}

}  // namespace
}  // namespace uzswap::cli
