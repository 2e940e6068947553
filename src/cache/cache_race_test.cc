// Every pair of operations, stepped by hand in every order of their steps.
//
// For each pair {A, B} and each state of the entry, the test first runs A;B and B;A and records the
// results: both answers, and what the entry holds afterwards. Then it runs every interleaving of
// their steps. The result of each must be that of one of the two orders, with nothing leaked and
// nothing left in flight. A step that would wait for the other operation is postponed until the
// other has made a step; if neither can make one, the test fails with a deadlock.
//
// docs/design/races-cache.md says in words which operation wins.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/testing/slowness.h"
#include "cache/testing/cache_fixture.h"
#include "codec/testing/sample_dictionary.h"

namespace uzswap {
namespace {

constexpr uint64_t kOffset = 1;
constexpr uint64_t kOld = 2;  // versions of the page: text
constexpr uint64_t kNewA = 9;
constexpr uint64_t kNewB = 16;
constexpr uint64_t kSame = 7;  // all zeroes

enum class Start { kEmpty, kSameFilled, kPooled, kWriting, kOnDisk };
constexpr Start kStarts[] = {Start::kEmpty, Start::kSameFilled, Start::kPooled, Start::kWriting,
                             Start::kOnDisk};

// One operation in steps. Step returns true when it was the last.
class Operation {
 public:
  virtual ~Operation() = default;
  // False if the next step would wait for the other operation.
  virtual bool Ready() { return true; }
  virtual bool Step() = 0;
  // What the operation returned to its caller; empty for background work.
  virtual std::string Answer() { return ""; }
};

std::string NameOfVersion(const TestPage& page) {
  for (const uint64_t version : {kOld, kNewA, kNewB, kSame}) {
    if (page == PageOf(version)) return std::to_string(version);
  }
  return "garbage";
}

class StoreSteps : public Operation {
 public:
  StoreSteps(CacheFixture& fixture, CacheContext& context, uint64_t version)
      : operation_(fixture.cache, context, fixture.At(kOffset)), page_(PageOf(version)) {}
  bool Step() override {
    outcome_ =
        step_++ == 0 ? operation_.Prepare(page_.view(), Repeated::kUnknown) : operation_.Publish();
    return step_ == 2 || outcome_ != StoreOutcome::kStored;
  }
  std::string Answer() override { return outcome_ == StoreOutcome::kStored ? "stored" : "refused"; }

 private:
  StoreOperation operation_;
  TestPage page_;
  int step_ = 0;
  StoreOutcome outcome_ = StoreOutcome::kNoSpace;
};

class LoadSteps : public Operation {
 public:
  LoadSteps(CacheFixture& fixture, CacheContext& context, LoadMode mode)
      : fixture_(fixture), context_(context), mode_(mode) {}
  bool Ready() override {
    if (step_ == 1) return CachePeer::FetchReady(*operation_);
    if (step_ == 3) return CachePeer::LeaveReady(*operation_);
    return true;
  }
  bool Step() override {
    switch (step_) {
      case 0:
        operation_.emplace(fixture_.cache, context_, fixture_.At(kOffset), page_.span(), mode_);
        next_ = operation_->Begin();
        step_ = next_ == LoadOperation::Next::kFetch ? 1 : 0;
        break;
      case 1:
        operation_->Fetch();
        step_ = 2;
        break;
      case 2:
        next_ = operation_->Publish();
        step_ = 3;
        break;
      default:
        operation_->Leave();
        step_ = 0;
        break;
    }
    return step_ == 0 && next_ == LoadOperation::Next::kDone;
  }
  std::string Answer() override {
    switch (operation_->outcome()) {
      case LoadOutcome::kLoaded:
        return "loaded " + NameOfVersion(page_);
      case LoadOutcome::kOnDisk:
        return "left on disk";
      case LoadOutcome::kMiss:
        return "miss";
      case LoadOutcome::kIoError:
      case LoadOutcome::kCorrupt:
        return "failed";
    }
    return "";
  }

