// The memory limits of the cgroup this process lives in, versions 1 and 2.
//
//   /proc/self/cgroup      0::/app          4:memory:/docker/abc         where we are
//   /proc/self/mountinfo   cgroup2 at ...   cgroup,memory at ...         where that is visible
//
//   mount point / ... / parent / ours      every level up to the mount point bounds us:
//     v2  memory.max, memory.high          the smallest counts
//     v1  memory.limit_in_bytes, and hierarchical_memory_limit of memory.stat, which also
//         knows the levels above what a container can see
//
// Both versions may be mounted at once; what each says is taken into account. Allocates: for
// tools, not for the engine.
#ifndef UZSWAP_OS_CGROUP_H_
#define UZSWAP_OS_CGROUP_H_

#include <string>
#include <vector>

#include "base/units.h"

namespace uzswap::os {

struct CgroupLimit {
  Bytes bytes{};
  std::string file;  // which file said so
};

// Every limit found, in no order; empty when nothing bounds us. `root` stands in front of all
// paths, so that tests can lay out a tree of their own.
std::vector<CgroupLimit> FindCgroupLimits(const std::string& root = "");

// The smallest of `limits`, or null.
const CgroupLimit* Tightest(const std::vector<CgroupLimit>& limits);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_CGROUP_H_
