#include "session/session.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <gtest/gtest.h>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/fold_statistics.h"
#include "base/testing/slowness.h"
#include "session/session_layout.h"

namespace uzswap {

struct SessionTestPeer {
  static internal::SessionLayout& Layout(Session& session) { return session.layout(); }
  static std::optional<ProcessRecord> ClaimAs(Session& session, const os::ProcessIdentity& self) {
    return session.ClaimAs(self, "test");
  }
};

namespace {

constexpr Options kOptions{
    Bytes(200 << 20),         CodecMode::kZstd,          PoolKind::kZbud, Bytes(40 << 20),
    Bytes(uint64_t{4} << 30), Bytes(uint64_t{10} << 30), 86400,           true,
    EngineHome::kThreads,     DictionaryMode::kOff,      "/var/tmp"};

Session NewSession() {
  Result<Session> made = Session::Create(kOptions);
  UZ_CHECK(made.ok());
  return std::move(made).value();
}

const int kDeadlineMs = Slower(60'000);

// A process of an unknown namespace, so that no other process finds it dead.
os::ProcessIdentity Stranger(uint32_t pid) { return {pid, 1, 1}; }

// A child process that opens the session by its path, runs `body`, reports that it is ready, and
// waits to be killed.
class Child {
 public:
  template <typename Body>
  Child(const Session::Path& path, Body body) {
    UZ_CHECK_EQ(pipe(ready_), 0);
    pid_ = fork();
    UZ_CHECK(pid_ >= 0);
    if (pid_ != 0) {
      close(ready_[1]);
      return;
    }
    Session session = std::move(Session::Open(path.c_str())).value();
    body(session);
    UZ_CHECK_EQ(write(ready_[1], "r", 1), 1);
    while (true) pause();
  }
  Child(const Child&) = delete;
  ~Child() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    close(ready_[0]);
  }
  [[nodiscard]] uint32_t pid() const { return static_cast<uint32_t>(pid_); }
  void AwaitReady() const {
    pollfd ready = {ready_[0], POLLIN, 0};
    ASSERT_EQ(poll(&ready, 1, kDeadlineMs), 1) << "the child is not ready in time";
    char c = 0;
    ASSERT_EQ(read(ready_[0], &c, 1), 1) << "the child ended before it was ready";
  }
  void KillAndAwait() const {
    kill(pid_, SIGKILL);
    siginfo_t info = {};
    ASSERT_EQ(waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT), 0);
  }

