#include "container_needs.h"

#include <cerrno>
#include <gtest/gtest.h>

namespace uzswap::cli {
namespace {

using os::kUffdFeaturesNeeded;

constexpr gid_t kGroup = 991;
constexpr gid_t kUnmapped = 65534;

// A container of this machine: the system call is forbidden, the kernel is new enough.
ContainerFacts Facts(int device_errno) {
  ContainerFacts facts;
  facts.signs = {"podman", "/run/.containerenv"};
  facts.probe = {EPERM, device_errno, device_errno == 0 ? kUffdFeaturesNeeded : 0};
  facts.around.seccomp_filter = true;
  facts.device = {kGroup, true};
  facts.user = 1000;
  facts.memory_limited = true;
  return facts;
}

TEST(ContainerNeedsTest, NothingIsMissing) {
  EXPECT_TRUE(ContainerNeeds(Facts(0)).empty());
  EXPECT_EQ(RenderContainerNeeds(Facts(0)),
            "container: podman (/run/.containerenv)\n"
            "The container has what uzswap needs.\n");
}

TEST(ContainerNeedsTest, TheDeviceIsMissing) {
  EXPECT_EQ(RenderContainerNeeds(Facts(ENOENT)),
            "container: podman (/run/.containerenv)\n"
            "The container lacks:\n"
            "  the device /dev/userfaultfd\n"
            "    podman, docker   --device /dev/userfaultfd\n"
            "    compose          devices: [\"/dev/userfaultfd\"]\n"
            "    kubernetes       resources: {limits: {squat.ai/userfaultfd: 1}}\n");
}

TEST(ContainerNeedsTest, ABindMountIsNotADevice) {
  const auto needs = ContainerNeeds(Facts(EPERM));
  ASSERT_EQ(needs.size(), 1u);
  EXPECT_NE(needs[0].what.find("device rules forbid it"), std::string::npos) << needs[0].what;
  EXPECT_EQ(needs[0].command_line, "--device /dev/userfaultfd");
}

TEST(ContainerNeedsTest, TheGroupOfTheDevice) {
  const auto needs = ContainerNeeds(Facts(EACCES));
  ASSERT_EQ(needs.size(), 1u);
  EXPECT_EQ(needs[0].what, "permission to write to /dev/userfaultfd for user 1000");
  EXPECT_EQ(needs[0].command_line, "--group-add 991");
  EXPECT_EQ(needs[0].compose, "group_add: [\"991\"]");
  EXPECT_NE(needs[0].kubernetes.find("supplementalGroups: [991]"), std::string::npos);
  EXPECT_EQ(needs[0].host, "") << "the host needs nothing";
}

TEST(ContainerNeedsTest, TheHostHasNoGroupForTheDevice) {
  for (const DeviceFile& device : {DeviceFile{0, true}, DeviceFile{kGroup, false}}) {
    ContainerFacts facts = Facts(EACCES);
    facts.device = device;
    const auto needs = ContainerNeeds(facts);
    ASSERT_EQ(needs.size(), 1u);
    EXPECT_NE(needs[0].host.find("chgrp uzswap /dev/userfaultfd"), std::string::npos);
    EXPECT_NE(needs[0].command_line.find("getent group uzswap"), std::string::npos);
  }
}

TEST(ContainerNeedsTest, AGroupOutsideOfTheUserNamespace) {
  ContainerFacts facts = Facts(EACCES);
  facts.device.group = kUnmapped;
  const auto needs = ContainerNeeds(facts);
  ASSERT_EQ(needs.size(), 1u);
  EXPECT_EQ(needs[0].command_line, "--group-add keep-groups");
}

TEST(ContainerNeedsTest, WithoutAMemoryLimitItIsOptional) {
  ContainerFacts facts = Facts(0);
  facts.memory_limited = false;
  const auto needs = ContainerNeeds(facts);
  ASSERT_EQ(needs.size(), 1u);
  EXPECT_FALSE(needs[0].required);
  EXPECT_NE(RenderContainerNeeds(facts).find("mem_limit: 512m"), std::string::npos);
}

TEST(ContainerNeedsTest, TheHostIsToldWhatItsContainersNeed) {
  ContainerFacts facts = Facts(0);
  facts.signs = {};
  const auto needs = ContainerNeeds(facts);
  ASSERT_EQ(needs.size(), 2u);
  EXPECT_EQ(needs[0].command_line, "--device /dev/userfaultfd");
  EXPECT_EQ(needs[1].command_line, "--memory 512m --memory-swap 512m");
  EXPECT_NE(RenderContainerNeeds(facts).find("A container on this machine needs:"),
            std::string::npos);
}

TEST(ContainerNeedsTest, NoLineReplacesTheKernel) {
  ContainerFacts facts = Facts(ENOENT);
  facts.around.pagemap_scan = false;
  EXPECT_TRUE(ContainerNeeds(facts).empty());
  facts.signs = {};
  EXPECT_NE(RenderContainerNeeds(facts).find("cannot run in a container either"),
            std::string::npos);
  ContainerFacts no_move = Facts(0);
  no_move.probe.features = 0;
  EXPECT_TRUE(ContainerNeeds(no_move).empty());
}

// No descriptor left, or another error that the report tells: no line of a container helps.
TEST(ContainerNeedsTest, OtherErrorsHaveNoLine) {
  EXPECT_TRUE(ContainerNeeds(Facts(EMFILE)).empty());
  EXPECT_NE(RenderContainerNeeds(Facts(EMFILE)).find("No setting of the container helps here."),
            std::string::npos);
}

}  // namespace
}  // namespace uzswap::cli
