#include "os/mapping.h"

#include <gtest/gtest.h>
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
    EXPECT_TRUE(IsOwnRange(start, 1));
    EXPECT_TRUE(IsOwnRange(start - 1, 1)) << "the guard is ours too";
    EXPECT_TRUE(IsOwnRange(start - (1 << 20), 2 << 20));
    EXPECT_FALSE(IsOwnRange(start + 3 * 4096, 4096));
  }
  EXPECT_FALSE(IsOwnRange(start, 1));
}

TEST(MappingTest, DiscardedMemoryReadsAsZero) {
  Mapping mapping = std::move(Mapping::Create(Bytes(8192), "test")).value();
  mapping.data()[0] = std::byte{7};
  mapping.data()[4096] = std::byte{7};
  mapping.Discard(0, 4096);
  EXPECT_EQ(mapping.data()[0], std::byte{0});
  EXPECT_EQ(mapping.data()[4096], std::byte{7});
}

TEST(MappingTest, RefusesWhatTheKernelRefuses) {
  Result<Mapping> made = Mapping::Create(Bytes(uint64_t{1} << 60), "huge");
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().errno_value, ENOMEM);
  EXPECT_STREQ(made.error().what, "huge");
}

TEST(VirtualArrayTest, ElementsStartAsZeroes) {
  VirtualArray<uint64_t> array = std::move(VirtualArray<uint64_t>::Create(1 << 24, "test")).value();
  EXPECT_EQ(array[(1 << 24) - 1], 0u);
  array[5] = 6;
  EXPECT_EQ(array[5], 6u);
}

}  // namespace
}  // namespace uzswap::os