 private:
  int ready_[2];
  pid_t pid_;
};

TEST(SessionTest, IsFoundByPathWithItsOptions) {
  Session session = NewSession();
  Result<Session> opened = Session::Open(session.path().c_str());
  ASSERT_TRUE(opened.ok()) << opened.error().what;
  const Options options = opened.value().options();
  EXPECT_EQ(options.limit, kOptions.limit);
  EXPECT_EQ(options.codec, CodecMode::kZstd);
  EXPECT_EQ(options.pool, PoolKind::kZbud);
  EXPECT_EQ(options.pool_limit, kOptions.pool_limit);
  EXPECT_EQ(options.backing_size, kOptions.backing_size);
  EXPECT_EQ(options.write_limit, kOptions.write_limit);
  EXPECT_EQ(options.write_period_s, 86400u);
  EXPECT_TRUE(options.encrypt);
  EXPECT_EQ(options.dictionary, DictionaryMode::kOff);
  EXPECT_STREQ(options.backing, "/var/tmp");
}

TEST(SessionTest, OptionsCanChangeWhileOthersRead) {
  Session session = NewSession();
  Result<Session> opened = Session::Open(session.path().c_str());
  ASSERT_TRUE(opened.ok());
  Options options = session.options();
  options.limit = Bytes(300 << 20);
  options.pool_limit = Bytes(30 << 20);
  options.write_limit = Bytes(3 << 20);
  options.write_period_s = 60;
  options.codec = CodecMode::kLz4;
  session.ChangeOptions(options);
  EXPECT_EQ(opened.value().limit(), Bytes(300 << 20));
  const Options seen = opened.value().options();
  EXPECT_EQ(seen.limit, Bytes(300 << 20));
  EXPECT_EQ(seen.pool_limit, Bytes(30 << 20));
  EXPECT_EQ(seen.write_limit, Bytes(3 << 20));
  EXPECT_EQ(seen.write_period_s, 60u);
  EXPECT_EQ(seen.codec, CodecMode::kLz4);
}

// A process can read between two stores of a change.
TEST(SessionTest, APoolLimitIsNeverAboveTheLimit) {
  Session session = NewSession();
  Options options = session.options();
  options.limit = Bytes(20 << 20);
  options.pool_limit = Bytes(30 << 20);
  session.ChangeOptions(options);
  EXPECT_EQ(session.options().pool_limit, Bytes(20 << 20));
}

TEST(SessionTest, ARequestToShrinkIsSeenWithItsBeat) {
  Session session = NewSession();
  Result<Session> opened = Session::Open(session.path().c_str());
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(opened.value().asked_usage().to, Bytes(0));
  const uint64_t before = opened.value().asked_usage().beat;
  session.AskToShrink(Bytes(10 << 20), Bytes(2 << 20));
  const AskedUsage seen = opened.value().asked_usage();
  EXPECT_EQ(seen.to, Bytes(10 << 20));
  EXPECT_EQ(seen.pool, Bytes(2 << 20));
  EXPECT_NE(seen.beat, before);
  session.AskToShrink(Bytes(10 << 20), Bytes(2 << 20));
  EXPECT_NE(opened.value().asked_usage().beat, seen.beat) << "the same again is a beat too";
}

TEST(SessionTest, CarriesADictionary) {
  Session session = NewSession();
  EXPECT_TRUE(session.dictionary().empty());
  const std::vector<std::byte> content(kDictionaryBytesMax, std::byte{0x5a});
  session.SetDictionary(content);
  const Result<Session> opened = Session::Open(session.path().c_str());
  ASSERT_TRUE(opened.ok());
  EXPECT_TRUE(std::ranges::equal(opened.value().dictionary(), content));
  // Another process has damaged the memory.
  SessionTestPeer::Layout(session).header.dictionary_bytes = UINT32_MAX;
  EXPECT_EQ(opened.value().dictionary().size(), kDictionaryBytesMax);
}

// The kernel sends a signal to a process whose lease another one breaks.
TEST(SessionTest, WhoOpensTheMemoryDoesNotEndWhoLooksForOtherUsers) {
  Session session = NewSession();
  const std::string path = session.path().c_str();
  std::atomic<bool> stop{false};
  std::thread opener([&] {
    while (!stop.load()) {
      const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
      if (fd >= 0) close(fd);
    }
  });
  for (int i = 0; i < 2000; ++i) static_cast<void>(session.FindOtherUsers());
  stop.store(true);
  opener.join();
}

TEST(SessionTest, AnyNumberOfRecordsIsReadWithinTheMemory) {
  Session session = NewSession();
  SessionTestPeer::Layout(session).header.records_used = UINT32_MAX;
  EXPECT_EQ(session.TreeUsage(), Bytes(0));
  EXPECT_EQ(session.TreeReserved(SharedSpace::kPool), Bytes(0));
  EXPECT_EQ(session.LiveCount(), 0u);
}

TEST(SessionTest, RefusesWhatIsNotASession) {
  EXPECT_EQ(Session::Open("/proc/self/fd/9999").error().errno_value, ENOENT);
  EXPECT_EQ(Session::Open("/dev/null").error().errno_value, EPROTO);

  Session session = NewSession();
  SessionTestPeer::Layout(session).header.version++;
  EXPECT_EQ(Session::Open(session.path().c_str()).error().errno_value, EPROTO);

  const int unsealed = memfd_create("unsealed", 0);
  ASSERT_EQ(ftruncate(unsealed, sizeof(internal::SessionLayout)), 0);
  const std::string path = "/proc/self/fd/" + std::to_string(unsealed);
  EXPECT_EQ(Session::Open(path.c_str()).error().errno_value, EPROTO);
  close(unsealed);
}

TEST(SessionTest, TheEnvironmentLeadsToTheSession) {
  Session session = NewSession();
  session.TakeWarning(Warning::kOverLimit);
  const std::string named = std::string("UZSWAP_SESSION=") + session.path().c_str();
  const char* with[] = {"HOME=/", named.c_str(), nullptr};
  Result<Session> found = Session::FromEnvironment(with);
  ASSERT_TRUE(found.ok());
  EXPECT_FALSE(found.value().TakeWarning(Warning::kOverLimit)) << "it is the same memory";
}

TEST(SessionTest, WithoutARunnerALimitIsEnough) {
  const char* gone[] = {"UZSWAP_SESSION=/proc/self/fd/9999", "UZSWAP_LIMIT=64M", nullptr};
  Result<Session> found = Session::FromEnvironment(gone);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found.value().options().limit, Bytes(64 << 20));
  EXPECT_EQ(found.value().options().codec, CodecMode::kAuto);

