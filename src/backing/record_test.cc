#include "backing/record.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "base/testing/page_corpus.h"

namespace uzswap {
namespace {

using ByteVector = std::vector<std::byte>;

constexpr Encoding kEncoding = {CodecId::kLz4, 0xabcdef};

class RecordTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (GetParam()) {
      ASSERT_TRUE(storage_.Init().ok());
      sealer_ = &storage_;
    }
  }
  ByteVector Write(uint64_t key, const ByteVector& payload) {
    ByteVector record(RecordBytes(static_cast<uint32_t>(payload.size()), GetParam()));
    EXPECT_EQ(WriteRecord(record, key, kEncoding, {payload, {}}, sealer_), record.size());
    return record;
  }
  RecordView Read(std::span<const std::byte> from) { return ReadRecord(from, sealer_, scratch_); }

  static ByteVector Payload(size_t size) {
    ByteVector payload(size);
    Rng rng(size);
    for (std::byte& byte : payload) byte = static_cast<std::byte>(rng.Next());
    return payload;
  }

  Sealer storage_;
  Sealer* sealer_ = nullptr;
  ByteVector scratch_ = ByteVector(kRecordBytesMax);
};

TEST_P(RecordTest, EverySizeComesBack) {
  for (const size_t size : {1u, 7u, 8u, 9u, 100u, 2048u, 4095u, 4096u}) {
    const ByteVector payload = Payload(size);
    const ByteVector record = Write(42, payload);
    const RecordView view = Read(record);
    ASSERT_EQ(view.outcome, RecordOutcome::kOk) << size;
    EXPECT_EQ(view.key, 42u);
    EXPECT_EQ(view.encoding, kEncoding);
    EXPECT_EQ(view.bytes, record.size());
    EXPECT_EQ(ByteVector(view.payload.begin(), view.payload.end()), payload);
  }
}

TEST_P(RecordTest, RecordsWalkForwardToTheZeroes) {
  ByteVector segment;
  for (const size_t size : {10u, 500u, 33u}) {
    const ByteVector record = Write(size, Payload(size));
    segment.insert(segment.end(), record.begin(), record.end());
  }
  segment.resize(segment.size() + 200);
  size_t at = 0;
  for (const uint64_t key : {10u, 500u, 33u}) {
    const RecordView view = Read(std::span(segment).subspan(at));
    ASSERT_EQ(view.outcome, RecordOutcome::kOk);
    EXPECT_EQ(view.key, key);
    at += view.bytes;
  }
  EXPECT_EQ(Read(std::span(segment).subspan(at)).outcome, RecordOutcome::kEnd);
  EXPECT_EQ(Read({}).outcome, RecordOutcome::kEnd);
}

TEST_P(RecordTest, EveryFlippedBitIsFound) {
  const ByteVector payload = Payload(300);
  const ByteVector record = Write(7, payload);
  const size_t covered = sizeof(RecordHeader) + payload.size() + (GetParam() ? kSealOverhead : 0);
  for (size_t bit = 0; bit < covered * 8; ++bit) {
    ByteVector damaged = record;
    damaged[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    ASSERT_NE(Read(damaged).outcome, RecordOutcome::kOk) << bit;
  }
}

TEST_P(RecordTest, EveryTruncationIsFound) {
  const ByteVector record = Write(7, Payload(100));
  for (size_t size = 1; size + 8 <= record.size(); ++size) {
    ASSERT_NE(Read(std::span(record).first(size)).outcome, RecordOutcome::kOk) << size;
  }
}

INSTANTIATE_TEST_SUITE_P(All, RecordTest, testing::Bool(), [](const auto& each) {
  return std::string(each.param ? "sealed" : "plain");
});

TEST(SealerTest, NothingReadableIsLeftBehind) {
  Sealer sealer;
  ASSERT_TRUE(sealer.Init().ok());
  ByteVector payload(1000);
  Rng rng(1);
  FillText(rng, payload);
  ByteVector record(RecordBytes(1000, true));
  WriteRecord(record, 1, {}, {payload, {}}, &sealer);
  for (size_t at = 0; at + 16 <= record.size(); ++at) {
    const auto found =
        std::search(payload.begin(), payload.end(), record.begin() + at, record.begin() + at + 16);
    ASSERT_EQ(found, payload.end()) << at;
  }
  ByteVector again(RecordBytes(1000, true));
  WriteRecord(again, 1, {}, {payload, {}}, &sealer);
  EXPECT_NE(record, again) << "the same page twice must not look the same";
}

TEST(SealerTest, ARecordOfAnotherKeyCannotBeOpened) {
  Sealer writer;
  Sealer other;
  ASSERT_TRUE(writer.Init().ok());
  ASSERT_TRUE(other.Init().ok());
  const ByteVector payload(100, std::byte{3});
  ByteVector scratch(kRecordBytesMax);
  ByteVector record(RecordBytes(100, true));
  WriteRecord(record, 1, {}, {payload, {}}, &writer);
  EXPECT_EQ(ReadRecord(record, &writer, scratch).outcome, RecordOutcome::kOk);
  EXPECT_NE(ReadRecord(record, &other, scratch).outcome, RecordOutcome::kOk);
}

}  // namespace
}  // namespace uzswap
