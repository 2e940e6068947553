#include "engine/session_member.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <gtest/gtest.h>
#include <string>
#include <thread>

#include "base/testing/slowness.h"
#include "base/testing/wait_until.h"
#include "engine/testing/fake_session.h"

namespace uzswap {

struct SessionTestPeer {
  static std::optional<ProcessRecord> ClaimAs(Session& session, const os::ProcessIdentity& self) {
    return session.ClaimAs(self, "one of many");
  }
};

namespace {

// Processes of another PID namespace: nobody here can judge them dead.
void FillTable(Session& session, uint32_t records) {
  for (uint32_t i = 0; i < records; ++i) {
    ASSERT_TRUE(SessionTestPeer::ClaimAs(session, {i + 1, 1, 1}));
  }
}

TEST(SessionMember, JoinsAndPublishes) {
  SessionMember member;
  EXPECT_FALSE(member.joined());
  const std::string name(2 * SessionMember::kNameBytes, 'n');
  ASSERT_TRUE(member.Join(NewPrivateSession(), name.c_str()).ok());
  EXPECT_TRUE(member.joined());
  EXPECT_EQ(member.name(), name.substr(0, SessionMember::kNameBytes - 1));
  EXPECT_EQ(member.Publish(Bytes(5), Bytes(1)), Bytes(5));
  EXPECT_EQ(member.session().TreeUsage(), Bytes(5));
  EXPECT_EQ(member.session().TreeReserved(SharedSpace::kPool), Bytes(1));
  member.statistics().faults.Add(3);
  member.session().VisitLive(
      [](const Session::RecordView& view) { EXPECT_EQ(view.statistics.faults.Get(), 3u); });
}

TEST(SessionMember, AFullTableRefusesANewProcess) {
  Session session = NewPrivateSession();
  FillTable(session, kProcessRecords);
  SessionMember member;
  const Result<void> joined = member.Join(std::move(session), "one too many");
  ASSERT_FALSE(joined.ok());
  EXPECT_STREQ(joined.error().what, "the session's table of processes is full");
}

// The child reports what it saw by its exit status.
TEST(SessionMember, AChildBeyondTheTableCountsForItself) {
  Session session = NewPrivateSession();
  FillTable(session, kProcessRecords - 1);
  SessionMember parent;
  ASSERT_TRUE(parent.Join(std::move(session), "the last").ok());
  EXPECT_EQ(parent.Publish(Bytes(100), Bytes(0)), Bytes(100));
  parent.statistics().faults.Add(7);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    SessionMember& member = parent;
    member.JoinAsChild();
    const bool apart = member.statistics().faults.Get() == 0;
    const bool sees_tree = member.Publish(Bytes(5), Bytes(0)) == Bytes(105);
    _exit(apart && sees_tree ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(parent.statistics().faults.Get(), 7u);
  EXPECT_EQ(parent.session().TreeUsage(), Bytes(100));
  EXPECT_EQ(parent.session().RefusedClaims(), 1u);
}

// Runs `body` in a forked child, which reports what it saw by its exit status.
template <typename Body>
void RunInChild(Body&& body) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(body());
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

uint64_t LastingChildren(SessionMember& member) {
  return member.statistics().lasting_children.Get();
}

// Of all records, live and ended.
uint64_t LastingInTree(Session& session) {
  uint64_t sum = session.exited().lasting_children.Get();
  session.VisitLive(
      [&sum](const Session::RecordView& view) { sum += view.statistics.lasting_children.Get(); });
  return sum;
}

TEST(SessionMember, ALastingChildCountsOnceInItsParentsRecord) {
  SessionMember member;
  ASSERT_TRUE(member.Join(NewPrivateSession(), "parent").ok());
  member.NoteLasting();
  EXPECT_EQ(LastingChildren(member), 0u) << "it has no parent";
  for (const uint64_t children : {1, 2}) {
    RunInChild([&member] {
      member.JoinAsChild();
      for (int i = 0; i < 3; ++i) member.NoteLasting();
      return LastingChildren(member) == 0 ? 0 : 1;
    });
    EXPECT_EQ(LastingChildren(member), children);
  }
}

TEST(SessionMember, AChildThatDoesNotLastIsNotCounted) {
  SessionMember member;
  ASSERT_TRUE(member.Join(NewPrivateSession(), "parent").ok());
  RunInChild([&member] {
    member.JoinAsChild();
    return 0;
  });
  EXPECT_EQ(LastingChildren(member), 0u);
}

TEST(SessionMember, AGrandchildCountsInTheChildsRecord) {
  SessionMember member;
  ASSERT_TRUE(member.Join(NewPrivateSession(), "parent").ok());
  RunInChild([&member] {
    member.JoinAsChild();
    RunInChild([&member] {
      member.JoinAsChild();
      member.NoteLasting();
      return 0;
    });
    return LastingChildren(member) == 1 && !testing::Test::HasFailure() ? 0 : 1;
  });
  EXPECT_EQ(LastingChildren(member), 0u);
}

TEST(SessionMember, AChildBeyondTheTableIsCountedAndCountsNoChildren) {
  Session session = NewPrivateSession();
  FillTable(session, kProcessRecords - 1);
  SessionMember member;
  ASSERT_TRUE(member.Join(std::move(session), "the last").ok());
  RunInChild([&member] {
    member.JoinAsChild();
    member.NoteLasting();
    RunInChild([&member] {
      member.JoinAsChild();
      member.NoteLasting();
      return 0;
    });
    return LastingChildren(member) == 0 && !testing::Test::HasFailure() ? 0 : 1;
  });
  EXPECT_EQ(LastingChildren(member), 1u);
}

// The parent calls exec: its record is dead, and then another process may have it.
TEST(SessionMember, AParentThatIsGoneCountsNothing) {
  for (const bool used_again : {false, true}) {
    SessionMember member;
    ASSERT_TRUE(member.Join(NewPrivateSession(), "parent").ok());
    const os::ProcessIdentity parent = os::OwnIdentity();
    RunInChild([&member, &parent, used_again] {
      Session& session = member.session();
      member.JoinAsChild();
      if (!SessionTestPeer::ClaimAs(session, parent)) return 2;
      if (used_again) {
        if (session.FoldDead([](const Session::RecordView&) {}) != 1) return 3;
        const std::optional<ProcessRecord> next = SessionTestPeer::ClaimAs(session, {2, 1, 1});
        if (!next || next->index() != 0) return 4;
      }
      member.NoteLasting();
      return 0;
    });
    EXPECT_EQ(LastingInTree(member.session()), 0u) << used_again;
    EXPECT_EQ(LastingChildren(member), 0u) << used_again;
  }
}

// A process that exec has replaced, with an engine that has not ended.
class FormerImage : public ::testing::Test {
 protected:
  void SetUp() override {
    engine_ = fork();
    ASSERT_GE(engine_, 0);
    if (engine_ == 0) {
      while (true) pause();
    }
    ASSERT_TRUE(former_.Join(NewSessionWithRunner(), "former").ok());
    former_.SetEngine(static_cast<uint32_t>(engine_));
    former_.Publish(kUsage, Bytes(0));
    Result<Session> same = Session::Open(former_.session().path().c_str());
    ASSERT_TRUE(same.ok());
    ASSERT_TRUE(image_.Join(std::move(same).value(), "image").ok());
  }
  void TearDown() override { EndEngine(); }

  void EndEngine() {
    if (engine_ <= 0) return;
    kill(engine_, SIGKILL);
    EXPECT_EQ(waitpid(engine_, nullptr, 0), engine_);
    engine_ = 0;
  }
  uint64_t Waits() { return image_.statistics().former_image_waits.Get(); }
  uint64_t Left() { return image_.statistics().former_images_left.Get(); }

  static constexpr Bytes kUsage{1 << 20};
  pid_t engine_ = 0;
  SessionMember former_;
  SessionMember image_;
};

TEST_F(FormerImage, IsAwaited) {
  std::thread ender([this] {
    EXPECT_TRUE(WaitUntil([this] { return Waits() > 0; })) << "it does not wait for the engine";
    EndEngine();
  });
  // It ends when the engine has ended, long before the timeout, which Left would count.
  const uint64_t kTimeoutNs = Slower(UINT64_C(30) * 1'000'000'000);
  image_.AwaitFormerImage(kUsage, kTimeoutNs);
  ender.join();
  EXPECT_EQ(Waits(), 1u);
  EXPECT_EQ(Left(), 0u);
  image_.AwaitFormerImage(kUsage);
  EXPECT_EQ(Waits(), 1u) << "it has ended";
}

TEST_F(FormerImage, IsLeftAfterTheTimeout) {
  image_.AwaitFormerImage(kUsage, 0);
  EXPECT_EQ(Waits(), 1u);
  EXPECT_EQ(Left(), 1u);
}

TEST_F(FormerImage, IsNotAwaitedWhileThereIsRoom) {
  image_.AwaitFormerImage(kUsage + Bytes(1));
  EXPECT_EQ(Waits(), 0u);
}

TEST_F(FormerImage, WithoutAnEngineIsNotAwaited) {
  EndEngine();
  image_.AwaitFormerImage(kUsage);
  EXPECT_EQ(Waits(), 0u);
}

}  // namespace
}  // namespace uzswap