  const char* nothing[] = {"HOME=/", nullptr};
  EXPECT_EQ(Session::FromEnvironment(nothing).error().errno_value, 0);
  const char* only_gone[] = {"UZSWAP_SESSION=/proc/self/fd/9999", nullptr};
  EXPECT_EQ(Session::FromEnvironment(only_gone).error().errno_value, ENOENT);
  for (const char* bad : {"UZSWAP_LIMIT=much", "UZSWAP_LIMIT=1M", "UZSWAP_LIMIT=", "UZSWAP_LIMIT=0",
                          "UZSWAP_CODEC=lzma", "UZSWAP_POOL=", "UZSWAP_CODEC="}) {
    const char* environment[] = {bad, nullptr};
    EXPECT_EQ(Session::FromEnvironment(environment).error().errno_value, EINVAL) << bad;
  }
}

TEST(SessionTest, ARecordCountsUntilItIsRetired) {
  Session session = NewSession();
  const std::optional<ProcessRecord> record = session.Claim("program with a name of many letters");
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->Publish(Bytes(1000), Bytes(100), Bytes(30)), Bytes(1000));
  EXPECT_EQ(session.TreePool(), Bytes(100));
  EXPECT_EQ(session.TreeKeptPool(), Bytes(30));
  record->Publish(Bytes(700), Bytes(50));
  EXPECT_EQ(session.TreeUsage(), Bytes(700));
  EXPECT_EQ(session.TreeReserved(SharedSpace::kPool), Bytes(50));
  EXPECT_EQ(session.TreeUsagePeak(), Bytes(1000));
  EXPECT_EQ(session.TreePoolPeak(), Bytes(100));
  session.VisitLive([&](const Session::RecordView& view) {
    EXPECT_EQ(view.process, os::OwnIdentity());
    EXPECT_STREQ(view.name.c_str(), "program with a name of m");
    EXPECT_EQ(view.usage, Bytes(700));
  });
  session.Retire(*record);
  EXPECT_EQ(session.TreeUsage(), Bytes(0));
  EXPECT_EQ(session.LiveCount(), 0u);
  EXPECT_EQ(session.ClaimCount(), 1u);
}

