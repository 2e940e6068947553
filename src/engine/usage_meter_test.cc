#include "engine/usage_meter.h"

#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "engine/testing/fake_session.h"

namespace uzswap {

struct SessionTestPeer {
  static std::optional<ProcessRecord> ClaimAs(Session& session, const os::ProcessIdentity& self) {
    return session.ClaimAs(self, "a relative");
  }
};

namespace {

constexpr uint64_t kMiB = 1 << 20;

int64_t PagesTo(Bytes bytes) { return static_cast<int64_t>(PagesWithin(bytes).raw()); }

class FakeReaders final : public UsageReaders {
 public:
  Bytes AnonymousBytes() override { return anonymous; }
  std::optional<os::AnonymousSplit> AnonymousSplit() override {
    ++share_reads;
    if (!share) return {};
    return os::AnonymousSplit{*share, exclusive};
  }
  Bytes PoolBytes() override { return pool; }
  os::PageSharing PoolSharing() override { return pool_sharing; }
  Bytes MetadataBytes() override { return metadata; }
  os::PageSharing MetadataSharing() override { return metadata_sharing; }
  uint64_t NowNs() override { return now_ns; }

  Bytes anonymous{10 * kMiB};
  std::optional<Bytes> share = Bytes(10 * kMiB);
  Bytes exclusive{0};
  Bytes pool{0};
  Bytes metadata{0};
  os::PageSharing pool_sharing;
  os::PageSharing metadata_sharing;
  uint64_t now_ns = uint64_t{1} << 40;
  int share_reads = 0;
};

class UsageMeterTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(member_.Join(NewPrivateSession(), "a test").ok());
    meter_.Init(readers_, member_, headroom_, kMarks);
  }

  static constexpr Watermarks kMarks = WatermarksFor(Bytes(64 * kMiB));
  FakeReaders readers_;
  SessionMember member_;
  Headroom headroom_;
  UsageMeter meter_;
};

TEST_F(UsageMeterTest, MeasuresAndPublishes) {
  readers_.pool = Bytes(3 * kMiB);
  const Usage usage = meter_.Measure();
  EXPECT_EQ(usage.anonymous, Bytes(10 * kMiB));
  EXPECT_EQ(usage.own, Bytes(10 * kMiB));
  EXPECT_EQ(usage.tree, Bytes(10 * kMiB));
  EXPECT_EQ(usage.headroom_pages, PagesTo(kMarks.target - Bytes(10 * kMiB)));
  EXPECT_EQ(headroom_.Get(), usage.headroom_pages);
  EXPECT_FALSE(usage.minor);
  // The pool's frames are anonymous memory: published beside the usage, not added to it.
  EXPECT_EQ(member_.session().TreeUsage(), Bytes(10 * kMiB));
  EXPECT_EQ(member_.session().TreeReserved(SharedSpace::kPool), Bytes(3 * kMiB));
  EXPECT_EQ(member_.statistics().resident_bytes.Get(), 10 * kMiB);
  EXPECT_EQ(member_.statistics().pool_total_size.Get(), 3 * kMiB);

  readers_.anonymous = Bytes(70 * kMiB);
  EXPECT_EQ(meter_.Measure().headroom_pages, -PagesTo(Bytes(70 * kMiB) - kMarks.target));
  readers_.anonymous = Bytes(1 * kMiB);
  readers_.pool = Bytes(0);
  EXPECT_EQ(meter_.Measure().tree, Bytes(1 * kMiB));
  EXPECT_EQ(member_.statistics().resident_bytes_peak.Get(), 70 * kMiB);
  EXPECT_EQ(member_.statistics().pool_total_size_peak.Get(), 3 * kMiB);
}

