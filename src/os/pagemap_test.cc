#include "os/pagemap.h"

#include <sys/mman.h>

#include <gtest/gtest.h>
#include <optional>

#include "os/testing/anonymous_memory.h"
#include "os/testing/waiting_child.h"

namespace uzswap::os {
namespace {

TEST(PagemapReader, RunsOfPresentPages) {
  PagemapReader pagemap;
  if (!pagemap.Open().ok()) GTEST_SKIP() << "this kernel has no PAGEMAP_SCAN";
  AnonymousMemory memory(64);
  madvise(memory.data(), 64 * kPageSize, MADV_NOHUGEPAGE);
  for (const size_t page : {0, 1, 2, 10, 20, 21, 63}) memory.data()[page * kPageSize] = 1;
  PresentRun runs[8];
  uint64_t walked = 0;
  Result<size_t> found = pagemap.Present(memory.start(), memory.end(), runs, 8, &walked);
  ASSERT_TRUE(found.ok());
  ASSERT_EQ(found.value(), 4u);
  EXPECT_EQ(walked, memory.end());
  EXPECT_EQ(runs[0].start, memory.start());
  EXPECT_EQ(runs[0].end, memory.start() + 3 * kPageSize);
  EXPECT_EQ(runs[3].start, memory.end() - kPageSize);
  // With room for two the search stops, and continues where it stopped.
  found = pagemap.Present(memory.start(), memory.end(), runs, 2, &walked);
  ASSERT_TRUE(found.ok());
  ASSERT_EQ(found.value(), 2u);
  EXPECT_LT(walked, memory.end());
  found = pagemap.Present(walked, memory.end(), runs, 8, &walked);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found.value(), 2u);
}

// A page that parent and child map, and one that only the parent maps.
TEST(ShareReader, TellsPagesOfARelativeFromOwnPages) {
  ShareReader share;
  PagemapReader pagemap;
  ASSERT_TRUE(share.Open().ok());
  if (!pagemap.Open().ok()) GTEST_SKIP() << "this kernel has no PAGEMAP_SCAN";
  constexpr size_t kPages = 1024;
  AnonymousMemory memory(kPages);
  madvise(memory.data(), kPages * kPageSize, MADV_NOHUGEPAGE);
  for (size_t page = 0; page < kPages / 2; ++page) memory.data()[page * kPageSize] = 1;
  EXPECT_EQ(pagemap.MappedOnce(memory.start()), true);
  EXPECT_EQ(pagemap.MappedOnce(memory.end() - kPageSize), false) << "not present";
  const std::optional<AnonymousSplit> alone = share.Split();
  ASSERT_TRUE(alone.has_value());

  WaitingChild child;
  memory.data()[0] = 2;
  EXPECT_EQ(pagemap.MappedOnce(memory.start()), true) << "written: a copy";
  EXPECT_EQ(pagemap.MappedOnce(memory.start() + kPageSize), false) << "shared";
  EXPECT_FALSE(pagemap.SharedContent(memory.start())) << "a copy";
  EXPECT_TRUE(pagemap.SharedContent(memory.start() + kPageSize));
  EXPECT_FALSE(pagemap.SharedContent(memory.end() - kPageSize)) << "not present";
  static_cast<void>(*static_cast<volatile char*>(memory.data() + (kPages - 1) * kPageSize));
  EXPECT_EQ(pagemap.MappedOnce(memory.end() - kPageSize), false);
  const PageSharing some = pagemap.SharingOf(memory.start(), memory.start() + 64 * kPageSize);
  EXPECT_EQ(some.present, 64u);
  EXPECT_EQ(some.mapped_once, 1u);
  EXPECT_FALSE(pagemap.SharedContent(memory.end() - kPageSize)) << "the zero page";
  const std::optional<AnonymousSplit> shared = share.Split();
  ASSERT_TRUE(shared.has_value());
  const uint64_t size = kPages / 2 * kPageSize;
  EXPECT_LT(shared->exclusive.raw() + size / 2, alone->exclusive.raw());
  EXPECT_LT(shared->share.raw() + size / 4, alone->share.raw());
  EXPECT_LE(shared->exclusive, shared->share);

  EXPECT_EQ(child.End(), 0);
  EXPECT_EQ(pagemap.MappedOnce(memory.start() + kPageSize), true) << "the child has gone";
  EXPECT_EQ(pagemap.SharingOf(memory.start(), memory.start() + kPageSize).mapped_once, 1u);
  EXPECT_EQ(pagemap.SharingOf(memory.start(), memory.start()).present, 0u);
  pagemap.Close();
  EXPECT_EQ(pagemap.SharingOf(memory.start(), memory.start() + kPageSize).present, 0u);
}

}  // namespace
}  // namespace uzswap::os
