#include "engine/discard_fence.h"

#include <gtest/gtest.h>
#include <map>

namespace uzswap {
namespace {

using os::ThreadActivity;

std::map<uint32_t, ThreadActivity>& Places() {
  static std::map<uint32_t, ThreadActivity> places;
  return places;
}
ThreadActivity LookUp(const void*, uint32_t thread) { return Places().at(thread); }

TEST(DiscardFence, PassesWhenEveryThreadWasSeenElsewhereOnce) {
  DiscardFence fence;
  fence.Init(LookUp, nullptr);
  EXPECT_FALSE(fence.armed());
  EXPECT_FALSE(fence.Passed());
  Places() = {
      {1, ThreadActivity::kUncertain}, {2, ThreadActivity::kElsewhere}, {3, ThreadActivity::kGone}};
  fence.Arm();
  for (const uint32_t thread : {1, 2, 3}) fence.AddThread(thread);
  EXPECT_FALSE(fence.Passed());
  Places() = {{1, ThreadActivity::kUncertain}};  // the others are not looked at again
  EXPECT_FALSE(fence.Passed());
  EXPECT_TRUE(fence.armed());
  Places() = {{1, ThreadActivity::kElsewhere}};
  EXPECT_TRUE(fence.Passed());
  EXPECT_FALSE(fence.armed());
  EXPECT_FALSE(fence.Passed()) << "once";
}

TEST(DiscardFence, TooManyThreadsNeverPass) {
  DiscardFence fence;
  fence.Init(LookUp, nullptr);
  fence.Arm();
  for (size_t i = 0; i <= DiscardFence::kThreadsMax; ++i) {
    Places()[static_cast<uint32_t>(i)] = ThreadActivity::kElsewhere;
    fence.AddThread(static_cast<uint32_t>(i));
  }
  EXPECT_FALSE(fence.Passed());
  EXPECT_FALSE(fence.armed()) << "the next attempt may have fewer";
}

}  // namespace
}  // namespace uzswap