 private:
  CacheFixture& fixture_;
  CacheContext& context_;
  LoadMode mode_;
  TestPage page_;
  std::optional<LoadOperation> operation_;
  LoadOperation::Next next_ = LoadOperation::Next::kAgain;
  int step_ = 0;
};

class PrefetchSteps : public Operation {
 public:
  PrefetchSteps(CacheFixture& fixture, CacheContext& context)
      : cache_(fixture.cache),
        context_(context),
        operation_(fixture.cache, context, fixture.At(kOffset)) {}
  bool Step() override {
    switch (step_++) {
      case 0:
        return !operation_.Begin();
      case 1:
        CachePeer::Fetch(cache_, context_, operation_);
        return false;
      default:
        operation_.Finish();
        return true;
    }
  }

 private:
  CompressedCache& cache_;
  CacheContext& context_;
  PrefetchOperation operation_;
  int step_ = 0;
};

class RecompressSteps : public Operation {
 public:
  RecompressSteps(CacheFixture& fixture, CacheContext& context)
      : operation_(fixture.cache, context, fixture.Candidate(kOffset), *CodecByName("zstd")) {}
  bool Step() override {
    switch (step_++) {
      case 0:
        return !operation_.Begin();
      case 1:
        operation_.Work();
        return false;
      default:
        static_cast<void>(operation_.Finish());
        return true;
    }
  }

 private:
  RecompressOperation operation_;
  int step_ = 0;
};

// Any sequence of calls.
class CallSteps : public Operation {
 public:
  using Call = std::function<void()>;
  explicit CallSteps(std::vector<Call> calls, std::function<bool()> ready = nullptr)
      : calls_(std::move(calls)), ready_(std::move(ready)) {}
  bool Ready() override { return ready_ == nullptr || ready_(); }
  bool Step() override {
    calls_[step_++]();
    return step_ == calls_.size();
  }

 private:
  std::vector<Call> calls_;
  std::function<bool()> ready_;
  size_t step_ = 0;
};

class InvalidateSteps : public Operation {
 public:
  InvalidateSteps(CacheFixture& fixture, CacheContext& context, bool area)
      : fixture_(fixture), context_(context), area_(area) {}
  bool Step() override {
    if (area_) {
      fixture_.cache.InvalidateArea(context_, fixture_.area);
    } else {
      found_ = fixture_.cache.Invalidate(context_, fixture_.At(kOffset));
    }
    return true;
  }
  std::string Answer() override { return area_ ? "" : found_ ? "found" : "nothing"; }

