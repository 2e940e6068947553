#include "base/units.h"

#include <gtest/gtest.h>
#include <limits>
#include <type_traits>

namespace uzswap {
namespace {

TEST(UnitsTest, ConvertAtPageBoundaries) {
  EXPECT_EQ(PagesCovering(Bytes(0)).raw(), 0u);
  EXPECT_EQ(PagesCovering(Bytes(1)).raw(), 1u);
  EXPECT_EQ(PagesCovering(Bytes(4096)).raw(), 1u);
  EXPECT_EQ(PagesCovering(Bytes(4097)).raw(), 2u);
  EXPECT_EQ(PagesWithin(Bytes(4095)).raw(), 0u);
  EXPECT_EQ(ToBytes(PageCount(3)).raw(), 12288u);
  EXPECT_EQ(RoundUpToPage(4097), 8192u);
}

TEST(UnitsDeathTest, SubtractionBelowZeroIsABug) {
  EXPECT_DEATH(static_cast<void>(Bytes(1) - Bytes(2)), "1 against 2");
}

template <typename Id>
class IdentifierTest : public testing::Test {};
using Identifiers = testing::Types<FrameId, PageIndex, SwapSlot>;
TYPED_TEST_SUITE(IdentifierTest, Identifiers);

TYPED_TEST(IdentifierTest, IsInvalidUntilAssigned) {
  TypeParam id;
  EXPECT_FALSE(id.valid());
  EXPECT_EQ(id.raw(), std::numeric_limits<decltype(id.raw())>::max());
  id = TypeParam(0);
  EXPECT_TRUE(id.valid());
  constexpr auto kNone = std::numeric_limits<decltype(TypeParam().raw())>::max();
  EXPECT_TRUE(TypeParam(kNone - 1).valid());
  EXPECT_FALSE(TypeParam(kNone).valid());
}

TYPED_TEST(IdentifierTest, IsOrderedByItsNumberAndFree) {
  EXPECT_LT(TypeParam(3), TypeParam(4));
  EXPECT_EQ(TypeParam(4), TypeParam(4));
  EXPECT_LT(TypeParam(4), TypeParam()) << "an invalid identifier sorts last";
  constexpr size_t kSize = std::is_same_v<TypeParam, PageIndex> ? 8 : 4;
  static_assert(sizeof(TypeParam) == kSize && std::is_trivially_copyable_v<TypeParam>);
  static_assert(!std::is_convertible_v<uint32_t, TypeParam>);
  static_assert(!std::is_convertible_v<TypeParam, uint32_t>);
}

TEST(PageIndexTest, CountsPages) {
  PageIndex index(7);
  EXPECT_EQ(index + 0, PageIndex(7));
  EXPECT_EQ(index + 5, PageIndex(12));
  EXPECT_EQ(PageIndex(12) - index, 5u);
  EXPECT_EQ(index - index, 0u);
  EXPECT_EQ(++index, PageIndex(8));
  EXPECT_EQ(PageIndex(0) + (UINT64_MAX - 1), PageIndex(UINT64_MAX - 1)) << "the largest index";
}

TEST(PageIndexDeathTest, LeavingTheIndicesIsABug) {
  EXPECT_DEATH(static_cast<void>(PageIndex(1) - PageIndex(2)), "1 against 2");
  EXPECT_DEATH(static_cast<void>(PageIndex(0) + UINT64_MAX), "check failed");
  EXPECT_DEATH(static_cast<void>(PageIndex(UINT64_MAX - 1) + 1), "check failed");
  EXPECT_DEATH(static_cast<void>(PageIndex(1) + UINT64_MAX), "check failed");
  EXPECT_DEATH(static_cast<void>(PageIndex() + 0), "check failed");
  EXPECT_DEATH(static_cast<void>(PageIndex() - PageIndex(0)), "check failed");
}

TEST(AddressRangeTest, KnowsItsSize) {
  const AddressRange range{0x1000, 0x4000};
  EXPECT_EQ(range.size(), Bytes(0x3000));
  EXPECT_EQ(range.pages(), PageCount(3));
  EXPECT_FALSE(range.empty());
  EXPECT_TRUE(AddressRange().empty());
  EXPECT_TRUE((AddressRange{0x1000, 0x1000}).empty());
  EXPECT_EQ((AddressRange{0x1000, 0x1000}).pages(), PageCount(0));
}

TEST(AddressRangeTest, ContainsItsStartAndNotItsEnd) {
  const AddressRange range{0x1000, 0x3000};
  EXPECT_FALSE(range.Contains(0xfff));
  EXPECT_TRUE(range.Contains(0x1000));
  EXPECT_TRUE(range.Contains(0x2fff));
  EXPECT_FALSE(range.Contains(0x3000));
  EXPECT_FALSE(AddressRange().Contains(uint64_t{0}));
}

// Compares every pair of ranges with bounds below `kBound` with sets of addresses.
TEST(AddressRangeTest, AgreesWithSetsOfAddresses) {
  constexpr uint64_t kBound = 6;
  for (uint64_t code = 0; code < kBound * kBound * kBound * kBound; ++code) {
    const AddressRange a{code % kBound, code / kBound % kBound};
    const AddressRange b{code / (kBound * kBound) % kBound, code / (kBound * kBound * kBound)};
    if (a.end < a.start || b.end < b.start) continue;
    uint64_t common = 0;
    for (uint64_t address = 0; address < kBound; ++address) {
      const bool in_both = a.Contains(address) && b.Contains(address);
      common += in_both ? 1 : 0;
      ASSERT_EQ(a.Intersect(b).Contains(address), in_both) << code << " at " << address;
    }
    ASSERT_EQ(a.Intersect(b).size(), Bytes(common)) << code;
    ASSERT_EQ(a.Contains(b), common == b.size().raw()) << code;
    ASSERT_EQ(a.Intersect(b), b.Intersect(a)) << code;
  }
}

TEST(AddressRangeDeathTest, ARangeThatEndsBeforeItStartsIsABug) {
  EXPECT_DEATH(static_cast<void>(AddressRange{2, 1}.size()), "1 against 2");
}

}  // namespace
}  // namespace uzswap
