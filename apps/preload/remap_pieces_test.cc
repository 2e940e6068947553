#include "remap_pieces.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <gtest/gtest.h>
#include <vector>

#include "base/units.h"

namespace uzswap {
namespace {

constexpr uint64_t kPages = 8;
constexpr uint64_t kSpanPages = 64;  // of the address space that a test uses

// Memory of which every page has its number, and which the kernel keeps in pieces: those behind the
// boundaries are not merged, as if their neighbours were registered.
class RemapPiecesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(maps_.Open().ok());
    void* span = mmap(nullptr, kSpanPages * kPageSize, PROT_NONE, kPrivate, -1, 0);
    ASSERT_NE(span, MAP_FAILED);
    span_ = reinterpret_cast<uint64_t>(span);
    // The rest of the span is free for mremap to grow into, or for a test to map.
    start_ = span_ + kPages * kPageSize;
  }
  void TearDown() override { munmap(Pointer(span_), kSpanPages * kPageSize); }

  void MakeSet(const std::vector<uint64_t>& boundaries) {
    munmap(Pointer(start_), (kSpanPages - kPages) * kPageSize);
    Map(start_, kPages, PROT_READ | PROT_WRITE);
    for (const uint64_t page : boundaries) {
      ASSERT_EQ(madvise(Pointer(start_ + page * kPageSize), kPageSize, MADV_DONTFORK), 0);
    }
    for (uint64_t page = 0; page < kPages; ++page) WordAt(start_, page) = page + 1;
  }
  static void Map(uint64_t at, uint64_t pages, int protection) {
    void* made = mmap(Pointer(at), pages * kPageSize, protection, kPrivate | MAP_FIXED, -1, 0);
    ASSERT_EQ(made, Pointer(at));
  }
  static void* Pointer(uint64_t address) { return reinterpret_cast<void*>(address); }
  static volatile uint64_t& WordAt(uint64_t start, uint64_t page) {
    return *reinterpret_cast<volatile uint64_t*>(start + page * kPageSize);
  }
  // Pages 0 to `kept` have their numbers, the rest up to `pages` is zero.
  static void ExpectContent(uint64_t start, uint64_t kept, uint64_t pages) {
    for (uint64_t page = 0; page < pages; ++page) {
      EXPECT_EQ(WordAt(start, page), page < kept ? page + 1 : 0) << page;
    }
  }
  bool IsMapped(uint64_t address) {
    os::MapsEntry entry;
    return maps_.Find(address, &entry) && entry.start <= address;
  }
  // As the program: the kernel refuses first.
  Result<uint64_t> Call(uint64_t pages, uint64_t new_pages, int flags, uint64_t target = 0) {
    void* result =
        mremap(Pointer(start_), pages * kPageSize, new_pages * kPageSize, flags, Pointer(target));
    if (result != MAP_FAILED) return Error{0, "the kernel served it"};
    EXPECT_EQ(errno, EFAULT);
    return RemapPieces(maps_, {start_, pages * kPageSize, new_pages * kPageSize, flags, target});
  }

  static constexpr int kPrivate = MAP_PRIVATE | MAP_ANONYMOUS;
  os::MapsReader maps_;
  uint64_t span_ = 0;
  uint64_t start_ = 0;
};

TEST_F(RemapPiecesTest, GrowsInPlaceIfThereIsRoom) {
  MakeSet({3});
  for (const int flags : {0, MREMAP_MAYMOVE}) {
    const uint64_t pages = flags == 0 ? kPages : kPages + 4;
    const Result<uint64_t> grown = Call(pages, pages + 4, flags);
    ASSERT_TRUE(grown.ok()) << grown.error().errno_value;
    EXPECT_EQ(grown.value(), start_);
    ExpectContent(start_, kPages, pages + 4);
  }
}

TEST_F(RemapPiecesTest, MovesIfThereIsNoRoom) {
  for (const auto& boundaries : std::vector<std::vector<uint64_t>>{{0}, {7}, {1, 3, 5}, {2, 3}}) {
    MakeSet(boundaries);
    Map(start_ + kPages * kPageSize, 1, PROT_NONE);
    const Result<uint64_t> refused = Call(kPages, kPages + 4, 0);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().errno_value, ENOMEM);
    const Result<uint64_t> moved = Call(kPages, kPages + 4, MREMAP_MAYMOVE);
    ASSERT_TRUE(moved.ok()) << moved.error().errno_value;
    ExpectContent(moved.value(), kPages, kPages + 4);
    EXPECT_FALSE(IsMapped(start_));
    EXPECT_FALSE(IsMapped(start_ + (kPages - 1) * kPageSize));
    munmap(Pointer(moved.value()), (kPages + 4) * kPageSize);
  }
}

