// The memory limits of the cgroup of a process, versions 1 and 2.
//
//   /proc/PID/cgroup       0::/app          4:memory:/docker/abc         the path of the cgroup
//   /proc/self/mountinfo   cgroup2 at ...   cgroup,memory at ...         where it is mounted
//
//   mount point / ... / parent / own       the limits of all levels up to the mount point apply:
//     v2  memory.max, memory.high          the smallest is effective
//     v1  memory.limit_in_bytes, and hierarchical_memory_limit of memory.stat, which includes
//         the levels above what a container can see
//
// Both versions may be mounted at once; then both are read. Allocates: only for tools, not for the
// engine.
#ifndef UZSWAP_OS_CGROUP_H_
#define UZSWAP_OS_CGROUP_H_

#include <string>
#include <vector>

#include "base/units.h"

namespace uzswap::os {

struct CgroupLimit {
  Bytes bytes{};
  std::string file;  // the file that has the limit
};

struct CgroupLimits {
  std::vector<CgroupLimit> found;  // in no order; empty if there is no limit
  // The mounted cgroup file system shows another cgroup namespace than that of this process: limits
  // may apply that are not visible.
  bool hidden = false;
};

// `root` is prepended to all paths, so that tests can use their own file tree. `process` is its
// number, or "self". Nothing is found for a process that has ended.
CgroupLimits FindCgroupLimits(const std::string& root = "", const std::string& process = "self");

// The smallest of `limits`; nullptr if there are none.
const CgroupLimit* Tightest(const std::vector<CgroupLimit>& limits);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_CGROUP_H_
