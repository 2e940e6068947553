// How the options about the backing file are read.
#include "backing_options.h"

#include <gtest/gtest.h>

namespace uzswap::cli {
namespace {

constexpr Bytes MiB(uint64_t count) { return Bytes(count << 20); }

// A request for a folder, the usual case.
BackingRequest InFolder() {
  BackingRequest asked;
  asked.path = "/var/tmp";
  return asked;
}

Options DecideOf(const BackingRequest& asked) {
  Options options;
  options.limit = MiB(200);
  const auto outcome = DecideBacking(asked, options);
  const Refusal* refusal = RefusalOf(outcome);
  EXPECT_EQ(refusal, nullptr) << refusal->cause;
  return refusal == nullptr ? std::get<Options>(outcome) : options;
}

TEST(BackingOptionsTest, TakesWhatIsSaid) {
  BackingRequest asked = InFolder();
  asked.size = "4G";
  asked.write_limit = "50M/s";
  asked.pool_limit = "10%";
  asked.encrypt = true;
  const Options options = DecideOf(asked);
  EXPECT_EQ(options.backing_size, MiB(4096));
  EXPECT_EQ(options.write_limit, MiB(50));
  EXPECT_EQ(options.write_period_s, 1u);
  EXPECT_EQ(options.pool_limit, MiB(20));
  EXPECT_TRUE(options.encrypt);
  EXPECT_EQ(options.limit, MiB(200));
  BackingRequest pool_alone;
  pool_alone.pool_limit = "50M";
  EXPECT_EQ(DecideOf(pool_alone).pool_limit, MiB(50)) << "a pool needs no file";
  EXPECT_EQ(DecideOf({}).pool_limit, Bytes(0));
}

struct RefusedBacking {
  const char* what;
  std::optional<std::string> BackingRequest::*option;
  const char* value;
  const char* cause;
  const char* fix;
};

TEST(BackingOptionsTest, RefusesNonsenseByName) {
  constexpr auto kSize = &BackingRequest::size;
  constexpr auto kWrite = &BackingRequest::write_limit;
  constexpr auto kPool = &BackingRequest::pool_limit;
  const RefusedBacking kTable[] = {
      {"empty path", &BackingRequest::path, "", "path is empty", "/var/tmp"},
      {"zero size", kSize, "0", "is zero", "--backing-size 4G"},
      {"small size", kSize, "1000K", "least is 1M", "--backing-size 4G"},
      {"size", kSize, "big", "not a size", "--backing-size 4G"},
      {"period", kWrite, "1G/week", "unknown period", "--backing-write-limit 10G/d"},
      {"zero writes", kWrite, "0/d", "is zero", "--backing-write-limit 10G/d"},
      {"share", kPool, "0%", "1% to 100%", "--pool-limit 20%"},
      {"pool above the limit", kPool, "201M", "more than the limit", "--pool-limit 20%"},
      {"small pool", kPool, "4K", "too small", "--pool-limit 20%"},
  };
  for (const RefusedBacking& row : kTable) {
    BackingRequest asked = InFolder();
    asked.*row.option = row.value;
    Options options;
    options.limit = MiB(200);
    const auto outcome = DecideBacking(asked, options);
    const Refusal* refusal = RefusalOf(outcome);
    ASSERT_NE(refusal, nullptr) << row.what;
    EXPECT_EQ(refusal->status, kCannotDo);
    EXPECT_NE(refusal->cause.find(row.cause), std::string::npos) << row.what << refusal->cause;
    EXPECT_NE(refusal->fix.find(row.fix), std::string::npos) << row.what << refusal->fix;
  }
}

TEST(BackingOptionsTest, WithoutAPathThereIsNothingToBound) {
  BackingRequest size;
  size.size = "4G";
  BackingRequest write_limit;
  write_limit.write_limit = "10G/d";
  BackingRequest encrypt;
  encrypt.encrypt = true;
  for (const BackingRequest& asked : {size, write_limit, encrypt}) {
    const auto outcome = DecideBacking(asked, {});
    const Refusal* refusal = RefusalOf(outcome);
    ASSERT_NE(refusal, nullptr);
    EXPECT_NE(refusal->cause.find("without --backing"), std::string::npos) << refusal->cause;
    EXPECT_NE(refusal->fix.find("unset UZSWAP_"), std::string::npos) << refusal->fix;
  }
}

TEST(BackingOptionsTest, APoolLimitFromAboveThatDoesNotFitIsLeftOut) {
  BackingRequest asked = InFolder();
  asked.pool_limit = "400M";
  asked.pool_limit_is_inherited = true;
  EXPECT_EQ(DecideOf(asked).pool_limit, Bytes(0));
  asked.pool_limit = "100M";
  EXPECT_EQ(DecideOf(asked).pool_limit, MiB(100));
}

}  // namespace
}  // namespace uzswap::cli
