#include "engine/storage_options.h"

#include <gtest/gtest.h>

namespace uzswap {
namespace {

TEST(StorageOptionsForTest, SlotsHoldWhatTheRunStartsWithAndWhatItLearns) {
  Options options;
  const auto room = [&](Bytes dictionary) {
    return StorageOptionsFor(options, options.limit, dictionary, nullptr).dictionary_max;
  };
  EXPECT_EQ(room(Bytes(0)), Bytes(kDictionaryBytesDefault));
  EXPECT_EQ(room(Bytes(1024)), Bytes(kDictionaryBytesDefault));
  EXPECT_EQ(room(Bytes(kDictionaryBytesMax)), Bytes(kDictionaryBytesMax));
  options.dictionary = DictionaryMode::kOff;
  EXPECT_EQ(room(Bytes(1024)), Bytes(0));
}

TEST(StorageOptionsForTest, EveryOptionArrives) {
  Options options;
  options.limit = Bytes(200 << 20);
  options.codec = CodecMode::kZstd;
  options.pool = PoolKind::kZbud;
  options.pool_limit = Bytes(40 << 20);
  options.backing_size = Bytes(4 << 20);
  options.write_limit = Bytes(10 << 20);
  options.write_period_s = 60;
  options.encrypt = true;
  ASSERT_TRUE(SetBacking(options, "/var/tmp"));
  WearAccount wear{};
  const StorageOptions storage = StorageOptionsFor(options, options.limit, Bytes(0), &wear);
  EXPECT_EQ(storage.memory_limit, options.limit);
  EXPECT_EQ(storage.codec, CodecMode::kZstd);
  EXPECT_EQ(storage.pool, PoolKind::kZbud);
  EXPECT_EQ(storage.pool_limit, options.pool_limit);
  EXPECT_EQ(storage.keep_incompressible, KeepIncompressible::kIfWritable);
  EXPECT_STREQ(storage.backing.path, "/var/tmp");
  EXPECT_EQ(storage.backing.port, nullptr);
  EXPECT_EQ(storage.backing.size_limit, options.backing_size);
  EXPECT_EQ(storage.backing.write_limit, options.write_limit);
  EXPECT_EQ(storage.backing.write_period_s, 60u);
  EXPECT_TRUE(storage.backing.encrypt);
  EXPECT_EQ(storage.backing.wear, &wear);
  EXPECT_TRUE(Validate(storage).ok());
}

TEST(StorageOptionsForTest, TheLeastLimitOfARunIsEnough) {
  Options options;
  options.limit = kLimitMin;
  const StorageOptions storage = StorageOptionsFor(options, options.limit, Bytes(0), nullptr);
  EXPECT_FALSE(storage.backing.wanted());
  EXPECT_TRUE(Validate(storage).ok());
  ASSERT_TRUE(SetBacking(options, "/var/tmp"));
  options.backing_size = kBackingSizeMin;
  EXPECT_TRUE(Validate(StorageOptionsFor(options, options.limit, Bytes(0), nullptr)).ok());
}

// A process can become active after `uzswap set` has raised the limit.
TEST(StorageOptionsForTest, ThePoolFitsIntoTheArenaThatThereIsAddressSpaceFor) {
  Options options;
  options.limit = Bytes(800 << 20);
  options.pool_limit = Bytes(160 << 20);
  const StorageOptions storage = StorageOptionsFor(options, Bytes(100 << 20), Bytes(0), nullptr);
  EXPECT_EQ(storage.memory_limit, Bytes(100 << 20));
  EXPECT_EQ(storage.pool_limit, Bytes(100 << 20));
  EXPECT_TRUE(Validate(storage).ok());
}

}  // namespace
}  // namespace uzswap