TEST_F(UsageMeterTest, MetadataIsWhatTheReaderSaysAndIsNotChargedTwice) {
  readers_.metadata = Bytes(7 * kPageSize);
  EXPECT_EQ(meter_.Measure().tree, Bytes(10 * kMiB));
  EXPECT_EQ(member_.statistics().metadata_bytes.Get(), 0u);
  meter_.MeasureMetadata();
  EXPECT_EQ(member_.statistics().metadata_bytes.Get(), 7 * kPageSize);
  EXPECT_EQ(meter_.Measure().tree, Bytes(10 * kMiB));
}

TEST_F(UsageMeterTest, TheWorkingSetThatIsSparedFollowsWhatIsAskedFor) {
  constexpr Bytes kLarge(uint64_t{32} << 30);  // of which 1 GiB would be spared
  readers_.anonymous = Bytes(100 * kMiB);
  meter_.SetWatermarks(WatermarksFor(kLarge, Bytes(40 * kMiB)));
  const Usage usage = meter_.Measure();
  EXPECT_FALSE(usage.spared);
  EXPECT_EQ(usage.headroom_pages, -PagesTo(Bytes(60 * kMiB)));
  readers_.pool = Bytes(98 * kMiB);
  EXPECT_TRUE(meter_.Measure().spared) << "2 MiB of the program are left";
}

TEST_F(UsageMeterTest, TheShareIsAskedForOnlyWhileSomethingIsShared) {
  static_cast<void>(meter_.Measure());
  EXPECT_EQ(readers_.share_reads, 0);

  meter_.NoteFork();
  readers_.share = Bytes(6 * kMiB);
  EXPECT_EQ(meter_.Measure().own, Bytes(6 * kMiB));
  EXPECT_EQ(readers_.share_reads, 1);
  // Between two questions what was shared last is subtracted.
  readers_.now_ns += UsageMeter::kShareEveryNs - 1;
  readers_.share = Bytes(9 * kMiB);
  readers_.anonymous = Bytes(11 * kMiB);
  EXPECT_EQ(meter_.Measure().own, Bytes(7 * kMiB));
  readers_.anonymous = Bytes(3 * kMiB);
  EXPECT_EQ(meter_.Measure().own, Bytes(0));
  EXPECT_EQ(readers_.share_reads, 1);
  readers_.now_ns += 1;
  readers_.anonymous = Bytes(11 * kMiB);
  EXPECT_EQ(meter_.Measure().own, Bytes(9 * kMiB));
  EXPECT_TRUE(meter_.sharing());
}

TEST_F(UsageMeterTest, RefreshesTheHeadroomByTheGrowthSinceAnOldMeasurement) {
  const int64_t measured = meter_.Measure().headroom_pages;
  readers_.anonymous = Bytes(13 * kMiB);
  readers_.now_ns += UsageMeter::kStaleNs - 1;
  meter_.Refresh();
  EXPECT_EQ(headroom_.Get(), measured) << "the measurement was fresh";
  headroom_.Take(5);  // faults: they are in RssAnon too
  readers_.now_ns += 1;
  meter_.Refresh();
  EXPECT_EQ(headroom_.Get(), measured - PagesTo(Bytes(3 * kMiB)));
  EXPECT_EQ(member_.statistics().late_measurements.Get(), 1u);
  readers_.anonymous = Bytes(14 * kMiB);
  meter_.Refresh();
  EXPECT_EQ(headroom_.Get(), measured - PagesTo(Bytes(3 * kMiB))) << "a refresh counts as one";
  readers_.now_ns += UsageMeter::kStaleNs;
  readers_.anonymous = Bytes(9 * kMiB);
  meter_.Refresh();
  EXPECT_EQ(headroom_.Get(), measured + PagesTo(Bytes(1 * kMiB)));
}

