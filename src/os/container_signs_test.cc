#include "os/container_signs.h"

#include <gtest/gtest.h>
#include <string>

#include "os/testing/file_tree.h"

namespace uzswap::os {
namespace {

class ContainerSignsTest : public testing::Test {
 protected:
  void Write(const std::string& file, const std::string& text) const { tree_.Write(file, text); }
  [[nodiscard]] std::string Found(const ContainerVariables& variables = {}) const {
    return FindContainer(variables, tree_.root()).runtime;
  }

  FileTree tree_;
};

TEST_F(ContainerSignsTest, NoSignNoContainer) {
  EXPECT_EQ(Found(), "");
  EXPECT_EQ(Found({"", ""}), "") << "empty variables count as unset";
  Write("/run/systemd/container", "");
  EXPECT_EQ(Found(), "") << "an empty file has no name";
}

TEST_F(ContainerSignsTest, TheMostSpecificSignDecides) {
  EXPECT_EQ(Found({"oci", nullptr}), "oci");
  Write("/run/systemd/container", "systemd-nspawn\n");
  EXPECT_EQ(Found({"oci", nullptr}), "systemd-nspawn");
  Write("/.dockerenv", "");
  EXPECT_EQ(Found(), "docker");
  Write("/run/.containerenv", "");
  EXPECT_EQ(Found(), "podman");
  Write("/var/run/secrets/kubernetes.io/serviceaccount/token", "x");
  const ContainerSigns signs = FindContainer({}, tree_.root());
  EXPECT_EQ(signs.runtime, "kubernetes");
  EXPECT_EQ(signs.sign, "/var/run/secrets/kubernetes.io/serviceaccount");
}

TEST_F(ContainerSignsTest, TheVariableOfAPodIsEnough) {
  Write("/.dockerenv", "");
  EXPECT_EQ(Found({nullptr, "10.0.0.1"}), "kubernetes");
}

TEST_F(ContainerSignsTest, ANameHasNoControlCharacters) {
  EXPECT_EQ(Found({"\033[31mred", nullptr}), "");
  EXPECT_EQ(Found({"lxc\033[31m", nullptr}), "lxc");
  EXPECT_EQ(Found({std::string(100, 'a').c_str(), nullptr}), std::string(32, 'a'));
}

}  // namespace
}  // namespace uzswap::os