TEST(SessionTest, WhatTheTreeSharesIsReservedBeforeItIsUsed) {
  Session session = NewSession();
  const std::optional<ProcessRecord> first = session.Claim("first");
  const std::optional<ProcessRecord> second = SessionTestPeer::ClaimAs(session, Stranger(2));
  ASSERT_TRUE(first && second);
  constexpr Bytes kBound(100);
  const auto tree = [&] { return session.TreeReserved(SharedSpace::kPool); };
  EXPECT_TRUE(first->Reserve(SharedSpace::kPool, Bytes(60), kBound));
  EXPECT_FALSE(second->Reserve(SharedSpace::kPool, Bytes(41), kBound));
  EXPECT_EQ(tree(), Bytes(60)) << "a refused reservation is taken back";
  EXPECT_TRUE(second->Reserve(SharedSpace::kPool, Bytes(40), kBound));
  EXPECT_EQ(tree(), kBound);
  EXPECT_EQ(session.TreeReserved(SharedSpace::kFile), Bytes(0));
  first->Return(SharedSpace::kPool, Bytes(30));
  EXPECT_EQ(tree(), Bytes(70));
  // What a process holds counts if it is more, as in a forked child.
  first->Publish(Bytes(1000), Bytes(50));
  EXPECT_EQ(tree(), Bytes(90));
  EXPECT_FALSE(second->Reserve(SharedSpace::kPool, Bytes(11), kBound));
  // What a device occupies says nothing.
  first->statistics().backing_file_bytes.Set(uint64_t{1} << 40);
  EXPECT_TRUE(first->Reserve(SharedSpace::kFile, Bytes(7), kBound));
  EXPECT_EQ(session.TreeReserved(SharedSpace::kFile), Bytes(7));
  // The record of a process that has ended counts for nothing, and its next user begins at zero.
  session.Retire(*first);
  EXPECT_EQ(tree(), Bytes(40));
  EXPECT_EQ(session.FoldDead([](const Session::RecordView&) {}), 1u);
  ASSERT_TRUE(session.Claim("third").has_value());
  EXPECT_EQ(tree(), Bytes(40));
}

// Processes that reserve at the same moment never have more than the bound together.
TEST(SessionTest, NoInterleavingReservesMoreThanTheBound) {
  Session session = NewSession();
  constexpr uint64_t kBound = 1000;
  constexpr uint32_t kProcesses = 4;
  constexpr uint64_t kMost = 10'000'000;
  constexpr uint64_t kRefusals = 5'000;
  std::atomic<uint64_t> used{0};
  std::atomic<uint64_t> refused{0};
  std::atomic<bool> exceeded{false};
  const auto process = [&](uint32_t pid) {
    const std::optional<ProcessRecord> record = SessionTestPeer::ClaimAs(session, Stranger(pid));
    UZ_CHECK(record.has_value());
    uint64_t own = 0;
    for (uint64_t i = 0; i < kMost && refused.load() < kRefusals; ++i) {
      const uint64_t more = 1 + (i * pid) % 300;
      if (record->Reserve(SharedSpace::kPool, Bytes(more), Bytes(kBound))) {
        if (used.fetch_add(more) + more > kBound) exceeded = true;
        own += more;
      } else {
        refused.fetch_add(1);
      }
      if (own < 200 && i % 3 != 0) continue;
      used.fetch_sub(own);
      record->Return(SharedSpace::kPool, Bytes(own));
      own = 0;
    }
    used.fetch_sub(own);
    record->Return(SharedSpace::kPool, Bytes(own));
  };
  std::vector<std::thread> threads;
  for (uint32_t pid = 1; pid <= kProcesses; ++pid) threads.emplace_back(process, pid);
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(exceeded);
  EXPECT_GE(refused, kRefusals) << "the bound is never reached";
  EXPECT_EQ(session.TreeReserved(SharedSpace::kPool), Bytes(0));
}

TEST(SessionTest, FoldingKeepsTheFiguresOfEndedProcesses) {
  Session session = NewSession();
  for (uint64_t i = 1; i <= 3; ++i) {
    const ProcessRecord record = *session.Claim("p");
    record.statistics().zswpout.Add(10 * i);
    record.statistics().zswpin.Add(4 * i);
    record.statistics().invalidated_pages.Add(i);
    record.statistics().stored_pages.Set(5 * i);
    record.statistics().resident_bytes_peak.RaiseTo(100 * i);
    record.statistics().fault_ns.Record(1000 * i);
    session.Retire(record);
    EXPECT_EQ(session.FoldDead([&](const Session::RecordView& view) {
      EXPECT_EQ(view.statistics.zswpout.Get(), 10 * i);
      EXPECT_STREQ(view.name.c_str(), "p");
    }),
              1u);
  }
  const Statistics& exited = session.exited();
  EXPECT_EQ(exited.zswpout.Get(), 60u);
  EXPECT_EQ(exited.zswpout.Get(),
            exited.zswpin.Get() + exited.invalidated_pages.Get() + exited.stored_pages.Get());
  EXPECT_EQ(exited.resident_bytes_peak.Get(), 300u) << "peaks keep the larger";
  EXPECT_EQ(exited.fault_ns.Count(), 3u);
  EXPECT_EQ(exited.fault_ns.Max(), 3000u);
  const ProcessRecord fresh = *session.Claim("p");
  EXPECT_EQ(fresh.index(), 0u) << "the record is used again";
  EXPECT_EQ(fresh.statistics().zswpout.Get(), 0u);
  EXPECT_EQ(fresh.statistics().fault_ns.Count(), 0u);
}

