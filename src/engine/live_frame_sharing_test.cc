#include "engine/live_frame_sharing.h"

#include <gtest/gtest.h>

#include "engine/testing/fake_session.h"
#include "os/testing/anonymous_memory.h"
#include "os/testing/waiting_child.h"

namespace uzswap {
namespace {

// Only what it says of sharing() is used.
class NoReaders final : public UsageReaders {
 public:
  Bytes AnonymousBytes() override { return Bytes(0); }
  std::optional<os::AnonymousSplit> AnonymousSplit() override { return {}; }
  Bytes PoolBytes() override { return Bytes(0); }
  os::PageSharing PoolSharing() override { return {}; }
  Bytes MetadataBytes() override { return Bytes(0); }
  os::PageSharing MetadataSharing() override { return {}; }
  uint64_t NowNs() override { return uint64_t{1} << 40; }
};

TEST(LiveFrameSharing, KnowsFramesOfARelativeFromOwnOnes) {
  os::LinuxAddressSpace space;
  ASSERT_TRUE(space.Open().ok());
  NoReaders readers;
  SessionMember member;
  ASSERT_TRUE(member.Join(NewPrivateSession(), "a test").ok());
  Headroom headroom;
  UsageMeter meter;
  meter.Init(readers, member, headroom, WatermarksFor(Bytes(64 << 20)));
  LiveFrameSharing sharing;
  sharing.Init(meter, space);

  os::AnonymousMemory frames(4);
  const auto frame = [&](size_t i) {
    return reinterpret_cast<const std::byte*>(frames.data() + i * kPageSize + 100);
  };
  frames.data()[0] = 1;
  frames.data()[kPageSize] = 1;
  os::WaitingChild child;
  frames.data()[kPageSize] = 2;
  EXPECT_FALSE(sharing.IsShared(frame(0))) << "the meter knows of no relative: nothing is asked";
  meter.NoteFork();
  EXPECT_TRUE(sharing.IsShared(frame(0)));
  EXPECT_FALSE(sharing.IsShared(frame(1))) << "written since: a copy";
  EXPECT_FALSE(sharing.IsShared(frame(2))) << "not present";
  EXPECT_EQ(child.End(), 0);
  EXPECT_FALSE(sharing.IsShared(frame(0))) << "the relative has gone";
}

}  // namespace
}  // namespace uzswap
