#include "engine/notices.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "engine/testing/fake_session.h"

namespace uzswap {
namespace {

std::vector<std::string> g_written;
bool g_writer_full = false;

bool Write(std::string_view line) {
  if (!g_writer_full) g_written.emplace_back(line);
  return !g_writer_full;
}

class FixedCauses final : public ResidentCauses {
 public:
  FixedCauses(uint64_t locked_mib, uint64_t protected_mib)
      : locked_(locked_mib << 20), protected_(protected_mib << 20) {}
  Bytes Locked() override { return locked_; }
  Bytes Protected() override { return protected_; }

 private:
  Bytes locked_;
  Bytes protected_;
};

class NoticesTest : public testing::Test {
 protected:
  void Begin(Session session) {
    ASSERT_TRUE(member_.Join(std::move(session), "redis").ok());
    notices_.Init(member_, Write);
  }
  void SetUp() override {
    g_written.clear();
    g_writer_full = false;
  }
  std::vector<std::string> Told() {
    std::vector<std::string> lines;
    member_.session().TakeMessages([&lines](std::string_view line) { lines.emplace_back(line); });
    return lines;
  }
  uint64_t dropped() { return member_.statistics().dropped_messages.Get(); }

  SessionMember member_;
  Notices notices_;
};

TEST_F(NoticesTest, Texts) {
  struct Case {
    const char* text;
    void (*say)(Notices&);
  };
  const Case cases[] = {
      {"uzswap: memory usage exceeds the limit: the program uses 70 MiB, the limit is 64 MiB, and "
       "reclaim makes no progress (3 attempts to compress a page saved nothing); the program "
       "continues\n  fix: raise --limit, or add a backing file with --backing\n",
       [](Notices& n) {
         n.OverLimit({Bytes(70 << 20), Bytes(64 << 20)});
       }},
      {"uzswap: memory usage exceeds the limit: the program uses 170 MiB, the limit is 64 MiB, and "
       "reclaim makes no progress (3 attempts to compress a page saved nothing); the program "
       "continues\n  redis has locked 160 MiB (mlock, mlockall); locked memory stays resident\n"
       "  fix: raise --limit, or add a backing file with --backing\n",
       [](Notices& n) {
         FixedCauses causes(160, 0);
         n.OverLimit({Bytes(170 << 20), Bytes(64 << 20)}, &causes);
       }},
      {"uzswap: memory usage exceeds the limit: the program uses 170 MiB, the limit is 64 MiB, and "
       "reclaim makes no progress (3 attempts to compress a page saved nothing); the program "
       "continues\n  redis has locked 2 MiB (mlock, mlockall); locked memory stays resident\n"
       "  redis has 90 MiB in mappings that are not writable (mprotect); they stay resident\n"
       "  fix: raise --limit, or add a backing file with --backing\n",
       [](Notices& n) {
         FixedCauses causes(2, 90);
         n.OverLimit({Bytes(170 << 20), Bytes(64 << 20)}, &causes);
       }},
      {"uzswap: memory usage exceeds the limit: the program uses 70 MiB, the limit is 64 MiB, and "
       "the "
       "processes use pages faster than they can be reclaimed; the program continues\n"
       "  fix: raise --limit, or add a backing file with --backing\n",
       [](Notices& n) {
         n.OverLimit({Bytes(70 << 20), Bytes(64 << 20), true});
       }},
      {"uzswap: redis runs without uzswap and its memory is not limited: userfaultfd (errno 1)\n"
       "  fix: uzswap check\n",
       [](Notices& n) {
         n.Refused({1, "userfaultfd"});
       }},
      {"uzswap: a process of redis cannot be watched and its memory is not limited: open of a file "
       "of /proc (errno 2)\n"
       "  fix: it needs /proc in its root directory, room for more tasks, and a place among 512 "
       "processes\n",
       [](Notices& n) {
         n.Unwatched({2, "open of a file of /proc"});
       }},
      {"uzswap: a process of redis cannot be watched and its memory is not limited: "
       "/proc/self/statm (errno 24)\n"
       "  fix: raise the limit of open descriptors (ulimit -n)\n",
       [](Notices& n) {
         n.Unwatched({24, "/proc/self/statm"});
       }},
      {"uzswap: the backing store cannot be used: open of the folder (errno 13); cold pages stay "
       "compressed in memory\n  fix: check the path given to --backing\n",
       [](Notices& n) {
         n.Backing(BackingTrouble::kUnusable, {13, "open of the folder"});
       }},
      {"uzswap: writing to the backing store failed (errno 5); cold pages stay compressed in "
       "memory\n  fix: check the device or file system\n",
       [](Notices& n) {
         n.Backing(BackingTrouble::kFailed, {5, ""});
       }},
      {"uzswap: the backing store is full (errno 28); cold pages stay compressed in memory\n"
       "  fix: free space on it or raise --backing-size\n",
       [](Notices& n) {
         n.Backing(BackingTrouble::kFull, {28, ""});
       }},
      {"uzswap: the write limit of the backing store is used up; cold pages stay compressed in "
       "memory\n  fix: wait for the next period or raise --backing-write-limit\n",
       [](Notices& n) {
         n.Backing(BackingTrouble::kWriteLimit, {0, ""});
       }},
      {"uzswap: redis: the page at 0x7f0000001000 cannot be read from the backing store (errno 5); "
       "a thread that touches it receives SIGBUS\n",
       [](Notices& n) { n.PoisonedPage(0x7f0000001000, 5); }},
      {"uzswap: redis: the page at 0x1000 is damaged on the backing store; a thread that touches "
       "it receives SIGBUS\n",
       [](Notices& n) { n.PoisonedPage(0x1000, 0); }},
      {"uzswap: x.cc:1: check failed\n",
       [](Notices& n) { n.LastWords("uzswap: x.cc:1: check failed\n"); }},
  };
  for (const Case& c : cases) {
    SessionMember member;
    ASSERT_TRUE(member.Join(NewPrivateSession(), "redis").ok());
    member.statistics().reject_compress_poor.Add(3);
    Notices notices;
    notices.Init(member, Write);
    g_written.clear();
    c.say(notices);
    ASSERT_EQ(g_written.size(), 1u) << c.text;
    EXPECT_EQ(g_written[0], c.text);
  }
}

TEST_F(NoticesTest, WarningsOfTheTreeAreGivenOnce) {
  Begin(NewSessionWithRunner());
  for (int i = 0; i < 3; ++i) {
    notices_.OverLimit({Bytes(70 << 20), Bytes(64 << 20)});
    notices_.Backing(BackingTrouble::kFull, {28, ""});
    notices_.Backing(BackingTrouble::kFailed, {5, ""});
  }
  EXPECT_EQ(Told().size(), 2u);
  EXPECT_TRUE(g_written.empty());
}

TEST_F(NoticesTest, PoisonedPagesBeyondTheMessagesAreOnlyCounted) {
  Begin(NewSessionWithRunner());
  for (uint32_t i = 0; i < Session::kMessages + 5; ++i) notices_.PoisonedPage(i * kPageSize, 5);
  EXPECT_EQ(Told().size(), Session::kMessages);
  EXPECT_TRUE(g_written.empty());
  EXPECT_EQ(dropped(), 5u);
  // A warning of the tree and last words are said all the same.
  notices_.OverLimit({Bytes(70 << 20), Bytes(64 << 20)});
  notices_.LastWords("last\n");
  EXPECT_EQ(g_written.size(), 2u);
  EXPECT_EQ(dropped(), 5u);
}

TEST_F(NoticesTest, WithoutARunnerTheBoundIsTheSame) {
  Begin(NewPrivateSession());
  for (uint32_t i = 0; i < Session::kMessages + 5; ++i) notices_.PoisonedPage(i * kPageSize, 5);
  EXPECT_EQ(g_written.size(), Session::kMessages);
  EXPECT_EQ(dropped(), 5u);
}

TEST_F(NoticesTest, ALineThatCannotBeWrittenIsCounted) {
  Begin(NewPrivateSession());
  g_writer_full = true;
  notices_.PoisonedPage(0x1000, 5);
  notices_.OverLimit({Bytes(70 << 20), Bytes(64 << 20)});
  EXPECT_EQ(dropped(), 2u);
  EXPECT_TRUE(g_written.empty());
}

TEST_F(NoticesTest, LastWordsBeforeTheStartAreSafe) {
  Notices unused;
  unused.LastWords("nobody hears this\n");
  EXPECT_TRUE(g_written.empty());
  // Initialised, but no session joined yet: straight to standard error.
  SessionMember nobody;
  notices_.Init(nobody, Write);
  notices_.LastWords("early\n");
  EXPECT_EQ(g_written, std::vector<std::string>{"early\n"});
}

}  // namespace
}  // namespace uzswap