 private:
  CacheFixture& fixture_;
  CacheContext& context_;
  bool area_;
  bool found_ = false;
};

// The child must find the entry as the parent left it, and be able to continue.
int ForkAndLook(CacheFixture& fixture) {
  TestPage before;
  const LoadOutcome expected =
      fixture.cache.Load(fixture.context, fixture.At(kOffset), before.span(), LoadMode::kKeep);
  const pid_t child = fork();
  if (child == 0) {
    alarm(Slower(60u));  // a child that hangs is killed, and the test fails
    fixture.cache.ResetAfterFork();
    os::IoPort* const port = &fixture.port;
    fixture.store.BecomeReader({&port, 1});
    TestPage page;
    const LoadOutcome outcome =
        fixture.cache.Load(fixture.context, fixture.At(kOffset), page.span(), LoadMode::kExclusive);
    bool good = outcome == expected && (outcome != LoadOutcome::kLoaded || page == before);
    const StoreOutcome stored =
        fixture.cache.Store(fixture.context, fixture.At(kOffset), PageOf(kNewA).view());
    const bool exists = fixture.cache.KindOf(fixture.area) != AreaKind::kNone;
    good = good && stored == (exists ? StoreOutcome::kStored : StoreOutcome::kNoIndex);
    _exit(good ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

struct Kind {
  const char* name;
  std::function<std::unique_ptr<Operation>(CacheFixture&, CacheContext&, uint64_t version)> make;
};

// The content of a dictionary, another one for each version of the page.
const std::vector<std::byte>& ContentOf(uint64_t version) {
  static const std::vector<std::byte> contents[] = {SampleDictionary(PageKind::kText, 1, 1024),
                                                    SampleDictionary(PageKind::kText, 2, 1024),
                                                    SampleDictionary(PageKind::kText, 3, 1024)};
  return contents[version == kOld ? 0 : version == kNewA ? 1 : 2];
}

std::unique_ptr<Operation> Calls(std::vector<CallSteps::Call> calls) {
  return std::make_unique<CallSteps>(std::move(calls));
}

std::vector<Kind> Kinds() {
  std::vector<Kind> kinds;
  const auto add = [&](const char* name, auto make) { kinds.push_back({name, make}); };
  add("store", [](CacheFixture& f, CacheContext& c, uint64_t version) {
    return std::make_unique<StoreSteps>(f, c, version);
  });
  add("store_same_filled", [](CacheFixture& f, CacheContext& c, uint64_t) {
    return std::make_unique<StoreSteps>(f, c, kSame);
  });
  add("load", [](CacheFixture& f, CacheContext& c, uint64_t) {
    return std::make_unique<LoadSteps>(f, c, LoadMode::kKeep);
  });
  add("load_exclusive", [](CacheFixture& f, CacheContext& c, uint64_t) {
    return std::make_unique<LoadSteps>(f, c, LoadMode::kExclusive);
  });
  add("invalidate", [](CacheFixture& f, CacheContext& c, uint64_t) {
    return std::make_unique<InvalidateSteps>(f, c, false);
  });
  add("invalidate_area", [](CacheFixture& f, CacheContext& c, uint64_t) {
    return std::make_unique<InvalidateSteps>(f, c, true);
  });
  add("writeback", [](CacheFixture& f, CacheContext&, uint64_t) {
    return Calls({[&f] { f.port.Hold(), static_cast<void>(f.BeginWriting(kOffset)); },
                  [&f] { f.port.Release(), f.store.WaitForWrites(); }});
  });
  add("write_fails", [](CacheFixture& f, CacheContext&, uint64_t) {
    return Calls({[&f] {
                    f.port.Hold();
                    f.port.Plan(os::IoFault::kError, f.port.calls() + 1, ENOSPC);
                    static_cast<void>(f.BeginWriting(kOffset));
                    f.port.Heal();
                  },
                  [&f] { f.port.Release(), f.store.WaitForWrites(); }});
  });
  add("cleaning", [](CacheFixture& f, CacheContext&, uint64_t) {
    return Calls({[&f] { f.port.Hold(), static_cast<void>(f.store.Clean(1001)), f.store.Flush(); },
                  [&f] { f.port.Release(), f.store.WaitForWrites(); }});
  });
  add("readahead", [](CacheFixture& f, CacheContext& c, uint64_t) {
    return std::make_unique<PrefetchSteps>(f, c);
  });
  add("migration", [](CacheFixture& f, CacheContext&, uint64_t) {
    return Calls({[&f] { static_cast<void>(f.arena.ReclaimRange(FrameId(0), PageCount(16))); }});
  });
  add("compaction", [](CacheFixture& f, CacheContext&, uint64_t) {
    return Calls({[&f] { f.pool.CompactStep(8); }});
  });
  add("new_dictionary", [](CacheFixture& f, CacheContext&, uint64_t version) {
    return Calls({[&f, version] {
                    const InstallOutcome outcome = f.dictionaries.Install(ContentOf(version));
                    UZ_CHECK(outcome != InstallOutcome::kNoSlot);
                  },
                  [&f] { static_cast<void>(f.dictionaries.Collect()); }});
  });
  add("no_dictionary", [](CacheFixture& f, CacheContext&, uint64_t) {
    return Calls(
        {[&f] { f.dictionaries.Retire(); }, [&f] { static_cast<void>(f.dictionaries.Collect()); }});
  });
  add("recompression", [](CacheFixture& f, CacheContext& c, uint64_t) {
    return std::make_unique<RecompressSteps>(f, c);
  });
  add("shutdown", [](CacheFixture& f, CacheContext& c, uint64_t) {
    // Waits for loads that are under way, so its step is postponed until they have ended.
    return std::make_unique<CallSteps>(std::vector<CallSteps::Call>{[&f, &c] {
                                         if (f.cache.KindOf(f.area) != AreaKind::kNone)
                                           f.cache.DestroyArea(c, f.area);
                                       }},
                                       [&f] { return CachePeer::Quiet(f.cache, f.At(kOffset)); });
  });
  return kinds;
}

class Table {
 public:
  explicit Table(bool zsmalloc) {
    FixtureOptions options;
    options.zsmalloc = zsmalloc;
    options.frames = 64;
    options.device = 16 << 20;
    fixture_ = std::make_unique<CacheFixture>(options);
    fixture_->Attach();
  }

  void Prepare(Start start) {
    CacheFixture& f = *fixture_;
    f.port.Heal();
    f.port.Release();
    f.store.WaitForWrites();
    if (f.cache.KindOf(f.area) == AreaKind::kNone) {
      f.area = f.cache.CreateArea(AreaKind::kPersistent);
    }
    f.cache.InvalidateArea(f.context, f.area);
    UZ_CHECK(f.dictionaries.Install(ContentOf(kOld)) != InstallOutcome::kNoSlot);
    // For the compactor: frames with one object each.
    for (uint64_t offset = 100; offset < 112; ++offset) UZ_CHECK(Stored(f.Put(offset, kOld)));
    for (uint64_t offset = 100; offset < 112; offset += 2) {
      f.cache.Invalidate(f.context, f.At(offset));
    }
    // Something on disk. A store that was full refuses up to 255 times before it tries again.
    UZ_CHECK(Stored(f.Put(200, kOld)));
    int refusals = 0;
    while (f.BeginWriting(200) != EvictOutcome::kBegun) UZ_CHECK_LT(++refusals, 1000);
    f.store.WaitForWrites();
    switch (start) {
      case Start::kEmpty:
        return;
      case Start::kSameFilled:
        UZ_CHECK(Stored(f.Put(kOffset, kSame)));
        return;
      case Start::kPooled:
        UZ_CHECK(Stored(f.Put(kOffset, kOld)));
        return;
      case Start::kWriting:
        UZ_CHECK(Stored(f.Put(kOffset, kOld)));
        f.port.Hold();
        UZ_CHECK(f.BeginWriting(kOffset) == EvictOutcome::kBegun);
        return;
      case Start::kOnDisk:
        f.PutOnDisk(kOffset, kOld);
        return;
    }
  }

  // Runs the steps of the two in the order of the bits of `schedule` (1: A). Returns the result.
  std::optional<std::string> Run(const Kind& a, const Kind& b, Start start, uint32_t schedule) {
    Prepare(start);
    CacheFixture& f = *fixture_;
    std::unique_ptr<Operation> first = a.make(f, f.context, kNewA);
    std::unique_ptr<Operation> second = b.make(f, f.other, kNewB);
    bool first_done = false;
    bool second_done = false;
    first_steps_ = second_steps_ = 0;
    int steps = 0;
    while (!first_done || !second_done) {
      bool take_first = (schedule >> (steps++ % 32) & 1) != 0;
      if (first_done) take_first = false;
      if (second_done) take_first = true;
      Operation* chosen = take_first ? first.get() : second.get();
      if (!chosen->Ready()) {
        take_first = !take_first;
        chosen = take_first ? first.get() : second.get();
        const bool stuck = (take_first ? first_done : second_done) || !chosen->Ready();
        if (stuck) return "deadlock";
      }
      (take_first ? first_done : second_done) = chosen->Step();
      ++(take_first ? first_steps_ : second_steps_);
      if (steps > 100) return "livelock";
    }
    return first->Answer() + " | " + second->Answer() + " | " + Afterwards();
  }

  std::string Afterwards() {
    CacheFixture& f = *fixture_;
    f.port.Heal();
    f.port.Release();
    f.store.WaitForWrites();
    f.cache.Audit();
    f.pool.Audit();
    const LoadOutcome outcome = f.Get(kOffset);
    if (outcome == LoadOutcome::kMiss) return "empty";
    return outcome == LoadOutcome::kLoaded ? NameOfVersion(f.got) : "unreadable";
  }
  static bool Stored(StoreOutcome outcome) { return outcome == StoreOutcome::kStored; }
  CacheFixture& fixture() { return *fixture_; }
  // Of the latest run.
  [[nodiscard]] int first_steps() const { return first_steps_; }
  [[nodiscard]] int second_steps() const { return second_steps_; }

 private:
  std::unique_ptr<CacheFixture> fixture_;
  int first_steps_ = 0;
  int second_steps_ = 0;
};

// Which operation, and which pool.
class CacheRaceTest : public testing::TestWithParam<std::tuple<size_t, bool>> {};

TEST_P(CacheRaceTest, EveryInterleavingEndsLikeOneOfTheOrders) {
  const std::vector<Kind> kinds = Kinds();
  const auto [index, zsmalloc] = GetParam();
  const Kind& a = kinds[index];
  Table table(zsmalloc);
  for (size_t other = index; other < kinds.size(); ++other) {
    const Kind& b = kinds[other];
    for (const Start start : kStarts) {
      const std::string in_order = *table.Run(a, b, start, UINT32_MAX);
      // Operations that find nothing to do are short: take the longer of both orders.
      int first_steps = table.first_steps();
      int second_steps = table.second_steps();
      const std::string reversed = *table.Run(a, b, start, 0);
      first_steps = std::max(first_steps, table.first_steps());
      second_steps = std::max(second_steps, table.second_steps());
      const std::set<std::string> allowed = {in_order, reversed};
      std::set<std::string> seen;
      for (uint32_t schedule = 0; schedule < 1u << (first_steps + second_steps); ++schedule) {
        if (std::popcount(schedule) != first_steps) continue;
        const std::string result = *table.Run(a, b, start, schedule);
        ASSERT_TRUE(allowed.count(result) == 1)
            << a.name << " against " << b.name << ", start " << static_cast<int>(start)
            << ", schedule " << schedule << ": " << result << "; in order: " << in_order << " or "
            << reversed;
        seen.insert(result);
      }
      EXPECT_EQ(seen, allowed) << a.name << " against " << b.name << ": both must win";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, CacheRaceTest,
                         testing::Combine(testing::Range(size_t{0}, Kinds().size()),
                                          testing::Bool()),
                         [](const auto& each) {
                           return std::string(Kinds()[std::get<0>(each.param)].name) +
                                  (std::get<1>(each.param) ? "_zsmalloc" : "_zbud");
                         });

TEST(CacheJoinTest, TwoLoadsDecompressOnce) {
  for (const LoadMode second_mode : {LoadMode::kKeep, LoadMode::kExclusive}) {
    CacheFixture fixture;
    ASSERT_EQ(fixture.Put(kOffset, kOld), StoreOutcome::kStored);
    TestPage first_page;
    TestPage second_page;
    LoadOperation first(fixture.cache, fixture.context, fixture.At(kOffset), first_page.span(),
                        LoadMode::kKeep);
    LoadOperation second(fixture.cache, fixture.other, fixture.At(kOffset), second_page.span(),
                         second_mode);
    ASSERT_EQ(first.Begin(), LoadOperation::Next::kFetch);
    ASSERT_EQ(second.Begin(), LoadOperation::Next::kFetch);
    EXPECT_FALSE(CachePeer::FetchReady(second));
    first.Fetch();
    ASSERT_EQ(first.Publish(), LoadOperation::Next::kDone);
    EXPECT_FALSE(CachePeer::LeaveReady(first));
    second.Fetch();
    ASSERT_EQ(second.Publish(), LoadOperation::Next::kDone);
    second.Leave();
    first.Leave();
    EXPECT_EQ(first_page, PageOf(kOld));
    EXPECT_EQ(second_page, PageOf(kOld));
    EXPECT_EQ(fixture.Counted().decompressions.Get(), 1u);
    EXPECT_EQ(fixture.Counted().loads_joined.Get(), 1u);
    EXPECT_EQ(CachePeer::Holds(fixture.cache, fixture.At(kOffset)), second_mode == LoadMode::kKeep);
  }
}

// A fork happens only between operations: the engine's prepare handler waits for them.
TEST(CacheForkTest, BeforeAndAfterEveryOperation) {
  Table table(false);
  for (const Kind& kind : Kinds()) {
    for (const Start start : {Start::kEmpty, Start::kSameFilled, Start::kPooled, Start::kOnDisk}) {
      for (const bool fork_first : {false, true}) {
        table.Prepare(start);
        CacheFixture& f = table.fixture();
        if (fork_first) {
          EXPECT_EQ(ForkAndLook(f), 0) << kind.name;
        }
        std::unique_ptr<Operation> operation = kind.make(f, f.other, kNewB);
        while (!operation->Step()) {
        }
        if (!fork_first) {
          EXPECT_EQ(ForkAndLook(f), 0) << kind.name;
        }
        EXPECT_NE(table.Afterwards(), "unreadable");
      }
    }
  }
}

}  // namespace
}  // namespace uzswap