// A limit of 64 MiB: a working set of 4 MiB.
TEST_F(UsageMeterTest, SparesTheWorkingSet) {
  struct Case {
    const char* what;
    Bytes anonymous;
    Bytes pool;
    Bytes metadata;
    bool spared;
    int64_t headroom;
  };
  const int64_t target = PagesTo(kMarks.target);
  const int64_t over = target - PagesTo(Bytes(70 * kMiB));
  const Case cases[] = {
      {"no pool", Bytes(70 * kMiB), Bytes(), Bytes(), false, over},
      {"more must go than is spared", Bytes(70 * kMiB), Bytes(50 * kMiB), Bytes(), false, over},
      {"less", Bytes(70 * kMiB), Bytes(65 * kMiB), Bytes(), true, -PagesTo(Bytes(kMiB))},
      {"short of it", Bytes(70 * kMiB), Bytes(68 * kMiB), Bytes(), true, PagesTo(Bytes(2 * kMiB))},
      {"short of it, with tables", Bytes(70 * kMiB), Bytes(60 * kMiB), Bytes(8 * kMiB), true,
       PagesTo(Bytes(2 * kMiB))},
      {"below the target", Bytes(50 * kMiB), Bytes(50 * kMiB), Bytes(), false,
       target - PagesTo(Bytes(50 * kMiB))},
  };
  for (const Case& c : cases) {
    readers_.anonymous = c.anonymous;
    readers_.pool = c.pool;
    readers_.metadata = c.metadata;
    meter_.MeasureMetadata();
    const uint64_t before = member_.statistics().working_set_protected.Get();
    const Usage usage = meter_.Measure();
    EXPECT_EQ(usage.spared, c.spared) << c.what;
    EXPECT_EQ(usage.headroom_pages, c.headroom) << c.what;
    EXPECT_EQ(headroom_.Get(), usage.headroom_pages) << c.what;
    const uint64_t times = member_.statistics().working_set_protected.Get() - before;
    EXPECT_EQ(times, c.spared ? 1u : 0u) << c.what;
  }
}

// A pool that relatives share is in this process's share only in part. The rest of the share is the
// working set.
TEST_F(UsageMeterTest, SparesTheWorkingSetBesideTheShareOfThePool) {
  struct Case {
    const char* what;
    os::PageSharing pool;
    os::PageSharing metadata;
    int64_t working_set;  // MiB of the share of 60
    uint64_t pool_share;  // in MiB, as `kept`
    uint64_t kept;        // of it, if the pool can be made smaller
  };
  const Case cases[] = {
      {"nothing is known", {}, {}, 60 - 48 - 8, 48, 0},
      {"all is private", {100, 100}, {10, 10}, 60 - 48 - 8, 48, 0},
      {"the pool is shared by two", {100, 0}, {10, 10}, 60 - 24 - 8, 24, 24},
      {"half of the pool", {100, 50}, {10, 10}, 60 - 36 - 8, 36, 12},
      {"half of the pool, and the tables", {100, 50}, {10, 0}, 60 - 36 - 4, 36, 12},
  };
  readers_.anonymous = Bytes(100 * kMiB);
  readers_.share = Bytes(60 * kMiB);
  readers_.exclusive = Bytes(20 * kMiB);
  readers_.pool = Bytes(48 * kMiB);
  readers_.metadata = Bytes(8 * kMiB);
  meter_.MeasureMetadata();
  ASSERT_TRUE(member_.Join(NewPrivateSession(), "a test").ok());
  for (const bool shrinks : {true, false}) {
    meter_.SetPoolShrinks(shrinks);
    for (const Case& c : cases) {
      meter_.ResetInChild();
      readers_.pool_sharing = c.pool;
      readers_.metadata_sharing = c.metadata;
      const Usage usage = meter_.Measure();
      const auto working_set = static_cast<uint64_t>(shrinks ? c.working_set : 60 - 48 - 8);
      const int64_t least = PagesTo(WorkingSetMin(kMarks.limit, 1));
      const int64_t missing = least - PagesTo(Bytes(working_set * kMiB));
      const int64_t headroom = PagesTo(kMarks.target) - PagesTo(usage.tree);
      EXPECT_EQ(usage.headroom_pages, std::max(missing, headroom)) << c.what;
      EXPECT_EQ(usage.spared, missing > headroom) << c.what;
      const uint64_t kept = shrinks ? c.kept : c.pool_share;
      EXPECT_EQ(member_.session().TreePool(), Bytes(c.pool_share * kMiB)) << c.what;
      EXPECT_EQ(member_.session().TreeKeptPool(), Bytes(kept * kMiB)) << c.what;
    }
  }
}

