#include "os/task_limit.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <gtest/gtest.h>
#include <string>
#include <string_view>

#include "os/testing/file_tree.h"

namespace uzswap::os {
namespace {

class TaskLimitTest : public testing::Test {
 protected:
  void Write(const std::string& file, const std::string& text) const { tree_.Write(file, text); }

  FileTree tree_;
};

TEST_F(TaskLimitTest, WithoutFilesThereIsNoLimit) {
  EXPECT_EQ(CgroupTaskLimit(tree_.root()), kNoTaskLimit);
  Write("/proc/self/cgroup", "8:pids:/\n0::/\n");
  EXPECT_EQ(CgroupTaskLimit(tree_.root()), kNoTaskLimit);
  Write("/sys/fs/cgroup/pids.max", "max\n");
  EXPECT_EQ(CgroupTaskLimit(tree_.root()), kNoTaskLimit);
  Write("/proc/self/cgroup", "nonsense\n\n:\n9\n");
  EXPECT_EQ(CgroupTaskLimit(tree_.root()), kNoTaskLimit);
}

TEST_F(TaskLimitTest, VersionTwoTakesTheSmallestUpTheTree) {
  Write("/proc/self/cgroup", "0::/a/b\n");
  Write("/sys/fs/cgroup/a/b/pids.max", "500\n");
  EXPECT_EQ(CgroupTaskLimit(tree_.root()), 500u);
  Write("/sys/fs/cgroup/a/pids.max", "300\n");
  EXPECT_EQ(CgroupTaskLimit(tree_.root()), 300u);
  Write("/sys/fs/cgroup/pids.max", "100");
  EXPECT_EQ(CgroupTaskLimit(tree_.root()), 100u);
}

TEST_F(TaskLimitTest, VersionOneIsTheLineThatNamesThePidsController) {
  Write("/proc/self/cgroup", "9:cpu,pids:/a\n4:memory:/b\n0::/\n");
  Write("/sys/fs/cgroup/pids/a/pids.max", "20\n");
  Write("/sys/fs/cgroup/pids/b/pids.max", "10\n");
  EXPECT_EQ(CgroupTaskLimit(tree_.root()), 20u);
}

TEST_F(TaskLimitTest, TheLimitOfTheUserIsNotForRoot) {
  const auto limit_of = [](uid_t user) {
    const rlimit limit = {77, 77};
    const bool set = setrlimit(RLIMIT_NPROC, &limit) == 0 && (user == 0 || setuid(user) == 0);
    const uint64_t found = UserTaskLimit();
    _exit(!set ? 1 : found == 77 ? 2 : found == kNoTaskLimit ? 3 : 4);
  };
  if (getuid() != 0) GTEST_SKIP() << "only root can become another user";
  EXPECT_EXIT(limit_of(0), testing::ExitedWithCode(3), "");
  EXPECT_EXIT(limit_of(64999), testing::ExitedWithCode(2), "");
}

TEST_F(TaskLimitTest, TheMapTellsTheNamespace) {
  const struct {
    std::string_view uid_map;
    bool first;
  } kMaps[] = {
      {"         0          0 4294967295\n", true},
      {"", true},
      {"0 0 1\n", false},  // in a namespace whose own 0 is not root of the machine
      {"         0       1000          1\n", false},
      {"         0     100000      65536\n", false},
      {"1 100000 65536\n0 0 1\n", false},
      {"0", false},
      {"words\n", false},
  };
  for (const auto& row : kMaps) {
    EXPECT_EQ(IsFirstNamespace(row.uid_map), row.first) << row.uid_map;
  }
}

TEST_F(TaskLimitTest, RootOfANamespaceHasALimit) {
  const auto limit_of = [] {
    constexpr std::string_view kMap = "0 64999 1";
    const rlimit limit = {77, 77};
    bool inside = setrlimit(RLIMIT_NPROC, &limit) == 0 && setuid(64999) == 0;
    prctl(PR_SET_DUMPABLE, 1);  // its uid_map belongs to it again
    inside = inside && unshare(CLONE_NEWUSER) == 0;
    const int map = open("/proc/self/uid_map", O_WRONLY);
    inside = inside && write(map, kMap.data(), kMap.size()) == static_cast<ssize_t>(kMap.size());
    _exit(!inside || getuid() != 0 ? 1 : UserTaskLimit() == 77 ? 2 : 3);
  };
  if (getuid() != 0) GTEST_SKIP() << "only root can become another user";
  uint64_t namespaces = 0;
  std::ifstream("/proc/sys/user/max_user_namespaces") >> namespaces;
  if (namespaces == 0) GTEST_SKIP() << "the kernel permits no user namespaces here";
  EXPECT_EXIT(limit_of(), testing::ExitedWithCode(2), "");
}

}  // namespace
}  // namespace uzswap::os