TEST_F(RemapPiecesTest, MovesToTheTargetAndReplacesWhatIsThere) {
  const uint64_t sizes[] = {1, 3, 4, kPages - 1, kPages, kPages + 1, 2 * kPages};
  for (const uint64_t new_pages : sizes) {
    MakeSet({3, 5});
    const uint64_t target = start_ + 2 * kPages * kPageSize;
    Map(target, 2, PROT_READ);
    const Result<uint64_t> moved = RemapPieces(
        maps_,
        {start_, kPages * kPageSize, new_pages * kPageSize, MREMAP_MAYMOVE | MREMAP_FIXED, target});
    ASSERT_TRUE(moved.ok()) << moved.error().errno_value;
    EXPECT_EQ(moved.value(), target);
    ExpectContent(target, std::min(new_pages, kPages), new_pages);
    EXPECT_FALSE(IsMapped(start_));
    EXPECT_FALSE(IsMapped(start_ + (kPages - 1) * kPageSize));
  }
}

TEST_F(RemapPiecesTest, LeavesTheOldMappingIfItIsAskedTo) {
  MakeSet({3, 5});
  const Result<uint64_t> moved = RemapPieces(maps_, {start_, kPages * kPageSize, kPages * kPageSize,
                                                     MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0});
  ASSERT_TRUE(moved.ok()) << moved.error().errno_value;
  ExpectContent(moved.value(), kPages, kPages);
  ExpectContent(start_, 0, kPages);
  munmap(Pointer(moved.value()), kPages * kPageSize);
}

TEST_F(RemapPiecesTest, ARefusedPieceBringsTheOthersBack) {
  MakeSet({3, 5});
  const uint64_t target = start_ + 2 * kPages * kPageSize;
  // The last piece would grow into what lies beyond the end of the address space.
  const Result<uint64_t> moved = RemapPieces(maps_, {start_, kPages * kPageSize, uint64_t{1} << 55,
                                                     MREMAP_MAYMOVE | MREMAP_FIXED, target});
  ASSERT_FALSE(moved.ok());
  ExpectContent(start_, kPages, kPages);
  EXPECT_FALSE(IsMapped(target));
}

TEST_F(RemapPiecesTest, WhatWouldNotBeOneMappingIsRefused) {
  const auto make_gap = [this] { munmap(Pointer(start_ + 4 * kPageSize), kPageSize); };
  const auto protect = [this] {
    ASSERT_EQ(mprotect(Pointer(start_ + 4 * kPageSize), kPageSize, PROT_READ), 0);
  };
  const auto share = [this] {
    ASSERT_NE(mmap(Pointer(start_ + 4 * kPageSize), kPageSize, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
              MAP_FAILED);
  };
  const auto end_early = [this] { munmap(Pointer(start_ + (kPages - 1) * kPageSize), kPageSize); };
  const std::vector<std::function<void()>> changes = {make_gap, protect, share, end_early};
  for (size_t i = 0; i < changes.size(); ++i) {
    MakeSet({2});
    changes[i]();
    const Result<uint64_t> refused = Call(kPages, kPages + 1, MREMAP_MAYMOVE);
    ASSERT_FALSE(refused.ok()) << i;
    EXPECT_EQ(refused.error().errno_value, EFAULT) << i;
    EXPECT_EQ(WordAt(start_, 0), 1u);
  }
}

TEST_F(RemapPiecesTest, ArgumentsThatMakeNoSenseAreRefused) {
  MakeSet({2});
  const uint64_t all = kPages * kPageSize;
  const RemapCall calls[] = {
      {start_ + 1, all, 2 * all, MREMAP_MAYMOVE, 0},
      {start_, 0, all, MREMAP_MAYMOVE, 0},
      {start_, all, 0, MREMAP_MAYMOVE, 0},
      {start_, ~uint64_t{0}, all, MREMAP_MAYMOVE, 0},
      {start_, all, ~uint64_t{0}, MREMAP_MAYMOVE, 0},
      {~uint64_t{0} - kPageSize + 1, all, all, MREMAP_MAYMOVE, 0},
      {start_, all, 2 * all, 1 << 10, 0},
      {start_, all, all / 2, MREMAP_MAYMOVE, 0},
  };
  for (const RemapCall& call : calls) {
    const Result<uint64_t> refused = RemapPieces(maps_, call);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().errno_value, EFAULT);
  }
  ExpectContent(start_, kPages, kPages);
}

}  // namespace
}  // namespace uzswap
