// ProcessIdentity: identifies a process. The pid alone is not enough.
//
//   pid            the kernel may use it again as soon as the process is reaped
//   start_time     clock ticks since boot, field 22 of /proc/PID/stat: differs if the pid is reused
//   pid_namespace  inode of /proc/PID/ns/pid: a pid is valid only in its namespace
//
// Only raw system calls. Any thread of any process may call these. If /proc is not mounted,
// start_time and pid_namespace are 0, and Probe checks the pid only.
#ifndef UZSWAP_OS_PROCESS_IDENTITY_H_
#define UZSWAP_OS_PROCESS_IDENTITY_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"

namespace uzswap::os {

struct ProcessIdentity {
  uint32_t pid = 0;
  uint64_t start_time = 0;
  uint64_t pid_namespace = 0;

  friend bool operator==(const ProcessIdentity&, const ProcessIdentity&) = default;
};

ProcessIdentity OwnIdentity();
// Of a process in the caller's PID namespace.
ProcessIdentity IdentityOfPid(uint32_t pid);
// The number of a pidfd's process in the /proc that the caller sees. Fails with EBADF if it is no
// pidfd, with ESRCH if the process has ended or has no number there.
Result<uint32_t> PidOf(int pidfd);

enum class Liveness : uint8_t {
  kAlive,
  kDead,     // no such process, a zombie, or another one with this pid
  kUnknown,  // it is in another pid namespace, where the pid has another meaning
};

// `own_namespace` is OwnIdentity().pid_namespace. A caller of many probes reads it once.
Liveness Probe(const ProcessIdentity& process, uint64_t own_namespace);

// Processor time that all threads of a process in the caller's PID namespace have used so far, in
// nanoseconds. Nothing if there is no such process. Costs about 1 µs, and more with many threads.
std::optional<uint64_t> ProcessorNsOf(uint32_t pid);

// Fields of /proc/PID/stat. ParseProcessStat returns nothing if the text has another format. The
// command name in the text may contain blanks and parentheses.
struct ProcessStat {
  uint32_t parent = 0;
  char state = '?';  // of the first thread; 'Z' also if only that thread has ended
  uint64_t threads = 0;
  uint64_t start_time = 0;
};
std::optional<ProcessStat> ParseProcessStat(std::string_view text);

// Nothing if there is no such process.
std::optional<uint32_t> ParentOf(uint32_t pid);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_PROCESS_IDENTITY_H_
