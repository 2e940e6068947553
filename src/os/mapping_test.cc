#include "os/mapping.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <gtest/gtest.h>
#include <string>
#include <utility>

#include "os/virtual_array.h"

namespace uzswap::os {
namespace {

TEST(MappingTest, IsZeroedAlignedAndFenced) {
  Result<Mapping> made = Mapping::Create(Bytes(10000), "test", 1 << 21);
  ASSERT_TRUE(made.ok());
  Mapping mapping = std::move(made).value();
  EXPECT_EQ(mapping.size(), 12288u);
  EXPECT_EQ(reinterpret_cast<uint64_t>(mapping.data()) % (1 << 21), 0u);
  EXPECT_EQ(mapping.data()[12287], std::byte{0});
  EXPECT_DEATH(mapping.data()[12288] = std::byte{1}, "");
  EXPECT_DEATH(mapping.data()[-1] = std::byte{1}, "");
}

TEST(MappingTest, OwnRangesFollowTheMappings) {
  uint64_t start = 0;
  {
    Mapping mapping = std::move(Mapping::Create(Bytes(4096), "test")).value();
    start = reinterpret_cast<uint64_t>(mapping.data());
    EXPECT_TRUE(IsOwnRange({start, start + 1}));
    EXPECT_TRUE(IsOwnRange({start - 1, start})) << "the guard is ours too";
    EXPECT_TRUE(IsOwnRange({start - (1 << 20), start + (1 << 20)}));
    EXPECT_FALSE(IsOwnRange({start + 3 * 4096, start + 4 * 4096}));
  }
  EXPECT_FALSE(IsOwnRange({start, start + 1}));
}

TEST(MappingTest, DiscardedMemoryReadsAsZero) {
  Mapping mapping = std::move(Mapping::Create(Bytes(8192), "test")).value();
  mapping.data()[0] = std::byte{7};
  mapping.data()[4096] = std::byte{7};
  mapping.Discard(0, 4096);
  EXPECT_EQ(mapping.data()[0], std::byte{0});
  EXPECT_EQ(mapping.data()[4096], std::byte{7});
}

// Of the mapping that contains `data`: KiB that are locked.
uint64_t LockedKib(const std::byte* data) {
  std::FILE* file = std::fopen("/proc/self/smaps", "r");
  const auto address = reinterpret_cast<uint64_t>(data);
  uint64_t start = 0;
  uint64_t end = 0;
  uint64_t locked = 0;
  bool inside = false;
  char line[512];
  while (std::fgets(line, sizeof(line), file) != nullptr) {
    if (std::sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &start, &end) == 2) {
      inside = start <= address && address < end;
    } else if (inside && std::sscanf(line, "Locked: %" SCNu64 " kB", &locked) == 1) {
      break;
    }
  }
  std::fclose(file);
  return locked;
}

void SetLockLimit(rlim_t bytes) {
  const rlimit limit = {bytes, bytes};
  ASSERT_EQ(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
}

TEST(MappingTest, OnlyASecretStaysLocked) {
  Mapping secret = std::move(Mapping::Create(Bytes(32), "test")).value();
  Mapping other = std::move(Mapping::Create(Bytes(4096), "test")).value();
  other.data()[0] = std::byte{1};
  EXPECT_EQ(LockedKib(secret.data()), 0u);
  secret.KeepSecret();
  ASSERT_TRUE(other.LockOnFault());
  EXPECT_EQ(LockedKib(secret.data()), 4u);
  EXPECT_EQ(LockedKib(other.data()), 4u);
  UnlockOwnRanges();
  EXPECT_EQ(LockedKib(secret.data()), 4u);
  EXPECT_EQ(LockedKib(other.data()), 0u);
  EXPECT_EQ(LockSecrets(), 0u);
  const pid_t child = fork();
  if (child == 0) {
    const bool lost = LockedKib(secret.data()) == 0;
    _exit(lost && LockSecrets() == 0 && LockedKib(secret.data()) == 4 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "locks are not inherited";
}

TEST(MappingTest, ASecretThatCannotBeLockedIsCounted) {
  const pid_t child = fork();
  if (child == 0) {
    // Root may lock without a limit.
    SetLockLimit(0);
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0) _exit(2);
    Mapping secret = std::move(Mapping::Create(Bytes(32), "test")).value();
    secret.KeepSecret();
    secret.data()[0] = std::byte{7};
    _exit(LockSecrets() == 1 && secret.data()[0] == std::byte{7} ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(MappingTest, WhatIsWipedInChildrenReadsAsZeroThere) {
  constexpr size_t kBytes = 4 * kPageSize;
  Mapping wiped = std::move(Mapping::Create(Bytes(kBytes), "test")).value();
  Mapping other = std::move(Mapping::Create(Bytes(kBytes), "test")).value();
  memset(wiped.data(), 7, kBytes);
  memset(other.data(), 8, kBytes);
  wiped.WipeInChildren();
  const auto all_are = [](const Mapping& mapping, int value) {
    return std::count(mapping.data(), mapping.data() + kBytes, static_cast<std::byte>(value)) ==
           static_cast<ptrdiff_t>(kBytes);
  };
  EXPECT_TRUE(all_are(wiped, 7)) << "the parent's content stays";
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (!all_are(wiped, 0)) _exit(1);
    if (!all_are(other, 8)) _exit(2);
    // It can be used as before, and a child of the child finds zeroes again.
    memset(wiped.data(), 9, kBytes);
    if (!all_are(wiped, 9)) _exit(3);
    const pid_t grandchild = fork();
    if (grandchild == 0) _exit(all_are(wiped, 0) ? 0 : 1);
    int status = -1;
    if (waitpid(grandchild, &status, 0) != grandchild || status != 0) _exit(4);
    _exit(all_are(wiped, 9) ? 0 : 5);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(all_are(wiped, 7)) << "what the child wrote is its own";
}

TEST(MappingTest, RefusesWhatTheKernelRefuses) {
  Result<Mapping> made = Mapping::Create(Bytes(uint64_t{1} << 60), "huge");
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().errno_value, ENOMEM);
  EXPECT_STREQ(made.error().what, "huge");
}

TEST(MappingTest, AReservationGrowsByDoublingWithinBounds) {
  Mapping mapping = std::move(Mapping::Reserve(Bytes(64 << 20), "test")).value();
  EXPECT_EQ(mapping.accessible(), 0u);
  EXPECT_DEATH(mapping.data()[0] = std::byte{1}, "");
  ASSERT_TRUE(mapping.MakeAccessible(0));
  EXPECT_EQ(mapping.accessible(), 0u);
  struct Case {
    size_t asked, accessible;
  };
  for (const Case& c :
       {Case{1, 64 << 10}, Case{64 << 10, 64 << 10}, Case{(64 << 10) + 1, 128 << 10},
        Case{(128 << 10) + 1, 256 << 10}, Case{3 << 20, 3 << 20}, Case{(3 << 20) + 1, 5 << 20},
        Case{(63 << 20) + 4097, (63 << 20) + 8192}, Case{64 << 20, 64 << 20}}) {
    ASSERT_TRUE(mapping.MakeAccessible(c.asked)) << c.asked;
    EXPECT_EQ(mapping.accessible(), c.accessible) << c.asked;
    mapping.data()[c.accessible - 1] = std::byte{1};
    if (c.accessible < mapping.size()) {
      EXPECT_DEATH(mapping.data()[c.accessible] = std::byte{1}, "");
    }
  }
  EXPECT_DEATH(static_cast<void>(mapping.MakeAccessible((64 << 20) + 1)), "check failed");
}

// A field of /proc/self/smaps for the mapping that contains `address`; empty if there is none.
std::string SmapsField(const void* address, const char* field) {
  FILE* file = fopen("/proc/self/smaps", "r");
  char line[512];
  bool here = false;
  std::string found;
  while (fgets(line, sizeof(line), file) != nullptr) {
    uint64_t start = 0;
    uint64_t end = 0;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &start, &end) == 2) {
      const auto at = reinterpret_cast<uint64_t>(address);
      here = start <= at && at < end;
    }
    if (here && strncmp(line, field, strlen(field)) == 0) found = line + strlen(field);
  }
  fclose(file);
  return found;
}

TEST(MappingTest, IsInNoCoreDump) {
  Mapping mapping = std::move(Mapping::Create(Bytes(1 << 20), "test")).value();
  EXPECT_NE(SmapsField(mapping.data(), "VmFlags:").find(" dd"), std::string::npos);
  EXPECT_NE(SmapsField(mapping.data() - 1, "VmFlags:").find(" dd"), std::string::npos);
}

// In a child, because it locks the whole process.
TEST(MappingDeathTest, LockingTheProgramNeitherPopulatesNorKeepsLocked) {
  const auto run = [] {
    Mapping before = std::move(Mapping::Reserve(Bytes(64 << 20), "test")).value();
    if (!before.MakeAccessible(1)) _exit(2);
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) _exit(0);  // not allowed here: nothing to see
    // The address sanitizer ignores mlockall.
    if (SmapsField(before.data(), "VmFlags:").find(" lo") == std::string::npos) _exit(0);
    // What was accessible is populated, and the reservation is not.
    if (atoi(SmapsField(before.data(), "Rss:").c_str()) > 64) _exit(3);
    UnlockOwnRanges();
    if (SmapsField(before.data(), "VmFlags:").find(" lo") != std::string::npos) _exit(5);
    if (!before.MakeAccessible(8 << 20)) _exit(6);
    if (atoi(SmapsField(before.data(), "Rss:").c_str()) > 64) _exit(7);
    Mapping after = std::move(Mapping::Create(Bytes(64 << 20), "test")).value();
    if (atoi(SmapsField(after.data(), "Rss:").c_str()) != 0) _exit(8);
    if (SmapsField(after.data(), "VmFlags:").find(" lo") != std::string::npos) _exit(9);
    _exit(0);
  };
  EXPECT_EXIT(run(), testing::ExitedWithCode(0), "");
}

TEST(VirtualArrayTest, AReservedArrayReachesAsFarAsAsked) {
  VirtualArray<uint64_t> array =
      std::move(VirtualArray<uint64_t>::Reserve(1 << 24, "test")).value();
  EXPECT_EQ(array.capacity(), size_t{1} << 24);
  ASSERT_TRUE(array.Reach(1));
  array[0] = 1;
  EXPECT_EQ(array.mapping().accessible(), size_t{64} << 10);
  ASSERT_TRUE(array.Reach(size_t{1} << 30)) << "at most the capacity";
  array[(1 << 24) - 1] = 2;
  EXPECT_EQ(array[0], 1u);
}

TEST(VirtualArrayTest, ElementsStartAsZeroes) {
  VirtualArray<uint64_t> array = std::move(VirtualArray<uint64_t>::Create(1 << 24, "test")).value();
  EXPECT_EQ(array[(1 << 24) - 1], 0u);
  array[5] = 6;
  EXPECT_EQ(array[5], 6u);
}

}  // namespace
}  // namespace uzswap::os
