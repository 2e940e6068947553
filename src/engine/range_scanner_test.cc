#include "engine/range_scanner.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <gtest/gtest.h>
#include <vector>

#include "engine/resident_causes.h"
#include "os/mapping.h"

namespace uzswap {

class RangeScannerPeer {
 public:
  static void SetThread(RangeScanner& scanner, uint64_t hint) {
    scanner.threads_[0] = hint;
    scanner.thread_count_ = 1;
  }
};

namespace {

constexpr uint64_t kStart = uint64_t{1} << 40;
constexpr uint64_t kPage = kPageSize;

os::MapsEntry Plain(uint64_t pages) {
  os::MapsEntry entry;
  entry.start = kStart;
  entry.end = kStart + pages * kPage;
  entry.readable = entry.writable = entry.anonymous = true;
  return entry;
}

TEST(RangeScannerJudge, Table) {
  struct Case {
    const char* what;
    void (*change)(os::MapsEntry&);
    AdoptionVerdict verdict;
  };
  const Case cases[] = {
      {"plain", [](os::MapsEntry&) {}, AdoptionVerdict::kAdopt},
      {"a file", [](os::MapsEntry& e) { e.anonymous = false; }, AdoptionVerdict::kNotAnonymous},
      {"shared", [](os::MapsEntry& e) { e.shared = true; }, AdoptionVerdict::kNotAnonymous},
      {"the kernel's", [](os::MapsEntry& e) { e.kernel = true; }, AdoptionVerdict::kNotAnonymous},
      {"read-only", [](os::MapsEntry& e) { e.writable = false; }, AdoptionVerdict::kProtection},
      {"write-only", [](os::MapsEntry& e) { e.readable = false; }, AdoptionVerdict::kProtection},
      {"executable", [](os::MapsEntry& e) { e.executable = true; }, AdoptionVerdict::kAdopt},
      {"one page", [](os::MapsEntry& e) { e.end = e.start + kPage; }, AdoptionVerdict::kAdopt},
      {"fifteen pages", [](os::MapsEntry& e) { e.end = e.start + 15 * kPage; },
       AdoptionVerdict::kAdopt},
      {"the main stack", [](os::MapsEntry& e) { e.stack = true; }, AdoptionVerdict::kStack},
  };
  const RangeScanner scanner{};
  for (const Case& c : cases) {
    os::MapsEntry entry = Plain(64);
    c.change(entry);
    EXPECT_EQ(scanner.Judge(entry, {}), c.verdict) << c.what;
  }
}

TEST(RangeScannerJudge, OursIsLeftAlone) {
  auto mapping = os::Mapping::Create(Bytes(64 * kPage), "a test");
  ASSERT_TRUE(mapping.ok());
  const auto inside = reinterpret_cast<uint64_t>(mapping.value().data());
  const RangeScanner scanner{};
  os::MapsEntry entry = Plain(64);
  for (const uint64_t start : {inside, inside - 63 * kPage, inside + 63 * kPage}) {
    entry.start = start;
    entry.end = start + 64 * kPage;
    EXPECT_EQ(scanner.Judge(entry, {}), AdoptionVerdict::kOwn);
  }
}

TEST(RangeScannerJudge, SmallMappingsNextToALibraryAreLeftAlone) {
  const RangeScanner scanner{};
  os::MapsEntry before;
  before.start = kStart - 4 * kPage;
  before.end = kStart;
  EXPECT_EQ(scanner.Judge(Plain(1), before), AdoptionVerdict::kLibraryData);
  EXPECT_EQ(scanner.Judge(Plain(15), before), AdoptionVerdict::kLibraryData);
  EXPECT_EQ(scanner.Judge(Plain(16), before), AdoptionVerdict::kAdopt);
  before.anonymous = true;
  EXPECT_EQ(scanner.Judge(Plain(15), before), AdoptionVerdict::kAdopt);
  before.kernel = true;
  EXPECT_EQ(scanner.Judge(Plain(15), before), AdoptionVerdict::kLibraryData);
  before.end -= kPage;  // not adjacent
  EXPECT_EQ(scanner.Judge(Plain(15), before), AdoptionVerdict::kAdopt);
  os::MapsEntry after;
  after.start = kStart + 15 * kPage;
  after.end = after.start + kPage;
  EXPECT_EQ(scanner.Judge(Plain(15), {}, after), AdoptionVerdict::kLibraryData);
  EXPECT_EQ(scanner.Judge(Plain(14), {}, after), AdoptionVerdict::kAdopt) << "not adjacent";
  after.anonymous = true;
  EXPECT_EQ(scanner.Judge(Plain(15), {}, after), AdoptionVerdict::kAdopt);
}

TEST(RangeScannerJudge, TheStackOfALivingThreadIsAdopted) {
  constexpr uint64_t kStackBytes = 64 * kPage;
  RangeScanner scanner;
  scanner.SetDefaultStackBytes(kStackBytes + kPage);
  os::MapsEntry guard;
  guard.anonymous = true;
  guard.start = kStart - kPage;
  guard.end = kStart;
  EXPECT_EQ(scanner.Judge(Plain(64), guard), AdoptionVerdict::kStack) << "cached: no thread";
  RangeScannerPeer::SetThread(scanner, kStart + 63 * kPage + 100);
  EXPECT_EQ(scanner.Judge(Plain(64), guard), AdoptionVerdict::kAdopt);
}

TEST(RangeScannerJudge, TheShapeOfACachedStack) {
  constexpr uint64_t kStackBytes = 8 << 20;
  RangeScanner scanner;
  scanner.SetDefaultStackBytes(kStackBytes);
  ASSERT_TRUE(scanner.Open().ok());
  os::MapsEntry guard;
  guard.anonymous = true;
  guard.start = kStart - kPage;
  guard.end = kStart;
  const os::MapsEntry stack = Plain(kStackBytes / kPage - 1);
  EXPECT_EQ(scanner.Judge(stack, guard), AdoptionVerdict::kStack);
  EXPECT_EQ(scanner.Judge(Plain(kStackBytes / kPage), guard), AdoptionVerdict::kAdopt);
  EXPECT_EQ(scanner.Judge(stack, {}), AdoptionVerdict::kAdopt);

  os::MapsEntry other = guard;
  other.end -= kPage;  // not adjacent
  other.start -= kPage;
  EXPECT_EQ(scanner.Judge(stack, other), AdoptionVerdict::kAdopt);
  other = guard;
  other.readable = true;
  EXPECT_EQ(scanner.Judge(stack, other), AdoptionVerdict::kAdopt);
  other = guard;
  other.anonymous = false;
  EXPECT_EQ(scanner.Judge(stack, other), AdoptionVerdict::kAdopt);
  // A larger guard belongs to a smaller stack.
  other = guard;
  other.start = kStart - 4 * kPage;
  EXPECT_EQ(scanner.Judge(Plain(kStackBytes / kPage - 4), other), AdoptionVerdict::kStack);
}

TEST(RangeScanner, ProtectedMappingsAreCountedByTheirPresentPages) {
  constexpr uint64_t kPages = 512;
  const auto map = [](int protection) {
    return mmap(nullptr, kPages * kPage, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  };
  void* const read_only = map(PROT_READ | PROT_WRITE);
  void* const empty = map(PROT_NONE);
  ASSERT_NE(read_only, MAP_FAILED);
  ASSERT_NE(empty, MAP_FAILED);
  RangeScanner scanner;
  os::LinuxAddressSpace space;
  ASSERT_TRUE(scanner.Open().ok());
  ASSERT_TRUE(space.Open().ok());
  LiveResidentCauses causes(scanner, space);
  const Bytes before = causes.Protected();
  memset(read_only, 1, 300 * kPage);
  EXPECT_EQ(causes.Protected(), before) << "writable";
  ASSERT_EQ(mprotect(read_only, kPages * kPage, PROT_READ), 0);
  EXPECT_EQ(causes.Protected(), before + Bytes(300 * kPage));
  munmap(read_only, kPages * kPage);
  munmap(empty, kPages * kPage);
}

// What a walk over this very process hands out.
class RecordingSink final : public RangeSink {
 public:
  bool Adopt(AddressRange range, AddressRange pin) override {
    adopted.push_back({range.start, range.end});
    if (!pin.empty()) pinned_at_once.push_back({pin.start, pin.end});
    return adopted.size() % 2 == 1;
  }
  void PinResident(AddressRange range) override { pinned.push_back({range.start, range.end}); }

  struct Range {
    uint64_t start;
    uint64_t end;
  };
  static bool Covers(const std::vector<Range>& ranges, uint64_t start, uint64_t end) {
    return std::any_of(ranges.begin(), ranges.end(),
                       [=](const Range& r) { return r.start <= start && end <= r.end; });
  }
  static bool Touches(const std::vector<Range>& ranges, uint64_t start, uint64_t end) {
    return std::any_of(ranges.begin(), ranges.end(),
                       [=](const Range& r) { return r.start < end && start < r.end; });
  }

  std::vector<Range> adopted;
  std::vector<Range> pinned;
  std::vector<Range> pinned_at_once;
};

// Anonymous memory of `pages` pages for the length of a test.
class Area {
 public:
  Area(uint64_t pages, int protection, int flags) : bytes_(pages * kPage) {
    void* made = mmap(nullptr, bytes_, protection, flags | MAP_ANONYMOUS, -1, 0);
    UZ_CHECK(made != MAP_FAILED);
    start_ = reinterpret_cast<uint64_t>(made);
  }
  ~Area() { munmap(reinterpret_cast<void*>(start_), bytes_); }
  Area(const Area&) = delete;
  [[nodiscard]] uint64_t start() const { return start_; }
  [[nodiscard]] uint64_t end() const { return start_ + bytes_; }

 private:
  uint64_t bytes_;
  uint64_t start_;
};

TEST(RangeScannerScan, OfThisProcess) {
  const Area plain(256, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  const Area shared(256, PROT_READ | PROT_WRITE, MAP_SHARED);
  const Area read_only(256, PROT_READ, MAP_PRIVATE);
  auto own = os::Mapping::Create(Bytes(256 * kPage), "a test");
  ASSERT_TRUE(own.ok());
  const auto own_start = reinterpret_cast<uint64_t>(own.value().data());

  RangeScanner scanner;
  ASSERT_TRUE(scanner.Open().ok());
  RecordingSink sink;
  const size_t newly = scanner.Scan(sink);
  EXPECT_EQ(newly, (sink.adopted.size() + 1) / 2);  // only those that the sink called new
  EXPECT_TRUE(RecordingSink::Covers(sink.adopted, plain.start(), plain.end()));
  EXPECT_FALSE(RecordingSink::Touches(sink.adopted, shared.start(), shared.end()));
  EXPECT_FALSE(RecordingSink::Touches(sink.adopted, read_only.start(), read_only.end()));
  EXPECT_FALSE(RecordingSink::Touches(sink.adopted, own_start, own_start + 256 * kPage));
  const auto stack = reinterpret_cast<uint64_t>(&newly);
  EXPECT_FALSE(RecordingSink::Touches(sink.adopted, stack, stack + 1));

  // The descriptor of each thread is kept resident, with a page to either side.
  ASSERT_GE(scanner.thread_count(), 1u);
  ASSERT_EQ(sink.pinned.size(), scanner.thread_count());
  for (size_t i = 0; i < sink.pinned.size(); ++i) {
    EXPECT_EQ(sink.pinned[i].start, scanner.thread_hints()[i] - kPage);
    EXPECT_EQ(sink.pinned[i].end, scanner.thread_hints()[i] + kPage);
  }
  // Where its mapping is adopted, in the same step.
  for (const RecordingSink::Range& pin : sink.pinned_at_once) {
    EXPECT_TRUE(RecordingSink::Covers(sink.pinned, pin.start, pin.end));
  }
  // A second walk sees the same again: what is registered already is the sink's business.
  const size_t before = sink.adopted.size();
  static_cast<void>(scanner.Scan(sink));
  EXPECT_GE(sink.adopted.size(), before + 1);
  scanner.Close();
}

}  // namespace
}  // namespace uzswap