TEST(SessionTest, ExecMarksTheFormerRecordDead) {
  Session session = NewSession();
  const ProcessRecord before = *session.Claim("sh");
  before.Publish(Bytes(500), Bytes(0));
  before.statistics().zswpout.Add(7);
  const ProcessRecord after = *session.Claim("cc1plus");
  EXPECT_NE(after.index(), before.index());
  EXPECT_EQ(after.Publish(Bytes(20), Bytes(0)), Bytes(20)) << "the old program holds nothing";
  EXPECT_EQ(session.FoldDead([](const Session::RecordView&) {}), 1u);
  EXPECT_EQ(session.exited().zswpout.Get(), 7u);
}

TEST(SessionTest, AfterExecTheFormerImageIsEndingAsLongAsItsEngine) {
  Session session = NewSession();
  const Child engine(session.path(), [](Session& /*unused*/) {});
  engine.AwaitReady();
  const ProcessRecord before = *session.Claim("sh");
  session.SetEngine(before, os::IdentityOfPid(engine.pid()));
  before.Publish(Bytes(500), Bytes(0));
  EXPECT_EQ(session.EndingCount(), 0u);
  EXPECT_FALSE(session.HasFormerImage(before));
  const ProcessRecord after = *session.Claim("cc1plus");
  EXPECT_EQ(after.Publish(Bytes(20), Bytes(0)), Bytes(520));
  EXPECT_EQ(session.EndingCount(), 1u);
  EXPECT_TRUE(session.HasFormerImage(after));
  const Child next_engine(session.path(), [](Session& /*unused*/) {});
  next_engine.AwaitReady();
  session.SetEngine(after, os::IdentityOfPid(next_engine.pid()));
  EXPECT_EQ(session.EndingCount(), 2u) << "both images, as long as both engines are there";
  engine.KillAndAwait();
  EXPECT_FALSE(session.HasFormerImage(after));
  EXPECT_EQ(session.EndingCount(), 0u) << "also before the former record is marked";
  EXPECT_EQ(session.LiveCount(), 2u);
  EXPECT_EQ(session.MarkDead(), 1u);
  EXPECT_EQ(session.TreeUsage(), Bytes(20));
}

TEST(SessionTest, ALateRetireDoesNotTouchTheNextProcess) {
  Session session = NewSession();
  const ProcessRecord first = *session.Claim("first");
  session.Retire(first);
  session.FoldDead([](const Session::RecordView&) {});
  const ProcessRecord second = *session.Claim("second");
  ASSERT_EQ(second.index(), first.index());
  session.Retire(first);  // its word has an older generation
  EXPECT_EQ(session.LiveCount(), 1u);
}

TEST(SessionTest, ARecordIsLiveUntilItIsRetired) {
  Session session = NewSession();
  const ProcessRecord first = *SessionTestPeer::ClaimAs(session, Stranger(2));
  const ProcessRecord second = *SessionTestPeer::ClaimAs(session, Stranger(3));
  EXPECT_TRUE(session.IsLive(first));
  EXPECT_TRUE(session.IsLive(second));
  session.Retire(first);
  EXPECT_FALSE(session.IsLive(first));
  EXPECT_TRUE(session.IsLive(second));
  session.FoldDead([](const Session::RecordView&) {});
  EXPECT_FALSE(session.IsLive(first)) << "it is free";
  // The next process in the same record is another one, whatever its identity.
  const ProcessRecord next = *SessionTestPeer::ClaimAs(session, Stranger(2));
  ASSERT_EQ(next.index(), first.index());
  EXPECT_TRUE(session.IsLive(next));
  EXPECT_FALSE(session.IsLive(first));
}

