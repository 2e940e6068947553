// Which options a storage stack accepts, and what it says about the others.
#include "swap/storage_options.h"

#include <cerrno>
#include <gtest/gtest.h>

#include "os/testing/fake_io_port.h"

namespace uzswap {
namespace {

StorageOptions Good() {
  StorageOptions options;
  options.memory_limit = Bytes(8 << 20);
  return options;
}

StorageOptions GoodWithBacking() {
  StorageOptions options = Good();
  options.backing.path = "/var/tmp";
  return options;
}

TEST(StorageOptionsTest, WhatIsAccepted) {
  EXPECT_TRUE(Validate(Good()).ok());
  EXPECT_TRUE(Validate(GoodWithBacking()).ok());

  StorageOptions options = GoodWithBacking();
  options.pool = PoolKind::kZbud;
  options.codec = CodecMode::kZstd;
  options.pool_limit = options.memory_limit;
  options.backing.size_limit = StorageOptions::kBackingSizeMin;
  options.backing.write_limit = Bytes(1);
  options.backing.write_period_s = 1;
  options.backing.encrypt = true;
  EXPECT_TRUE(Validate(options).ok());

  options = Good();
  options.memory_limit = StorageOptions::kMemoryLimitMin;
  EXPECT_TRUE(Validate(options).ok());
  options.memory_limit = StorageOptions::kMemoryLimitMax;
  EXPECT_TRUE(Validate(options).ok());

  os::FakeIoPort port;
  options = Good();
  options.backing.port = &port;
  EXPECT_TRUE(Validate(options).ok());
  EXPECT_TRUE(options.backing.wanted());
  options = Good();
  options.backing.path = "";
  EXPECT_TRUE(Validate(options).ok());
  EXPECT_FALSE(options.backing.wanted());
}

struct Refused {
  void (*change)(StorageOptions& options);
  const char* why;
};

TEST(StorageOptionsTest, WhatIsRefusedAndWhy) {
  static os::FakeIoPort port;
  const Refused without_backing[] = {
      {[](StorageOptions& o) { o.memory_limit = Bytes(0); },
       "the memory limit must be at least 64 KiB"},
      {[](StorageOptions& o) { o.memory_limit = Bytes((64 << 10) - 1); },
       "the memory limit must be at least 64 KiB"},
      {[](StorageOptions& o) { o.memory_limit = Bytes((uint64_t{1} << 43) + 1); },
       "the memory limit must be at most 8 TiB"},
      {[](StorageOptions& o) { o.pool_limit = o.memory_limit + Bytes(1); },
       "the pool limit must not exceed the memory limit"},
      {[](StorageOptions& o) { o.codec = static_cast<CodecMode>(3); },
       "the codec must be auto, lz4 or zstd"},
      {[](StorageOptions& o) { o.dictionary_max = Bytes(kDictionaryBytesMin - 1); },
       "the size of a dictionary must be 0, or 256 bytes to 64 KiB"},
      {[](StorageOptions& o) { o.dictionary_max = Bytes(kDictionaryBytesMax + 1); },
       "the size of a dictionary must be 0, or 256 bytes to 64 KiB"},
      {[](StorageOptions& o) { o.codec = static_cast<CodecMode>(77); },
       "the codec must be auto, lz4 or zstd"},
      {[](StorageOptions& o) { o.pool = static_cast<PoolKind>(2); },
       "the pool must be zsmalloc or zbud"},
      {[](StorageOptions& o) { o.backing.size_limit = Bytes(4 << 20); },
       "a size limit is given, but no backing store"},
      {[](StorageOptions& o) { o.backing.write_limit = Bytes(4 << 20); },
       "a write limit is given, but no backing store"},
      {[](StorageOptions& o) { o.backing.encrypt = true; },
       "encryption is asked for, but no backing store is given"},
  };
  const Refused with_backing[] = {
      {[](StorageOptions& o) { o.backing.port = &port; },
       "both a backing path and a port are given"},
      {[](StorageOptions& o) { o.backing.path = "tmp/swap"; }, "the backing path must be absolute"},
      {[](StorageOptions& o) { o.backing.size_limit = Bytes((1 << 20) - 1); },
       "the size limit of the backing store must be at least 1 MiB"},
      {[](StorageOptions& o) { o.backing.write_limit = Bytes(4 << 20); },
       "a write limit needs a period of at least one second"},
  };
  const auto expect_refused = [](StorageOptions options, const Refused& row) {
    row.change(options);
    const Result<void> result = Validate(options);
    ASSERT_FALSE(result.ok()) << row.why;
    EXPECT_EQ(result.error().errno_value, EINVAL) << row.why;
    EXPECT_STREQ(result.error().what, row.why);
  };
  for (const Refused& row : without_backing) expect_refused(Good(), row);
  for (const Refused& row : with_backing) expect_refused(GoodWithBacking(), row);
}

TEST(CodecModeTest, NamesAreReadAsTheyAreWritten) {
  for (const CodecMode mode : {CodecMode::kAuto, CodecMode::kLz4, CodecMode::kZstd}) {
    EXPECT_EQ(CodecModeByName(Name(mode)), mode);
  }
  EXPECT_FALSE(CodecModeByName("none").has_value());
  EXPECT_EQ(FirstCodecOf(CodecMode::kAuto), CodecId::kZstd);
  EXPECT_EQ(FirstCodecOf(CodecMode::kLz4), CodecId::kLz4);
  EXPECT_EQ(FirstCodecOf(CodecMode::kZstd), CodecId::kZstd);
}

TEST(CodecIdTest, NamesAreReadAsTheyAreWritten) {
  for (const CodecId id : {CodecId::kLz4, CodecId::kZstd}) {
    EXPECT_EQ(CodecIdByName(Name(id)), id);
    EXPECT_STREQ(CodecById(id)->name(), Name(id));
    EXPECT_EQ(CodecByName(Name(id)), CodecById(id));
  }
  for (const char* unknown : {"", "none", "lz", "lz4 ", "LZ4", "zstd1"}) {
    EXPECT_FALSE(CodecIdByName(unknown).has_value()) << unknown;
    EXPECT_FALSE(CodecModeByName(unknown).has_value()) << unknown;
    EXPECT_EQ(CodecByName(unknown), nullptr) << unknown;
  }
}

TEST(PoolKindTest, NamesAreReadAsTheyAreWritten) {
  for (const PoolKind kind : {PoolKind::kZsmalloc, PoolKind::kZbud}) {
    EXPECT_EQ(PoolKindByName(Name(kind)), kind);
  }
  for (const char* unknown : {"", "zs", "zsmalloc ", "ZBUD", "z3fold"}) {
    EXPECT_FALSE(PoolKindByName(unknown).has_value()) << unknown;
  }
}

}  // namespace
}  // namespace uzswap
