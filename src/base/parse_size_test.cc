#include "base/parse_size.h"

#include <cstring>
#include <gtest/gtest.h>

namespace uzswap {
namespace {

struct Good {
  const char* text;
  uint64_t bytes;
};

struct Bad {
  const char* text;
  SizeError error;
};

constexpr uint64_t kMiB = uint64_t{1} << 20;

TEST(ParseSizeTest, Accepts) {
  constexpr Good kTable[] = {
      {"1", 1},
      {"1B", 1},
      {"4096", 4096},
      {"1k", 1024},
      {"1K", 1024},
      {"64KiB", 65536},
      {"64kb", 65536},
      {"200M", 200 * kMiB},
      {"200MiB", 200 * kMiB},
      {"200mib", 200 * kMiB},
      {"200MB", 200 * kMiB},
      {"0200M", 200 * kMiB},
      {"1.5G", 1536 * kMiB},
      {"0.5K", 512},
      {"1.999K", 2046},
      {"0.001K", 1},
      {"2T", uint64_t{2} << 40},
      {"0.000000000001T", 1},
      {"1.0000000000000000000000000009G", uint64_t{1} << 30},
      {"18446744073709551615", UINT64_MAX},
      {"16777215T", uint64_t{16777215} << 40},
      {"16777215.999999999999T", UINT64_MAX - 1},
  };
  for (const Good& row : kTable) {
    const ParsedSize parsed = ParseSize(row.text);
    EXPECT_TRUE(parsed.ok()) << row.text << " " << Describe(parsed.error);
    EXPECT_EQ(parsed.bytes.raw(), row.bytes) << row.text;
  }
}

TEST(ParseSizeTest, RefusesByName) {
  constexpr Bad kTable[] = {
      {"", SizeError::kEmpty},
      {"-1", SizeError::kNegative},
      {"-", SizeError::kNegative},
      {"-200M", SizeError::kNegative},
      {"+200M", SizeError::kNotANumber},
      {" 200M", SizeError::kNotANumber},
      {"M", SizeError::kNotANumber},
      {".5G", SizeError::kNotANumber},
      {"1.G", SizeError::kNotANumber},
      {"lots", SizeError::kNotANumber},
      {"200M ", SizeError::kUnknownUnit},
      {"200 M", SizeError::kUnknownUnit},
      {"12Q", SizeError::kUnknownUnit},
      {"12iB", SizeError::kUnknownUnit},
      {"12Mi", SizeError::kUnknownUnit},
      {"12MBB", SizeError::kUnknownUnit},
      {"0x10", SizeError::kUnknownUnit},
      {"1e6", SizeError::kUnknownUnit},
      {"1.5.5G", SizeError::kUnknownUnit},
      {"1,5G", SizeError::kUnknownUnit},
      {"1.5", SizeError::kFractionOfByte},
      {"1.5B", SizeError::kFractionOfByte},
      {"0", SizeError::kZero},
      {"0M", SizeError::kZero},
      {"0.0G", SizeError::kZero},
      {"0.0001K", SizeError::kZero},
      {"18446744073709551616", SizeError::kTooLarge},
      {"16777216T", SizeError::kTooLarge},
      {"99999999999999999999999999G", SizeError::kTooLarge},
  };
  for (const Bad& row : kTable) {
    const ParsedSize parsed = ParseSize(row.text);
    EXPECT_EQ(parsed.error, row.error) << "'" << row.text << "' " << Describe(parsed.error);
    EXPECT_GT(strlen(Describe(parsed.error)), 0u);
  }
}

TEST(ParseDecimalTest, DigitsOnly) {
  EXPECT_EQ(ParseDecimal("0"), 0u);
  EXPECT_EQ(ParseDecimal("18446744073709551615"), UINT64_MAX);
  for (const char* bad : {"", " 1", "1 ", "-1", "1\n", "18446744073709551616"}) {
    EXPECT_FALSE(ParseDecimal(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace uzswap
