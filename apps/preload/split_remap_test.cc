#include "split_remap.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <gtest/gtest.h>

#include "base/units.h"

namespace uzswap {
namespace {

constexpr uint64_t kPart = 16 * kPageSize;

// The calls of this kernel. The call number g_fails_at fails, if it is not 0.
int g_fails_at = 0;
int g_calls_with_target = 0;

int64_t Answer(long result) { return result == -1 ? -errno : result; }

int64_t Remap(const RemapRequest& request) {
  if (request.target != 0 && ++g_calls_with_target == g_fails_at) return -ENOMEM;
  return Answer(syscall(SYS_mremap, request.start, request.bytes, request.new_bytes, request.flags,
                        request.target));
}
int64_t Reserve(uint64_t bytes) {
  return Answer(
      syscall(SYS_mmap, 0, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
}
int64_t Unmap(uint64_t start, uint64_t bytes) { return Answer(syscall(SYS_munmap, start, bytes)); }

// Three mappings in a row, which the kernel cannot join: one in the middle is not in core dumps.
// Behind them is a hole, and they are far from where the kernel places mappings.
class SplitRemapTest : public testing::Test {
 protected:
  SplitRemapTest() {
    g_fails_at = g_calls_with_target = 0;
    MapAt(start_, 3 * kPart, PROT_READ | PROT_WRITE);
    EXPECT_EQ(madvise(At(start_ + kPart), kPart, MADV_DONTDUMP), 0);
    for (uint64_t page = 0; page < 3 * kPart / kPageSize; ++page) {
      memset(At(start_ + page * kPageSize), static_cast<int>(page + 1), kPageSize);
    }
  }
  ~SplitRemapTest() override {
    Unmap(start_, 8 * kPart);
    Unmap(target_, 8 * kPart);
    if (moved_ > 0) Unmap(static_cast<uint64_t>(moved_), moved_bytes_);
  }

  static void MapAt(uint64_t address, uint64_t bytes, int protection) {
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    EXPECT_EQ(mmap(At(address), bytes, protection, flags, -1, 0), At(address));
  }
  static char* At(uint64_t address) { return reinterpret_cast<char*>(address); }
  static bool Holds(int64_t address, uint64_t bytes) {
    for (uint64_t at = 0; at < bytes; ++at) {
      if (At(static_cast<uint64_t>(address))[at] != static_cast<char>(at / kPageSize + 1))
        return false;
    }
    return true;
  }
  static bool Mapped(uint64_t address) {
    unsigned char present = 0;
    return mincore(At(address), kPageSize, &present) == 0;
  }
  int64_t Run(const RemapRequest& request) {
    EXPECT_EQ(Remap(request), -EFAULT) << "the kernel does it alone";
    g_calls_with_target = 0;
    moved_bytes_ = request.new_bytes;
    return moved_ = SplitRemap({Remap, Reserve, Unmap}).Run(request);
  }

  const uint64_t start_ = 0x200000000000;
  const uint64_t target_ = 0x210000000000;
  int64_t moved_ = 0;
  uint64_t moved_bytes_ = 0;
};

TEST_F(SplitRemapTest, GrowsInPlaceWhereThereIsRoom) {
  const int64_t at = Run({start_, 3 * kPart, 5 * kPart, MREMAP_MAYMOVE, 0});
  EXPECT_EQ(at, static_cast<int64_t>(start_));
  EXPECT_TRUE(Holds(at, 3 * kPart));
  EXPECT_EQ(At(start_)[5 * kPart - 1], 0);
  moved_ = 0;
}

TEST_F(SplitRemapTest, MovesWhereThereIsNone) {
  MapAt(start_ + 3 * kPart, kPart, PROT_NONE);
  const int64_t at = Run({start_, 3 * kPart, 5 * kPart, MREMAP_MAYMOVE, 0});
  ASSERT_GT(at, 0);
  EXPECT_NE(at, static_cast<int64_t>(start_));
  EXPECT_TRUE(Holds(at, 3 * kPart));
  EXPECT_EQ(At(static_cast<uint64_t>(at))[5 * kPart - 1], 0);
  EXPECT_FALSE(Mapped(start_)) << "nothing is left behind";
}

TEST_F(SplitRemapTest, DoesNotMoveWithoutPermission) {
  MapAt(start_ + 3 * kPart, kPart, PROT_NONE);
  EXPECT_EQ(Run({start_, 3 * kPart, 4 * kPart, 0, 0}), -ENOMEM);
  EXPECT_TRUE(Holds(static_cast<int64_t>(start_), 3 * kPart));
}

TEST_F(SplitRemapTest, MovesPartOfThePieces) {
  const uint64_t from = start_ + kPart / 2;
  MapAt(target_, 8 * kPart, PROT_NONE);
  const int64_t at = Run({from, kPart, 2 * kPart, MREMAP_MAYMOVE | MREMAP_FIXED, target_});
  ASSERT_EQ(at, static_cast<int64_t>(target_));
  const auto* bytes = At(static_cast<uint64_t>(at));
  EXPECT_EQ(bytes[0], static_cast<char>(kPart / 2 / kPageSize + 1));
  EXPECT_EQ(bytes[kPart - 1], static_cast<char>(kPart / 2 / kPageSize + kPart / kPageSize));
  EXPECT_EQ(bytes[2 * kPart - 1], 0);
  EXPECT_TRUE(Mapped(start_));
  EXPECT_FALSE(Mapped(from));
  EXPECT_TRUE(Mapped(from + kPart));
}

TEST_F(SplitRemapTest, ShrinksAndMoves) {
  MapAt(target_, 8 * kPart, PROT_NONE);
  const int flags = MREMAP_MAYMOVE | MREMAP_FIXED;
  const int64_t at =
      SplitRemap({Remap, Reserve, Unmap}).Run({start_, 3 * kPart, 2 * kPart, flags, target_});
  ASSERT_EQ(at, static_cast<int64_t>(target_));
  EXPECT_TRUE(Holds(at, 2 * kPart));
  EXPECT_FALSE(Mapped(start_ + 2 * kPart));
}

TEST_F(SplitRemapTest, KeepsTheOldMappings) {
  const int flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
  const int64_t at = Run({start_, 3 * kPart, 3 * kPart, flags, 0});
  ASSERT_GT(at, 0);
  EXPECT_TRUE(Holds(at, 3 * kPart));
  EXPECT_EQ(At(start_)[0], 0) << "the old place reads zeroes";
}

TEST_F(SplitRemapTest, SeesWhetherARangeIsOneMapping) {
  const SplitRemap remap({Remap, Reserve, Unmap});
  EXPECT_FALSE(remap.IsSplit(start_, kPart));
  EXPECT_FALSE(remap.IsSplit(start_, kPageSize));
  EXPECT_TRUE(remap.IsSplit(start_, kPart + 1));
  EXPECT_FALSE(remap.IsSplit(start_ + 2 * kPart, kPart));
  EXPECT_FALSE(Mapped(start_ + 3 * kPart)) << "the last one grew and shrank again";
}

TEST_F(SplitRemapTest, AHoleIsRefusedAsByTheKernel) {
  ASSERT_EQ(Unmap(start_ + kPart, kPart), 0);
  EXPECT_EQ(Run({start_, 3 * kPart, 4 * kPart, MREMAP_MAYMOVE, 0}), -EFAULT);
  EXPECT_TRUE(Holds(static_cast<int64_t>(start_), kPart));
}

TEST_F(SplitRemapTest, OneMappingIsNotItsBusiness) {
  EXPECT_EQ(SplitRemap({Remap, Reserve, Unmap}).Run({start_, kPart, 2 * kPart, MREMAP_MAYMOVE, 0}),
            -EFAULT);
  EXPECT_EQ(SplitRemap({Remap, Reserve, Unmap}).Run({start_, 0, kPart, MREMAP_MAYMOVE, 0}),
            -EFAULT);
}

TEST_F(SplitRemapTest, MovesBackWhatWasMovedWhenACallFails) {
  MapAt(start_ + 3 * kPart, kPart, PROT_NONE);
  for (g_fails_at = 1; g_fails_at <= 3; ++g_fails_at) {
    EXPECT_EQ(Run({start_, 3 * kPart, 4 * kPart, MREMAP_MAYMOVE, 0}), -ENOMEM);
    EXPECT_TRUE(Holds(static_cast<int64_t>(start_), 3 * kPart)) << g_fails_at;
  }
}

}  // namespace
}  // namespace uzswap
