#include <cerrno>
#include <cstring>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "os/backing_file.h"
#include "os/testing/fake_io_port.h"
#include "os/testing/temp_directory.h"
#include "os/thread_port.h"
#include "os/uring_port.h"

namespace uzswap::os {
namespace {

constexpr size_t kChunk = 64 << 10;
constexpr uint32_t kDepth = 8;

class PortTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    Result<BackingFile> file = BackingFile::Open(directory_.path().c_str());
    ASSERT_TRUE(file.ok());
    file_ = std::move(file).value();
    Result<Mapping> memory = Mapping::Create(Bytes(kDepth * kChunk), "buffers");
    ASSERT_TRUE(memory.ok());
    memory_ = std::move(memory).value();
    const std::string kind = GetParam();
    if (kind == "uring") {
      if (Result<void> done = uring_.Init(file_, kDepth); !done.ok()) {
        GTEST_SKIP() << "io_uring refused: " << strerror(done.error().errno_value);
      }
      port_ = &uring_;
    } else if (kind == "fake") {
      ASSERT_TRUE(fake_.Init(64 << 20, kDepth).ok());
      port_ = &fake_;
    } else {
      threads_.Init(file_, kDepth);
      port_ = &threads_;
    }
    port_->Prepare({memory_.data(), memory_.size()}, kChunk);
  }
  IoRequest Write(uint32_t slot, uint64_t offset, uint8_t value) {
    memset(memory_.data() + slot * kChunk, value, kChunk);
    IoRequest request;
    request.offset = offset;
    request.data = memory_.data() + slot * kChunk;
    request.length = kChunk;
    request.buffer = slot;
    return request;
  }

  TempDirectory directory_;
  BackingFile file_;
  Mapping memory_;
  UringPort uring_;
  ThreadPort threads_;
  FakeIoPort fake_;
  IoPort* port_ = nullptr;
};

TEST_P(PortTest, WritesLandAndAreReadBack) {
  constexpr uint32_t kRounds = 40;
  IoRequest requests[kDepth];
  uint32_t landed = 0;
  for (uint32_t i = 0; i < kRounds; ++i) {
    const uint32_t slot = i % kDepth;
    if (i >= kDepth) {
      // Any completed request frees a slot; take all, so that this slot is free for certain.
      while (IoRequest* done = port_->Reap(true)) {
        EXPECT_EQ(done->error, 0);
        ++landed;
        if (landed % kDepth == 0) break;
      }
    }
    if (i % kDepth == 0) {
      while (IoRequest* done = port_->Reap(true)) landed += done->error == 0 ? 1 : 0;
    }
    requests[slot] = Write(slot, uint64_t{i} * kChunk, static_cast<uint8_t>(i + 1));
    ASSERT_TRUE(port_->Submit(requests[slot]));
  }
  while (IoRequest* done = port_->Reap(true)) {
    EXPECT_EQ(done->error, 0);
    ++landed;
  }
  EXPECT_EQ(landed, kRounds);
  EXPECT_EQ(port_->Reap(true), nullptr) << "waiting for nothing must not hang";
  const std::span<std::byte> back(memory_.data(), kChunk);
  for (uint32_t i = 0; i < kRounds; ++i) {
    ASSERT_EQ(port_->Read(uint64_t{i} * kChunk, back), static_cast<int64_t>(kChunk));
    EXPECT_EQ(back[0], static_cast<std::byte>(i + 1));
    EXPECT_EQ(back[kChunk - 1], static_cast<std::byte>(i + 1));
  }
  EXPECT_GE(port_->Occupied(), kRounds * kChunk);
}

TEST_P(PortTest, DepthIsABound) {
  IoRequest requests[kDepth + 1];
  if (port_ == &fake_) fake_.Hold();
  uint32_t accepted = 0;
  // Made first: it shares its bytes with one that is soon being written.
  requests[kDepth] = Write(0, 0, 7);
  for (uint32_t i = 0; i < kDepth; ++i) {
    requests[i] = Write(i, uint64_t{i} * kChunk, 7);
    accepted += port_->Submit(requests[i]) ? 1 : 0;
  }
  EXPECT_EQ(accepted, kDepth);
  EXPECT_FALSE(port_->Submit(requests[kDepth]));
  if (port_ == &fake_) {
    EXPECT_EQ(port_->Reap(false), nullptr);
    fake_.Release();
  }
  uint32_t reaped = 0;
  while (port_->Reap(true) != nullptr) ++reaped;
  EXPECT_EQ(reaped, kDepth);
}

TEST_P(PortTest, ReadsBeyondTheEndAreShort) {
  std::vector<std::byte> page(2 * kIoAlignment);
  void* aligned = page.data();
  size_t space = page.size();
  ASSERT_NE(std::align(kIoAlignment, kIoAlignment, aligned, space), nullptr);
  EXPECT_EQ(port_->Read(uint64_t{1} << 40, {static_cast<std::byte*>(aligned), kIoAlignment}), 0);
}

