#include "os/memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <gtest/gtest.h>
#include <optional>
#include <utility>

#include "base/check.h"
#include "os/shared_memory.h"

namespace uzswap::os {
namespace {

constexpr Bytes kSize(3 * kPageSize);

MemoryFile Reserved() {
  Result<MemoryFile> made = MemoryFile::Reserve(kSize, "test");
  UZ_CHECK(made.ok());
  return std::move(made).value();
}

MemoryFile Opened() {
  MemoryFile file = Reserved();
  UZ_CHECK(file.Open("uzswap-test").ok());
  return file;
}

SharedMemory OtherSideOf(const MemoryFile& file) {
  Result<SharedMemory> other = SharedMemory::FromDescriptor(dup(file.descriptor()), kSize);
  UZ_CHECK(other.ok());
  return std::move(other).value();
}

// Memory that the file uses, whichever process has touched it.
Bytes FileBytes(int descriptor) {
  constexpr uint64_t kBlock = 512;  // the unit of st_blocks
  struct stat status {};
  UZ_CHECK(fstat(descriptor, &status) == 0);
  return Bytes(static_cast<uint64_t>(status.st_blocks) * kBlock);
}

TEST(MemoryFileTest, BothSidesSeeTheSameBytes) {
  const MemoryFile file = Opened();
  const SharedMemory other = OtherSideOf(file);
  EXPECT_EQ(other.size(), file.size());
  EXPECT_EQ(file.data()[file.size() - 1], std::byte{0});
  file.data()[kPageSize] = std::byte{7};
  EXPECT_EQ(other.data()[kPageSize], std::byte{7});
  other.data()[0] = std::byte{8};
  EXPECT_EQ(file.data()[0], std::byte{8});
}

TEST(MemoryFileTest, ClosingFreesWhatTheOtherSideHas) {
  MemoryFile file = Opened();
  const SharedMemory other = OtherSideOf(file);
  EXPECT_EQ(FileBytes(file.descriptor()), Bytes(0));
  file.data()[0] = other.data()[2 * kPageSize] = std::byte{1};
  EXPECT_EQ(FileBytes(file.descriptor()), Bytes(2 * kPageSize));
  const int kept = dup(file.descriptor());
  file.Close();
  EXPECT_FALSE(file.is_open());
  EXPECT_EQ(FileBytes(kept), Bytes(0));
  EXPECT_EQ(other.data()[0], std::byte{0});
  EXPECT_EQ(other.data()[2 * kPageSize], std::byte{0});
  close(kept);
  file.Close();  // twice is nothing
}

TEST(MemoryFileTest, ItIsOpenedAgainAtTheSamePlace) {
  MemoryFile file = Opened();
  std::byte* const place = file.data();
  *place = std::byte{1};
  const SharedMemory former = OtherSideOf(file);
  file.Close();
  ASSERT_TRUE(file.Open("uzswap-test").ok());
  EXPECT_EQ(file.data(), place);
  EXPECT_EQ(*place, std::byte{0});
  *place = std::byte{2};
  EXPECT_EQ(former.data()[0], std::byte{0}) << "another file";
}

TEST(MemoryFileTest, TheOtherSideCannotChangeTheSize) {
  const MemoryFile file = Opened();
  EXPECT_NE(ftruncate(file.descriptor(), kPageSize), 0);
  EXPECT_NE(ftruncate(file.descriptor(), 16 * kPageSize), 0);
  EXPECT_NE(fcntl(file.descriptor(), F_ADD_SEALS, F_SEAL_WRITE), 0);
}

TEST(MemoryFileTest, TheRangeIsOursFromTheReservationOn) {
  uint64_t start = 0;
  {
    MemoryFile file = Opened();
    start = reinterpret_cast<uint64_t>(file.data());
    MemoryFile moved = std::move(file);
    EXPECT_TRUE(IsOwnRange({start, start + 1}));
    moved.Close();
    EXPECT_TRUE(IsOwnRange({start, start + 1}));
    const std::optional<OwnRange> range = NextOwnRange(start - kPageSize);
    ASSERT_TRUE(range);
    EXPECT_EQ(range->purpose, MappingPurpose::kShared);
  }
  EXPECT_FALSE(IsOwnRange({start, start + 1}));
}

TEST(MemoryFileTest, AClosedOneCannotBeTouched) {
  MemoryFile file = Opened();
  std::byte* const place = file.data();
  file.Close();
  EXPECT_DEATH(*place = std::byte{1}, "");
  ASSERT_TRUE(file.Open("uzswap-test").ok());
  EXPECT_DEATH(place[file.size()] = std::byte{1}, "");
}

TEST(MemoryFileTest, WithoutDescriptorsItStaysClosed) {
  MemoryFile file = Reserved();
  const pid_t child = fork();
  if (child == 0) {
    close_range(3, ~0U, 0);
    rlimit none = {3, 3};
    setrlimit(RLIMIT_NOFILE, &none);
    const Result<void> opened = file.Open("uzswap-test");
    _exit(!opened.ok() && opened.error().errno_value == EMFILE && !file.is_open() ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(MemoryFileTest, AForkedChildLeavesTheParentsFile) {
  MemoryFile file = Opened();
  file.data()[0] = std::byte{5};
  const pid_t child = fork();
  if (child == 0) {
    const int parents = file.descriptor();
    file.Forget();
    bool good = !file.is_open() && fcntl(parents, F_GETFD) >= 0 && file.Open("uzswap-test").ok();
    good = good && file.data()[0] == std::byte{0};
    file.data()[0] = std::byte{6};
    file.Close();
    _exit(good ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(file.data()[0], std::byte{5});
}

}  // namespace
}  // namespace uzswap::os
