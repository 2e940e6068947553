#include "os/own_address.h"

#include <sys/mman.h>

#include <gtest/gtest.h>
#include <string>
#include <utility>

#include "os/mapping.h"
#include "os/shared_memory.h"

namespace uzswap::os {
namespace {

bool IsOwnPlace(const void* at) {
  const auto address = reinterpret_cast<uint64_t>(at);
  return address >= kOwnAddressesStart && address < kOwnAddressesEnd;
}

// ThreadSanitizer has a shadow there and drops the hint.
bool HintsAreTaken() {
  void* const address = NextOwnAddress(kPageSize);
  void* const at = mmap(address, kPageSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return false;
  munmap(at, kPageSize);
  return at == address;
}

TEST(OwnAddressTest, PlacesAreUsedOnceAndDoNotOverlap) {
  uint64_t end = 0;
  for (const size_t bytes : {size_t{1}, size_t{4096}, size_t{4097}, size_t{1} << 30}) {
    const auto address = reinterpret_cast<uint64_t>(NextOwnAddress(bytes));
    EXPECT_GE(address, kOwnAddressesStart);
    EXPECT_GE(address, end);
    EXPECT_EQ(address % kPageSize, 0u);
    end = address + bytes;
    EXPECT_LE(end, kOwnAddressesEnd);
  }
}

TEST(OwnAddressTest, AfterTheLastPlaceTheKernelChooses) {
  constexpr size_t kAll = kOwnAddressesEnd - kOwnAddressesStart;
  // In a process of its own: what is used up is used up.
  EXPECT_EXIT(
      {
        static_cast<void>(NextOwnAddress(kAll));
        const bool none = NextOwnAddress(kPageSize) == nullptr;
        const bool mapped = Mapping::Create(Bytes(kPageSize), "test").ok();
        std::exit(none && mapped ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

// The highest hole that fits is where the kernel puts a mapping that asks for no address.
TEST(OwnAddressTest, MappingsDoNotFillTheHolesOfTheProgram) {
  if (!HintsAreTaken()) GTEST_SKIP() << "this sanitizer keeps the addresses for itself";
  constexpr size_t kHole = size_t{64} << 20;
  const auto map = [](size_t bytes) {
    return mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  };
  void* const hole = map(kHole);
  ASSERT_NE(hole, MAP_FAILED);
  ASSERT_EQ(munmap(hole, kHole), 0);
  Mapping mapping = std::move(Mapping::Create(Bytes(kPageSize), "test")).value();
  EXPECT_TRUE(IsOwnPlace(mapping.data()));
  Mapping aligned = std::move(Mapping::Create(Bytes(1), "test", size_t{2} << 20)).value();
  EXPECT_TRUE(IsOwnPlace(aligned.data()));
  const SharedMemory shared = std::move(SharedMemory::CreatePrivate(Bytes(kPageSize))).value();
  EXPECT_TRUE(IsOwnPlace(shared.data()));
  void* const again =
      mmap(hole, kHole, PROT_NONE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  EXPECT_EQ(again, hole);
  munmap(again, kHole);
}

}  // namespace
}  // namespace uzswap::os
