// The contract of UserFaultPort: the stories of os/testing/user_fault_stories.h, run with the fake
// and with the running kernel. Needs userfaultfd for the second half, and says so if it is missing.
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

#include "os/testing/user_fault_stories.h"

namespace uzswap::os {
namespace {

std::vector<UserFaultStory> AllStories() {
  std::vector<UserFaultStory> all;
  for (auto* stories : {UserFaultCallStories, UserFaultFaultStories, UserFaultEventStories}) {
    for (const UserFaultStory& story : stories()) all.push_back(story);
  }
  return all;
}

class UserFaultContract : public testing::TestWithParam<UserFaultStory> {
 protected:
  static void Tell(std::unique_ptr<FaultWorld> world) {
    if (const char* reason = world->Start()) GTEST_SKIP() << reason;
    GetParam().tell(*world);
  }
};

TEST_P(UserFaultContract, HoldsForTheFake) { Tell(MakeFakeFaultWorld()); }
TEST_P(UserFaultContract, HoldsForTheKernel) { Tell(MakeKernelFaultWorld()); }

INSTANTIATE_TEST_SUITE_P(Stories, UserFaultContract, testing::ValuesIn(AllStories()),
                         [](const testing::TestParamInfo<UserFaultStory>& tested) {
                           return std::string(tested.param.name);
                         });

}  // namespace
}  // namespace uzswap::os
