// How many tasks (processes and threads) the kernel permits here. Two limits apply:
//
//   the pids controller   pids.max of the cgroup and of all above it, versions 1 and 2
//   RLIMIT_NPROC          all tasks of the user; not applied to root of the machine. Root of a
//                         user namespace is another user outside of it
//
// Only open, read and close: nothing allocates. Any thread may call this.
#ifndef UZSWAP_OS_TASK_LIMIT_H_
#define UZSWAP_OS_TASK_LIMIT_H_

#include <cstdint>
#include <string_view>

namespace uzswap::os {

inline constexpr uint64_t kNoTaskLimit = UINT64_MAX;

// Of the calling process's cgroup, which is looked for where cgroup file systems usually are
// mounted. `root` is prepended to all paths, so that tests can use their own file tree.
[[nodiscard]] uint64_t CgroupTaskLimit(std::string_view root = "");
// Whether `uid_map`, a text of /proc/PID/uid_map, is that of the first user namespace. True if the
// text is empty: the kernel has no namespaces, or /proc is hidden.
[[nodiscard]] bool IsFirstNamespace(std::string_view uid_map);
// RLIMIT_NPROC of the calling process.
[[nodiscard]] uint64_t UserTaskLimit();

}  // namespace uzswap::os

#endif  // UZSWAP_OS_TASK_LIMIT_H_
