#include "engine/adopter.h"

#include <gtest/gtest.h>

#include "os/mapping.h"

namespace uzswap {
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

TEST(AdopterJudge, Table) {
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
      {"executable", [](os::MapsEntry& e) { e.executable = true; }, AdoptionVerdict::kProtection},
      {"one page short", [](os::MapsEntry& e) { e.end = e.start + 15 * kPage; },
       AdoptionVerdict::kSmall},
      {"just large enough", [](os::MapsEntry& e) { e.end = e.start + 16 * kPage; },
       AdoptionVerdict::kAdopt},
      {"the main stack", [](os::MapsEntry& e) { e.stack = true; }, AdoptionVerdict::kStack},
  };
  const Adopter adopter{};
  for (const Case& c : cases) {
    os::MapsEntry entry = Plain(64);
    c.change(entry);
    EXPECT_EQ(adopter.Judge(entry, {}), c.verdict) << c.what;
  }
}

TEST(AdopterJudge, OursIsLeftAlone) {
  auto mapping = os::Mapping::Create(Bytes(64 * kPage), "a test");
  ASSERT_TRUE(mapping.ok());
  const auto inside = reinterpret_cast<uint64_t>(mapping.value().data());
  const Adopter adopter{};
  os::MapsEntry entry = Plain(64);
  for (const uint64_t start : {inside, inside - 63 * kPage, inside + 63 * kPage}) {
    entry.start = start;
    entry.end = start + 64 * kPage;
    EXPECT_EQ(adopter.Judge(entry, {}), AdoptionVerdict::kOwn);
  }
}

TEST(AdopterJudge, AMappingWithALivingThreadIsAStackUnlessItIsLarge) {
  Adopter adopter;
  const uint64_t hints[] = {kStart + 63 * kPage + 100};
  adopter.SetThreadsForTest(hints, 1);
  EXPECT_EQ(adopter.Judge(Plain(64), {}), AdoptionVerdict::kStack);
  EXPECT_EQ(adopter.Judge(Plain(63), {}), AdoptionVerdict::kAdopt);
  const uint64_t most = Adopter::kStackBytesMax / kPage;
  EXPECT_EQ(adopter.Judge(Plain(most), {}), AdoptionVerdict::kStack);
  EXPECT_EQ(adopter.Judge(Plain(most + 1), {}), AdoptionVerdict::kAdopt);  // its pages are pinned
}

TEST(AdopterJudge, TheShapeOfACachedStack) {
  constexpr uint64_t kStackBytes = 8 << 20;
  Adopter adopter;
  ASSERT_TRUE(adopter.Open(kStackBytes).ok());
  os::MapsEntry guard;
  guard.anonymous = true;
  guard.start = kStart - kPage;
  guard.end = kStart;
  const os::MapsEntry stack = Plain(kStackBytes / kPage - 1);
  EXPECT_EQ(adopter.Judge(stack, guard), AdoptionVerdict::kStack);
  EXPECT_EQ(adopter.Judge(Plain(kStackBytes / kPage), guard), AdoptionVerdict::kAdopt);
  EXPECT_EQ(adopter.Judge(stack, {}), AdoptionVerdict::kAdopt);

  os::MapsEntry other = guard;
  other.end -= kPage;  // not adjacent
  other.start -= kPage;
  EXPECT_EQ(adopter.Judge(stack, other), AdoptionVerdict::kAdopt);
  other = guard;
  other.readable = true;
  EXPECT_EQ(adopter.Judge(stack, other), AdoptionVerdict::kAdopt);
  other = guard;
  other.anonymous = false;
  EXPECT_EQ(adopter.Judge(stack, other), AdoptionVerdict::kAdopt);
  // A larger guard belongs to a smaller stack.
  other = guard;
  other.start = kStart - 4 * kPage;
  EXPECT_EQ(adopter.Judge(Plain(kStackBytes / kPage - 4), other), AdoptionVerdict::kStack);
}

}  // namespace
}  // namespace uzswap