TEST(SessionTest, ARecordIsLiveUntilExecOrUntilItsProcessIsFoundDead) {
  Session session = NewSession();
  const ProcessRecord before = *session.Claim("sh");
  const ProcessRecord after = *session.Claim("cc1plus");
  EXPECT_FALSE(session.IsLive(before));
  EXPECT_TRUE(session.IsLive(after));

  const Child child(session.path(), [](Session& /*unused*/) {});
  child.AwaitReady();
  const ProcessRecord record = *SessionTestPeer::ClaimAs(session, os::IdentityOfPid(child.pid()));
  EXPECT_EQ(session.MarkDead(), 0u);
  EXPECT_TRUE(session.IsLive(record));
  child.KillAndAwait();
  EXPECT_TRUE(session.IsLive(record)) << "nobody has noticed";
  EXPECT_EQ(session.MarkDead(), 1u);
  EXPECT_FALSE(session.IsLive(record));
}

TEST(SessionTest, AFullTableRefusesUntilAProcessHasEnded) {
  Session session = NewSession();
  for (uint32_t i = 0; i < kProcessRecords; ++i) {
    ASSERT_TRUE(SessionTestPeer::ClaimAs(session, Stranger(i + 2)).has_value());
  }
  EXPECT_EQ(session.LiveCount(), kProcessRecords);
  EXPECT_FALSE(session.Claim("one too many").has_value());
  EXPECT_EQ(session.RefusedClaims(), 1u);

  internal::RecordEntry& entry = SessionTestPeer::Layout(session).records[100];
  const os::ProcessIdentity self = os::OwnIdentity();
  entry.pid_namespace.store(self.pid_namespace);
  entry.word.store(internal::MakeWord(1, RecordState::kLive, self.pid));
  const std::optional<ProcessRecord> record = session.Claim("in its place");
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->index(), 100u);
}

TEST(SessionTest, EnginesAreCountedWithoutProcessesThatHaveNone) {
  Session session = NewSession();
  const ProcessRecord first = *SessionTestPeer::ClaimAs(session, Stranger(2));
  const ProcessRecord second = *SessionTestPeer::ClaimAs(session, Stranger(3));
  EXPECT_EQ(session.EngineCount(), 2u);
  session.NoteWithoutEngine(first);
  EXPECT_EQ(session.EngineCount(), 1u);
  EXPECT_EQ(session.LiveCount(), 2u);
  session.Retire(second);
  EXPECT_EQ(session.EngineCount(), 0u);
  // The next process in the record may have one.
  session.Retire(first);
  session.FoldDead([](const Session::RecordView&) {});
  const ProcessRecord next = *SessionTestPeer::ClaimAs(session, Stranger(4));
  EXPECT_EQ(next.index(), first.index());
  EXPECT_EQ(session.EngineCount(), 1u);
}

TEST(SessionTest, WarningsAreGivenOnce) {
  Session session = NewSession();
  std::atomic<int> first{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] { first += session.TakeWarning(Warning::kOverLimit) ? 1 : 0; });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(first.load(), 1);
  EXPECT_TRUE(session.TakeWarning(Warning::kTableFull)) << "each kind by itself";
}