TEST_F(UsageMeterTest, SharingEndsBelowAMebibyte) {
  struct Case {
    std::optional<Bytes> share;
    bool goes_on;
  };
  const Case cases[] = {
      {Bytes(9 * kMiB), true},   {Bytes(9 * kMiB + 1), false},
      {Bytes(10 * kMiB), false}, {Bytes(12 * kMiB), false},  // the process shrank during the walk
      {std::nullopt, false},                                 // the kernel reports nothing
  };
  for (const Case& c : cases) {
    meter_.ResetInChild();
    readers_.now_ns += UsageMeter::kShareEveryNs;
    readers_.share = c.share;
    EXPECT_EQ(meter_.Measure().own, c.goes_on ? *c.share : Bytes(10 * kMiB));
    EXPECT_EQ(meter_.sharing(), c.goes_on);
  }
}

TEST_F(UsageMeterTest, EstimatesHowManyProcessesShareAPage) {
  struct Case {
    Bytes share;
    Bytes exclusive;
    uint64_t per_mille;
  };
  const Case cases[] = {
      {Bytes(6 * kMiB), Bytes(2 * kMiB), 2000},    // eight shared by two
      {Bytes(4 * kMiB), Bytes(2 * kMiB), 4000},    // eight shared by four
      {Bytes(10 * kMiB), Bytes(10 * kMiB), 1000},  // nothing is shared
      {Bytes(5 * kMiB), Bytes(0), 2000},
      {Bytes(12 * kMiB), Bytes(9 * kMiB), 1000},  // the process shrank during the walk
  };
  for (const Case& c : cases) {
    meter_.ResetInChild();
    readers_.share = c.share;
    readers_.exclusive = c.exclusive;
    static_cast<void>(meter_.Measure());
    EXPECT_EQ(meter_.sharers_per_mille(), c.per_mille);
  }
  meter_.ResetInChild();
  readers_.share = std::nullopt;
  static_cast<void>(meter_.Measure());
  EXPECT_EQ(meter_.sharers_per_mille(), 1000u);
}

TEST_F(UsageMeterTest, AChildAsksAtOnce) {
  meter_.NoteFork();
  readers_.share = Bytes(6 * kMiB);
  static_cast<void>(meter_.Measure());
  meter_.ResetInChild();
  readers_.share = Bytes(5 * kMiB);
  EXPECT_EQ(meter_.Measure().own, Bytes(5 * kMiB));
  EXPECT_EQ(readers_.share_reads, 2);
}

// Two processes of one tree. The child reports what it saw by its exit status.
TEST_F(UsageMeterTest, AProcessThatHoldsLittleIsMinor) {
  EXPECT_EQ(meter_.Measure().tree, Bytes(10 * kMiB));
  for (const bool minor : {true, false}) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      member_.JoinAsChild();
      // Less than half of the mean: x * 2 processes * 2 < x + 10 MiB.
      readers_.anonymous = Bytes(10 * kMiB / 3 - (minor ? kPageSize : 0) + (minor ? 0 : 1));
      const Usage usage = meter_.Measure();
      const bool right =
          usage.minor == minor && usage.tree == readers_.anonymous + Bytes(10 * kMiB);
      _exit(right ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << minor;
    EXPECT_EQ(member_.session().MarkDead(), 1u);
  }
  EXPECT_FALSE(meter_.Measure().minor);
}

}  // namespace
}  // namespace uzswap
