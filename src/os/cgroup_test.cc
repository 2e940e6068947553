#include "os/cgroup.h"

#include <gtest/gtest.h>
#include <string>

#include "os/testing/file_tree.h"

namespace uzswap::os {
namespace {

class CgroupTest : public testing::Test {
 protected:
  void Write(const std::string& file, const std::string& text) const { tree_.Write(file, text); }
  [[nodiscard]] uint64_t Smallest() const {
    const std::vector<CgroupLimit> limits = FindCgroupLimits(tree_.root()).found;
    const CgroupLimit* tightest = Tightest(limits);
    return tightest == nullptr ? 0 : tightest->bytes.raw();
  }

  FileTree tree_;
};

constexpr char kUnified[] =
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
constexpr char kVersionOne[] =
    "30 23 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
    "31 23 0:27 / /sys/fs/cgroup/memory rw shared:5 - cgroup cgroup rw,memory\n";

TEST_F(CgroupTest, NothingBoundsUs) {
  EXPECT_EQ(Smallest(), 0u) << "no /proc at all";
  Write("/proc/self/cgroup", "0::/app\n");
  Write("/proc/self/mountinfo", kUnified);
  EXPECT_EQ(Smallest(), 0u) << "no limit files";
  Write("/sys/fs/cgroup/app/memory.max", "max\n");
  Write("/sys/fs/cgroup/app/memory.high", "max\n");
  EXPECT_EQ(Smallest(), 0u);
}

TEST_F(CgroupTest, VersionTwoTakesTheSmallestUpTheTree) {
  Write("/proc/self/cgroup", "0::/a/b\n");
  Write("/proc/self/mountinfo", kUnified);
  Write("/sys/fs/cgroup/a/b/memory.max", "500\n");
  EXPECT_EQ(Smallest(), 500u);
  Write("/sys/fs/cgroup/a/memory.max", "300\n");
  EXPECT_EQ(Smallest(), 300u);
  Write("/sys/fs/cgroup/a/b/memory.high", "200\n");
  EXPECT_EQ(Smallest(), 200u);
  Write("/sys/fs/cgroup/memory.max", "100\n");
  const std::vector<CgroupLimit> limits = FindCgroupLimits(tree_.root()).found;
  EXPECT_EQ(limits.size(), 4u);
  EXPECT_EQ(Tightest(limits)->file, "/sys/fs/cgroup/memory.max");
}

TEST_F(CgroupTest, AnotherProcessHasAnotherCgroup) {
  Write("/proc/self/cgroup", "0::/a\n");
  Write("/proc/42/cgroup", "0::/b\n");
  Write("/proc/self/mountinfo", kUnified);
  Write("/sys/fs/cgroup/a/memory.max", "500\n");
  Write("/sys/fs/cgroup/b/memory.max", "300\n");
  EXPECT_EQ(Smallest(), 500u);
  const std::vector<CgroupLimit> limits = FindCgroupLimits(tree_.root(), "42").found;
  ASSERT_EQ(limits.size(), 1u);
  EXPECT_EQ(limits[0].bytes, Bytes(300));
  EXPECT_TRUE(FindCgroupLimits(tree_.root(), "43").found.empty());
}

TEST_F(CgroupTest, InsideACgroupNamespaceTheMountPointIsOurs) {
  Write("/proc/self/cgroup", "0::/\n");
  Write("/proc/self/mountinfo", kUnified);
  Write("/sys/fs/cgroup/memory.max", "700\n");
  EXPECT_EQ(Smallest(), 700u);
  Write("/proc/self/cgroup", "0::/../other\n");
  EXPECT_EQ(Smallest(), 700u);
}

TEST_F(CgroupTest, ANamespaceThatWasNotMountedHidesItsLimits) {
  struct Case {
    const char* cgroup;
    const char* root;  // of the mount
    bool hidden;
  };
  const Case cases[] = {{"/", "/", false},
                        {"/app", "/", false},
                        {"/", "/..", true},
                        {"/", "/../..", true},
                        {"/../other", "/", true}};
  EXPECT_FALSE(FindCgroupLimits(tree_.root()).hidden) << "no /proc at all";
  for (const Case& c : cases) {
    Write("/proc/self/cgroup", std::string("0::") + c.cgroup + "\n");
    Write("/proc/self/mountinfo",
          std::string("30 23 0:26 ") + c.root + " /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    EXPECT_EQ(FindCgroupLimits(tree_.root()).hidden, c.hidden) << c.cgroup << " in " << c.root;
  }
}

TEST_F(CgroupTest, VersionOneAndItsWayOfSayingUnlimited) {
  Write("/proc/self/cgroup", "9:cpu:/x\n4:memory:/job\n0::/\n");
  Write("/proc/self/mountinfo", kVersionOne);
  Write("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(Smallest(), 0u);
  Write("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "400\n");
  EXPECT_EQ(Smallest(), 400u);
  Write("/sys/fs/cgroup/memory/job/memory.stat", "cache 1\nhierarchical_memory_limit 350\nx 1\n");
  EXPECT_EQ(Smallest(), 350u) << "a level above what is mounted";
}

TEST_F(CgroupTest, AContainerOfVersionOneSeesItsPartMounted) {
  Write("/proc/self/cgroup", "4:cpu,memory:/docker/abc/inner\n");
  Write("/proc/self/mountinfo",
        "31 23 0:27 /docker/abc /sys/fs/cg\\040roup rw - cgroup cgroup rw,cpu,memory\n");
  Write("/sys/fs/cg roup/inner/memory.limit_in_bytes", "900\n");
  EXPECT_EQ(Smallest(), 900u);
  Write("/sys/fs/cg roup/memory.limit_in_bytes", "800\n");
  EXPECT_EQ(Smallest(), 800u);
}

TEST_F(CgroupTest, BothVersionsCount) {
  Write("/proc/self/cgroup", "4:memory:/\n0::/app\n");
  Write("/proc/self/mountinfo", std::string(kVersionOne) +
                                    "40 23 0:30 / /sys/fs/cgroup/unified rw "
                                    "- cgroup2 cgroup2 rw\n");
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "600\n");
  Write("/sys/fs/cgroup/unified/app/memory.max", "550\n");
  EXPECT_EQ(Smallest(), 550u);
}

}  // namespace
}  // namespace uzswap::os