TEST(SessionTest, KilledChildrenAreFoundAndFolded) {
  Session session = NewSession();
  constexpr uint64_t kChildren = 6;
  std::vector<std::unique_ptr<Child>> children;
  for (uint64_t i = 1; i <= kChildren; ++i) {
    children.push_back(std::make_unique<Child>(session.path(), [i](Session& own) {
      const ProcessRecord record = *own.Claim("child");
      record.statistics().faults.Add(i);
      record.Publish(Bytes(i), Bytes(0));
      if (i % 3 == 0) own.Retire(record);
    }));
  }
  for (const auto& child : children) child->AwaitReady();
  EXPECT_EQ(session.LiveCount(), 4u);
  EXPECT_EQ(session.TreeUsage(), Bytes(1 + 2 + 4 + 5));
  EXPECT_EQ(session.MarkDead(), 0u);

  children[0]->KillAndAwait();
  children[3]->KillAndAwait();
  EXPECT_EQ(session.MarkDead(), 2u) << "zombies hold nothing";
  EXPECT_EQ(session.TreeUsage(), Bytes(2 + 5));
  children.clear();
  EXPECT_EQ(session.MarkDead(), 2u);
  EXPECT_EQ(session.FoldDead([](const Session::RecordView&) {}), kChildren);
  EXPECT_EQ(session.exited().faults.Get(), kChildren * (kChildren + 1) / 2);
  EXPECT_EQ(session.TreeUsage(), Bytes(0));
}

TEST(SessionTest, AForkedChildHasItsOwnRecordInTheInheritedMapping) {
  Session session = std::move(Session::CreatePrivate(kOptions)).value();
  const ProcessRecord parent = *session.Claim("parent");
  parent.Publish(Bytes(10), Bytes(0));
  const pid_t pid = fork();
  if (pid == 0) {
    alarm(static_cast<unsigned>(kDeadlineMs / 1000));
    const std::optional<ProcessRecord> own = session.Claim("child");
    const bool right =
        own && own->index() != parent.index() && own->Publish(Bytes(5), Bytes(0)) == Bytes(15);
    _exit(right ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0) << "1: the child counts wrongly; a signal: it took too long";
  EXPECT_EQ(session.MarkDead(), 1u);
  EXPECT_EQ(session.TreeUsage(), Bytes(10));
}

TEST(SessionTest, ProcessorTimeIsThatOfAllLiveProcesses) {
  constexpr uint64_t kSpentNs = 20'000'000;
  Session session = NewSession();
  const ProcessRecord parent = *session.Claim("parent");
  const auto own_ns = [] { return *os::ProcessorNsOf(static_cast<uint32_t>(getpid())); };
  const pid_t pid = fork();
  if (pid == 0) {
    alarm(static_cast<unsigned>(kDeadlineMs / 1000));
    const std::optional<ProcessRecord> own = session.Claim("child");
    while (own_ns() < kSpentNs) {
    }
    _exit(own ? 0 : 1);
  }
  // It has ended, and its time can be read until it is reaped.
  siginfo_t end{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(pid), &end, WEXITED | WNOWAIT), 0);
  ASSERT_EQ(end.si_status, 0);
  const uint64_t before_ns = own_ns();
  EXPECT_GE(session.TreeProcessorNs(parent).value_or(0), before_ns + kSpentNs);
  ASSERT_EQ(waitpid(pid, nullptr, 0), pid);
  EXPECT_EQ(session.TreeProcessorNs(parent), std::nullopt) << "a process has ended that counts";
  const std::optional<uint64_t> own_alone = session.TreeProcessorNs(parent);
  ASSERT_TRUE(own_alone.has_value()) << "it has been marked";
  EXPECT_GE(*own_alone, before_ns);
  EXPECT_LE(*own_alone, own_ns());
}

TEST(SessionTest, ProcessorTimeOfOneProcessCountsOnce) {
  Session session = NewSession();
  const Child engine(session.path(), [](Session& /*unused*/) {});
  engine.AwaitReady();
  const ProcessRecord before = *session.Claim("sh");
  session.SetEngine(before, os::IdentityOfPid(engine.pid()));
  const ProcessRecord after = *session.Claim("cc1plus");
  ASSERT_EQ(session.LiveCount(), 2u);
  const auto own_ns = [] { return *os::ProcessorNsOf(static_cast<uint32_t>(getpid())); };
  const uint64_t least_ns = own_ns() + *os::ProcessorNsOf(engine.pid());
  const std::optional<uint64_t> found_ns = session.TreeProcessorNs(after);
  ASSERT_TRUE(found_ns.has_value());
  EXPECT_GE(*found_ns, least_ns);
  EXPECT_LE(*found_ns, own_ns() + *os::ProcessorNsOf(engine.pid()));
}

