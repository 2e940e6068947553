#include "cache/codec_chooser.h"

#include <gtest/gtest.h>
#include <map>

namespace uzswap {
namespace {

constexpr uint64_t kFaultNs = 10'000;
constexpr uint64_t kAtEase = 30;  // the pool's share of the limit, in percent

struct Cost {
  uint64_t in_ns;
  uint64_t out_ns;
  uint64_t size;
};

// Lets both codecs be seen often enough for a decision.
void Observe(CodecChooser& chooser, Cost lz4, Cost zstd,
             uint64_t samples = CodecChooser::kSamplesMin) {
  for (uint64_t i = 0; i < samples; ++i) {
    chooser.NoteStore(CodecId::kLz4, lz4.in_ns, lz4.size);
    chooser.NoteLoad(CodecId::kLz4, lz4.out_ns);
    chooser.NoteStore(CodecId::kZstd, zstd.in_ns, zstd.size);
    chooser.NoteLoad(CodecId::kZstd, zstd.out_ns);
  }
}

TEST(CodecChooserTest, AFixedOneMeasuresNothing) {
  CodecChooser chooser;
  chooser.InitFixed(*CodecByName("zstd"));
  CodecChooser::Countdown countdown;
  for (int i = 0; i < 1000; ++i) {
    const CodecChooser::Pick pick = chooser.PickForStore(countdown);
    EXPECT_EQ(pick.codec->id(), CodecId::kZstd);
    EXPECT_FALSE(pick.measured);
    EXPECT_FALSE(chooser.PickForLoad(CodecId::kLz4, countdown));
  }
  Observe(chooser, {1, 1, 1}, {9000, 9000, 4000});
  EXPECT_FALSE(chooser.Decide(kFaultNs, kAtEase));
  EXPECT_EQ(chooser.chosen().id(), CodecId::kZstd);
}

TEST(CodecChooserTest, TheModeCanChange) {
  CodecChooser chooser;
  chooser.InitAutomatic();
  chooser.Use(CodecMode::kAuto);
  EXPECT_TRUE(chooser.automatic());
  chooser.Use(CodecMode::kLz4);
  CodecChooser::Countdown countdown;
  for (uint32_t i = 0; i < 2 * CodecChooser::kExploreEvery; ++i) {
    EXPECT_EQ(chooser.PickForStore(countdown).codec->id(), CodecId::kLz4);
  }
  Observe(chooser, {9000, 9000, 4000}, {1, 1, 1});
  EXPECT_FALSE(chooser.Decide(kFaultNs, kAtEase));
  EXPECT_EQ(chooser.chosen().id(), CodecId::kLz4);
  chooser.Use(CodecMode::kZstd);
  EXPECT_EQ(chooser.chosen().id(), CodecId::kZstd);
  chooser.Use(CodecMode::kLz4);
  chooser.Use(CodecMode::kAuto);
  EXPECT_TRUE(chooser.Decide(kFaultNs, kAtEase)) << "zstd was seen to be better";
  EXPECT_EQ(chooser.chosen().id(), CodecId::kZstd);
}

TEST(CodecChooserTest, TheOtherCodecIsTriedNowAndThen) {
  CodecChooser chooser;
  chooser.InitAutomatic();
  CodecChooser::Countdown countdown;
  std::map<CodecId, uint32_t> picked;
  uint32_t measured = 0;
  constexpr uint32_t kStores = 100 * CodecChooser::kExploreEvery;
  for (uint32_t i = 0; i < kStores; ++i) {
    const CodecChooser::Pick pick = chooser.PickForStore(countdown);
    ++picked[pick.codec->id()];
    measured += pick.measured ? 1 : 0;
  }
  EXPECT_EQ(picked[CodecId::kLz4], 100u);
  EXPECT_EQ(measured, kStores / CodecChooser::kMeasureEvery + 100);
}

// If few objects are of the other codec, each of their loads is measured.
TEST(CodecChooserTest, LoadsOfFewObjectsOfTheOtherCodecAreAllMeasured) {
  CodecChooser chooser;
  chooser.InitAutomatic();
  CodecChooser::Countdown countdown;
  uint32_t measured = 0;
  for (uint32_t round = 0; round < 64; ++round) {
    EXPECT_TRUE(chooser.PickForLoad(CodecId::kLz4, countdown));
    for (uint32_t i = 0; i < CodecChooser::kOtherEvery; ++i) {
      measured += chooser.PickForLoad(CodecId::kZstd, countdown) ? 1 : 0;
    }
  }
  EXPECT_EQ(measured, 64 * CodecChooser::kOtherEvery / CodecChooser::kMeasureEvery);
}

// After a change of codec most objects are of the other one.
TEST(CodecChooserTest, LoadsOfManyObjectsOfTheOtherCodecAreMeasuredNowAndThen) {
  CodecChooser chooser;
  chooser.InitAutomatic();
  CodecChooser::Countdown countdown;
  constexpr uint32_t kLoads = 100 * (CodecChooser::kOtherEvery + 1);
  uint32_t measured = 0;
  for (uint32_t i = 0; i < kLoads; ++i) {
    measured += chooser.PickForLoad(CodecId::kLz4, countdown) ? 1 : 0;
  }
  EXPECT_EQ(measured, 100u);
}

TEST(CodecChooserTest, TheCheaperOneIsChosen) {
  const struct {
    const char* what;
    Cost lz4;
    Cost zstd;
    uint64_t fault_ns;
    CodecId best;
  } table[] = {
      {"equal", {5000, 1000, 1000}, {5000, 1000, 1000}, kFaultNs, CodecId::kZstd},
      {"denser at the same price",
       {5000, 1000, 2000},
       {5000, 1000, 1000},
       kFaultNs,
       CodecId::kZstd},
      {"denser, hardly, and slower",
       {5000, 1000, 1000},
       {7000, 3000, 950},
       kFaultNs,
       CodecId::kLz4},
      {"a heap of CPython, cheap faults",
       {5100, 1700, 1092},
       {7000, 3300, 718},
       5000,
       CodecId::kLz4},
      {"a heap of CPython, a disk behind",
       {5100, 1700, 1092},
       {7000, 3300, 718},
       100'000,
       CodecId::kZstd},
      {"lz4 compresses nothing",
       {5000, 1000, 4096},
       {12'000, 5000, 3000},
       kFaultNs,
       CodecId::kZstd},
      {"nothing compresses", {5000, 1000, 4096}, {20'000, 5000, 4096}, kFaultNs, CodecId::kLz4},
  };
  for (const auto& row : table) {
    CodecChooser chooser;
    chooser.InitAutomatic();
    Observe(chooser, row.lz4, row.zstd);
    EXPECT_EQ(chooser.Decide(row.fault_ns, kAtEase), row.best != CodecId::kZstd) << row.what;
    EXPECT_EQ(chooser.chosen().id(), row.best) << row.what;
    // Decided once: the same figures do not count again.
    EXPECT_FALSE(chooser.Decide(row.fault_ns, kAtEase)) << row.what;
  }
}

TEST(CodecChooserTest, WaitsForEnoughOfEachFigure) {
  CodecChooser chooser;
  chooser.InitAutomatic();
  Observe(chooser, {2000, 1000, 1000}, {9000, 9000, 1000}, CodecChooser::kSamplesMin - 1);
  EXPECT_FALSE(chooser.Decide(kFaultNs, kAtEase));
  Observe(chooser, {2000, 1000, 1000}, {9000, 9000, 1000}, 1);
  EXPECT_TRUE(chooser.Decide(kFaultNs, kAtEase));
}

TEST(CodecChooserTest, FollowsTheContents) {
  CodecChooser chooser;
  chooser.InitAutomatic();
  Observe(chooser, {2000, 1000, 1000}, {12'000, 9000, 990});
  ASSERT_TRUE(chooser.Decide(kFaultNs, kAtEase));
  EXPECT_EQ(chooser.chosen().id(), CodecId::kLz4);
  Observe(chooser, {5000, 1000, 3000}, {5000, 1000, 1000});
  EXPECT_TRUE(chooser.Decide(kFaultNs, kAtEase));
  EXPECT_EQ(chooser.chosen().id(), CodecId::kZstd);
}

TEST(CodecChooserTest, TheFasterOneMustGainMoreThanALittle) {
  CodecChooser chooser;
  chooser.InitAutomatic();
  Observe(chooser, {5000, 1000, 1000}, {5400, 1000, 1000});
  EXPECT_FALSE(chooser.Decide(kFaultNs, kAtEase));
  Observe(chooser, {5000, 1000, 1000}, {6500, 1000, 1000});
  EXPECT_TRUE(chooser.Decide(kFaultNs, kAtEase));
}

TEST(CodecChooserTest, UnderPressureTheDenserOneIsChosen) {
  CodecChooser chooser;
  chooser.InitAutomatic();
  const auto decide = [&](uint64_t pool_percent) {
    Observe(chooser, {1000, 1000, 1000}, {90'000, 90'000, 900});
    static_cast<void>(chooser.Decide(kFaultNs, pool_percent));
    return chooser.chosen().id();
  };
  EXPECT_EQ(decide(CodecChooser::kPressurePercent), CodecId::kLz4);
  EXPECT_EQ(decide(CodecChooser::kPressurePercent + 1), CodecId::kZstd);
  EXPECT_EQ(decide(CodecChooser::kReliefPercent), CodecId::kZstd) << "the pool is smaller by that";
  EXPECT_EQ(decide(CodecChooser::kReliefPercent - 1), CodecId::kLz4);
}

}  // namespace
}  // namespace uzswap
