#include "find_sessions.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <gtest/gtest.h>
#include <string>
#include <utility>
#include <vector>

namespace uzswap {

struct SessionTestPeer {
  static std::optional<ProcessRecord> ClaimAs(Session& session, const os::ProcessIdentity& self) {
    return session.ClaimAs(self, "a program");
  }
};

namespace cli {
namespace {

constexpr uint32_t kHolder = 0x7ffffff0;  // no process has such a number
constexpr uint64_t kHere = 4711;          // a PID namespace

Session NewSession(Bytes limit = Bytes(100 << 20)) {
  Options options;
  options.limit = limit;
  return std::move(Session::Create(options)).value();
}

// Sessions with the holders kHolder, kHolder + 1 ...
FoundSessions Found(size_t count) {
  FoundSessions found;
  for (size_t i = 0; i < count; ++i) {
    found.sessions.push_back({{{1, kHolder + static_cast<uint32_t>(i)}}, NewSession(), {}});
  }
  return found;
}

ProcessRecord ClaimIn(FoundSessions& found, size_t which, uint32_t pid, uint64_t in) {
  return *SessionTestPeer::ClaimAs(found.sessions[which].session, {pid, 1, in});
}

uint32_t HolderOf(const OrRefusal<FoundSession>& run) {
  EXPECT_EQ(RefusalOf(run), nullptr);
  const FoundSession* found = std::get_if<FoundSession>(&run);
  return found == nullptr ? 0 : found->holder();
}

TEST(FindRunTest, ByAnyHolder) {
  FoundSessions found = Found(2);
  found.sessions[1].holders.push_back({2, 99});  // its broker
  EXPECT_EQ(HolderOf(FindRun(std::move(found), 99, kHere)), kHolder + 1);
  EXPECT_EQ(HolderOf(FindRun(Found(2), kHolder, kHere)), kHolder);
}

TEST(FindRunTest, ByALiveProcessOfTheOwnNamespace) {
  FoundSessions found = Found(2);
  ClaimIn(found, 0, 7, kHere + 1);  // the same number means another process there
  ClaimIn(found, 1, 7, kHere);
  EXPECT_EQ(HolderOf(FindRun(std::move(found), 7, kHere)), kHolder + 1);

  FoundSessions elsewhere = Found(1);
  ClaimIn(elsewhere, 0, 7, kHere + 1);
  const auto none = FindRun(std::move(elsewhere), 7, kHere);
  ASSERT_NE(RefusalOf(none), nullptr);
  EXPECT_NE(RefusalOf(none)->cause.find("not a process of a run"), std::string::npos);

  FoundSessions ended = Found(1);
  ended.sessions[0].session.Retire(ClaimIn(ended, 0, 7, kHere));
  EXPECT_NE(RefusalOf(FindRun(std::move(ended), 7, kHere)), nullptr);
}

// `uzswap run` inside a run: the inner runner is a process of the outer run.
TEST(FindRunTest, TheHolderComesBeforeTheProcess) {
  FoundSessions found = Found(2);
  ClaimIn(found, 0, kHolder + 1, kHere);
  EXPECT_EQ(HolderOf(FindRun(std::move(found), kHolder + 1, kHere)), kHolder + 1);
}

TEST(FindRunTest, AnAmbiguousNumberIsRefused) {
  FoundSessions held = Found(2);
  held.sessions[1].holders.push_back({2, kHolder});
  const auto twice = FindRun(std::move(held), kHolder, kHere);
  ASSERT_NE(RefusalOf(twice), nullptr);
  EXPECT_NE(RefusalOf(twice)->cause.find("several runs"), std::string::npos);
  EXPECT_FALSE(RefusalOf(twice)->fix.empty());

  FoundSessions live = Found(2);
  ClaimIn(live, 0, 7, kHere);
  ClaimIn(live, 1, 7, kHere);
  const auto both = FindRun(std::move(live), 7, kHere);
  ASSERT_NE(RefusalOf(both), nullptr);
  const std::string runners = std::to_string(kHolder) + " or " + std::to_string(kHolder + 1);
  EXPECT_NE(RefusalOf(both)->fix.find(runners), std::string::npos) << RefusalOf(both)->fix;
}

TEST(FindRunTest, SaysWhoMaySeeIt) {
  FoundSessions hidden = Found(1);
  hidden.unreadable = 1;
  hidden.other_versions = 1;
  const auto none = FindRun(std::move(hidden), 1, kHere);
  ASSERT_NE(RefusalOf(none), nullptr);
  EXPECT_NE(RefusalOf(none)->fix.find("as root"), std::string::npos);
  EXPECT_NE(RefusalOf(none)->fix.find("the version of uzswap"), std::string::npos);
}

// A child that keeps the descriptor, as a broker does.
TEST(FindSessionsTest, FindsAllHoldersOfASessionAndTheOldestIsFirst) {
  constexpr Bytes kLimit(127 << 20);
  const Session session = NewSession(kLimit);
  int go[2];
  ASSERT_EQ(pipe2(go, O_CLOEXEC), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    close(go[1]);
    char end = 0;
    _exit(read(go[0], &end, 1) == 0 ? 0 : 1);  // until the test is over
  }
  const FoundSessions found = FindSessions();
  close(go[0]);
  close(go[1]);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  const auto own = std::find_if(found.sessions.begin(), found.sessions.end(),
                                [&](const auto& each) { return each.session.limit() == kLimit; });
  ASSERT_NE(own, found.sessions.end());
  ASSERT_EQ(own->holders.size(), 2u);
  EXPECT_EQ(own->holder(), static_cast<uint32_t>(getpid()));
  EXPECT_EQ(own->holders[1].pid, static_cast<uint32_t>(child));
  EXPECT_TRUE(RunLock(own->memory).held());
}

TEST(LookAtMemoryTest, TakesAMemoryFileOfItsOwner) {
  const Session session = NewSession();
  const auto memory = LookAtMemory(session.path().c_str(), geteuid());
  ASSERT_TRUE(memory.has_value());
  EXPECT_GT(memory->inode, 0u);
  close(memory->descriptor);
  const uint32_t another = geteuid() + 1;
  EXPECT_FALSE(LookAtMemory(session.path().c_str(), another).has_value());
}

// Whatever else has the name of a session is not even opened.
TEST(LookAtMemoryTest, OtherFilesAreNotOpened) {
  std::string folder = testing::TempDir() + "/look-XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const std::string file = folder + "/file";
  const std::string pipe = folder + "/pipe";
  close(open(file.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  const int opens = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  ASSERT_GE(inotify_add_watch(opens, file.c_str(), IN_OPEN), 0);
  ASSERT_GE(inotify_add_watch(opens, pipe.c_str(), IN_OPEN), 0);
  for (const std::string& path : {file, pipe, std::string("/dev/null"), folder, folder + "/none"}) {
    EXPECT_FALSE(LookAtMemory(path, geteuid()).has_value()) << path;
  }
  char event[4096];
  EXPECT_EQ(read(opens, event, sizeof(event)), -1);
  EXPECT_EQ(errno, EAGAIN);
  close(opens);
  unlink(file.c_str());
  unlink(pipe.c_str());
  rmdir(folder.c_str());
}

}  // namespace
}  // namespace cli
}  // namespace uzswap
