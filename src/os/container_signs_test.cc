#include "os/container_signs.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

namespace uzswap::os {
namespace {

// A file tree of its own.
class ContainerSignsTest : public testing::Test {
 protected:
  ContainerSignsTest() : root_(testing::TempDir() + "/signs-XXXXXX") {
    EXPECT_NE(mkdtemp(root_.data()), nullptr);
  }
  ~ContainerSignsTest() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& file, const std::string& text) const {
    const std::filesystem::path path(root_ + file);
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  [[nodiscard]] std::string Found(const ContainerVariables& variables = {}) const {
    return FindContainer(variables, root_).runtime;
  }

  std::string root_;
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
  const ContainerSigns signs = FindContainer({}, root_);
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