TEST(SessionTest, ProcessorTimeIsNotKnownAcrossNamespaces) {
  Session session = NewSession();
  const ProcessRecord own = *session.Claim("own");
  EXPECT_TRUE(session.TreeProcessorNs(own).has_value());
  ASSERT_TRUE(SessionTestPeer::ClaimAs(session, Stranger(2)).has_value());
  EXPECT_EQ(session.TreeProcessorNs(own), std::nullopt);
}

// Some threads claim, count and retire while others fold. No figure may be lost or counted twice.
TEST(SessionTest, ClaimsAndFoldsRaceWithoutLosingAFigure) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 500;
  Session session = NewSession();
  std::atomic<int> running{kThreads};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < kRounds; ++round) {
        const os::ProcessIdentity self = Stranger(static_cast<uint32_t>(t + 2));
        const std::optional<ProcessRecord> record = SessionTestPeer::ClaimAs(session, self);
        UZ_CHECK(record.has_value());
        record->statistics().zswpout.Add(3);
        record->statistics().fault_ns.Record(100);
        record->Publish(Bytes(1), Bytes(1));
        session.Retire(*record);
      }
      --running;
    });
  }
  for (int f = 0; f < 2; ++f) {
    threads.emplace_back([&] {
      while (running > 0) session.FoldDead([](const Session::RecordView&) {});
    });
  }
  for (std::thread& thread : threads) thread.join();
  session.FoldDead([](const Session::RecordView&) {});
  EXPECT_EQ(session.ClaimCount(), uint64_t{kThreads} * kRounds);
  EXPECT_EQ(session.exited().zswpout.Get(), 3 * session.ClaimCount());
  EXPECT_EQ(session.exited().fault_ns.Count(), session.ClaimCount());
  EXPECT_EQ(session.TreeUsage(), Bytes(0));
  EXPECT_LE(session.TreeUsagePeak(), Bytes(kThreads));
}

TEST(SessionMessages, ReachTheRunnerInOrderUntilTheyAreUsedUp) {
  Session session = NewSession();
  for (uint32_t i = 0; i < Session::kMessages; ++i) {
    EXPECT_EQ(session.Say("line " + std::to_string(i) + "\n"), SayOutcome::kQueued) << i;
  }
  EXPECT_EQ(session.Say("one too many\n"), SayOutcome::kFull);
  std::vector<std::string> told;
  session.TakeMessages([&told](std::string_view line) { told.emplace_back(line); });
  ASSERT_EQ(told.size(), Session::kMessages);
  EXPECT_EQ(told.front(), "line 0\n");
  EXPECT_EQ(told.back(), "line " + std::to_string(Session::kMessages - 1) + "\n");
  // Reading them makes no room: the bound is of the whole run.
  EXPECT_EQ(session.Say("again\n"), SayOutcome::kFull);
}

TEST(SessionMessages, AreBoundedWithoutARunnerToo) {
  Session session = std::move(Session::CreatePrivate(kOptions)).value();
  for (uint32_t i = 0; i < Session::kMessages; ++i) {
    EXPECT_EQ(session.Say("to nobody\n"), SayOutcome::kNoRunner) << i;
  }
  EXPECT_EQ(session.Say("to nobody\n"), SayOutcome::kFull);
  session.TakeMessages([](std::string_view line) { ADD_FAILURE() << line; });
}

TEST(SessionMessages, ALongLineIsCut) {
  Session session = NewSession();
  EXPECT_EQ(session.Say(std::string(Session::kMessageBytes + 1, 'x')), SayOutcome::kQueued);
  session.TakeMessages(
      [](std::string_view line) { EXPECT_EQ(line, std::string(Session::kMessageBytes, 'x')); });
}

}  // namespace
}  // namespace uzswap