// More reads than go side by side, some of them beyond the end of what was written.
TEST_P(PortTest, ManyReadsAgreeWithSingleOnes) {
  constexpr size_t kReads = 40;
  for (uint32_t slot = 0; slot < 4; ++slot) {
    IoRequest request = Write(slot, slot * kChunk, static_cast<uint8_t>(slot + 1));
    ASSERT_TRUE(port_->Submit(request));
    ASSERT_EQ(port_->Reap(true), &request);
    ASSERT_EQ(request.error, 0);
  }
  Mapping many = std::move(Mapping::Create(Bytes(kReads * 2 * kIoAlignment), "many")).value();
  Mapping single = std::move(Mapping::Create(Bytes(2 * kIoAlignment), "one")).value();
  Rng rng(4);
  std::vector<IoRead> reads(kReads);
  for (size_t i = 0; i < kReads; ++i) {
    reads[i].offset = rng.Below(5 * kChunk / kIoAlignment) * kIoAlignment;
    reads[i].to = {many.data() + i * 2 * kIoAlignment, (1 + rng.Below(2)) * kIoAlignment};
  }
  port_->ReadMany(reads);
  for (const IoRead& read : reads) {
    const std::span<std::byte> alone(single.data(), read.to.size());
    ASSERT_EQ(read.got, port_->Read(read.offset, alone)) << read.offset;
    EXPECT_EQ(memcmp(alone.data(), read.to.data(), static_cast<size_t>(read.got)), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(All, PortTest, testing::Values("uring", "threads", "fake"),
                         [](const auto& each) { return std::string(each.param); });

TEST(UringPortTest, ErrorsOfTheDeviceComeBackWithTheRequest) {
  TempDirectory directory;
  BackingFile file = std::move(BackingFile::Open(directory.path().c_str())).value();
  UringPort port;
  if (!port.Init(file, 4).ok()) GTEST_SKIP() << "io_uring refused";
  Mapping memory = std::move(Mapping::Create(Bytes(kChunk), "buffer")).value();
  IoRequest request;
  request.offset = uint64_t{1} << 62;  // beyond what any file may have
  request.data = memory.data();
  request.length = kChunk;
  ASSERT_TRUE(port.Submit(request));
  ASSERT_EQ(port.Reap(true), &request);
  EXPECT_EQ(request.error, EFBIG);
}

TEST(ThreadPortTest, RequestsAreWrittenInTheirOrderByTheReapingThread) {
  TempDirectory directory;
  BackingFile file = std::move(BackingFile::Open(directory.path().c_str())).value();
  ThreadPort port;
  port.Init(file, 4);
  Mapping memory = std::move(Mapping::Create(Bytes(kChunk), "buffer")).value();
  IoRequest requests[4];
  for (uint32_t i = 0; i < 4; ++i) {
    requests[i].offset = i * kChunk;
    requests[i].data = memory.data();
    requests[i].length = kChunk;
    ASSERT_TRUE(port.Submit(requests[i]));
  }
  EXPECT_EQ(port.Reap(false), nullptr) << "nobody writes until somebody waits";
  uint32_t reaped = 0;
  while (IoRequest* done = port.Reap(true)) {
    ASSERT_LT(reaped, 4u);
    EXPECT_EQ(done, &requests[reaped]);
    EXPECT_EQ(done->error, 0);
    ++reaped;
  }
  EXPECT_EQ(reaped, 4u);
}

TEST(FakeIoPortTest, FaultsStrikeTheCallTheyWerePlannedFor) {
  FakeIoPort port;
  ASSERT_TRUE(port.Init(1 << 20, 4).ok());
  Mapping memory = std::move(Mapping::Create(Bytes(kIoAlignment), "buffer")).value();
  memset(memory.data(), 9, kIoAlignment);
  const auto write = [&] {
    IoRequest request;
    request.data = memory.data();
    request.length = kIoAlignment;
    EXPECT_TRUE(port.Submit(request));
    EXPECT_EQ(port.Reap(true), &request);
    return request.error;
  };
  port.Plan(IoFault::kError, 2, EIO);
  EXPECT_EQ(write(), 0);
  EXPECT_EQ(write(), EIO);
  EXPECT_EQ(write(), 0);
  port.Plan(IoFault::kVanished, 4);
  EXPECT_EQ(write(), ENODEV);
  EXPECT_EQ(port.Read(0, {memory.data(), kIoAlignment}), -ENODEV);
  port.Heal();
  port.Plan(IoFault::kFlippedBit, 6);
  EXPECT_EQ(port.Read(0, {memory.data(), kIoAlignment}), static_cast<int64_t>(kIoAlignment));
  EXPECT_EQ(memory.data()[kIoAlignment / 3], std::byte{13});
}

}  // namespace
}  // namespace uzswap::os
